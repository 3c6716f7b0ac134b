#include "nn/ops.h"
#include "nn/pool.h"
#include "run.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/* --- pool ------------------------------------------------------------------------------------ */

Test(pool, blocks_come_back_by_size)
{
    struct pool p;
    cr_assert_eq(pool_open(&p, 1 << 20, NULL), 0);
    char *a = pool_get(&p, 100), *b = pool_get(&p, 5000), *c = pool_get(&p, 100);
    cr_assert(a && b && c && a != c);
    cr_expect_eq((uintptr_t)a % 64 + (uintptr_t)b % 64 + (uintptr_t)c % 64, 0);
    memset(a, 1, 100);
    memset(b, 2, 5000);
    memset(c, 3, 100);
    cr_expect(a[99] == 1 && b[0] == 2 && b[4999] == 2 && c[0] == 3);
    pool_put(&p, a, 100);
    pool_put(&p, c, 100);
    size_t peak = p.peak;
    char *d = pool_get(&p, 5000);
    cr_expect_neq(d, b);
    cr_expect_gt(p.peak, peak);
    peak = p.peak;
    cr_expect_eq(pool_get(&p, 100), c); /* the warmest first */
    cr_expect_eq(pool_get(&p, 100), a);
    cr_expect_eq(p.peak, peak);
    pool_close(&p);
}

Test(pool, cap_holds_and_reset_takes_all_back)
{
    struct pool p;
    cr_assert_eq(pool_open(&p, 100000, NULL), 0);
    char *first = NULL;
    for (int round = 0; round < 3; round++) {
        size_t n = 0;
        char *block;
        pool_reset(&p);
        while ((block = pool_get(&p, 1000))) {
            if (n++ == 0) {
                cr_expect(round == 0 || block == first, "same requests, same addresses");
                first = block;
            }
        }
        cr_expect(n > 85 && n < 100, "%zu blocks", n);
        cr_expect_leq(p.peak, 100000);
    }
    cr_expect_null(pool_get(&p, SIZE_MAX - 10));
    pool_close(&p);
}

Test(pool, refuses_what_the_machine_cannot_address)
{
    struct pool p;
    struct err e = {0};
    cr_expect_eq(pool_open(&p, (size_t)1 << 62, &e), ERR_NOMEM);
    cr_expect_neq(e.text[0], 0);
}

/* --- scopes and claims ----------------------------------------------------------------------- */

enum { T = 64, D = 64 };

/* `depth` blocks of frozen linear, GELU, norm, each in its scope; trainable: the norms' gains. */
struct stack {
    int depth, calls; /* of the blocks */
    bool scoped, checkpointed;
    real *x, *W, *gain, *g, loss;
    bool wanted;
};

static struct val *block(struct tape *t, void *arg, struct val *x)
{
    struct stack *s = arg;
    s->calls++;
    struct val *gain = tape_param(t, s->gain, s->g, 1, D), *bias = tape_const(t, s->W, 1, D);
    struct val *h = op_act(t, op_linear(t, x, tape_const(t, s->W, D, D), NULL), ACT_GELU);

    return op_add_norm(t, x, h, (real)0.1, gain, bias, (real)1e-5);
}

static void stack_step(struct tape *t, void *arg)
{
    struct stack *s = arg;
    struct val *x = tape_const(t, s->x, T, D);
    struct tape_scope scope = tape_enter(t);

    for (int i = 0; i < s->depth; i++) {
        x = s->checkpointed ? tape_checkpoint(t, x, block, s) : block(t, s, x);
        if (s->scoped)
            tape_leave(t, scope, x);
    }
    struct val *y = op_linear(t, x, tape_const(t, s->gain, 1, D), NULL);
    struct val *loss = op_squared_error(t, y, s->x, 1);
    s->loss = *loss->x;
    s->wanted = loss->wants_grad;
    tape_backward(t, loss);
}

static struct stack stack_make(int depth)
{
    return (struct stack){.depth = depth,
                          .scoped = true,
                          .x = run_random(T * D, 1),
                          .W = run_random(D * D, 2),
                          .gain = run_random(D, 3),
                          .g = calloc(D, sizeof(real))};
}

static void stack_free(struct stack *s)
{
    free(s->x);
    free(s->W);
    free(s->gain);
    free(s->g);
}

