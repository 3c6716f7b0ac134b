#include "nn/ops.h"

/* Small shapes that still have a remainder in every loop; ragged, an empty sequence among them. */
enum { T = 7, D = 6, E = 5, HEADS = 2, VOCAB = 4, CLASSES = 3 };

/* Fixed numbers without pattern, for constants and targets. */
static const real fixed[T * D] = {
    0.31,  -1.27, 0.88,  0.05,  -0.64, 1.93, -0.42, 0.77, 1.11,  -0.93, 0.26,  -1.58, 0.69,  0.14,
    -0.21, 1.36,  -0.75, 0.52,  -1.04, 0.97, 0.43,  0.18, -0.36, 1.62,  -0.89, 0.07,  0.59,  -1.41,
    1.23,  -0.12, 0.81,  -0.57, 0.34,  1.05, -1.19, 0.66, -0.28, 0.92,  0.49,  -0.71, -0.03, 1.48,
};
static const real eps = 1e-5F;

/* A scalar whose gradient by every element of y differs: squared error of a projection. */
static struct val *reduce(struct tape *t, struct val *y)
{
    struct val *out = op_linear(t, y, tape_const(t, fixed + 3, 1, y->cols), NULL);

    return op_squared_error(t, out, fixed, (real)0.5);
}

static struct val *linear(struct tape *t, struct val *const *in)
{
    return reduce(t, op_linear(t, in[0], in[1], NULL));
}

static struct val *linear_bias(struct tape *t, struct val *const *in)
{
    return reduce(t, op_linear(t, in[0], in[1], in[2]));
}

static struct val *linear_frozen(struct tape *t, struct val *const *in)
{
    return reduce(t, op_linear(t, in[0], tape_const(t, fixed, E, D), tape_const(t, fixed, 1, E)));
}

/* LoRA at a frozen linear whose input wants a gradient as well. */
static struct val *linear_add(struct tape *t, struct val *const *in)
{
    struct val *y = op_linear(t, in[0], tape_const(t, fixed, E, D), NULL);

    op_linear_add(t, y, op_linear(t, in[0], in[1], NULL), in[2], (real)0.7);
    return reduce(t, y);
}

/* Two branches beside a linear below which nothing wants a gradient. */
static struct val *linear_add_only(struct tape *t, struct val *const *in)
{
    struct val *y = op_linear(t, tape_const(t, fixed, T, D), tape_const(t, fixed, E, D), NULL);

    op_linear_add(t, y, in[0], in[1], (real)0.7);
    op_linear_add(t, y, in[0], in[2], (real)-1.3);
    return reduce(t, y);
}

static struct val *dropout(struct tape *t, struct val *const *in)
{
    return reduce(t, op_dropout(t, in[0], (real)0.4));
}

static struct val *norm(struct tape *t, struct val *const *in)
{
    return reduce(t, op_norm(t, in[0], in[1], in[2], eps));
}

static struct val *add_norm(struct tape *t, struct val *const *in)
{
    return reduce(t, op_add_norm(t, in[0], in[1], 0, in[2], in[3], eps));
}

static struct val *add_norm_dropout(struct tape *t, struct val *const *in)
{
    return reduce(t, op_add_norm(t, in[0], in[1], (real)0.4, in[2], in[3], eps));
}

/* x has three consumers: contributions to its gradient add up. */
static struct val *shared_input(struct tape *t, struct val *const *in)
{
    struct val *h = op_dropout(t, op_act(t, in[0], ACT_GELU), (real)0.3);

    return reduce(t, op_add_norm(t, op_add_norm(t, in[0], h, 0, in[1], in[2], eps), in[0],
                                 (real)0.2, in[1], in[2], eps));
}

static struct val *gelu(struct tape *t, struct val *const *in)
{
    return reduce(t, op_act(t, in[0], ACT_GELU));
}

static struct val *gelu_tanh(struct tape *t, struct val *const *in)
{
    return reduce(t, op_act(t, in[0], ACT_GELU_TANH));
}

static struct val *relu(struct tape *t, struct val *const *in)
{
    return reduce(t, op_act(t, in[0], ACT_RELU));
}

static struct val *tanh_act(struct tape *t, struct val *const *in)
{
    return reduce(t, op_act(t, in[0], ACT_TANH));
}

static struct val *silu(struct tape *t, struct val *const *in)
{
    return reduce(t, op_act(t, in[0], ACT_SILU));
}

static struct val *embed(struct tape *t, struct val *const *in)
{
    static const int32_t id[3][T] = {
        {0, 3, 3, 1, 0, 2, 3}, {1, 1, 0, 2, 3, 0, 0}, {0, 1, 0, 1, 0, 1, 0}};
    struct val *table[] = {in[0], in[1], tape_const(t, fixed, 2, D)};

    return reduce(t, op_embed(t, T, 3, table, (const int32_t *const[]){id[0], id[1], id[2]}));
}

static struct val *rows(struct tape *t, struct val *const *in)
{
    static const int32_t index[] = {5, 0, 5};

