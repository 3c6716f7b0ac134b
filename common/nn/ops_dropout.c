#include "nn/dropout.h"
#include "nn/hot.h"
#include "nn/ops.h"
#include "nn/record.h"

enum { PIECE = 1024 };

struct drop {
    struct record r;
    struct val *x;
    struct dropout mask;
};

/* y = x * factor, or y += x * factor */
HOT static void multiply(size_t n, const real *restrict x, const real *restrict factor, bool add,
                         real *restrict y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = (add ? y[i] : 0) + x[i] * factor[i];
}

static void apply(const struct dropout *mask, size_t n, const real *x, bool add, real *y)
{
    real factor[PIECE];

    for (size_t i = 0; i < n; i += PIECE) {
        size_t piece = n - i < PIECE ? n - i : PIECE;
        dropout_factors(mask, i, piece, factor);
        multiply(piece, x + i, factor, add, y + i);
    }
}

static void drop_backward(struct tape *t, struct record *r)
{
    const struct drop *d = (const struct drop *)r;
    bool add;
    real *gx = tape_grad(t, d->x, &add);

    if (tape_computes(t))
        apply(&d->mask, val_count(d->x), r->out->g, add, gx);
}

struct val *op_dropout(struct tape *t, struct val *x, real p)
{
    if (p == 0 || !tape_training(t))
        return x;

    struct rng stream = tape_draw(t);
    struct dropout mask = dropout_make(&stream, p);
    struct val *y = tape_new(t, x->rows, x->cols);

    if (tape_computes(t))
        apply(&mask, val_count(x), x->x, false, val_data(y));
    if (x->wants_grad) {
        struct drop *d = tape_record(t, sizeof *d, drop_backward, y);
        d->x = x;
        d->mask = mask;
    }
    return y;
}
