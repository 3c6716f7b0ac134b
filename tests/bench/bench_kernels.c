/* Group kernels: products on the model's shapes, and every op that a step spends time in, forward
 * as in evaluation and forward with backward as in training. */
#include "bench.h"
#include "measure.h"
#include "nn/ops.h"
#include "nn/record.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENS = 512, WIDTH = 384, HEADS = 12, FFN = 1536, INPUTS = 3, CLASSES = 1024 };

struct op {
    const char *name;
    int inputs, rows, cols, length;     /* length: of a sequence, of attention */
    double bytes, bytes_training;       /* an element of the input: read and written */
    double products, products_training; /* attention: multiply-adds of TOKENS x length x d */
    struct val *(*build)(struct tape *t, const struct op *op, struct val *const *in);
};

static struct val *build_attention(struct tape *t, const struct op *op, struct val *const *in)
{
    int32_t off[TOKENS + 1];
    struct attention_shape s = {.n_seq = op->rows / op->length, .heads = HEADS};
    for (int i = 0; i <= s.n_seq; i++)
        off[i] = i * op->length;
    s.q_off = s.k_off = off;
    return op_attention(t, in[0], in[1], in[2], &s, (real)0.1);
}

static struct val *build_norm(struct tape *t, const struct op *op, struct val *const *in)
{
    static const real zeros[WIDTH];
    struct val *affine = tape_const(t, zeros, 1, op->cols);
    return op_add_norm(t, in[0], in[1], (real)0.1, affine, affine, (real)1e-12);
}

static struct val *build_gelu(struct tape *t, const struct op *op, struct val *const *in)
{
    (void)op;
    return op_act(t, in[0], ACT_GELU);
}

static struct val *build_cross_entropy(struct tape *t, const struct op *op, struct val *const *in)
{
    int32_t label[TOKENS];
    for (int i = 0; i < op->rows; i++)
        label[i] = i % op->cols;
    return op_cross_entropy(t, in[0], label, 1);
}

static const struct op ops[] = {
    {"attention", 3, TOKENS, WIDTH, 64, 0, 0, 2, 6, build_attention},
    {"attention", 3, TOKENS, WIDTH, 128, 0, 0, 2, 6, build_attention},
    {"attention", 3, TOKENS, WIDTH, 512, 0, 0, 2, 6, build_attention},
    {"residual, layer norm", 2, TOKENS, WIDTH, 0, 16, 32, 0, 0, build_norm},
    {"GELU", 1, TOKENS, FFN, 0, 8, 20, 0, 0, build_gelu},
    {"cross-entropy", 1, TOKENS, CLASSES, 0, 4, 12, 0, 0, build_cross_entropy},
};

struct call {
    const struct op *op;
    struct tape *tape;
    bool training;
    real *x[INPUTS], *g[INPUTS];
    struct err *e;
    int rc;
};

static void step(struct tape *t, void *arg)
{
    struct call *c = arg;
    struct val *in[INPUTS];
    for (int i = 0; i < c->op->inputs; i++)
        in[i] = tape_param(t, c->x[i], c->training ? c->g[i] : NULL, c->op->rows, c->op->cols);
    struct val *y = c->op->build(t, c->op, in);
    if (!c->training)
        return;
    real *g = tape_grad_add(t, y);
    for (size_t i = 0; i < val_count(y); i++)
        g[i] = 1;
    tape_backward(t, tape_new(t, 1, 1)); /* of no loss: y has its gradient already */
}

static void run_step(void *ctx)
{
    struct call *c = ctx;
    if (!c->rc)
        c->rc = tape_run(c->tape, c->training, rng_stream(1, 0, 0, RNG_TEST), step, c, c->e);
}

static void report(const struct bench *b, struct call *c)
{
    const struct op *op = c->op;
    double elements = (double)op->rows * op->cols, seconds = measure_least(run_step, c);
    bool products = op->products > 0;
    double work =
        products ? 2 * elements * op->length * (c->training ? op->products_training : op->products)
                 : elements * (c->training ? op->bytes_training : op->bytes);
    char shape[64], name[64];
    snprintf(shape, sizeof shape, products ? "%d x %d, %d long" : "%d x %d", op->rows, op->cols,
             op->length);
    snprintf(name, sizeof name, "%s%s", op->name, c->training ? ", training" : "");
    struct bench_row row = {.group = "kernels",
                            .name = name,
                            .shape = shape,
                            .seconds = seconds,
                            .work = work,
                            .unit = products ? BENCH_FLOPS : BENCH_BYTES,
                            .ceiling =
                                products ? measure_gemm(TOKENS, WIDTH, WIDTH) : measure_copy(work)};
    if (!c->rc)
        bench_print(b, &row);
}

static int run_op(const struct bench *b, const struct op *op, struct err *e)
{
    struct call c = {.op = op, .e = e};
    size_t n = (size_t)op->rows * (size_t)op->cols;
    c.rc = tape_open(&c.tape, 0, e);
    for (int i = 0; !c.rc && i < op->inputs; i++) {
        c.x[i] = calloc(n, sizeof(real));
        c.g[i] = calloc(n, sizeof(real));
        if (!c.x[i] || !c.g[i])
            c.rc = err_set(e, ERR_NOMEM, "no memory for %s", op->name);
        for (size_t k = 0; !c.rc && k < n; k++)
            c.x[i][k] = (real)((double)(k % 251) / 125 - 1);
    }
    for (int training = 0; !c.rc && training < 2; training++) {
        c.training = training;
        report(b, &c);
    }
    for (int i = 0; i < INPUTS; i++) {
        free(c.x[i]);
        free(c.g[i]);
    }
    tape_close(c.tape);
    return c.rc;
}

