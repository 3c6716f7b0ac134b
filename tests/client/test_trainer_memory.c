/* A trainer within a memory limit: the same bits, or a refusal that says what is needed. */
#include "base/size.h"
#include "tests/client/toy.h"
#include "tests/model/int8.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MIB = 1 << 20 };

static struct toy toy;

static void fini(void)
{
    toy_close(&toy);
}

TestSuite(trainer_memory, .fini = fini);

static int score_all(struct trainer *t, const float *theta, struct score *score, struct err *e)
{
    const struct eval_job job = {.peft = toy.peft, .data = &toy.data, .theta = theta};
    return trainer_eval(t, &job, score, NULL, NULL, e);
}

/* Many micro-batches a step, whose sizes differ from step to step, and six layers. */
static struct train_job deep_job(void)
{
    toy_open_deep(&toy, 6, 130, 2, 0.1);
    toy.local.batch_size = 101;
    toy.local.epochs = 1;
    return toy_job(&toy);
}

struct within {
    int rc;
    size_t peak;
    struct err error;
};

/* A training and an evaluation within a limit; theta [toy.count] is what was trained. */
static struct within fit_within(const struct train_job *job, unsigned threads,
                                enum memory_mode mode, size_t limit, float *theta)
{
    const struct memory memory = {mode, limit};
    struct within w = {0};
    struct trainer *t;
    struct train_result r;
    struct err e;
    memcpy(theta, toy.theta, toy.count * sizeof *theta);
    cr_assert_eq(trainer_open(&t, threads, &memory, &e), 0, "%s", e.text);
    w.rc = trainer_fit(t, job, theta, &r, &w.error);
    if (!w.rc)
        w.rc = score_all(t, theta, NULL, &w.error);
    w.peak = trainer_peak_bytes(t);
    trainer_close(t);
    cr_assert(w.rc == 0 || w.rc == ERR_NOMEM, "%s", w.error.text);
    cr_assert(limit == 0 || w.peak <= limit, "%zu of %zu", w.peak, limit);
    return w;
}

/* First layers are recomputed, then fewer threads work; and to a byte below the least that one
 * thread needs. */
Test(trainer_memory, keeps_to_a_memory_limit_with_the_same_bits)
{
    struct train_job job = deep_job();
    size_t bytes = toy.count * sizeof *toy.theta;
    float *theta = malloc(bytes), *other = malloc(bytes);
    size_t kept = fit_within(&job, 1, MEMORY_FAST, 0, theta).peak;
    size_t least = fit_within(&job, 1, MEMORY_MIN, 0, other).peak;
    cr_assert_arr_eq(other, theta, bytes);
    cr_assert(least > 0 && least < kept, "%zu, %zu", least, kept);
    const size_t limits[] = {least, kept, 2 * least, 2 * kept};
    for (unsigned threads = 1; threads <= 4; threads += 3)
        for (int mode = MEMORY_AUTO; mode <= MEMORY_FAST; mode++) {
            size_t needed = mode == MEMORY_FAST ? kept : least;
            for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
                if (limits[i] < needed)
                    continue;
                cr_assert_eq(fit_within(&job, threads, mode, limits[i], other).rc, 0);
                cr_assert_arr_eq(other, theta, bytes, "%u threads, mode %d", threads, mode);
            }
            cr_assert_eq(fit_within(&job, threads, mode, needed - 1, other).rc, ERR_NOMEM);
            cr_assert_arr_eq(other, toy.theta, bytes);
        }
    free(theta);
    free(other);
}

/* Who has room for it works with all threads and keeps everything. */
Test(trainer_memory, a_limit_with_room_costs_nothing)
{
    struct train_job job = deep_job();
    float *theta = malloc(toy.count * sizeof *theta);
    size_t kept = fit_within(&job, 1, MEMORY_FAST, 0, theta).peak;
    size_t least = fit_within(&job, 1, MEMORY_MIN, 0, theta).peak;
    cr_assert_eq(fit_within(&job, 1, MEMORY_AUTO, kept, theta).peak, kept);
    cr_assert_eq(fit_within(&job, 1, MEMORY_AUTO, kept - 1, theta).peak, least);
    cr_assert_eq(fit_within(&job, 1, MEMORY_MIN, 2 * kept, theta).peak, least);
    free(theta);
}

