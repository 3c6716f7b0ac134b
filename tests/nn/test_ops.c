/* The ops in float against loops that a reader can check, and their gradients against differences
 * (in double at 1e-8: tests/gradient). */
#include "nn/dropout.h"
#include "nn/ops.h"
#include "run.h"

#include <math.h>
#include <string.h>

/* An op applied to up to four inputs; its result, copied. */
struct apply {
    struct val *(*op)(struct tape *t, struct val *const *in);
    struct {
        const real *x;
        int rows, cols;
    } in[4];
    int rows, cols;
    real *y;
};

static void apply_step(struct tape *t, void *arg)
{
    struct apply *a = arg;
    struct val *in[4] = {0};

    for (int k = 0; k < 4 && a->in[k].x; k++)
        in[k] = tape_const(t, a->in[k].x, a->in[k].rows, a->in[k].cols);
    struct val *y = a->op(t, in);
    a->rows = y->rows;
    a->cols = y->cols;
    a->y = malloc((size_t)y->rows * (size_t)y->cols * sizeof(real) + 1);
    memcpy(a->y, y->x, (size_t)y->rows * (size_t)y->cols * sizeof(real));
}

static void expect_near(const real *got, const double *want, int n, double tolerance)
{
    for (int i = 0; i < n; i++)
        cr_assert_lt(fabs(got[i] - want[i]), tolerance, "element %d: %.9g, not %.9g", i,
                     (double)got[i], want[i]);
}

/* --- linear ---------------------------------------------------------------------------------- */

enum { T = 37, IN = 19, OUT = 23, RANK = 3 };

static struct val *linear_with_branch(struct tape *t, struct val *const *in)
{
    struct val *y = op_linear(t, in[0], in[1], in[2]);

    op_linear_add(t, y, op_rows(t, in[0], (const int32_t[T]){0}, T), in[1], (real)-0.25);
    return y;
}

static struct val *linear_plain(struct tape *t, struct val *const *in)
{
    return op_linear(t, in[0], in[1], NULL);
}

Test(ops, linear)
{
    real *x = run_random(T * IN, 1), *W = run_random(OUT * IN, 2), *b = run_random(OUT, 3);
    double plain[T * OUT], branch[T * OUT];

    for (int i = 0; i < T; i++)
        for (int o = 0; o < OUT; o++) {
            double own = 0, first = 0;
            for (int k = 0; k < IN; k++) {
                own += (double)x[i * IN + k] * W[o * IN + k];
                first += (double)x[k] * W[o * IN + k];
            }
            plain[i * OUT + o] = own;
            branch[i * OUT + o] = own + b[o] - 0.25 * first;
        }
    struct apply a = {.op = linear_plain, .in = {{x, T, IN}, {W, OUT, IN}}};
    run_step(false, apply_step, &a);
    cr_assert(a.rows == T && a.cols == OUT);
    expect_near(a.y, plain, T * OUT, 1e-5);
    free(a.y);
    a = (struct apply){.op = linear_with_branch, .in = {{x, T, IN}, {W, OUT, IN}, {b, 1, OUT}}};
    run_step(false, apply_step, &a);
    expect_near(a.y, branch, T * OUT, 1e-5);
    free(a.y);
    free(x);
    free(W);
    free(b);
}

/* --- norms ----------------------------------------------------------------------------------- */

static struct val *norm(struct tape *t, struct val *const *in)
{
    return op_norm(t, in[0], in[2], in[3], (real)1e-5);
}

static struct val *add_norm(struct tape *t, struct val *const *in)
{
    return op_add_norm(t, in[0], in[1], (real)0.25, in[2], in[3], (real)1e-5);
}

/* share: of h that is added */
static void naive_norm(const real *x, const real *h, const real *share, const real *gain,
                       const real *bias, double *y)
{
    for (int i = 0; i < T; i++) {
        double s[IN], mean = 0, var = 0;
        for (int j = 0; j < IN; j++) {
            s[j] = (double)x[i * IN + j] + (h ? (double)h[i * IN + j] * share[i * IN + j] : 0);
            mean += s[j] / IN;
        }
        for (int j = 0; j < IN; j++)
            var += (s[j] - mean) * (s[j] - mean) / IN;
        for (int j = 0; j < IN; j++)
            y[i * IN + j] = (s[j] - mean) / sqrt(var + 1e-5) * gain[j] + bias[j];
    }
}

