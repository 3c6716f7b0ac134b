/* FedProx and SCAFFOLD: the corrections by themselves, and in training. */
#include "client/drift.h"
#include "tests/client/toy.h"
#include "tests/greater.h"
#include <criterion/criterion.h>
#include <math.h>

/* --- the formulas, on a schema with every scope --------------------------------------------- */

enum { EACH = 3, N = 5 * EACH, TRAVELLING = 2 * EACH };

static void five_scopes(struct schema *s)
{
    static const char *const name[] = {"global", "group", "local", "frozen", "derived"};
    const int64_t dim[] = {EACH};
    struct err e;
    schema_init(s);
    for (int k = 0; k < 5; k++)
        cr_assert_eq(schema_add(s, name[k], (enum scope)k, true, 1, dim, &e), 0);
    schema_seal(s);
}

static void fill(float *x, uint32_t stream)
{
    struct rng r = rng_stream(21, stream, 0, RNG_TEST);
    for (int i = 0; i < N; i++)
        x[i] = (float)rng_normal(&r);
}

Test(drift, follows_the_formulas_on_what_travels)
{
    enum { STEPS = 5 };
    const double mu = 0.3;
    struct schema schema;
    struct drift d;
    struct err e;
    float start[N], server[N], own[N], before[N], change[N], theta[N], grad[N], plain[N];
    double weighted[N] = {0}, weight = 0;
    five_scopes(&schema);
    fill(start, 1);
    fill(server, 2);
    fill(own, 3);
    memcpy(before, own, sizeof own);
    cr_assert_eq(drift_open(&d, &schema, mu, start, server, own, &e), 0);
    for (uint32_t k = 0; k < STEPS; k++) {
        double lr = 0.1 * k; /* the first step warms up */
        fill(theta, 10 + k);
        fill(grad, 20 + k);
        memcpy(plain, grad, sizeof grad);
        drift_correct(&d, theta, grad, lr);
        weight += lr;
        for (int i = 0; i < N; i++) {
            double want = plain[i];
            weighted[i] += lr * plain[i];
            if (i < TRAVELLING)
                want += (double)server[i] - own[i] + mu * ((double)theta[i] - start[i]);
            cr_assert_float_eq(grad[i], want, 1e-6, "step %u, value %d", k, i);
        }
    }
    drift_finish(&d, own, change);
    for (int i = 0; i < N; i++) {
        double want = i < TRAVELLING ? weighted[i] / weight : before[i];
        cr_assert_float_eq(own[i], want, 1e-6);
        cr_assert_float_eq(change[i], want - before[i], 1e-6);
    }
    drift_close(&d);
    schema_release(&schema);
}

Test(drift, learns_nothing_from_steps_that_do_not_move)
{
    struct schema schema;
    struct drift d;
    struct err e;
    float zero[N] = {0}, own[N], before[N], change[N], grad[N];
    five_scopes(&schema);
    fill(own, 3);
    fill(grad, 4);
    memcpy(before, own, sizeof own);
    cr_assert_eq(drift_open(&d, &schema, 0, zero, zero, own, &e), 0);
    drift_correct(&d, zero, grad, 0);
    drift_finish(&d, own, change);
    cr_assert_arr_eq(own, before, sizeof own);
    cr_assert_arr_eq(change, zero, sizeof change);
    drift_close(&d);
    schema_release(&schema);
}

Test(drift, is_nothing_when_not_asked_for)
{
    struct schema schema;
    struct drift d;
    struct err e;
    float theta[N], start[N], grad[N], same[N];
    five_scopes(&schema);
    fill(theta, 1);
    fill(start, 2);
    fill(grad, 3);
    memcpy(same, grad, sizeof same);
    cr_assert_eq(drift_open(&d, &schema, 0, start, NULL, NULL, &e), 0);
    drift_correct(&d, theta, grad, 0.1);
    cr_assert_arr_eq(grad, same, sizeof grad);
    drift_close(&d);
    schema_release(&schema);
}

/* --- training: plain SGD on the whole data set, so that a step is known from another --------- */

enum { EXAMPLES = 24, ROUNDS = 2 };
static struct toy toy;

static void setup(void)
{
    toy_open(&toy, EXAMPLES, 2, 0);
    toy.local.optimizer = OPTIMIZER_SGD;
    toy.local.schedule = SCHEDULE_CONSTANT;
    toy.local.max_grad_norm = 0;
    toy.local.batch_size = EXAMPLES;
    toy.local.lr = 0.05;
}

static void fini(void)
{
    toy_close(&toy);
}

TestSuite(drift_training, .init = setup, .fini = fini);

static float *fit(uint32_t steps, double mu, uint32_t rounds, double *loss)
{
    struct train_job job = toy_job(&toy);
    struct train_result r;
    toy.local.steps = steps;
    toy.local.proximal = mu;
    job.rounds = rounds;
    float *theta = toy_fit(&toy, &job, 2, &r);
    *loss = r.loss;
    return theta;
}

