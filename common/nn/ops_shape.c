#include "nn/hot.h"
#include "nn/ops.h"
#include "nn/record.h"

#include <assert.h>
#include <string.h>

/* Ops that move values about: slices, rows put between rows, sums. */

/* g = x, or g += x */
HOT static void contribute(size_t n, const real *restrict x, bool add, real *restrict g)
{
    if (!add)
        memcpy(g, x, n * sizeof *g);
    else
        for (size_t i = 0; i < n; i++)
            g[i] += x[i];
}

/* --- columns --------------------------------------------------------------------------------- */

struct columns {
    struct record r;
    struct val *x;
    int first;
};

static void columns_backward(struct tape *t, struct record *r)
{
    const struct columns *c = (const struct columns *)r;
    const size_t d = (size_t)c->x->cols, n = (size_t)r->out->cols;
    real *gx = tape_grad_add(t, c->x) + c->first;

    for (size_t i = 0; tape_computes(t) && i < (size_t)r->out->rows; i++)
        contribute(n, r->out->g + i * n, true, gx + i * d);
}

struct val *op_columns(struct tape *t, struct val *x, int first, int n)
{
    struct val *y = tape_new(t, x->rows, n);

    assert(first >= 0 && n > 0 && first + n <= x->cols);
    for (int i = 0; tape_computes(t) && i < x->rows; i++)
        memcpy(val_data(y) + (size_t)i * (size_t)n,
               x->x + (size_t)i * (size_t)x->cols + (size_t)first, (size_t)n * sizeof(real));
    if (x->wants_grad) {
        struct columns *c = tape_record(t, sizeof *c, columns_backward, y);
        c->x = x;
        c->first = first;
    }
    return y;
}

/* --- rows in front of sequences -------------------------------------------------------------- */

struct prepend {
    struct record r;
    struct val *front, *x;
    const int32_t *off; /* n_seq + 1, of x */
    int n_seq;
};

/* Sequence s of x and the rows around it, in elements. */
struct span {
    size_t front, own; /* lengths */
    size_t from, to;   /* where its own rows are in x, where its front begins in y */
};

static struct span span_of(const struct prepend *p, int s)
{
    const size_t d = (size_t)p->x->cols, front = (size_t)p->front->rows * d;
    const size_t from = (size_t)p->off[s] * d;

    return (struct span){.front = front,
                         .own = (size_t)p->off[s + 1] * d - from,
                         .from = from,
                         .to = from + (size_t)s * front};
}

static void prepend_backward(struct tape *t, struct record *r)
{
    const struct prepend *p = (const struct prepend *)r;
    bool add = false;
    real *gf = p->front->wants_grad ? tape_grad_add(t, p->front) : NULL;
    real *gx = p->x->wants_grad ? tape_grad(t, p->x, &add) : NULL;

    for (int s = 0; tape_computes(t) && s < p->n_seq; s++) {
        const struct span k = span_of(p, s);
        if (gf)
            contribute(k.front, r->out->g + k.to, true, gf);
        if (gx)
            contribute(k.own, r->out->g + k.to + k.front, add, gx + k.from);
    }
}

struct val *op_prepend(struct tape *t, struct val *front, struct val *x, const int32_t *off,
                       int n_seq)
{
    struct prepend p = {.front = front, .x = x, .off = off, .n_seq = n_seq};
    struct val *y = tape_new(t, x->rows + n_seq * front->rows, x->cols);

    assert(front->cols == x->cols && off[0] == 0 && off[n_seq] == x->rows);
    for (int s = 0; tape_computes(t) && s < n_seq; s++) {
        const struct span k = span_of(&p, s);
        memcpy(val_data(y) + k.to, front->x, k.front * sizeof(real));
        memcpy(val_data(y) + k.to + k.front, x->x + k.from, k.own * sizeof(real));
    }
    if (front->wants_grad || x->wants_grad) {
        struct prepend *kept = tape_record(t, sizeof *kept, prepend_backward, y);
        p.r = kept->r;
        p.off = tape_copy(t, off, ((size_t)n_seq + 1) * sizeof *off);
        *kept = p;
    }
    return y;
}

/* --- sum ------------------------------------------------------------------------------------- */

struct sum {
    struct record r;
    struct val *term[2];
};

static void sum_backward(struct tape *t, struct record *r)
{
    const struct sum *s = (const struct sum *)r;

    for (int k = 0; k < 2; k++) {
        bool add;
        if (!s->term[k]->wants_grad)
            continue;
        real *g = tape_grad(t, s->term[k], &add);
        if (tape_computes(t))
            contribute(val_count(r->out), r->out->g, add, g);
    }
}

HOT static void add_values(size_t n, const real *restrict x, const real *restrict y,
                           real *restrict sum)
{
    for (size_t i = 0; i < n; i++)
        sum[i] = x[i] + y[i];
}

struct val *op_add(struct tape *t, struct val *x, struct val *y)
{
    struct val *out = tape_new(t, x->rows, x->cols);

    assert(x->rows == y->rows && x->cols == y->cols);
    if (tape_computes(t))
        add_values(val_count(x), x->x, y->x, val_data(out));
    if (x->wants_grad || y->wants_grad) {
        struct sum *s = tape_record(t, sizeof *s, sum_backward, out);
        s->term[0] = x;
        s->term[1] = y;
    }
    return out;
}
