/* SCAFFOLD as a whole, the client's half and the server's, against the paper's algorithm in double:
 * clients whose losses are quadratic and disagree about where the minimum is. */
#include "base/rng.h"
#include "client/drift.h"
#include "nn/optim.h"
#include "server/aggregate.h"
#include "server/scaffold.h"
#include "server/select.h"
#include "tests/greater.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { CLIENTS = 8, SELECTED = 3, DIM = 6, STEPS = 10 };

/* Client k's loss: sum over i of curve[k][i] / 2 * (x[i] - centre[k][i])^2. */
static double curve[CLIENTS][DIM], centre[CLIENTS][DIM];

static void make_losses(void)
{
    struct rng r = rng_stream(8, 0, 0, RNG_TEST);
    for (int k = 0; k < CLIENTS; k++)
        for (int i = 0; i < DIM; i++) {
            curve[k][i] = 0.2 + 1.8 * rng_uniform(&r);
            centre[k][i] = 2 * rng_normal(&r);
        }
}

TestSuite(scaffold_run, .init = make_losses);

/* --- algorithm 1 of the paper with option II, in double ------------------------------------- */

struct naive {
    double x[DIM], c[DIM], own[CLIENTS][DIM];
};

static void naive_round(struct naive *n, const uint32_t *selected, const double *lr)
{
    double dx[DIM] = {0}, dc[DIM] = {0}, total = 0;
    for (int s = 0; s < STEPS; s++)
        total += lr[s];
    for (int j = 0; j < SELECTED; j++) {
        uint32_t k = selected[j];
        for (int i = 0; i < DIM; i++) {
            double y = n->x[i], before = n->own[k][i];
            for (int s = 0; s < STEPS; s++)
                y -= lr[s] * (curve[k][i] * (y - centre[k][i]) - before + n->c[i]);
            n->own[k][i] = before - n->c[i] + (n->x[i] - y) / total;
            dx[i] += (y - n->x[i]) / SELECTED;
            dc[i] += n->own[k][i] - before;
        }
    }
    for (int i = 0; i < DIM; i++) {
        n->x[i] += dx[i];
        n->c[i] += dc[i] / CLIENTS;
    }
}

/* --- the same with our parts ---------------------------------------------------------------- */

struct ours {
    struct schema schema;
    struct local_spec local;
    struct scaffold server;
    double c[DIM];
    float x[DIM], own[CLIENTS][DIM];
};

static void ours_open(struct ours *o, bool decay)
{
    *o = (struct ours){.local = {.optimizer = OPTIMIZER_SGD,
                                 .schedule = decay ? SCHEDULE_LINEAR : SCHEDULE_CONSTANT,
                                 .lr = 0.1}};
    schema_init(&o->schema);
    cr_assert_eq(schema_add(&o->schema, "x", SCOPE_GLOBAL, true, 1, (const int64_t[]){DIM}, NULL),
                 0);
    schema_seal(&o->schema);
    cr_assert_eq(scaffold_open(&o->server, &o->schema, CLIENTS, o->c, NULL), 0);
}

static void ours_close(struct ours *o)
{
    scaffold_close(&o->server);
    schema_release(&o->schema);
}

/* Client k trains y from o->x; says how its control variate changed. */
static void train(struct ours *o, uint32_t k, bool corrected, float *y, float *change)
{
    struct optim optim;
    struct drift drift;
    float control[DIM], grad[DIM];
    struct msg_bytes sent = scaffold_control(&o->server);
    cr_assert_eq(tensorset_unpack(&o->schema, sent.data, sent.len, control, NULL), 0);
    cr_assert_eq(optim_open(&optim, &o->schema, &o->local, NULL), 0);
    cr_assert_eq(drift_open(&drift, &o->schema, 0, o->x, corrected ? control : NULL,
                            corrected ? o->own[k] : NULL, NULL),
                 0);
    memcpy(y, o->x, sizeof o->x);
    for (uint32_t s = 0; s < STEPS; s++) {
        double lr = lr_at(&o->local, s, STEPS);
        for (int i = 0; i < DIM; i++)
            grad[i] = (float)(curve[k][i] * (y[i] - centre[k][i]));
        drift_correct(&drift, y, grad, lr);
        optim_step(&optim, y, grad, (float)lr);
    }
    if (corrected)
        drift_finish(&drift, o->own[k], change);
    drift_close(&drift);
    optim_close(&optim);
}