static void check_norm(struct val *(*op)(struct tape *, struct val *const *), const real *h,
                       const real *share, bool training)
{
    real *x = run_random(T * IN, 1), *any = run_random(T * IN, 2), *gain = run_random(IN, 3),
         *bias = run_random(IN, 4);
    double want[T * IN];
    struct apply a = {.op = op,
                      .in = {{x, T, IN}, {h ? h : any, T, IN}, {gain, 1, IN}, {bias, 1, IN}}};

    for (int j = 0; j < IN; j++)
        x[3 * IN + j] = 1000 + (real)j / 8; /* a mean far above the deviations */
    naive_norm(x, h, share, gain, bias, want);
    run_step(training, apply_step, &a);
    expect_near(a.y, want, T * IN, 2e-4);
    expect_near(a.y + 4 * IN, want + 4 * IN, (T - 4) * IN, 5e-6);
    free(a.y);
    free(x);
    free(any);
    free(gain);
    free(bias);
}

Test(ops, norms)
{
    real *h = run_random(T * IN, 5), share[T * IN];
    struct rng base = run_dropout(), stream = rng_child(&base, 0);
    struct dropout d = dropout_make(&stream, (real)0.25);

    check_norm(norm, NULL, NULL, true);
    for (int i = 0; i < T * IN; i++)
        share[i] = 1;
    check_norm(add_norm, h, share, false);
    dropout_factors(&d, 0, T * IN, share);
    check_norm(add_norm, h, share, true);
    free(h);
}

/* --- attention ------------------------------------------------------------------------------- */

enum { HEADS = 3, DH = 5, D = HEADS * DH, SEQS = 4 };
static const int32_t q_off[] = {0, 1, 12, 12, 20}, k_off[] = {0, 4, 15, 18, T};

static struct val *attention(struct tape *t, struct val *const *in)
{
    return op_attention(t, in[0], in[1], in[2],
                        &(struct attention_shape){SEQS, HEADS, q_off, k_off}, (real)0.3);
}

/* One row of one head; returns how many probabilities were drawn for. */
static int naive_row(const real *q, const real *k, const real *v, int nk, const real *factor,
                     double *ctx)
{
    double p[T], sum = 0;

    for (int j = 0; j < nk; j++) {
        double s = 0;
        for (int c = 0; c < DH; c++)
            s += (double)q[c] * k[j * D + c];
        sum += p[j] = exp(s / sqrt(DH));
    }
    for (int c = 0; c < DH; c++) {
        ctx[c] = 0;
        for (int j = 0; j < nk; j++)
            ctx[c] += p[j] / sum * (factor ? factor[j] : 1) * v[j * D + c];
    }
    return nk;
}

static void check_attention(bool training)
{
    real *q = run_random(20 * D, 1), *k = run_random(T * D, 2), *v = run_random(T * D, 3);
    real factor[HEADS * 20 * T], *at = factor;
    double want[20 * D];
    struct rng base = run_dropout(), stream = rng_child(&base, 0);
    struct dropout d = dropout_make(&stream, (real)0.3);
    struct apply a = {.op = attention, .in = {{q, 20, D}, {k, T, D}, {v, T, D}}};

    q[0] = 80; /* scores of some hundreds: the maximum must be taken off */
    dropout_factors(&d, 0, HEADS * 20 * T, factor);
    for (int s = 0; s < SEQS; s++)
        for (int h = 0; h < HEADS; h++)
            for (int i = q_off[s]; i < q_off[s + 1]; i++) {
                int row = k_off[s] * D + h * DH;
                at += naive_row(q + i * D + h * DH, k + row, v + row, k_off[s + 1] - k_off[s],
                                training ? at : NULL, want + i * D + h * DH);
            }
    run_step(training, apply_step, &a);
    cr_assert(a.rows == 20 && a.cols == D);
    expect_near(a.y, want, 20 * D, 2e-5);
    free(a.y);
    free(q);
    free(k);
    free(v);
}

Test(ops, attention)
{
    check_attention(false);
    check_attention(true);
}

static struct val *attention_without_keys(struct tape *t, struct val *const *in)
{
    static const int32_t queries[] = {0, 2, 3}, keys[] = {0, 0, 2};

    return op_attention(t, in[0], in[1], in[1], &(struct attention_shape){2, 1, queries, keys}, 0);
}