static const size_t SMALL = 64 << 10, MATRIX = T * D * sizeof(real);

Test(tape, evaluation_needs_the_memory_of_one_layer)
{
    struct stack s = stack_make(2);
    size_t shallow = run_step(false, stack_step, &s);
    s.depth = 30;
    size_t deep = run_step(false, stack_step, &s);
    cr_expect_lt(deep, shallow + SMALL, "%zu, %zu", shallow, deep);
    s.scoped = false;
    cr_expect_gt(run_step(false, stack_step, &s), shallow + 28 * 3 * MATRIX);
    stack_free(&s);
}

Test(tape, training_with_everything_frozen_records_nothing)
{
    struct stack s = stack_make(2);
    real *g = s.g;
    s.g = NULL;
    size_t shallow = run_step(true, stack_step, &s);
    cr_expect_not(s.wanted);
    s.depth = 30;
    size_t deep = run_step(true, stack_step, &s);
    cr_expect_lt(deep, shallow + SMALL, "%zu, %zu", shallow, deep);
    s.g = g;
    stack_free(&s);
}

/* A block keeps GELU's x and the norm's xhat: backward reads no more, and gives memory back as it
 * goes. */
Test(tape, training_keeps_what_backward_reads)
{
    struct stack s = stack_make(10);
    size_t ten = run_step(true, stack_step, &s);
    cr_expect(s.wanted);
    s.depth = 30;
    size_t thirty = run_step(true, stack_step, &s);
    cr_expect_lt(thirty - ten, 20 * 2 * MATRIX + SMALL);
    cr_expect_gt(thirty - ten, 19 * 2 * MATRIX);
    stack_free(&s);
}

Test(tape, same_bits_again)
{
    struct stack s = stack_make(5);
    real g[D];
    run_step(true, stack_step, &s);
    real loss = s.loss;
    memcpy(g, s.g, sizeof g);
    cr_expect_neq(g[0], 0);
    memset(s.g, 0, sizeof g);
    run_step(true, stack_step, &s);
    cr_expect_eq(s.loss, loss);
    cr_expect_arr_eq(s.g, g, sizeof g);
    stack_free(&s);
}

static void scopes(struct tape *t, void *arg)
{
    const real one[4] = {1, 1, 1, 1};
    bool *good = arg;
    struct val *c = tape_const(t, one, 2, 2), *bias = tape_const(t, one, 1, 2);
    struct tape_scope outer = tape_enter(t);
    struct val *older = op_linear(t, c, c, bias); /* 3 everywhere */
    struct tape_scope inner = tape_enter(t);
    struct val *dropped = op_linear(t, older, c, NULL), *kept = op_linear(t, dropped, c, NULL);

    *good = tape_leave(t, inner, kept) == kept && kept->x[3] == 12 && !dropped->x;
    inner = tape_enter(t);
    struct val *gone = op_act(t, kept, ACT_RELU);
    *good = *good && tape_leave(t, inner, older) == older && older->x[0] == 3 && !gone->x;
    inner = tape_enter(t);
    *good = *good && tape_leave(t, inner, NULL) == NULL && tape_leave(t, tape_enter(t), c) == c;
    tape_leave(t, outer, kept);
    *good = *good && !older->x && kept->x && kept->x[0] == 12;
}

Test(tape, a_scope_keeps_one_val)
{
    bool good = false;
    run_step(true, scopes, &good);
    cr_expect(good);
}

/* --- checkpoints ----------------------------------------------------------------------------- */

/* Peak of a step whose records keep halves. */
static size_t run_halved(struct stack *s)
{
    struct tape *t;
    struct err e = {0};

    cr_assert_eq(tape_open(&t, 0, &e), 0);
    tape_halve(t);
    cr_assert_eq(tape_run(t, true, run_dropout(), stack_step, s, &e), 0);
    size_t peak = tape_peak_bytes(t);
    tape_close(t);
    return peak;
}

/* Peak of a step of a deep stack whose blocks are checkpoints. */
static size_t run_checkpointed(struct stack *s)
{
    struct tape *t;
    struct err e = {0};

    s->checkpointed = true;
    s->calls = 0;
    cr_assert_eq(tape_open(&t, 0, &e), 0);
    tape_recompute(t);
    cr_assert_eq(tape_run(t, true, run_dropout(), stack_step, s, &e), 0);
    size_t peak = tape_peak_bytes(t);
    tape_close(t);
    return peak;
}

