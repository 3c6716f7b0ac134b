/* Random events against the core, and what must hold whatever happens. */
#include "base/rng.h"
#include "world.h"

enum { EVENTS = 4000, RUNS = 40 };

/* Mostly sound updates; every fault of the gate now and then. */
static void random_update(struct world *w, int k, struct rng *r)
{
    unsigned char packed[4 * WORLD_VALUES];
    const float nan = NAN;
    uint32_t round = core_round(w->core) + (rng_below(r, 10) == 0) - (rng_below(r, 10) == 0);
    struct msg m = world_update(w, k, round, packed);
    switch (rng_below(r, 12)) {
    case 0:
        memcpy(packed + 4 * rng_below(r, (uint32_t)w->schema.packed), &nan, 4);
        m.update.update_id = msg_update_id(&m.update, w->client[k].name);
        break;
    case 1:
        m.update.samples = 0;
        break;
    case 2:
        m.update.params.len = 4 * rng_below(r, WORLD_VALUES);
        break;
    case 3:
        m.update.update_id.byte[3] ^= 1;
        break;
    default:
        break;
    }
    world_say(w, k, &m);
}

static void random_event(struct world *w, struct rng *r)
{
    static const enum msg_type stray[] = {MSG_HELLO, MSG_READY, MSG_TASK,    MSG_RECEIPT,
                                          MSG_PING,  MSG_PONG,  MSG_GOODBYE, MSG_TYPES};
    int k = (int)rng_below(r, 8);
    bool here = w->client[k].conn != 0;
    uint32_t what = rng_below(r, 100);
    if (!here)
        world_join(w, k);
    else if (what < 4)
        world_disconnect(w, k);
    else if (what < 6)
        world_say(w, k, &(struct msg){.type = stray[rng_below(r, sizeof stray / sizeof *stray)]});
    else if (what < 8)
        world_connect(w, k); /* without the old one having ended */
    else if (what < 20)
        world_pass(w, rng_below(r, 20000));
    else if (what < 30 && w->hold)
        world_commit(w);
    else if (w->client[k].heard[MSG_TASK] > 0)
        random_update(w, k, r);
    else
        world_pass(w, 100);
}

static void check_commit(const struct world *w, unsigned i)
{
    const struct federation_spec *f = &w->spec.federation;
    cr_assert_eq(w->commit[i].round, i);
    cr_assert_leq(w->commit[i].selected, spec_selected(f));
    cr_assert_leq(w->commit[i].n, w->commit[i].selected);
    cr_assert_leq(w->commit[i].n, f->per_round);
    cr_assert_geq(w->commit[i].n, f->quorum > 0 ? f->quorum : f->per_round);
    for (int v = 0; v < WORLD_VALUES; v++)
        cr_assert(isfinite(w->commit[i].params[v]));
    cr_assert_eq(w->commit[i].params[2], w->theta[2]); /* LOCAL */
    for (size_t c = 1; c < w->commit[i].n; c++)
        cr_assert_lt(strcmp(w->commit[i].client[c - 1], w->commit[i].client[c]), 0);
}

static void check_present(const struct world *w)
{
    cr_assert_eq(core_round(w->core) + (w->hold && core_round(w->core) < w->commits), w->commits);
    for (int k = 0; k < WORLD_CLIENTS; k++) /* tasks never run ahead, nor after the end */
        cr_assert_leq(w->client[k].task_round, core_round(w->core));
    for (int v = 0; v < WORLD_VALUES; v++)
        cr_assert(isfinite(core_params(w->core)[v]));
}

/* Who delivers without being asked must not be in the record: the eighth client never joins through
 * the front door. */
Test(core_random, invariants_hold_under_random_events)
{
    unsigned commits = 0;
    for (uint32_t run = 0; run < RUNS; run++) {
        struct world w;
        struct rng r = rng_stream(7, run, 0, RNG_TEST);
        uint32_t per_round = 1 + rng_below(&r, 5);
        world_open(&w, 7, per_round, rng_below(&r, per_round + 1), 10);
        w.spec.federation.over_select = 1 + 0.4 * (run % 2);
        world_reopen(&w);
        w.hold = run % 3 == 0;
        for (int i = 0; i < EVENTS && !core_finished(w.core); i++) {
            random_event(&w, &r);
            check_present(&w);
        }
        for (unsigned i = 0; i < w.commits; i++)
            check_commit(&w, i);
        cr_assert_eq(w.finished, core_finished(w.core));
        commits += w.commits;
        world_close(&w);
    }
    cr_assert_gt(commits, 3 * RUNS); /* the events were not all in vain */
}

/* Without restarts and losses that last, any interleaving gives the bits of the orderly run. */
Test(core_random, interruptions_do_not_change_the_result)
{
    struct hash want = {{0}};
    for (uint32_t run = 0; run < 20; run++) {
        struct world w;
        struct rng r = rng_stream(8, run, 0, RNG_TEST);
        world_open(&w, 6, 3, 0, 6);
        for (int i = 0; i < 20000 && !core_finished(w.core); i++) {
            int k = (int)rng_below(&r, 6);
            struct puppet *p = &w.client[k];
            if (p->conn == 0)
                world_join(&w, k);
            else if (run > 0 && rng_below(&r, 5) == 0)
                world_disconnect(&w, k);
            else if (p->heard[MSG_TASK] > 0 && p->task_round == core_round(w.core))
                world_deliver(&w, k, p->task_round);
        }
        cr_assert(core_finished(w.core));
        if (run == 0)
            want = w.commit[5].hash;
        cr_assert(hash_same(&w.commit[5].hash, &want), "run %u", run);
        world_close(&w);
    }
}
