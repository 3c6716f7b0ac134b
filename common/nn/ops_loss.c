#include "nn/ops.h"
#include "nn/record.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* A loss computes its gradient at once: it has the size of its input, which is small. */
struct loss {
    struct record r;
    struct val *x, *slope; /* d loss / d x */
};

static void loss_backward(struct tape *t, struct record *r)
{
    const struct loss *l = (const struct loss *)r;
    real *gx = tape_grad_add(t, l->x);

    for (size_t i = 0; i < val_count(l->x); i++)
        gx[i] += r->out->g[0] * l->slope->x[i];
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
        record_keep(&l->r, slope);
    }
    return tape_leave(t, scope, y);
}

/* -log softmax(z)[label], and its gradient times scale. */
static double row_loss(const real *z, int classes, int32_t label, real scale, real *slope)
{
    double top = z[0], sum = 0;

    for (int c = 1; c < classes; c++)
        top = z[c] > top ? z[c] : top;
    for (int c = 0; c < classes; c++)
        sum += exp(z[c] - top);
    for (int c = 0; c < classes; c++)
        slope[c] = (real)(scale * (exp(z[c] - top) / sum - (c == label)));
    return log(sum) + (top - z[label]);
}

struct val *op_cross_entropy(struct tape *t, struct val *logits, const int32_t *label, real scale)
{
    struct tape_scope scope = tape_enter(t);
    struct val *slope = tape_new(t, logits->rows, logits->cols);
    const size_t classes = (size_t)logits->cols;
    double sum = 0;

    for (size_t i = 0; i < (size_t)logits->rows; i++) {
        real *row = val_data(slope) + i * classes;
        assert(label[i] >= -1 && label[i] < logits->cols);
        if (label[i] >= 0)
            sum += row_loss(logits->x + i * classes, logits->cols, label[i], scale, row);
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
    for (int i = 0; i < x->rows; i++) {
        double error = (double)x->x[i] - target[i];
        sum += error * error;
        val_data(slope)[i] = (real)(2 * scale * error);
    }
    return finish(t, scope, x, slope, scale * sum);
}
