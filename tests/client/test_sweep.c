/* What the encoder makes of examples is computed once where it is always the same. */
#include "client/sweep.h"
#include "tests/client/toy.h"
#include <criterion/criterion.h>
#include <math.h>

enum { EXAMPLES = 90 };

static struct toy toy;

static void fini(void)
{
    toy_close(&toy);
}

TestSuite(sweep, .fini = fini);

static void open_toy(const char *method, double dropout)
{
    toy_open(&toy, EXAMPLES, 2, dropout);
    toy_use(&toy, method);
}

static void evaluate(const struct eval_job *job, unsigned threads, float *logits)
{
    struct trainer *t;
    struct err e;
    toy_check(trainer_open(&t, threads, NULL, &e), &e);
    toy_check(trainer_eval(t, job, NULL, NULL, logits, &e), &e);
    trainer_close(t);
}

/* Another word in each sentence. */
static void change_texts(void)
{
    for (size_t i = 0; i < EXAMPLES; i++) {
        int32_t *id = (int32_t *)(uintptr_t)toy.data.example[i].id;
        id[1] = id[1] == TOY_YES ? TOY_NO : TOY_YES;
    }
}

Test(sweep, evaluation_encodes_once_for_a_frozen_encoder)
{
    static const uint32_t some[] = {7, 3, 80, 41, 5};
    enum { SOME = sizeof some / sizeof *some };
    float plain[2 * SOME], first[2 * SOME], again[2 * SOME], changed[2 * SOME];
    struct rows features = {0};
    open_toy("head", 0.1); /* dropout is training's */
    struct eval_job job = {
        .peft = toy.peft, .data = &toy.data, .index = some, .n = SOME, .theta = toy.theta};

    evaluate(&job, 1, plain);
    job.features = &features;
    evaluate(&job, 2, first);
    cr_assert_not_null(features.x);
    cr_expect_arr_eq(first, plain, sizeof plain);
    change_texts();
    evaluate(&job, 1, again);
    cr_expect_arr_eq(again, plain, sizeof plain);
    job.features = NULL;
    evaluate(&job, 1, changed);
    cr_expect_neq(memcmp(changed, plain, sizeof plain), 0);
    sweep_release(&features);
}

Test(sweep, evaluation_keeps_nothing_of_an_encoder_that_is_tuned)
{
    float logits[2 * EXAMPLES];
    struct rows features = {0};
    open_toy("bitfit", 0);
    const struct eval_job job = {
        .peft = toy.peft, .data = &toy.data, .theta = toy.theta, .features = &features};
    evaluate(&job, 1, logits);
    cr_expect_null(features.x);
}

/* The same task with dropout so small that nothing is ever dropped: then the encoder runs in each
 * step. */
static float *fit_step_by_step(void)
{
    struct train_result r;
    open_toy("head", 1e-9);
    const struct train_job job = toy_job(&toy);
    struct rows features = {0};
    struct train_job watched = job;
    watched.features = &features;
    float *theta = toy_fit(&toy, &watched, 1, &r);
    cr_assert_null(features.x);
    toy_close(&toy);
    return theta;
}

Test(sweep, training_a_head_without_dropout_encodes_once)
{
    struct train_result r;
    struct rows features = {0};
    float *plain = fit_step_by_step();
    open_toy("head", 0);
    struct train_job job = toy_job(&toy);
    const size_t bytes = toy.count * sizeof *toy.theta;
    float *theta = toy_fit(&toy, &job, 1, &r), *other = toy_fit(&toy, &job, 4, &r);
    double moved = 0;
    for (size_t i = 0; i < toy.count; i++) {
        cr_expect_float_eq(theta[i], plain[i], 1e-5);
        moved += fabs((double)theta[i] - (double)toy.theta[i]);
    }
    cr_expect_gt(moved, 0.1, "%g", moved);
    cr_expect_arr_eq(other, theta, bytes);
    free(other);

    job.features = &features; /* a round, and the next one of other texts that nobody reads */
    for (unsigned threads = 1; threads <= 4; threads += 3) {
        other = toy_fit(&toy, &job, threads, &r);
        cr_assert_not_null(features.x);
        cr_expect_arr_eq(other, theta, bytes, "%u threads", threads);
        free(other);
        change_texts();
    }
    sweep_release(&features);
    free(theta);
    free(plain);
}

Test(sweep, a_training_of_few_steps_encodes_what_it_sees)
{
    struct train_result r;
    struct rows features = {0};
    open_toy("head", 0);
    toy.local.steps = 2; /* of three that an epoch has */
    struct train_job job = toy_job(&toy);
    job.features = &features;
    free(toy_fit(&toy, &job, 1, &r));
    cr_expect_null(features.x);
    toy.local.steps = 3;
    free(toy_fit(&toy, &job, 1, &r));
    cr_expect_not_null(features.x);
    sweep_release(&features);
}

/* --- memory ---------------------------------------------------------------------------------- */

enum { LONG = 2048, SHORT = 256, WORDS = 20 }; /* as many as are packed at a time, and then some */

static int evaluate_within(size_t limit, size_t from, size_t n, float *logits, size_t *peak)
{
    static uint32_t index[LONG + SHORT];
    const struct memory memory = {MEMORY_AUTO, limit};
    const struct eval_job job = {
        .peft = toy.peft, .data = &toy.data, .index = index + from, .n = n, .theta = toy.theta};
    struct trainer *t;
    struct err e;
    for (uint32_t i = 0; i < LONG + SHORT; i++)
        index[i] = i;
    toy_check(trainer_open(&t, 1, &memory, &e), &e);
    int rc = trainer_eval(t, &job, NULL, NULL, logits, &e);
    *peak = trainer_peak_bytes(t);
    trainer_close(t);
    return rc;
}

/* That a limit does not bear the texts at the end (short ones, so many of them in a micro-batch) is
 * known before the first is computed. */
Test(sweep, a_limit_is_for_the_whole_list)
{
    static const int32_t word[WORDS] = {TOY_YES}, zero[WORDS];
    static float logits[2 * (LONG + SHORT)];
    size_t small, large, peak;
    toy_open(&toy, LONG + SHORT, 2, 0);
    for (size_t i = 0; i < LONG + SHORT; i++)
        toy.data.example[i] =
            (struct example){.id = word, .type = zero, .n_tokens = i < LONG ? WORDS : 4};
    cr_assert_eq(evaluate_within(0, 0, LONG, logits, &small), 0);
    cr_assert_eq(evaluate_within(0, LONG, SHORT, logits, &large), 0);
    cr_assert_lt(small, large, "%zu, %zu", small, large);

    memset(logits, 0, sizeof logits);
    cr_expect_eq(evaluate_within(large - 1, 0, LONG + SHORT, logits, &peak), ERR_NOMEM);
    for (size_t i = 0; i < sizeof logits / sizeof *logits; i++)
        cr_assert_eq(logits[i], 0);
    cr_expect_eq(evaluate_within(large, 0, LONG + SHORT, logits, &peak), 0);
    cr_expect_eq(peak, large);
}