static double distance(const float *a, const float *b)
{
    double sum = 0;
    for (size_t i = 0; i < toy.count; i++)
        sum += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    return sqrt(sum);
}

Test(drift_training, fedprox_pulls_back_to_the_start)
{
    const double mu = 2;
    double loss, plain_loss;
    float *one = fit(1, mu, ROUNDS, &loss), *two = fit(2, mu, ROUNDS, &loss);
    float *plain = fit(2, 0, ROUNDS, &plain_loss), *alone = fit(2, mu, 0, &loss);
    double worst = 0;
    for (size_t i = 0; i < toy.count; i++) {
        double pull = mu * ((double)one[i] - toy.theta[i]);
        worst = greater(worst, fabs(two[i] - (plain[i] - toy.local.lr * pull)));
    }
    cr_assert_gt(distance(plain, two), 1e-4);
    cr_assert_lt(worst, 1e-6, "off by %g", worst);
    cr_assert_eq(loss, plain_loss, "the loss is the task's");
    cr_assert_eq(distance(alone, plain), 0, "no federation, no pull");
    free(one);
    free(two);
    free(plain);
    free(alone);
}

Test(drift_training, the_stronger_the_pull_the_nearer)
{
    double loss, last = INFINITY;
    for (double mu = 0; mu < 20; mu = 3 * mu + 1) {
        float *theta = fit(20, mu, ROUNDS, &loss);
        double d = distance(theta, toy.theta);
        cr_assert_lt(d, last, "mu %g: %g away, after %g", mu, d, last);
        last = d;
        free(theta);
    }
    cr_assert_lt(last, 0.1);
}

/* One round of a client with control variates that are not zero. */
static float *scaffold(uint32_t steps, unsigned threads, const float *server, float *own,
                       float *change)
{
    struct local_state state = {.control = own};
    struct train_job job = toy_job(&toy);
    struct train_result r;
    toy.local.steps = steps;
    toy.local.proximal = 0;
    job.rounds = ROUNDS;
    job.state = &state;
    job.control = server;
    job.control_change = change;
    return toy_fit(&toy, &job, threads, &r);
}

Test(drift_training, scaffold_is_option_2_of_the_paper)
{
    enum { STEPS = 4 };
    size_t n = toy.count;
    float *server = calloc(n, sizeof *server), *own = calloc(n, sizeof *own);
    float *before = calloc(n, sizeof *before), *change = calloc(n, sizeof *change);
    struct rng r = rng_stream(5, 0, 0, RNG_TEST);
    double loss, worst = 0;
    for (size_t i = 0; i < n; i++) {
        server[i] = (float)(0.1 * rng_normal(&r));
        before[i] = (float)(0.1 * rng_normal(&r));
    }
    float *plain = fit(1, 0, ROUNDS, &loss);
    memcpy(own, before, n * sizeof *own);
    float *one = scaffold(1, 1, server, own, change);
    for (size_t i = 0; i < n; i++) {
        double want = plain[i] - toy.local.lr * ((double)server[i] - before[i]);
        worst = greater(worst, fabs(one[i] - want));
    }
    cr_assert_lt(worst, 1e-6, "the first step is off by %g", worst);
    memcpy(own, before, n * sizeof *own);
    float *y = scaffold(STEPS, 1, server, own, change);
    worst = 0;
    for (size_t i = 0; i < n; i++) {
        double moved = ((double)toy.theta[i] - y[i]) / (STEPS * toy.local.lr);
        double want = (double)before[i] - server[i] + moved;
        worst = greater(worst, fabs(own[i] - want));
        cr_assert_float_eq(change[i], (double)own[i] - before[i], 1e-6);
    }
    cr_assert_lt(worst, 1e-5, "the control variate is off by %g", worst);
    free(plain);
    free(one);
    free(y);
    free(server);
    free(own);
    free(before);
    free(change);
}

Test(drift_training, scaffold_has_the_same_bits_for_any_threads)
{
    size_t bytes = toy.count * sizeof(float);
    float *server = calloc(1, bytes), *own = calloc(1, bytes), *change = calloc(1, bytes);
    float *other_own = calloc(1, bytes), *other_change = calloc(1, bytes);
    toy.local.optimizer = OPTIMIZER_ADAMW;
    toy.local.max_grad_norm = 1;
    toy.local.batch_size = 5;
    server[0] = own[1] = other_own[1] = 0.5f;
    float *one = scaffold(6, 1, server, own, change);
    float *three = scaffold(6, 3, server, other_own, other_change);
    cr_assert_arr_eq(one, three, bytes);
    cr_assert_arr_eq(own, other_own, bytes);
    cr_assert_arr_eq(change, other_change, bytes);
    free(one);
    free(three);
    free(server);
    free(own);
    free(change);
    free(other_own);
    free(other_change);
}

/* --- the schedule over a run ---------------------------------------------------------------- */

static double seen_lr[16];
static uint32_t seen;

