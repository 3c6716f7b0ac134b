/* Every op against finite differences, in double precision. */
#include "nn/ops.h"
#include "tests/greater.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { INPUTS = 6 };
static const double TOLERANCE = 1e-8;

/* One case with its inputs; evaluated once and again. */
struct check {
    const struct op_case *op;
    struct tape *tape;
    real *x[INPUTS], *g[INPUTS];
    size_t count[INPUTS];
    bool backward;
    real loss;
};

static void step(struct tape *t, void *arg)
{
    struct check *c = arg;
    struct val *in[INPUTS];

    for (int k = 0; k < c->op->n_in; k++)
        in[k] = tape_param(t, c->x[k], c->g[k], c->op->in[k].rows, c->op->in[k].cols);
    struct val *loss = c->op->build(t, in);
    c->loss = *loss->x;
    if (c->backward)
        tape_backward(t, loss);
}

static double evaluate(struct check *c, bool backward)
{
    struct err e = {0};

    c->backward = backward;
    cr_assert_eq(tape_run(c->tape, true, rng_stream(1, 2, 3, RNG_DROPOUT), step, c, &e), 0, "%s",
                 e.text);
    return c->loss;
}

static void check_open(struct check *c, const struct op_case *op)
{
    struct rng rng = rng_stream(11, 0, 0, RNG_TEST);
    struct err e = {0};

    *c = (struct check){.op = op};
    cr_assert_eq(tape_open(&c->tape, 0, &e), 0, "%s", e.text);
    for (int k = 0; k < op->n_in; k++) {
        c->count[k] = (size_t)op->in[k].rows * (size_t)op->in[k].cols;
        c->x[k] = malloc(c->count[k] * sizeof(real));
        c->g[k] = calloc(c->count[k], sizeof(real));
        for (size_t i = 0; i < c->count[k]; i++) {
            double x = rng_normal(&rng);
            c->x[k][i] = fabs(x) < 0.01 ? 0.5 : x; /* clear of relu's corner */
        }
    }
}

static void check_close(struct check *c)
{
    for (int k = 0; k < c->op->n_in; k++) {
        free(c->x[k]);
        free(c->g[k]);
    }
    tape_close(c->tape);
}

/* d loss / d x[k][i] by central differences at h and h/2, extrapolated: error O(h^4). */
static double difference(struct check *c, int k, size_t i)
{
    const double x = c->x[k][i], h = 1e-3;
    double slope[2];

    for (int s = 0; s < 2; s++) {
        double d = s == 0 ? h : h / 2;
        c->x[k][i] = x + d;
        double up = evaluate(c, false);
        c->x[k][i] = x - d;
        slope[s] = (up - evaluate(c, false)) / (2 * d);
    }
    c->x[k][i] = x;
    return (4 * slope[1] - slope[0]) / 3;
}

/* Largest error of an input's gradient, relative to its largest element. */
static double worst(struct check *c, int k)
{
    double error = 0, size = 0;

    for (size_t i = 0; i < c->count[k]; i++) {
        double want = difference(c, k, i);
        error = greater(error, fabs(want - c->g[k][i]));
        size = greater(size, fabs(want));
    }
    cr_assert_gt(size, 1e-3, "%s: input %d has no effect", c->op->name, k);
    return error / size;
}

Test(gradient_ops, every_op)
{
    for (const struct op_case *op = op_cases; op->name; op++) {
        struct check c;
        check_open(&c, op);
        evaluate(&c, true);
        for (int k = 0; k < op->n_in; k++) {
            double error = worst(&c, k);
            cr_expect_lt(error, TOLERANCE, "%s, input %d: relative error %.2e", op->name, k, error);
        }
        check_close(&c);
    }
}

/* Gradients add to what the accumulator holds. */
Test(gradient_ops, accumulates)
{
    for (const struct op_case *op = op_cases; op->name; op++) {
        struct check c;
        check_open(&c, op);
        evaluate(&c, true);
        double once = c.g[0][0];
        evaluate(&c, true);
        cr_expect_float_eq(c.g[0][0], 2 * once, 1e-12 * fabs(once), "%s", op->name);
        check_close(&c);
    }
}

/* An input that wants no gradient changes nothing for the others. */
Test(gradient_ops, any_input_may_be_frozen)
{
    for (const struct op_case *op = op_cases; op->name; op++) {
        struct check all;
        check_open(&all, op);
        evaluate(&all, true);
        for (int frozen = 0; frozen < op->n_in; frozen++) {
            struct check c;
            check_open(&c, op);
            free(c.g[frozen]);
            c.g[frozen] = NULL;
            evaluate(&c, true);
            for (int k = 0; k < op->n_in; k++)
                cr_expect(k == frozen || !memcmp(c.g[k], all.g[k], c.count[k] * sizeof(real)),
                          "%s: input %d with %d frozen", op->name, k, frozen);
            check_close(&c);
        }
        check_close(&all);
    }
}

/* The checker notices a gradient that is 1 % off in one element. */
Test(gradient_ops, finds_a_planted_error)
{
    for (const struct op_case *op = op_cases; op->name; op++) {
        struct check c;
        size_t largest = 0;
        check_open(&c, op);
        evaluate(&c, true);
        for (size_t i = 1; i < c.count[0]; i++)
            if (fabs(c.g[0][i]) > fabs(c.g[0][largest]))
                largest = i;
        c.g[0][largest] *= 1.01;
        cr_expect_gt(worst(&c, 0), 1e3 * TOLERANCE, "%s", op->name);
        check_close(&c);
    }
}