Test(ops, attention_to_no_keys_is_zero)
{
    const real q[] = {1, 2, 3}, k[] = {4, 4};
    struct apply a = {.op = attention_without_keys, .in = {{q, 3, 1}, {k, 2, 1}}};

    run_step(true, apply_step, &a);
    cr_expect(a.y[0] == 0 && a.y[1] == 0 && a.y[2] == 4);
    free(a.y);
}

/* --- activations ----------------------------------------------------------------------------- */

enum { POINTS = 4001 };

static double value(enum act kind, double x)
{
    switch (kind) {
    case ACT_GELU:
        return x * erfc(-x * sqrt(0.5)) / 2;
    case ACT_GELU_TANH:
        return 0.5 * x * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)));
    case ACT_RELU:
        return x > 0 ? x : 0;
    case ACT_TANH:
        return tanh(x);
    case ACT_SILU:
        return x / (1 + exp(-x));
    case ACT_COUNT:
        break;
    }
    return NAN;
}

struct curve {
    enum act kind;
    real x[POINTS], g[POINTS], y[POINTS], zero[POINTS];
};

/* Loss sum y^2 / 2: the gradient is y y'. */
static void curve_step(struct tape *t, void *arg)
{
    struct curve *c = arg;
    struct val *y = op_act(t, tape_param(t, c->x, c->g, POINTS, 1), c->kind);

    memcpy(c->y, y->x, sizeof c->y);
    tape_backward(t, op_squared_error(t, y, c->zero, (real)0.5));
}

Test(ops, activations_and_their_slopes)
{
    static struct curve c;

    for (enum act kind = 0; kind < ACT_COUNT; kind++) {
        c = (struct curve){.kind = kind};
        for (int i = 0; i < POINTS; i++)
            c.x[i] = (real)(-10 + i * 0.005 + 1e-4);
        run_step(true, curve_step, &c);
        for (int i = 0; i < POINTS; i++) {
            double x = c.x[i], y = value(kind, x), h = 1e-5;
            double slope = (value(kind, x + h) - value(kind, x - h)) / (2 * h);
            cr_assert_lt(fabs(c.y[i] - y), 3e-7 * fmax(1, fabs(y)), "%d at %g", (int)kind, x);
            cr_assert_lt(fabs(c.g[i] - y * slope), 3e-6 * fmax(1, fabs(y)), "%d at %g", (int)kind,
                         x);
        }
    }
}

Test(ops, activation_names)
{
    enum act kind = ACT_COUNT;

    cr_expect(act_parse("gelu", &kind) && kind == ACT_GELU);
    cr_expect(act_parse("gelu_new", &kind) && kind == ACT_GELU_TANH);
    cr_expect(act_parse("gelu_pytorch_tanh", &kind) && kind == ACT_GELU_TANH);
    cr_expect(act_parse("relu", &kind) && kind == ACT_RELU);
    cr_expect(act_parse("tanh", &kind) && kind == ACT_TANH);
    cr_expect(act_parse("silu", &kind) && kind == ACT_SILU);
    kind = ACT_COUNT;
    cr_expect_not(act_parse("mish", &kind));
    cr_expect_not(act_parse("", &kind));
    cr_expect_eq(kind, ACT_COUNT);
}

/* --- embedding -------------------------------------------------------------------------------- */

static struct val *embed(struct tape *t, struct val *const *in)
{
    static const int32_t a[] = {4, 0, 4}, b[] = {1, 1, 0};

    return op_embed(t, 3, 2, in, (const int32_t *const[]){a, b});
}

Test(ops, embed)
{
    real *words = run_random(5 * IN, 1), *types = run_random(2 * IN, 2);
    struct apply a = {.op = embed, .in = {{words, 5, IN}, {types, 2, IN}}};

    run_step(false, apply_step, &a);
    cr_assert(a.rows == 3 && a.cols == IN);
    for (int j = 0; j < IN; j++) {
        cr_expect_eq(a.y[j], words[4 * IN + j] + types[IN + j]);
        cr_expect_eq(a.y[IN + j], words[j] + types[IN + j]);
        cr_expect_eq(a.y[2 * IN + j], words[4 * IN + j] + types[j]);
    }
    free(a.y);
    free(words);
    free(types);
}

/* --- slices, rows in front, sums ------------------------------------------------------------- */

enum { FRONT = 2, ROWS = 9, WIDE = 33 };
static const int32_t packed[] = {0, 4, 4, 5, ROWS};

