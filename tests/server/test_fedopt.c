#include "base/rng.h"
#include "server/aggregate.h"
#include "server/fedopt.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { N = 257, ROUNDS = 40 };

static const enum server_optimizer kinds[] = {SERVER_FEDAVG, SERVER_FEDAVGM, SERVER_FEDADAGRAD,
                                              SERVER_FEDADAM, SERVER_FEDYOGI};
enum { KINDS = sizeof kinds / sizeof *kinds };

static struct federation_spec settings(enum server_optimizer kind, double lr, double beta1,
                                       double beta2, double tau)
{
    return (struct federation_spec){.optimizer = kind,
                                    .server_lr = lr,
                                    .server_beta1 = beta1,
                                    .server_beta2 = beta2,
                                    .server_tau = tau};
}

/* Two rounds with one parameter, whose means lie `delta` away from it. */
static void two_steps(const struct federation_spec *f, const float delta[2], float out[2])
{
    const struct fedopt *o = fedopt_find(f->optimizer);
    double state[2];
    float now = 1;
    fedopt_begin(o, f, state, 1);
    for (int i = 0; i < 2; i++) {
        struct err e = {0};
        float mean = now + delta[i];
        cr_assert_eq(fedopt_step(o, f, state, &now, &mean, 1, &e), 0, "%s", e.text);
        out[i] = mean - now;
        now = mean;
    }
}

Test(fedopt, fedavgm_by_hand)
{
    struct federation_spec f = settings(SERVER_FEDAVGM, 2, 0.5, 0, 0.001);
    float step[2];
    two_steps(&f, (float[]){1, -1}, step);
    cr_assert_eq(step[0], 2.0F);  /* m = 1 */
    cr_assert_eq(step[1], -1.0F); /* m = 1/2 - 1 */
}

Test(fedopt, fedadagrad_by_hand)
{
    struct federation_spec f = settings(SERVER_FEDADAGRAD, 8, 0.5, 0.9, 3);
    float step[2];
    two_steps(&f, (float[]){4, 12}, step);
    cr_assert_eq(step[0], 2.0F); /* m = 2, v = 9 + 16: 8 * 2 / (5 + 3) */
    cr_assert_eq(step[1], 3.5F); /* m = 7, v = 25 + 144: 8 * 7 / (13 + 3) */
}

Test(fedopt, fedadam_by_hand)
{
    struct federation_spec f = settings(SERVER_FEDADAM, 12, 0.5, 0.5, 1);
    float step[2];
    two_steps(&f, (float[]){7, -5}, step);
    cr_assert_eq(step[0], 7.0F);  /* m = 3.5, v = (1 + 49) / 2: 12 * 3.5 / (5 + 1) */
    cr_assert_eq(step[1], -1.5F); /* m = 1.75 - 2.5, v = (25 + 25) / 2 */
}

Test(fedopt, fedyogi_by_hand)
{
    struct federation_spec f = settings(SERVER_FEDYOGI, 8, 0.5, 0.5, 1);
    float step[2];
    two_steps(&f, (float[]){4, 2}, step);
    cr_assert_eq(step[0], 4.0F); /* m = 2, v = 1 + 16 / 2: 8 * 2 / (3 + 1) */
    /* m = 2, and 4 is below 9: v = 9 - 4 / 2 */
    cr_assert_float_eq(step[1], 8 * 2 / (sqrt(7) + 1), 1e-6);
}

/* Reddi et al. 2021, algorithm 2, and Hsu et al. 2019, written over whole vectors. */
struct reference {
    double x[N], m[N], v[N];
};

static void second_moment(struct reference *r, const struct federation_spec *f, const double *delta)
{
    double b2 = f->server_beta2;
    for (int i = 0; i < N; i++) {
        double d2 = delta[i] * delta[i];
        if (f->optimizer == SERVER_FEDADAGRAD)
            r->v[i] = r->v[i] + d2;
        else if (f->optimizer == SERVER_FEDADAM)
            r->v[i] = b2 * r->v[i] + (1 - b2) * d2;
        else if (r->v[i] > d2)
            r->v[i] = r->v[i] - (1 - b2) * d2;
        else if (r->v[i] < d2)
            r->v[i] = r->v[i] + (1 - b2) * d2;
    }
}

static void reference_step(struct reference *r, const struct federation_spec *f, const float *mean)
{
    double delta[N], b1 = f->server_beta1;
    for (int i = 0; i < N; i++)
        delta[i] = (double)mean[i] - r->x[i];
    second_moment(r, f, delta);
    for (int i = 0; i < N; i++) {
        double step = delta[i];
        if (f->optimizer == SERVER_FEDAVGM) {
            r->m[i] = b1 * r->m[i] + delta[i];
            step = f->server_lr * r->m[i];
        } else if (f->optimizer != SERVER_FEDAVG) {
            r->m[i] = b1 * r->m[i] + (1 - b1) * delta[i];
            step = f->server_lr * r->m[i] / (sqrt(r->v[i]) + f->server_tau);
        }
        r->x[i] = (float)(r->x[i] + step); /* parameters are floats between rounds */
    }
}