static double distance(const float *a, const float *b)
{
    double sum = 0;
    for (size_t i = 0; i < toy.count; i++)
        sum += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    return sqrt(sum);
}

/* Less memory than everything in full, other bits than that, and the same ones for all threads and
 * limits; not far from it. */
Test(trainer_memory, half_precision_is_near_and_keeps_to_a_limit)
{
    struct train_job job = deep_job();
    size_t bytes = toy.count * sizeof *toy.theta;
    float *exact = malloc(bytes), *half = malloc(bytes), *other = malloc(bytes);
    size_t kept = fit_within(&job, 1, MEMORY_FAST, 0, exact).peak;
    size_t halved = fit_within(&job, 1, MEMORY_HALF, 0, half).peak;
    cr_expect_lt(halved, kept - kept / 5, "%zu, %zu", halved, kept);
    cr_expect_gt(distance(half, exact), 0);
    cr_expect_lt(distance(half, exact), 0.02 * distance(exact, toy.theta), "%g of %g",
                 distance(half, exact), distance(exact, toy.theta));
    for (unsigned threads = 1; threads <= 4; threads += 3) {
        cr_assert_eq(fit_within(&job, threads, MEMORY_HALF, 0, other).rc, 0);
        cr_expect_arr_eq(other, half, bytes, "%u threads", threads);
        cr_assert_eq(fit_within(&job, threads, MEMORY_HALF, halved, other).rc, 0);
        cr_expect_arr_eq(other, half, bytes, "%u threads", threads);
    }
    struct within w = fit_within(&job, 1, MEMORY_HALF, halved - 1, other);
    cr_expect_eq(w.rc, ERR_NOMEM);
    cr_expect_not_null(strstr(w.error.text, "`memory: half` needs "), "%s", w.error.text);
    free(exact);
    free(half);
    free(other);
}

/* The size that an error names after these words, which is one in MiB. */
static size_t named(const struct err *e, const char *before)
{
    const char *at = strstr(e->text, before);
    char word[SIZE_TEXT];
    uint64_t bytes = 0;
    cr_assert_not_null(at, "%s", e->text);
    cr_assert_eq(sscanf(at + strlen(before), "%23[0-9A-Z]", word), 1, "%s", e->text);
    cr_assert(size_parse(word, &bytes), "%s", e->text);
    cr_assert_eq(bytes % MIB, 0, "%s", e->text);
    return bytes;
}

Test(trainer_memory, says_the_least_limit_that_suffices)
{
    struct train_job job = deep_job();
    float *theta = malloc(toy.count * sizeof *theta);
    struct within w = fit_within(&job, 2, MEMORY_AUTO, 1, theta);
    cr_assert_eq(w.rc, ERR_NOMEM);
    cr_assert_not_null(strstr(w.error.text, "the memory limit is 1B, "), "%s", w.error.text);
    size_t least = named(&w.error, "this model needs ");
    cr_assert_geq(least, 2 * MIB);
    cr_expect_eq(fit_within(&job, 2, MEMORY_AUTO, least, theta).rc, 0);
    w = fit_within(&job, 2, MEMORY_AUTO, least - MIB, theta);
    cr_expect_eq(w.rc, ERR_NOMEM);
    cr_expect_eq(named(&w.error, "the memory limit is "), least - MIB, "%s", w.error.text);

    w = fit_within(&job, 2, MEMORY_FAST, least - MIB, theta);
    size_t fast = named(&w.error, "`memory: fast` needs ");
    cr_expect_gt(fast, least);
    cr_expect_eq(named(&w.error, "`memory: auto`, which needs "), least);
    cr_expect_eq(fit_within(&job, 2, MEMORY_FAST, fast, theta).rc, 0);
    cr_expect_eq(fit_within(&job, 2, MEMORY_FAST, fast - MIB, theta).rc, ERR_NOMEM);
    free(theta);
}