Test(tape, checkpoints_keep_their_inputs_alone_and_give_the_same_bits)
{
    struct stack s = stack_make(30), c = stack_make(30);
    size_t plain = run_step(true, stack_step, &s), saved = run_checkpointed(&c);

    cr_expect_eq(c.calls, 60);
    cr_expect_eq(c.loss, s.loss);
    cr_expect_arr_eq(c.g, s.g, D * sizeof *s.g);
    cr_expect_lt(saved, 45 * MATRIX, "%zu", saved);
    cr_expect_gt(plain, 60 * MATRIX, "%zu", plain);
    stack_free(&s);
    stack_free(&c);
}

/* What a block keeps takes half as much; what it keeps exactly is small. */
Test(tape, halving_halves_what_backward_reads)
{
    struct stack ten = stack_make(10), thirty = stack_make(30), exact = stack_make(30);
    size_t few = run_halved(&ten), many = run_halved(&thirty);
    double error = 0, norm = 0;

    run_step(true, stack_step, &exact);
    cr_expect_lt(many - few, 20 * MATRIX + SMALL);
    cr_expect_gt(many - few, 19 * MATRIX);
    cr_expect_eq(thirty.loss, exact.loss);
    for (int i = 0; i < D; i++) {
        error += pow(thirty.g[i] - exact.g[i], 2);
        norm += pow(exact.g[i], 2);
    }
    cr_expect(error > 0 && error < 0x1p-18 * norm, "%g", sqrt(error / norm));
    stack_free(&ten);
    stack_free(&thirty);
    stack_free(&exact);
}

Test(tape, measures_a_step_without_computing_it)
{
    struct stack s = stack_make(30), m = stack_make(30);
    size_t computed = run_step(true, stack_step, &s);
    struct tape *t;
    struct err e = {0};

    cr_assert_eq(tape_open(&t, 0, &e), 0);
    tape_measure(t);
    cr_assert_eq(tape_run(t, true, run_dropout(), stack_step, &m, &e), 0);
    cr_expect_eq(tape_peak_bytes(t), computed);
    for (int i = 0; i < D; i++)
        cr_expect_eq(m.g[i], 0);
    tape_close(t);
    stack_free(&s);
    stack_free(&m);
}

Test(tape, a_frozen_checkpoint_is_computed_once)
{
    struct stack s = stack_make(5);
    real *g = s.g;

    s.g = NULL;
    run_checkpointed(&s);
    cr_expect_eq(s.calls, 5);
    cr_expect(!s.wanted);
    s.g = g;
    stack_free(&s);
}

/* --- the cap --------------------------------------------------------------------------------- */

Test(tape, a_step_over_the_cap_fails_and_the_next_one_works)
{
    struct stack small = stack_make(2), large = stack_make(200);
    struct tape *t;
    struct err e = {0};
    size_t cap = 1 << 20;

    cr_assert_eq(tape_open(&t, cap, &e), 0);
    for (int i = 0; i < 3; i++) {
        cr_expect_eq(tape_run(t, true, run_dropout(), stack_step, &small, &e), 0);
        cr_expect_eq(tape_run(t, true, run_dropout(), stack_step, &large, &e), ERR_NOMEM);
        cr_expect(strstr(e.text, "1048576"), "%s", e.text);
        cr_expect_leq(tape_peak_bytes(t), cap);
    }
    tape_close(t);
    real with_cap = small.loss;
    run_step(true, stack_step, &small);
    cr_expect_eq(small.loss, with_cap);
    stack_free(&small);
    stack_free(&large);
}

static void backward_of_constant(struct tape *t, void *arg)
{
    const real x = 3, target = 1;

    struct val *loss = op_squared_error(t, tape_const(t, &x, 1, 1), &target, 1);
    tape_backward(t, loss);
    *(real *)arg = *loss->x;
    int32_t *ids = tape_alloc(t, 100000);
    memset(ids, 0, 100000);
}

Test(tape, backward_of_a_constant_loss_does_nothing)
{
    real loss = 0;
    run_step(true, backward_of_constant, &loss);
    cr_expect_eq(loss, 4);
}