    return reduce(t, op_rows(t, in[0], index, 3));
}

static const int32_t ragged[] = {0, 3, 3, 4, T};

static struct val *columns(struct tape *t, struct val *const *in)
{
    struct val *left = op_columns(t, in[0], 0, 2), *right = op_columns(t, in[0], D - 4, 4);

    return reduce(t, op_linear(t, left, op_columns(t, right, 1, 2), NULL));
}

static struct val *prepend(struct tape *t, struct val *const *in)
{
    return reduce(t, op_prepend(t, in[0], in[1], ragged, 4));
}

/* Keys and values see rows before the sequence's own, queries do not. */
static struct val *attention_prefix(struct tape *t, struct val *const *in)
{
    static const int32_t keys[] = {0, 5, 7, 10, T + 8};
    const struct attention_shape s = {4, HEADS, ragged, keys};
    struct val *k = op_prepend(t, in[1], in[0], ragged, 4);
    struct val *v = op_prepend(t, in[2], in[0], ragged, 4);

    return reduce(t, op_attention(t, in[0], k, v, &s, (real)0.3));
}

static struct val *add(struct tape *t, struct val *const *in)
{
    return reduce(t, op_add(t, op_add(t, in[0], in[1]), in[0]));
}

static struct val *attention(struct tape *t, struct val *const *in)
{
    const struct attention_shape s = {4, HEADS, ragged, ragged};

    return reduce(t, op_attention(t, in[0], in[1], in[2], &s, 0));
}

static struct val *attention_dropout(struct tape *t, struct val *const *in)
{
    const struct attention_shape s = {4, HEADS, ragged, ragged};

    return reduce(t, op_attention(t, in[0], in[1], in[2], &s, (real)0.3));
}

/* As in a last layer: one query a sequence; dropout. */
static struct val *attention_first(struct tape *t, struct val *const *in)
{
    static const int32_t first[] = {0, 1, 1, 2, 3};
    const struct attention_shape s = {4, HEADS, first, ragged};

    return reduce(t, op_attention(t, in[0], in[1], in[2], &s, (real)0.3));
}

static struct val *attention_self(struct tape *t, struct val *const *in)
{
    const struct attention_shape s = {4, HEADS, ragged, ragged};

    return reduce(t, op_attention(t, in[0], in[0], in[0], &s, 0));
}

static const int32_t labels[T] = {0, 2, -1, 1, 0, -1, 2};

static struct val *cross_entropy(struct tape *t, struct val *const *in)
{
    return op_cross_entropy(t, in[0], labels, (real)0.25);
}

static struct val *squared_error(struct tape *t, struct val *const *in)
{
    return op_squared_error(t, in[0], fixed, (real)0.25);
}

const struct op_case op_cases[] = {
    {"linear", 2, {{T, D}, {E, D}}, linear},
    {"linear with bias", 3, {{T, D}, {E, D}, {1, E}}, linear_bias},
    {"linear, frozen", 1, {{T, D}}, linear_frozen},
    {"linear_add", 3, {{T, D}, {2, D}, {E, 2}}, linear_add},
    {"linear_add on a constant", 3, {{T, 2}, {E, 2}, {E, 2}}, linear_add_only},
    {"dropout", 1, {{T, D}}, dropout},
    {"norm", 3, {{T, D}, {1, D}, {1, D}}, norm},
    {"add_norm", 4, {{T, D}, {T, D}, {1, D}, {1, D}}, add_norm},
    {"add_norm with dropout", 4, {{T, D}, {T, D}, {1, D}, {1, D}}, add_norm_dropout},
    {"shared input", 3, {{T, D}, {1, D}, {1, D}}, shared_input},
    {"gelu", 1, {{T, D}}, gelu},
    {"gelu_tanh", 1, {{T, D}}, gelu_tanh},
    {"relu", 1, {{T, D}}, relu},
    {"tanh", 1, {{T, D}}, tanh_act},
    {"silu", 1, {{T, D}}, silu},
    {"embed", 2, {{VOCAB, D}, {VOCAB, D}}, embed},
    {"rows", 1, {{T, D}}, rows},
    {"columns", 1, {{T, D}}, columns},
    {"prepend", 2, {{2, D}, {T, D}}, prepend},
    {"add", 2, {{T, D}, {T, D}}, add},
    {"attention", 3, {{T, D}, {T, D}, {T, D}}, attention},
    {"attention with prefix", 3, {{T, D}, {2, D}, {2, D}}, attention_prefix},
    {"attention with dropout", 3, {{T, D}, {T, D}, {T, D}}, attention_dropout},
    {"attention, one query a sequence", 3, {{3, D}, {T, D}, {T, D}}, attention_first},
    {"attention of one val", 1, {{T, D}}, attention_self},
    {"cross_entropy", 1, {{T, CLASSES}}, cross_entropy},
    {"squared_error", 1, {{T, 1}}, squared_error},
    {0},
};