static struct val *middle(struct tape *t, struct val *const *in)
{
    return op_columns(t, in[0], 5, 20);
}

static struct val *in_front(struct tape *t, struct val *const *in)
{
    return op_prepend(t, in[0], in[1], packed, 4);
}

static struct val *twice_and_more(struct tape *t, struct val *const *in)
{
    return op_add(t, op_add(t, in[1], in[1]), in[2]);
}

Test(ops, columns_are_a_slice)
{
    real *x = run_random(ROWS * WIDE, 1);
    struct apply a = {.op = middle, .in = {{x, ROWS, WIDE}}};

    run_step(false, apply_step, &a);
    cr_assert(a.rows == ROWS && a.cols == 20);
    for (int i = 0; i < ROWS; i++)
        cr_expect_eq(memcmp(a.y + i * 20, x + i * WIDE + 5, 20 * sizeof(real)), 0, "row %d", i);
    free(a.y);
    free(x);
}

/* An empty sequence gets the rows, too. */
Test(ops, prepend_serves_every_sequence)
{
    real *front = run_random(FRONT * WIDE, 1), *x = run_random(ROWS * WIDE, 2);
    struct apply a = {.op = in_front, .in = {{front, FRONT, WIDE}, {x, ROWS, WIDE}}};
    const real *row;

    run_step(false, apply_step, &a);
    cr_assert(a.rows == ROWS + 4 * FRONT && a.cols == WIDE);
    row = a.y;
    for (int s = 0; s < 4; s++) {
        cr_expect_eq(memcmp(row, front, FRONT * WIDE * sizeof(real)), 0, "front of %d", s);
        row += FRONT * WIDE;
        for (int i = packed[s]; i < packed[s + 1]; i++, row += WIDE)
            cr_expect_eq(memcmp(row, x + i * WIDE, WIDE * sizeof(real)), 0, "row %d", i);
    }
    free(a.y);
    free(front);
    free(x);
}

Test(ops, add)
{
    real *x = run_random(ROWS * WIDE, 1), *y = run_random(ROWS * WIDE, 2);
    struct apply a = {.op = twice_and_more,
                      .in = {{y, ROWS, WIDE}, {x, ROWS, WIDE}, {y, ROWS, WIDE}}};

    run_step(false, apply_step, &a);
    for (int i = 0; i < ROWS * WIDE; i++)
        cr_assert_eq(a.y[i], x[i] + x[i] + y[i], "element %d", i);
    free(a.y);
    free(x);
    free(y);
}

/* --- losses ---------------------------------------------------------------------------------- */

static struct val *cross_entropy(struct tape *t, struct val *const *in)
{
    static const int32_t label[] = {0, 1, 2, 0};

    return op_cross_entropy(t, in[0], label, (real)0.5);
}

Test(ops, cross_entropy_of_large_logits)
{
    const real z[] = {1, 2, 3, 1e4F, -1e4F, 0, 0, 0, 0, 3e38F, -3e38F, 3e38F};
    struct apply a = {.op = cross_entropy, .in = {{z, 4, 3}}};
    double want = 0.5 * (log(exp(-2) + exp(-1) + 1) + 2 + 2e4 + log(3) + log(2));

    run_step(false, apply_step, &a);
    cr_expect_float_eq(*a.y, want, 1e-7 * want);
    free(a.y);
}

/* Unscored rows neither count nor learn, whatever their logits are. */
struct scored {
    real z[4 * 3], g[4 * 3], loss;
    int rows;
    int32_t label[4];
};

static void scored_step(struct tape *t, void *arg)
{
    struct scored *s = arg;
    struct val *loss =
        op_cross_entropy(t, tape_param(t, s->z, s->g, s->rows, 3), s->label, (real)0.5);

    s->loss = *loss->x;
    tape_backward(t, loss);
}

Test(ops, cross_entropy_leaves_out_unscored_rows)
{
    struct scored all = {
        .z = {1, 2, 3, 3e38F, -3e38F, NAN, -1, 0, 4, 7, 7, 7}, .rows = 4, .label = {2, -1, 0, -1}};
    struct scored two = {.z = {1, 2, 3, -1, 0, 4}, .rows = 2, .label = {2, 0}};
    struct scored none = {.z = {1, 2, 3}, .rows = 1, .label = {-1}};

    run_step(true, scored_step, &all);
    run_step(true, scored_step, &two);
    run_step(true, scored_step, &none);
    cr_expect_eq(all.loss, two.loss);
    for (int i = 0; i < 3; i++) {
        cr_expect_eq(all.g[i], two.g[i]);
        cr_expect_eq(all.g[6 + i], two.g[3 + i]);
        cr_expect(all.g[3 + i] == 0 && all.g[9 + i] == 0 && none.g[i] == 0);
    }
    cr_expect_eq(none.loss, 0);
}

