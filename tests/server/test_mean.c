#include "base/rng.h"
#include "server/round.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { TRIALS = 200, MOST_CLIENTS = 12, MOST_VALUES = 40 };

/* A round with updates of random values, sizes and weights, that arrive in random order. */
struct trial {
    struct run_spec spec;
    struct schema schema;
    size_t n;
    uint32_t clients;
    float x[MOST_CLIENTS][MOST_VALUES], initial[MOST_VALUES];
    uint64_t samples[MOST_CLIENTS];
    uint32_t order[MOST_CLIENTS];
    char name[MOST_CLIENTS][24];
};

static void trial_make(struct trial *t, struct rng *rng, bool weighted)
{
    *t = (struct trial){.n = 1 + rng_below(rng, MOST_VALUES),
                        .clients = 1 + rng_below(rng, MOST_CLIENTS)};
    t->spec.federation = (struct federation_spec){.clients = t->clients,
                                                  .per_round = t->clients,
                                                  .rounds = 1,
                                                  .deadline_s = 1,
                                                  .weighted = weighted};
    schema_init(&t->schema);
    cr_assert_eq(
        schema_add(&t->schema, "x", SCOPE_GLOBAL, true, 1, (int64_t[]){(int64_t)t->n}, NULL), 0);
    schema_seal(&t->schema);
    for (uint32_t k = 0; k < t->clients; k++) {
        for (size_t i = 0; i < t->n; i++)
            t->x[k][i] = (float)(rng_normal(rng) * pow(10, (double)rng_below(rng, 6) - 3));
        snprintf(t->name[k], sizeof t->name[k], "client-%u", k);
        t->samples[k] = 1 + rng_below(rng, 1 << rng_below(rng, 20));
        uint32_t at = rng_below(rng, k + 1); /* Fisher-Yates, inside out */
        t->order[k] = t->order[at];
        t->order[at] = k;
    }
}

static void deliver(struct round *r, const struct trial *t, struct roster *who, uint32_t k)
{
    unsigned char packed[4 * MOST_VALUES];
    struct member *m = roster_member(who, t->name[k]);
    tensorset_pack(&t->schema, t->x[k], packed);
    struct msg_update u = {.run_id = "0123456789abcdef",
                           .schema = t->schema.hash,
                           .samples = t->samples[k],
                           .params = {packed, 4 * t->n}};
    u.update_id = msg_update_id(&u, t->name[k]);
    cr_assert_eq(round_update(r, m, &u, 0), REASON_NONE);
    cr_assert_not_null(round_next_update(r));
    round_stored(r, m->slot, true);
}

static void check_mean(const struct trial *t, const float *got)
{
    for (size_t i = 0; i < t->n; i++) {
        double sum = 0, scale = 0, total = 0;
        for (uint32_t k = 0; k < t->clients; k++) {
            double weight = t->spec.federation.weighted ? (double)t->samples[k] : 1;
            sum += weight * (double)t->x[k][i];
            scale += weight * fabs((double)t->x[k][i]);
            total += weight;
        }
        /* half a unit in a float's last place, and what the double sum itself lost */
        cr_assert_float_eq((double)got[i], sum / total,
                           0x1p-24 * fabs(sum / total) + 1e-14 * scale / total);
    }
}

static void play(bool weighted, uint64_t seed)
{
    struct rng rng = rng_stream(seed, 0, 0, RNG_TEST);
    for (int trial = 0; trial < TRIALS; trial++) {
        static struct trial t;
        struct roster who;
        struct round r;
        trial_make(&t, &rng, weighted);
        roster_init(&who);
        for (uint32_t k = 0; k < t.clients; k++)
            roster_member(&who, t.name[k])->known = true;
        struct core_config c = {.spec = &t.spec,
                                .schema = &t.schema,
                                .run_id = "0123456789abcdef",
                                .params = t.initial};
        cr_assert_eq(round_init(&r, &c, NULL), 0);
        round_begin(&r, &who, 0);
        round_open(&r, 0);
        for (uint32_t k = 0; k < t.clients; k++)
            deliver(&r, &t, &who, t.order[k]);
        cr_assert(round_complete(&r));
        round_close(&r, 0);
        round_compute(&r);
        round_computed(&r);
        check_mean(&t, r.next);
        round_release(&r);
        roster_release(&who);
        schema_release(&t.schema);
    }
}

Test(mean, weighted_by_samples_as_a_naive_sum_in_double)
{
    play(true, 21);
}

Test(mean, uniform_as_a_naive_sum_in_double)
{
    play(false, 22);
}