static void report_products(const struct bench *b)
{
    static const int shape[][2] = {{WIDTH, WIDTH}, {FFN, WIDTH}, {WIDTH, FFN}};
    for (int rows = 128; rows <= 2048; rows *= 4)
        for (size_t i = 0; i < sizeof shape / sizeof *shape; i++) {
            char text[64];
            double work = 2.0 * rows * shape[i][0] * shape[i][1];
            double rate = measure_gemm(rows, shape[i][0], shape[i][1]);
            snprintf(text, sizeof text, "%d x %d x %d", rows, shape[i][0], shape[i][1]);
            bench_print(b, &(struct bench_row){.group = "kernels",
                                               .name = "sgemm",
                                               .shape = text,
                                               .seconds = work / rate,
                                               .work = work,
                                               .unit = BENCH_FLOPS});
        }
    for (double mib = 1; mib <= 64; mib *= 64) {
        char text[64];
        double work = mib * 0x1p20, rate = measure_copy(work);
        snprintf(text, sizeof text, "%.0f MiB", mib);
        bench_print(b, &(struct bench_row){.group = "kernels",
                                           .name = "memcpy",
                                           .shape = text,
                                           .seconds = work / rate,
                                           .work = work,
                                           .unit = BENCH_BYTES});
    }
}

/* --- frozen weights as they are stored ------------------------------------------------------- */

struct linear {
    struct tape *tape;
    struct stored W;
    int out, in;
    const real *x;
    real *g;
    struct err *e;
    int rc;
};

static void linear_step(struct tape *t, void *arg)
{
    const struct linear *l = arg;
    struct val *x = tape_param(t, l->x, l->g, TOKENS, l->in);
    struct val *y = op_linear(t, x, tape_stored(t, l->W, l->out, l->in), NULL);
    memset(tape_grad_add(t, y), 0, val_count(y) * sizeof(real));
    tape_backward(t, tape_new(t, 1, 1)); /* of no loss: y has its gradient already */
}

static void run_linear(void *ctx)
{
    struct linear *l = ctx;
    if (!l->rc)
        l->rc = tape_run(l->tape, true, rng_stream(1, 0, 0, RNG_TEST), linear_step, l, l->e);
}

/* A frozen linear, forward and back, with W in reals, in F16 and in int8. */
static int report_linear(const struct bench *b, int out, int in, struct err *e)
{
    size_t n = (size_t)out * (size_t)in, rows = TOKENS * (size_t)in;
    real *numbers = calloc(n + 2 * rows, sizeof *numbers);
    uint16_t *stored = calloc(n, sizeof *stored); /* of either kind */
    struct linear l = {.out = out, .in = in, .e = e};
    const struct {
        const char *name;
        struct stored W;
    } as[] = {{"frozen linear", stored_reals(numbers)},
              {"frozen linear in F16", stored_halves(stored, STORED_F16)},
              {"frozen linear in int8", stored_int8(stored, numbers, in)}};
    char shape[64];
    l.rc = numbers && stored ? tape_open(&l.tape, 0, e)
                             : err_set(e, ERR_NOMEM, "no memory for a linear layer");
    l.x = numbers + n;
    l.g = numbers + n + rows;
    snprintf(shape, sizeof shape, "%d x %d x %d", TOKENS, out, in);
    double ceiling = measure_gemm(TOKENS, out, in);
    for (size_t k = 0; !l.rc && k < sizeof as / sizeof *as; k++) {
        l.W = as[k].W;
        struct bench_row row = {.group = "kernels",
                                .name = as[k].name,
                                .shape = shape,
                                .seconds = measure_least(run_linear, &l),
                                .work = 4.0 * TOKENS * out * in,
                                .unit = BENCH_FLOPS,
                                .ceiling = ceiling};
        if (!l.rc)
            bench_print(b, &row);
    }
    tape_close(l.tape);
    free(numbers);
    free(stored);
    return l.rc;
}

static int run(const struct bench *b, struct err *e)
{
    static const int shape[][2] = {{WIDTH, WIDTH},       {FFN, WIDTH},
                                   {WIDTH, FFN},         {2 * WIDTH, 2 * WIDTH},
                                   {2 * FFN, 2 * WIDTH}, {2 * WIDTH, 2 * FFN}};
    int rc = 0;
    report_products(b);
    for (size_t i = 0; !rc && i < sizeof shape / sizeof *shape; i++)
        rc = report_linear(b, shape[i][0], shape[i][1], e);
    for (size_t i = 0; !rc && i < sizeof ops / sizeof *ops; i++)
        rc = run_op(b, &ops[i], e);
    return rc;
}

const struct bench_group bench_kernels = {
    .name = "kernels", .what = "matrix products and the tape's ops", .run = run};
