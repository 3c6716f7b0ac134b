#include "tests/greater.h"
#include "tests/model/golden.h"
#include <math.h>

/* A forward pass of the bare encoder. */
struct forward {
    const struct model *model;
    const struct batch *batch;
    struct encoder_hooks hooks;
    real *out; /* [n, hidden] */
};

static void forward(struct tape *t, void *arg)
{
    const struct forward *f = arg;
    struct val *x = encoder_hidden(f->model, t, f->batch, &f->hooks, ENCODER_FIRST);
    cr_assert(x->rows == f->batch->n && x->cols == f->model->cfg.hidden);
    memcpy(f->out, x->x, (size_t)(x->rows * x->cols) * sizeof(real));
}

static real *first_tokens(struct golden *g, const struct batch *b, bool training, real dropout)
{
    struct err e = {0};
    struct tape *t;
    real *out = arena_calloc(&g->mem, (size_t)(b->n * g->model->cfg.hidden), sizeof *out);
    struct forward f = {.model = g->model,
                        .batch = b,
                        .hooks = {.hidden_dropout = dropout, .attention_dropout = dropout},
                        .out = out};
    cr_assert_not_null(out);
    cr_assert_eq(tape_open(&t, 0, &e), 0, "%s", e.text);
    struct rng r = rng_stream(1, 0, 0, RNG_DROPOUT);
    cr_assert_eq(tape_run(t, training, r, forward, &f, &e), 0, "%s", e.text);
    tape_close(t);
    return out;
}

static double greatest_difference(const real *a, const real *b, int n)
{
    double worst = 0;
    for (int i = 0; i < n; i++)
        worst = greater(worst, fabs((double)a[i] - (double)b[i]));
    return worst;
}

Test(encoder, first_tokens_are_those_of_transformers)
{
    for (int i = 0; i < GOLDEN_FAMILIES; i++) {
        struct golden g;
        golden_open(&g, golden_families[i]);
        int n = g.batch.n * g.model->cfg.hidden;
        real *x = first_tokens(&g, &g.batch, false, 0);
        double worst = greatest_difference(x, golden_floats(&g, "first"), n);
        cr_expect_leq(worst, 2e-5, "%s: off by %g", golden_families[i], worst);
        golden_close(&g);
    }
}

/* Packing is no approximation: who else is in the batch does not matter. */
Test(encoder, a_sequence_does_not_see_its_neighbours)
{
    for (int i = 0; i < GOLDEN_FAMILIES; i++) {
        struct golden g;
        golden_open(&g, golden_families[i]);
        int d = g.model->cfg.hidden;
        real *all = first_tokens(&g, &g.batch, false, 0);
        for (int s = 0; s < g.batch.n; s++) {
            struct batch one = golden_part(&g, s, s + 1);
            double off = greatest_difference(first_tokens(&g, &one, false, 0), all + s * d, d);
            cr_expect_leq(off, 1e-5, "%s: sequence %d is off by %g", golden_families[i], s, off);
        }
        golden_close(&g);
    }
}

Test(encoder, dropout_acts_in_training_only)
{
    struct golden g;
    golden_open(&g, "bert");
    int n = g.batch.n * g.model->cfg.hidden;
    real *plain = first_tokens(&g, &g.batch, false, 0);
    cr_expect_eq(greatest_difference(first_tokens(&g, &g.batch, false, (real)0.5), plain, n), 0);
    cr_expect_gt(greatest_difference(first_tokens(&g, &g.batch, true, (real)0.5), plain, n), 0.01);
    golden_close(&g);
}

/* Evaluation keeps one layer: a deeper model needs no more. */
Test(encoder, evaluation_memory_does_not_grow_with_depth)
{
    struct golden g;
    size_t peak[2];
    golden_open(&g, "bert");
    for (int i = 0; i < 2; i++) {
        struct model shallow = *g.model;
        struct tape *t;
        struct err e = {0};
        real out[GOLDEN_PATH];
        shallow.cfg.layers = 2 + i;
        struct forward f = {.model = &shallow, .batch = &g.batch, .out = out};
        struct rng r = rng_stream(1, 0, 0, RNG_DROPOUT);
        cr_assert_eq(tape_open(&t, 0, &e), 0);
        cr_assert_eq(tape_run(t, false, r, forward, &f, &e), 0, "%s", e.text);
        peak[i] = tape_peak_bytes(t);
        tape_close(t);
    }
    cr_expect_eq(peak[0], peak[1], "%zu and %zu bytes", peak[0], peak[1]);
    golden_close(&g);
}

/* What a hook sees: every site once a layer, and in the last layer only first tokens where only
 * they ask. */
struct seen {
    int calls, layers, tokens, n;
    bool wrong_rows;
};

static void look(void *self, struct tape *t, int layer, enum linear_site site, struct val *x,
                 struct val *y)
{
    struct seen *seen = self;
    (void)t;
    bool all = layer < seen->layers - 1 || site == LIN_KEY || site == LIN_VALUE;
    int rows = all ? seen->tokens : seen->n;
    seen->wrong_rows |= x->rows != rows || y->rows != rows;
    seen->calls++;
}

Test(encoder, the_last_layer_computes_what_the_head_reads)
{
    struct golden g;
    struct err e = {0};
    struct tape *t;
    real out[GOLDEN_PATH];
    golden_open(&g, "roberta");
    struct seen seen = {.layers = g.model->cfg.layers, .tokens = g.batch.tokens, .n = g.batch.n};
    struct forward f = {
        .model = g.model, .batch = &g.batch, .hooks = {.self = &seen, .linear = look}, .out = out};
    struct rng r = rng_stream(1, 0, 0, RNG_DROPOUT);
    cr_assert_eq(tape_open(&t, 0, &e), 0);
    cr_assert_eq(tape_run(t, false, r, forward, &f, &e), 0, "%s", e.text);
    tape_close(t);
    cr_expect_eq(seen.calls, seen.layers * LIN_SITES);
    cr_expect(!seen.wrong_rows);
    golden_close(&g);
}
