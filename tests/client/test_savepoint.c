/* A training that was interrupted at any step boundary ends with the bits of one that was not. */
#include "base/file.h"
#include "client/savepoint.h"
#include "tests/client/toy.h"
#include <criterion/criterion.h>

enum { STEPS = 7, COUNT_MAX = 20000 };

static struct toy toy;
static struct savepoint point;
static atomic_bool stop;
static uint32_t stop_after;

static void fini(void)
{
    if (point.path[0])
        unlink(point.path);
    toy_close(&toy);
}

TestSuite(savepoint, .fini = fini);

static void open_point(double every_s, const char *name)
{
    struct err e;
    cr_assert_eq(savepoint_open(&point, toy.dir, every_s, json_pack("{s:s}", "name", name), &e), 0);
}

static void stop_at(const struct train_progress *p, void *ctx)
{
    (void)ctx;
    if (p->step == stop_after)
        atomic_store(&stop, true);
}

/* A federated round with all that a client can carry: 2 epochs of 4 steps, but the last. */
static void prepare(struct toy *t, const char *method, struct train_job *job, struct run_spec *spec,
                    float *control)
{
    bool frozen = strcmp(method, "head") == 0; /* all of the encoder, which so encodes once */
    toy_open(t, 100, 2, frozen ? 0 : 0.1);
    toy_use(t, method);
    t->local.steps = STEPS;
    t->local.proximal = 0.01;
    *spec = (struct run_spec){.local.carry_optimizer = true, .federation.scaffold = true};
    cr_assert_lt(t->count, COUNT_MAX);
    for (size_t i = 0; i < t->count; i++)
        control[i] = 0.001F * (float)(i % 7) - 0.003F;
    *job = toy_job(t);
    job->rounds = 3;
    job->control = control;
}

static void check(const char *method, enum optimizer optimizer)
{
    static float control[COUNT_MAX], change[2][COUNT_MAX];
    struct run_spec spec;
    struct local_state state[2];
    struct train_job job;
    struct train_result whole, parts;
    struct trainer *trainer;
    struct err e;
    prepare(&toy, method, &job, &spec, control);
    toy.local.optimizer = spec.local.optimizer = optimizer;
    for (int k = 0; k < 2; k++)
        cr_assert_eq(local_state_open(&state[k], &spec, toy.count, &e), 0);
    job.state = &state[0];
    job.control_change = change[0];
    float *expected = toy_fit(&toy, &job, 2, &whole);

    cr_assert_eq(trainer_open(&trainer, 2, NULL, &e), 0);
    job.state = &state[1];
    job.control_change = change[1];
    job.progress = stop_at;
    job.cancel = &stop;
    job.savepoint = &point;
    float *theta = malloc(toy.count * sizeof *theta);
    for (stop_after = 1; stop_after <= STEPS; stop_after += 2) { /* a life for two steps */
        memcpy(theta, toy.theta, toy.count * sizeof *theta);
        atomic_store(&stop, false);
        open_point(3600, "a");
        int rc = trainer_fit(trainer, &job, theta, &parts, &e);
        cr_assert_eq(rc, stop_after < STEPS ? ERR_STATE : 0, "%s", e.text);
        cr_assert_eq(file_exists(point.path), true);
        savepoint_close(&point);
    }
    cr_assert_arr_eq(theta, expected, toy.count * sizeof *theta);
    cr_assert_arr_eq(change[1], change[0], toy.count * sizeof *theta);
    cr_assert_arr_eq(state[1].values, state[0].values, state[0].size * sizeof(float));
    cr_assert_eq(state[1].step, state[0].step);
    cr_assert_eq(parts.loss, whole.loss);
    cr_assert_eq(parts.tokens, whole.tokens);
    cr_assert_eq(parts.steps, STEPS);
    savepoint_remove(&point);
    cr_assert_not(file_exists(point.path));
    trainer_close(trainer);
    for (int k = 0; k < 2; k++)
        local_state_close(&state[k]);
    free(expected);
    free(theta);
}

Test(savepoint, the_bits_are_those_of_an_undisturbed_training)
{
    check("lora", OPTIMIZER_ADAMW);
}

Test(savepoint, without_moments_too)
{
    check("lora", OPTIMIZER_SGD);
}

Test(savepoint, what_a_frozen_encoder_makes_is_made_again)
{
    check("head", OPTIMIZER_ADAMW);
}

/* Trains from what lies in the folder; returns after how many steps of its own it was done. */
static uint32_t life_steps;
static void count_steps(const struct train_progress *p, void *ctx)
{
    (void)ctx;
    (void)p;
    life_steps++;
}

static void interrupt_after(uint32_t steps, const char *name)
{
    struct train_job job = toy_job(&toy);
    struct train_result r;
    struct trainer *trainer;
    struct err e;
    float *theta = malloc(toy.count * sizeof *theta);
    memcpy(theta, toy.theta, toy.count * sizeof *theta);
    cr_assert_eq(trainer_open(&trainer, 1, NULL, &e), 0);
    open_point(3600, name);
    stop_after = steps;
    atomic_store(&stop, false);
    job.progress = stop_at;
    job.cancel = &stop;
    job.savepoint = &point;
    cr_assert_eq(trainer_fit(trainer, &job, theta, &r, &e), ERR_STATE);
    savepoint_close(&point);
    trainer_close(trainer);
    free(theta);
}

static uint32_t go_on(const char *name)
{
    struct train_job job = toy_job(&toy);
    struct train_result r;
    open_point(3600, name);
    job.progress = count_steps;
    job.savepoint = &point;
    life_steps = 0;
    free(toy_fit(&toy, &job, 1, &r));
    savepoint_close(&point);
    return life_steps;
}

Test(savepoint, of_another_training_or_damaged_is_not_used)
{
    char *bytes;
    size_t len;
    toy_open(&toy, 60, 2, 0);
    toy.local.steps = 5;
    interrupt_after(3, "a");
    cr_expect_eq(go_on("b"), 5);
    interrupt_after(4, "a"); /* goes on after the third, and is stopped after the fourth */
    cr_expect_eq(go_on("a"), 1);
    cr_assert_eq(file_read(point.path, 1 << 24, &bytes, &len, NULL), 0);
    bytes[len / 2] ^= 1;
    cr_assert_eq(file_write(point.path, bytes, len, 0600, NULL), 0);
    cr_expect_eq(go_on("a"), 5);
    cr_assert_eq(file_write(point.path, bytes, len / 2, 0600, NULL), 0);
    cr_expect_eq(go_on("a"), 5);
    free(bytes);
}

Test(savepoint, is_written_rarely_and_never_when_not_wanted)
{
    struct checkpoint_part part = {&life_steps, sizeof life_steps};
    toy_open(&toy, 1, 2, 0);
    open_point(0, "a");
    cr_assert_not(savepoint_due(&point));
    savepoint_write(&point, &part, 1);
    cr_assert_not(file_exists(point.path));
    savepoint_close(&point);
    open_point(1e-9, "a");
    cr_assert(savepoint_due(&point));
    savepoint_write(&point, &part, 1);
    cr_assert(file_exists(point.path));
    cr_assert_not(savepoint_due(&point)); /* a hundred times as long as the writing took */
    savepoint_close(&point);
    rmdir(toy.dir);
    open_point(1e-9, "a");
    snprintf(point.path, sizeof point.path, "%s/not/there", toy.dir);
    savepoint_write(&point, &part, 1); /* said, and that is all */
    cr_assert(point.failed);
    savepoint_close(&point);
    snprintf(point.path, sizeof point.path, "%s/" SAVEPOINT_FILE, toy.dir);
}