static void note_lr(const struct train_progress *p, void *ctx)
{
    (void)ctx;
    seen_lr[seen++] = p->lr;
}

static void expect_lr(uint32_t round, const double *want)
{
    struct train_job job = toy_job(&toy);
    struct train_result r;
    job.round = round;
    job.rounds = ROUNDS;
    job.progress = note_lr;
    seen = 0;
    free(toy_fit(&toy, &job, 1, &r));
    cr_assert_eq(seen, 4);
    for (uint32_t s = 0; s < seen; s++)
        cr_assert_float_eq(seen_lr[s], want[s], 1e-15, "round %u, step %u: %g, not %g", round, s,
                           seen_lr[s], want[s]);
}

Test(drift_training, the_schedule_restarts_or_spans_the_run)
{
    static const double restarts[] = {0, 6, 4, 2};          /* a warm-up of 1 step of 4 */
    static const double spans[] = {0, 3, 6, 5, 4, 3, 2, 1}; /* of 2 steps of 8 */
    toy.local.steps = 4;
    toy.local.lr = 6;
    toy.local.warmup = 0.25;
    toy.local.schedule = SCHEDULE_LINEAR;
    toy.local.max_grad_norm = 1e-9; /* such rates would lead far away */
    expect_lr(0, restarts);
    expect_lr(1, restarts);
    toy.local.decay_over_run = true;
    expect_lr(0, spans);
    expect_lr(1, spans + 4);
}

/* --- an optimiser that goes on -------------------------------------------------------------- */

static float *two_rounds(bool carry)
{
    struct run_spec spec = {.local = toy.local};
    struct local_state state;
    struct err e;
    struct trainer *t;
    struct train_result r;
    float *theta = malloc(toy.count * sizeof *theta);
    spec.local.carry_optimizer = carry;
    memcpy(theta, toy.theta, toy.count * sizeof *theta);
    cr_assert_eq(local_state_needed(&spec), carry);
    cr_assert_eq(local_state_open(&state, &spec, toy.count, &e), 0);
    cr_assert_eq(trainer_open(&t, 1, NULL, &e), 0);
    for (uint32_t round = 0; round < 2; round++) {
        struct train_job job = toy_job(&toy);
        job.round = round;
        job.state = &state;
        cr_assert_eq(trainer_fit(t, &job, theta, &r, &e), 0, "%s", e.text);
    }
    cr_assert_eq(state.step, carry ? 6 : 0);
    trainer_close(t);
    local_state_close(&state);
    return theta;
}

Test(drift_training, a_carried_optimiser_does_not_notice_the_round)
{
    double loss;
    toy.local.optimizer = OPTIMIZER_ADAMW;
    toy.local.lr = 0.003;
    float *at_once = fit(6, 0, 0, &loss);
    toy.local.steps = 3;
    float *carried = two_rounds(true), *fresh = two_rounds(false);
    cr_assert_lt(distance(carried, at_once), 1e-4, "%g", distance(carried, at_once));
    cr_assert_gt(distance(fresh, at_once), 1e-2, "%g", distance(fresh, at_once));
    free(at_once);
    free(carried);
    free(fresh);
}

Test(drift_training, a_failed_job_leaves_the_state_alone)
{
    struct run_spec spec = {.local = toy.local};
    struct train_job job = toy_job(&toy);
    struct local_state state, before;
    struct train_result r;
    struct trainer *t;
    struct err e;
    const atomic_bool cancel = true;
    spec.local.optimizer = toy.local.optimizer = OPTIMIZER_ADAMW;
    spec.local.carry_optimizer = true;
    spec.federation.scaffold = true;
    cr_assert_eq(local_state_open(&state, &spec, toy.count, &e), 0);
    cr_assert_eq(local_state_open(&before, &spec, toy.count, &e), 0);
    state.m[0] = state.v[1] = state.control[2] = 1;
    state.step = 7;
    local_state_copy(&before, &state);
    float *control = calloc(toy.count, sizeof *control), *change = calloc(toy.count, 4);
    float *theta = malloc(toy.count * sizeof *theta);
    memcpy(theta, toy.theta, toy.count * sizeof *theta);
    job.rounds = ROUNDS;
    job.state = &state;
    job.control = control;
    job.control_change = change;
    job.cancel = &cancel;
    cr_assert_eq(trainer_open(&t, 1, NULL, &e), 0);
    cr_assert_eq(trainer_fit(t, &job, theta, &r, &e), ERR_STATE);
    cr_assert_eq(state.step, 7);
    cr_assert_eq(state.size, 3 * toy.count);
    cr_assert_arr_eq(state.values, before.values, state.size * sizeof *state.values);
    local_state_clear(&state);
    cr_assert(state.step == 0 && state.m[0] == 0 && state.v[1] == 0 && state.control[2] == 0);
    trainer_close(t);
    local_state_close(&state);
    local_state_close(&before);
    free(theta);
    free(control);
    free(change);
}