Test(trainer_memory, says_when_memory_does_not_suffice)
{
    toy_open(&toy, 40, 2, 0);
    struct train_job job = toy_job(&toy);
    struct train_result r;
    struct score score;
    struct err e;
    struct trainer *t;
    float *theta = malloc(toy.count * sizeof *theta);
    memcpy(theta, toy.theta, toy.count * sizeof *theta);
    const struct memory memory = {.limit = 64 << 10};
    int rc = trainer_open(&t, 2, &memory, &e);
    if (!rc) {
        rc = trainer_fit(t, &job, theta, &r, &e);
        cr_assert_arr_eq(theta, toy.theta, toy.count * sizeof *theta);
        cr_assert_eq(score_all(t, theta, &score, &e), ERR_NOMEM);
        trainer_close(t);
    }
    cr_assert_eq(rc, ERR_NOMEM);
    free(theta);
}

static bool as_it_is(struct st_out *t, float *x)
{
    (void)t;
    (void)x;
    return true;
}

/* Trains toy's model, whose weights are `as`, and the model in `dir`, which holds the same in F32:
 * to the same bits, whatever the threads and whatever is recomputed; and what products need beside
 * the activations is part of the limit. */
static void expect_same_training(enum stored_as as, const char *dir)
{
    struct err e;
    struct train_result r;
    struct train_job job = toy_job(&toy);
    struct toy same = toy;
    same.model = int8_open(dir);
    cr_assert_eq(toy.model->layer[0].lin[LIN_QUERY].W.as, as);
    cr_assert(same.model->word.as == STORED_REAL && toy.model->word.as == STORED_F16);
    cr_assert_eq(peft_open(&same.peft, same.model, &toy.spec, &toy.local, HEAD_SEQUENCE, 2, &e), 0,
                 "%s", e.text);
    const struct train_job job_of_same = toy_job(&same);
    float *want = toy_fit(&same, &job_of_same, 2, &r);
    float *theta = malloc(toy.count * sizeof *theta);
    for (unsigned threads = 1; threads <= 2; threads++)
        for (int mode = MEMORY_AUTO; mode <= MEMORY_FAST; mode++) {
            size_t needed = fit_within(&job, threads, mode, 0, theta).peak;
            cr_expect_arr_eq(theta, want, toy.count * sizeof *theta, "%u threads, mode %d", threads,
                             mode);
            if (threads == 1) {
                cr_expect_eq(fit_within(&job, 1, mode, needed, theta).rc, 0);
                cr_expect_eq(fit_within(&job, 1, MEMORY_FAST, needed - 1, theta).rc, ERR_NOMEM);
            }
        }
    free(want);
    free(theta);
    peft_close(same.peft);
    model_close(same.model);
}

Test(trainer_memory, a_model_in_half_precision_trains_to_the_same_bits)
{
    char dir[] = "/tmp/fedpet-half-XXXXXX";
    scratch_make(dir);
    toy_open_as(&toy, DTYPE_F16, 4, 60, 2, 0.1);
    scratch_copy(toy.dir, dir, "config.json");
    scratch_tensors(toy.dir, dir, "model.safetensors", as_it_is);
    expect_same_training(STORED_F16, dir);
    scratch_remove(dir);
}

Test(trainer_memory, a_model_in_int8_trains_to_the_bits_of_its_products)
{
    char dir[] = "/tmp/fedpet-int8-XXXXXX", int8[SCRATCH_PATH];
    struct err e;
    scratch_make(dir);
    scratch_path(int8, dir, "int8");
    toy_open_as(&toy, DTYPE_F32, 4, 60, 2, 0.1);
    int8_make(toy.dir, int8);
    peft_close(toy.peft);
    model_close(toy.model);
    toy.model = int8_open(int8);
    cr_assert_eq(peft_open(&toy.peft, toy.model, &toy.spec, &toy.local, HEAD_SEQUENCE, 2, &e), 0,
                 "%s", e.text);
    int8_write_reals(toy.model, dir);
    expect_same_training(STORED_INT8, dir);
    scratch_remove(dir);
}