static void ours_round(struct ours *o, const uint32_t *selected, bool corrected)
{
    _Alignas(16) unsigned char sum[512], packed[4 * DIM];
    float y[DIM], change[DIM] = {0};
    cr_assert_leq(aggregator_fedavg.state_size(DIM), sizeof sum);
    aggregator_fedavg.reset(sum, DIM);
    scaffold_begin(&o->server);
    for (int j = 0; j < SELECTED; j++) {
        train(o, selected[j], corrected, y, change);
        cr_assert_eq(aggregator_fedavg.add(sum, y, DIM, 1, NULL), 0);
        tensorset_pack(&o->schema, change, packed);
        cr_assert_eq(scaffold_check(&o->server, (struct msg_bytes){packed, sizeof packed}),
                     REASON_NONE);
        scaffold_add(&o->server);
    }
    aggregator_fedavg.finish(sum, o->x, DIM);
    scaffold_step(&o->server);
}

static void select_some(uint32_t round, uint32_t selected[CLIENTS])
{
    for (uint32_t k = 0; k < CLIENTS; k++)
        selected[k] = k;
    select_clients(3, round, 0, selected, CLIENTS, SELECTED);
}

static void follows_the_paper(bool decay)
{
    struct ours o;
    struct naive n = {0};
    double lr[STEPS];
    uint32_t selected[CLIENTS];
    ours_open(&o, decay);
    for (uint32_t s = 0; s < STEPS; s++)
        lr[s] = lr_at(&o.local, s, STEPS);
    for (uint32_t round = 0; round < 30; round++) {
        select_some(round, selected);
        ours_round(&o, selected, true);
        naive_round(&n, selected, lr);
        for (int i = 0; i < DIM; i++) {
            cr_assert_float_eq(o.x[i], n.x[i], 2e-5, "round %u: x %g, not %g", round,
                               (double)o.x[i], n.x[i]);
            cr_assert_float_eq(o.c[i], n.c[i], 2e-5, "round %u: c %g, not %g", round, o.c[i],
                               n.c[i]);
            for (int k = 0; k < CLIENTS; k++)
                cr_assert_float_eq(o.own[k][i], n.own[k][i], 5e-5, "round %u: c_%d %g, not %g",
                                   round, k, (double)o.own[k][i], n.own[k][i]);
        }
    }
    ours_close(&o);
}

Test(scaffold_run, follows_algorithm_1)
{
    follows_the_paper(false);
}

Test(scaffold_run, with_a_schedule_the_sum_of_rates_stands_for_k_times_the_rate)
{
    follows_the_paper(true);
}

/* c is the mean of the c_i, whoever took part. */
Test(scaffold_run, the_server_knows_the_mean_of_the_control_variates)
{
    struct ours o;
    uint32_t selected[CLIENTS];
    ours_open(&o, false);
    for (uint32_t round = 0; round < 200; round++) {
        select_some(round, selected);
        ours_round(&o, selected, true);
    }
    for (int i = 0; i < DIM; i++) {
        double mean = 0;
        for (int k = 0; k < CLIENTS; k++)
            mean += (double)o.own[k][i] / CLIENTS;
        cr_expect_float_eq(o.c[i], mean, 1e-5, "%g, not %g", o.c[i], mean);
    }
    ours_close(&o);
}

static double distance_to_optimum(const float *x)
{
    double worst = 0;
    for (int i = 0; i < DIM; i++) {
        double up = 0, down = 0;
        for (int k = 0; k < CLIENTS; k++) {
            up += curve[k][i] * centre[k][i];
            down += curve[k][i];
        }
        worst = greater(worst, fabs((double)x[i] - up / down));
    }
    return worst;
}

/* Theorem III of the paper: no drift is left; FedAvg stays where its clients pull it. */
Test(scaffold_run, finds_the_optimum_where_fedavg_does_not)
{
    struct ours scaffold, fedavg;
    uint32_t selected[CLIENTS];
    ours_open(&scaffold, false);
    ours_open(&fedavg, false);
    for (uint32_t round = 0; round < 400; round++) {
        select_some(round, selected);
        ours_round(&scaffold, selected, true);
        ours_round(&fedavg, selected, false);
    }
    cr_expect_lt(distance_to_optimum(scaffold.x), 1e-4, "%g", distance_to_optimum(scaffold.x));
    cr_expect_gt(distance_to_optimum(fedavg.x), 0.1, "%g", distance_to_optimum(fedavg.x));
    ours_close(&scaffold);
    ours_close(&fedavg);
}