/* The gradient of a table touches the rows in use, and repeats to the bit. */
struct table {
    real *x, *g;
};

static void table_step(struct tape *t, void *arg)
{
    static const int32_t id[] = {4, 0, 4, 4, 1}, other[] = {1, 1, 1, 0, 0};
    static const real zero[5];
    struct table *a = arg;
    struct val *words = tape_param(t, a->x, a->g, 6, IN);
    struct val *y =
        op_embed(t, 5, 2, (struct val *const[]){words, words}, (const int32_t *const[]){id, other});

    tape_backward(t, op_squared_error(t, op_columns(t, y, 0, 1), zero, 1));
}

Test(ops, embedding_gradient_touches_the_rows_in_use)
{
    real *x = run_random(6 * IN, 1), first[6 * IN] = {0}, second[6 * IN] = {0};

    for (int row = 2; row < 6; row++)
        if (row != 4)
            first[row * IN] = second[row * IN] = NAN; /* stays what it was */
    run_step(true, table_step, &(struct table){x, first});
    run_step(true, table_step, &(struct table){x, second});
    cr_expect_eq(memcmp(first, second, sizeof first), 0);
    for (int row = 0; row < 6; row++)
        cr_expect_eq(isnan(first[row * IN]) != 0, row == 2 || row == 3 || row == 5, "row %d", row);
    const double w0 = x[0], w1 = x[IN], w4 = x[4 * IN];
    const double want = 2 * ((w4 + w1) + (w4 + w1) + (w4 + w0));
    cr_expect_float_eq(first[4 * IN], want, 1e-5);
    free(x);
}

/* --- gradients in float ---------------------------------------------------------------------- */

struct check {
    const struct op_case *op;
    real *x[6], *g[6], loss;
};

static void check_step(struct tape *t, void *arg)
{
    struct check *c = arg;
    struct val *in[6];

    for (int k = 0; k < c->op->n_in; k++)
        in[k] = tape_param(t, c->x[k], c->g[k], c->op->in[k].rows, c->op->in[k].cols);
    struct val *loss = c->op->build(t, in);
    c->loss = *loss->x;
    tape_backward(t, loss);
}

static double loss_at(struct check *c, int k, int i, double x)
{
    real *g[6];

    memcpy(g, c->g, sizeof g);
    memset(c->g, 0, sizeof c->g);
    c->x[k][i] = (real)x;
    run_step(true, check_step, c);
    memcpy(c->g, g, sizeof g);
    return c->loss;
}

/* Float cannot tell more than percents; the kernels that differ from the double build are smooth.
 */
Test(ops, gradients_point_the_right_way_in_float)
{
    const double h = 0.02;

    for (const struct op_case *op = op_cases; op->name; op++) {
        struct check c = {.op = op};
        for (int k = 0; k < op->n_in; k++) {
            size_t n = (size_t)op->in[k].rows * (size_t)op->in[k].cols;
            c.x[k] = run_random(n, 40 + (uint32_t)k);
            c.g[k] = calloc(n, sizeof(real));
            for (size_t i = 0; i < n; i++)
                c.x[k][i] = fabsf((float)c.x[k][i]) < 0.05F ? (real)0.5 : c.x[k][i];
        }
        run_step(true, check_step, &c);
        for (int k = 0; k < op->n_in; k++)
            for (int i = 0; i < op->in[k].rows * op->in[k].cols; i += 3) {
                real x = c.x[k][i];
                double up = loss_at(&c, k, i, x + h), want;
                want = (up - loss_at(&c, k, i, x - h)) / ((real)(x + h) - (real)(x - h));
                c.x[k][i] = x;
                cr_expect_float_eq(c.g[k][i], want, 0.01 * fmax(1, fabs(want)),
                                   "%s, input %d, element %d: %g, not %g", op->name, k, i,
                                   (double)c.g[k][i], want);
            }
        for (int k = 0; k < op->n_in; k++) {
            free(c.x[k]);
            free(c.g[k]);
        }
    }
}
