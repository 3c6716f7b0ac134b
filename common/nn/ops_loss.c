#include "nn/hot.h"
#include "nn/ops.h"
#include "nn/record.h"
#include "nn/vecmath.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* A loss computes its gradient at once: it has the size of its input, which is small. */
struct loss {
    struct record r;
    struct val *x, *slope; /* d loss / d x */
};

/* g = scale * x, or g += */
HOT static void contribute(size_t n, real scale, const real *restrict x, bool add, real *restrict g)
{
    for (size_t i = 0; i < n; i++)
        g[i] = (add ? g[i] : 0) + scale * x[i];
}

static void loss_backward(struct tape *t, struct record *r)
{
    const struct loss *l = (const struct loss *)r;
    bool add;
    real *gx = tape_grad(t, l->x, &add);

    if (tape_computes(t))
        contribute(val_count(l->x), r->out->g[0], l->slope->x, add, gx);
}

static struct val *finish(struct tape *t, struct tape_scope scope, struct val *x, struct val *slope,
                          double value)
{
    struct val *y = tape_new(t, 1, 1);

    *val_data(y) = (real)value;
    if (x->wants_grad) {
        struct loss *l = tape_record(t, sizeof *l, loss_backward, y);
        l->x = x;
        l->slope = slope;
        record_keep_exact(&l->r, slope);
    }
    return tape_leave(t, scope, y);
}

/* out_c = e^(z_c - top); returns their sum: of a vocabulary, which a float would blur, piece by
 * piece. */
HOT static double exponentials(const real *restrict z, size_t classes, real top, real *restrict out)
{
    enum { PIECE = 1024 };
    double sum = 0;

    for (size_t c = 0; c < classes; c++)
        out[c] = vec_exp(z[c] - top);
    for (size_t c = 0; c < classes; c += PIECE)
        sum += row_sum(out + c, classes - c < PIECE ? classes - c : PIECE);
    return sum;
}

HOT static void multiply(size_t n, real factor, real *x)
{
    for (size_t i = 0; i < n; i++)
        x[i] *= factor;
}

/* The values' maximum; a loop of its own, for the vectoriser. */
HOT static real maximum(const real *restrict z, size_t n)
{
    return row_max(z, n);
}

/* -log softmax(z)[label], and its gradient times scale. */
static double row_loss(const real *z, size_t classes, int32_t label, real scale, real *slope)
{
    const real top = maximum(z, classes);
    const double sum = exponentials(z, classes, top, slope);

    const double miss = slope[label] / sum - 1; /* of p near 1 a float would keep nothing */

    multiply(classes, (real)(scale / sum), slope);
    slope[label] = (real)(scale * miss);
    return log(sum) + ((double)top - z[label]);
}

struct val *op_cross_entropy(struct tape *t, struct val *logits, const int32_t *label, real scale)
{
    struct tape_scope scope = tape_enter(t);
    struct val *slope = tape_new(t, logits->rows, logits->cols);
    const size_t classes = (size_t)logits->cols;
    double sum = 0;

    for (size_t i = 0; tape_computes(t) && i < (size_t)logits->rows; i++) {
        real *row = val_data(slope) + i * classes;
        assert(label[i] >= -1 && label[i] < logits->cols);
        if (label[i] >= 0)
            sum += row_loss(logits->x + i * classes, classes, label[i], scale, row);
        else
            memset(row, 0, classes * sizeof *row);
    }
    return finish(t, scope, logits, slope, scale * sum);
}

struct val *op_squared_error(struct tape *t, struct val *x, const real *target, real scale)
{
    struct tape_scope scope = tape_enter(t);
    struct val *slope = tape_new(t, x->rows, x->cols);
    double sum = 0;

    assert(x->cols == 1);
    for (int i = 0; tape_computes(t) && i < x->rows; i++) {
        double error = (double)x->x[i] - target[i];
        sum += error * error;
        val_data(slope)[i] = (real)(2 * scale * error);
    }
    return finish(t, scope, x, slope, scale * sum);
}
