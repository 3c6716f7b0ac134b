#include "nn/blas.h"
#include "nn/hot.h"
#include "nn/ops.h"
#include "nn/record.h"

#include <assert.h>
#include <string.h>

/* --- linear ---------------------------------------------------------------------------------- */

struct linear {
    struct record r;
    struct val *x, *W, *b;
};

/* gb += column sums of gy [rows,cols] */
HOT static void add_columns(int rows, int cols, const real *restrict gy, real *restrict gb)
{
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++)
            gb[j] += gy[(size_t)i * (size_t)cols + (size_t)j];
}

/* W in reals, for one product: its own, or made of what is stored. */
static const real *widen(struct tape *t, const struct val *W)
{
    if (W->x)
        return W->x;
    real *x = tape_scratch(t, val_count(W));
    if (tape_computes(t))
        stored_read(W->stored, 0, val_count(W), x);
    return x;
}

static void widen_end(struct tape *t, const struct val *W, const real *x)
{
    if (x != W->x)
        tape_unscratch(t, (real *)x, val_count(W));
}

/* Gradients of y = scale * x W^T from gy. */
static void product_backward(struct tape *t, struct val *x, struct val *W, real scale,
                             const real *gy)
{
    const int T = x->rows, in = W->cols, out = W->rows;
    bool add;

    if (x->wants_grad) {
        real *gx = tape_grad(t, x, &add);
        const real *w = widen(t, W);
        if (tape_computes(t))
            blas_gemm(BLAS_AS_IS, BLAS_AS_IS, T, in, out, scale, gy, out, w, in, add, gx, in);
        widen_end(t, W, w);
    }
    if (W->wants_grad) {
        real *gW = tape_grad(t, W, &add);
        if (tape_computes(t))
            blas_gemm(BLAS_TRANSPOSED, BLAS_AS_IS, out, in, T, scale, gy, out, x->x, in, add, gW,
                      in);
    }
}

static void linear_backward(struct tape *t, struct record *r)
{
    const struct linear *l = (const struct linear *)r;

    product_backward(t, l->x, l->W, 1, r->out->g);
    if (l->b && l->b->wants_grad) {
        real *gb = tape_grad_add(t, l->b);
        if (tape_computes(t))
            add_columns(r->out->rows, r->out->cols, r->out->g, gb);
    }
}

static void linear_forward(struct tape *t, const struct val *x, const struct val *W,
                           const struct val *b, struct val *y)
{
    const int T = x->rows, in = W->cols, out = W->rows;
    const real *w = widen(t, W);

    if (tape_computes(t)) {
        for (int i = 0; b && i < T; i++)
            memcpy(val_data(y) + (size_t)i * (size_t)out, b->x, (size_t)out * sizeof(real));
        blas_gemm(BLAS_AS_IS, BLAS_TRANSPOSED, T, out, in, 1, x->x, in, w, in, b ? 1 : 0,
                  val_data(y), out);
    }
    widen_end(t, W, w);
}

struct val *op_linear(struct tape *t, struct val *x, struct val *W, struct val *b)
{
    struct val *y = tape_new(t, x->rows, W->rows);

    assert(x->cols == W->cols && (!b || (b->rows == 1 && b->cols == W->rows)));
    linear_forward(t, x, W, b, y);

    if (x->wants_grad || W->wants_grad || (b && b->wants_grad)) {
        struct linear *l = tape_record(t, sizeof *l, linear_backward, y);
        l->x = x;
        l->W = W;
        l->b = b;
        if (W->wants_grad)
            record_keep(&l->r, x);
        if (x->wants_grad)
            record_keep(&l->r, W);
    }
    return y;
}

/* --- a branch beside a linear ---------------------------------------------------------------- */

struct branch {
    struct record r;
    struct val *u, *W;
    real scale;
};

static void branch_backward(struct tape *t, struct record *r)
{
    const struct branch *b = (const struct branch *)r;

    product_backward(t, b->u, b->W, b->scale, r->out->g);
}

void op_linear_add(struct tape *t, struct val *y, struct val *u, struct val *W, real scale)
{
    const int T = u->rows, in = W->cols, out = W->rows;

    assert(!y->borrowed && y->claims == 1);
    assert(u->cols == in && y->rows == T && y->cols == out);
    if (tape_computes(t))
        blas_gemm(BLAS_AS_IS, BLAS_TRANSPOSED, T, out, in, scale, u->x, in, W->x, in, 1,
                  val_data(y), out);

    if (u->wants_grad || W->wants_grad) {
        struct branch *b = tape_record(t, sizeof *b, branch_backward, y);
        b->u = u;
        b->W = W;
        b->scale = scale;
        if (W->wants_grad)
            record_keep(&b->r, u);
        if (u->wants_grad)
            record_keep(&b->r, W);
    }
}
