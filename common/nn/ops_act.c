#include "nn/ops.h"
#include "nn/record.h"
#include "nn/vecmath.h"

#include <string.h>

/* Pointwise functions. Backward needs x, or, where the derivative is a function of the value, y. */
struct activation {
    struct record r;
    struct val *x, *from;
    enum act kind;
};

bool act_parse(const char *name, enum act *out)
{
    static const struct {
        const char *name;
        enum act kind;
    } known[] = {
        {"gelu", ACT_GELU},  {"gelu_new", ACT_GELU_TANH}, {"gelu_pytorch_tanh", ACT_GELU_TANH},
        {"relu", ACT_RELU},  {"tanh", ACT_TANH},          {"silu", ACT_SILU},
        {"swish", ACT_SILU},
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(name, known[i].name) == 0) {
            *out = known[i].kind;
            return true;
        }
    return false;
}

static bool derivative_from_value(enum act kind)
{
    return kind == ACT_RELU || kind == ACT_TANH;
}

/* GELU by tanh (Hendrycks and Gimpel 2016): x (1 + tanh u) / 2 = x sigmoid(2u) with 2u = A x + B
 * x^3, A = 2 sqrt(2 / pi), B = 0.044715 A. */
#define GELU_A ((real)1.59576912160573071176)
#define GELU_B ((real)0.07135481627260024999)

HOT static void forward(enum act kind, size_t n, const real *restrict x, real *restrict y)
{
    real unused;

    switch (kind) {
    case ACT_GELU:
        for (size_t i = 0; i < n; i++)
            y[i] = x[i] * vec_normal_cdf(x[i], &unused);
        break;
    case ACT_GELU_TANH:
        for (size_t i = 0; i < n; i++)
            y[i] = x[i] * vec_sigmoid(x[i] * (GELU_A + GELU_B * x[i] * x[i]));
        break;
    case ACT_RELU:
        for (size_t i = 0; i < n; i++)
            y[i] = x[i] < 0 ? 0 : x[i];
        break;
    case ACT_TANH:
        for (size_t i = 0; i < n; i++)
            y[i] = vec_tanh(x[i]);
        break;
    case ACT_SILU:
        for (size_t i = 0; i < n; i++)
            y[i] = x[i] * vec_sigmoid(x[i]);
        break;
    case ACT_COUNT:
        break;
    }
}

/* gx = or += gy * f'(v); v holds y for relu and tanh, else x. */
INLINE void backward_loop(enum act kind, size_t n, const real *restrict v, const real *restrict gy,
                          bool add, real *restrict gx)
{
    switch (kind) {
    case ACT_GELU:
        for (size_t i = 0; i < n; i++) {
            real density, cdf = vec_normal_cdf(v[i], &density);
            gx[i] = (add ? gx[i] : 0) + gy[i] * (cdf + v[i] * density);
        }
        break;
    case ACT_GELU_TANH:
        for (size_t i = 0; i < n; i++) {
            real x = v[i], s = vec_sigmoid(x * (GELU_A + GELU_B * x * x));
            real slope = GELU_A + 3 * GELU_B * x * x;
            gx[i] = (add ? gx[i] : 0) + gy[i] * (s + x * s * (1 - s) * slope);
        }
        break;
    case ACT_RELU:
        for (size_t i = 0; i < n; i++)
            gx[i] = (add ? gx[i] : 0) + (v[i] > 0 ? gy[i] : 0);
        break;
    case ACT_TANH:
        for (size_t i = 0; i < n; i++)
            gx[i] = (add ? gx[i] : 0) + gy[i] * (1 - v[i] * v[i]);
        break;
    case ACT_SILU:
        for (size_t i = 0; i < n; i++) {
            real x = v[i], s = vec_sigmoid(x);
            gx[i] = (add ? gx[i] : 0) + gy[i] * (s + x * s * (1 - s));
        }
        break;
    case ACT_COUNT:
        break;
    }
}

/* Two loops from one: with a condition inside, the long ones would not be vectorised. */
HOT static void backward(enum act kind, size_t n, const real *restrict v, const real *restrict gy,
                         bool add, real *restrict gx)
{
    if (add)
        backward_loop(kind, n, v, gy, true, gx);
    else
        backward_loop(kind, n, v, gy, false, gx);
}

static void act_backward(struct tape *t, struct record *r)
{
    const struct activation *a = (const struct activation *)r;
    bool add;
    real *gx = tape_grad(t, a->x, &add);

    if (tape_computes(t))
        backward(a->kind, val_count(a->x), a->from->x, r->out->g, add, gx);
}

struct val *op_act(struct tape *t, struct val *x, enum act kind)
{
    struct val *y = tape_new(t, x->rows, x->cols);

    if (tape_computes(t))
        forward(kind, val_count(x), x->x, val_data(y));
    if (x->wants_grad) {
        struct activation *a = tape_record(t, sizeof *a, act_backward, y);
        a->x = x;
        a->kind = kind;
        a->from = derivative_from_value(kind) ? y : x;
        record_keep(&a->r, a->from);
    }
    return y;
}