static void follow(enum server_optimizer kind, struct rng *rng)
{
    static struct reference r;
    static double state[2 * N];
    float now[N], mean[N];
    struct federation_spec f =
        settings(kind, 0.01 + rng_uniform(rng), 0.95 * rng_uniform(rng), 0.99 * rng_uniform(rng),
                 pow(10, -1 - 4 * rng_uniform(rng)));
    const struct fedopt *o = fedopt_find(kind);
    fedopt_begin(o, &f, state, N);
    for (int i = 0; i < N; i++) {
        now[i] = (float)rng_normal(rng);
        r.x[i] = (double)now[i];
        r.m[i] = 0;
        r.v[i] = f.server_tau * f.server_tau;
    }
    for (int round = 0; round < ROUNDS; round++) {
        struct err e = {0};
        for (int i = 0; i < N; i++)
            mean[i] = now[i] + (float)(rng_normal(rng) * pow(10, i % 5 - 4));
        reference_step(&r, &f, mean);
        cr_assert_eq(fedopt_step(o, &f, state, now, mean, N, &e), 0, "%s", e.text);
        for (int i = 0; i < N; i++)
            cr_assert_float_eq((double)mean[i], r.x[i], 1e-9 + 1e-6 * fabs(r.x[i]),
                               "%s, round %d, value %d: %a, not %a", o->name, round, i,
                               (double)mean[i], r.x[i]);
        memcpy(now, mean, sizeof now);
        for (int i = 0; i < N; i++) /* a last bit of difference must not grow with the rounds */
            r.x[i] = (double)now[i];
    }
}

Test(fedopt, every_optimiser_follows_its_paper)
{
    struct rng rng = rng_stream(11, 0, 0, RNG_TEST);
    for (int k = 0; k < KINDS; k++)
        for (int trial = 0; trial < 5; trial++)
            follow(kinds[k], &rng);
}

Test(fedopt, the_table_names_each_as_the_configuration_does)
{
    static const char *const names[] = {"fedavg", "fedavgm", "fedadagrad", "fedadam", "fedyogi"};
    for (int k = 0; k < KINDS; k++) {
        cr_assert_str_eq(fedopt_find(kinds[k])->name, names[k]);
        cr_assert_eq(fedopt_find(kinds[k])->vectors, k == 0 ? 0 : k == 1 ? 1 : 2);
    }
}

Test(fedopt, a_rate_of_zero_is_the_optimisers_own)
{
    static const double own[KINDS] = {0, 1, 0.01, 0.01, 0.01};
    for (int k = 1; k < KINDS; k++) {
        struct federation_spec none = settings(kinds[k], 0, 0.5, 0.5, 1),
                               given = settings(kinds[k], own[k], 0.5, 0.5, 1);
        float a[2], b[2];
        two_steps(&none, (float[]){0.25F, -0.5F}, a);
        two_steps(&given, (float[]){0.25F, -0.5F}, b);
        cr_expect(a[0] != 0 && a[0] == b[0] && a[1] == b[1], "optimiser %d", k);
    }
}

Test(fedopt, fedavg_is_the_mean_to_the_bit)
{
    struct federation_spec f = settings(SERVER_FEDAVG, 0.01, 0.9, 0.99, 0.001);
    const float now[] = {1, 2, 3}, want[] = {0.1F, -0.0F, 0x1p-130F};
    float mean[3];
    memcpy(mean, want, sizeof mean);
    cr_assert_eq(fedopt_step(&fedopt_fedavg, &f, NULL, now, mean, 3, NULL), 0);
    cr_assert_arr_eq(mean, want, sizeof mean);
}

Test(fedopt, a_step_out_of_range_is_refused)
{
    struct federation_spec f = settings(SERVER_FEDAVGM, 1e6, 0.9, 0.99, 0.001);
    double state[1] = {0};
    const double bad[] = {INFINITY, NAN, -1e300};
    struct err e = {0};
    float mean = 3;
    cr_assert_eq(fedopt_step(&fedopt_fedavgm, &f, state, &(float){1}, &mean, 1, &e), ERR_STATE);
    cr_assert_not_null(strstr(e.text, "fedavgm"), "%s", e.text);
    cr_assert_not_null(strstr(e.text, "federation.server_lr"), "%s", e.text);
    for (int i = 0; i < 3; i++) {
        mean = 1;
        state[0] = bad[i];
        cr_assert_eq(fedopt_step(&fedopt_fedavgm, &f, state, &(float){1}, &mean, 1, NULL),
                     ERR_STATE);
    }
    f.server_lr = 1;
    state[0] = 0;
    mean = 0x1.fffffep19F; /* the largest that the aggregator takes */
    cr_assert_eq(fedopt_step(&fedopt_fedavgm, &f, state, &(float){0}, &mean, 1, NULL), 0);
}
