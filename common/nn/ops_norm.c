#include "nn/dropout.h"
#include "nn/hot.h"
#include "nn/ops.h"
#include "nn/record.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* Layer norm: y = gain * xhat + bias, xhat = (s - mean) / sqrt(var + eps), over a row s of x or of
 * x + dropout(h). Backward needs xhat and 1 / sqrt(var + eps); xhat cannot be had back from y,
 * since a gain may be 0. */
struct norm {
    struct record r;
    struct val *x, *h, *gain, *bias; /* h: NULL without a residual */
    struct val *xhat, *rstd;         /* [T,d], [T,1] */
    bool dropped;
    struct dropout mask; /* of h */
};

/* s = x + h * factor; h may be NULL, factor NULL for 1. */
HOT static void residual(size_t d, const real *restrict x, const real *restrict h,
                         const real *restrict factor, real *restrict s)
{
    if (!h)
        memcpy(s, x, d * sizeof *s);
    else if (!factor)
        for (size_t j = 0; j < d; j++)
            s[j] = x[j] + h[j];
    else
        for (size_t j = 0; j < d; j++)
            s[j] = x[j] + h[j] * factor[j];
}

/* Turns a row into xhat in place and writes y. Returns 1 / sqrt(var + eps). */
HOT static real normalise(size_t d, real eps, const real *restrict gain, const real *restrict bias,
                          real *restrict s, real *restrict y)
{
    const real mean = row_sum(s, d) / (real)d;

    for (size_t j = 0; j < d; j++)
        s[j] -= mean;
    const real rstd = 1 / (real)sqrt(row_dot(s, s, d) / (real)d + eps);
    for (size_t j = 0; j < d; j++) {
        s[j] *= rstd;
        y[j] = s[j] * gain[j] + bias[j];
    }
    return rstd;
}

/* gs = rstd * (a - mean(a) - xhat * mean(a * xhat)), a = gy * gain. */
HOT static void row_backward(size_t d, real rstd, const real *restrict gy,
                             const real *restrict gain, const real *restrict xhat,
                             real *restrict gs)
{
    for (size_t j = 0; j < d; j++)
        gs[j] = gy[j] * gain[j];
    const real mean = row_sum(gs, d) / (real)d;
    const real along = row_dot(gs, xhat, d) / (real)d;
    for (size_t j = 0; j < d; j++)
        gs[j] = rstd * (gs[j] - mean - xhat[j] * along);
}

/* g += gs * factor (factor NULL: 1); or = for the first contribution. */
HOT static void contribute(size_t d, const real *restrict gs, const real *restrict factor, bool add,
                           real *restrict g)
{
    if (!factor)
        for (size_t j = 0; j < d; j++)
            g[j] = (add ? g[j] : 0) + gs[j];
    else
        for (size_t j = 0; j < d; j++)
            g[j] = (add ? g[j] : 0) + gs[j] * factor[j];
}

HOT static void affine_backward(size_t rows, size_t d, const real *restrict gy,
                                const real *restrict xhat, real *restrict ggain,
                                real *restrict gbias)
{
    for (size_t i = 0; i < rows; i++, gy += d, xhat += d) {
        if (ggain)
            for (size_t j = 0; j < d; j++)
                ggain[j] += gy[j] * xhat[j];
        if (gbias)
            for (size_t j = 0; j < d; j++)
                gbias[j] += gy[j];
    }
}

static void input_backward(struct tape *t, const struct norm *n)
{
    const size_t d = (size_t)n->r.out->cols;
    const bool to_x = n->x->wants_grad, to_h = n->h && n->h->wants_grad;
    bool add_x = false, add_h = false;
    real *gx = to_x ? tape_grad(t, n->x, &add_x) : NULL;
    real *gh = to_h ? tape_grad(t, n->h, &add_h) : NULL;
    real *gs = tape_scratch(t, 2 * d), *factor = n->dropped ? gs + d : NULL;

    for (size_t i = 0; tape_computes(t) && i < (size_t)n->r.out->rows; i++) {
        row_backward(d, n->rstd->x[i], n->r.out->g + i * d, n->gain->x, n->xhat->x + i * d, gs);
        if (to_x)
            contribute(d, gs, NULL, add_x, gx + i * d);
        if (to_h) {
            if (factor)
                dropout_factors(&n->mask, i * d, d, factor);
            contribute(d, gs, factor, add_h, gh + i * d);
        }
    }
    tape_unscratch(t, gs, 2 * d);
}

static void norm_backward(struct tape *t, struct record *r)
{
    const struct norm *n = (const struct norm *)r;

    real *ggain = n->gain->wants_grad ? tape_grad_add(t, n->gain) : NULL;
    real *gbias = n->bias->wants_grad ? tape_grad_add(t, n->bias) : NULL;
    if ((ggain || gbias) && tape_computes(t))
        affine_backward((size_t)r->out->rows, (size_t)r->out->cols, r->out->g, n->xhat->x, ggain,
                        gbias);
    if (n->x->wants_grad || (n->h && n->h->wants_grad))
        input_backward(t, n);
}

static void norm_forward(struct tape *t, const struct norm *n, real eps, struct val *y)
{
    const size_t d = (size_t)y->cols;
    real *factor = n->dropped ? tape_scratch(t, d) : NULL;

    for (size_t i = 0; tape_computes(t) && i < (size_t)y->rows; i++) {
        real *xhat = val_data(n->xhat) + i * d;
        if (factor)
            dropout_factors(&n->mask, i * d, d, factor);
        residual(d, n->x->x + i * d, n->h ? n->h->x + i * d : NULL, factor, xhat);
        val_data(n->rstd)[i] = normalise(d, eps, n->gain->x, n->bias->x, xhat, val_data(y) + i * d);
    }
    if (factor)
        tape_unscratch(t, factor, d);
}

static bool wants(const struct val *v)
{
    return v && v->wants_grad;
}

struct val *op_add_norm(struct tape *t, struct val *x, struct val *h, real p, struct val *gain,
                        struct val *bias, real eps)
{
    struct tape_scope scope = tape_enter(t);
    struct norm n = {.x = x, .h = h, .gain = gain, .bias = bias};

    assert(!h || (h->rows == x->rows && h->cols == x->cols));
    assert(gain->cols == x->cols && bias->cols == x->cols);
    if (h && p > 0 && tape_training(t)) {
        struct rng stream = tape_draw(t);
        n.mask = dropout_make(&stream, p);
        n.dropped = true;
    }
    n.xhat = tape_new(t, x->rows, x->cols);
    n.rstd = tape_new(t, x->rows, 1);
    struct val *y = tape_new(t, x->rows, x->cols);
    norm_forward(t, &n, eps, y);

    if (wants(x) || wants(h) || wants(gain) || wants(bias)) {
        struct norm *kept = tape_record(t, sizeof *kept, norm_backward, y);
        n.r = kept->r;
        *kept = n;
        record_keep(&kept->r, gain);
        record_keep(&kept->r, n.xhat);
        record_keep_exact(&kept->r, n.rstd);
    }
    return tape_leave(t, scope, y);
}

struct val *op_norm(struct tape *t, struct val *x, struct val *gain, struct val *bias, real eps)
{
    return op_add_norm(t, x, NULL, 0, gain, bias, eps);
}
