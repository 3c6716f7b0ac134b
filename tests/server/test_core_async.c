/* federation.mode async: rounds that are the next updates that come, whatever their clients were
 * given (FedBuff). */
#include "base/rng.h"
#include "world.h"

static void reopen(struct world *w)
{
    w->spec.federation.mode = MODE_ASYNC;
    world_reopen(w);
}

/* `clients`, of whom `concurrency` train at a time, `buffer` updates a round. */
static void open_async(struct world *w, uint32_t clients, uint32_t concurrency, uint32_t buffer,
                       uint32_t staleness)
{
    world_open(w, clients, buffer, 0, 20);
    w->spec.federation.concurrency = concurrency;
    w->spec.federation.max_staleness = staleness;
    reopen(w);
}

static bool has_task(const struct world *w, int k)
{
    return w->client[k].heard[MSG_TASK] > w->client[k].heard[MSG_RECEIPT];
}

static int busy(const struct world *w, int n)
{
    int training = 0;
    for (int k = 0; k < n; k++)
        training += has_task(w, k);
    return training;
}

/* It says what it is at. */
static void come_back(struct world *w, int k, uint32_t at_work)
{
    world_connect(w, k);
    world_hello(w, k);
    world_say(w, k,
              &(struct msg){.type = MSG_READY,
                            .ready = {.schema = w->schema.hash,
                                      .model = hash_of("model", 5),
                                      .samples = 10,
                                      .at_work = at_work}});
}

/* Client k delivers what it was asked for last. */
static void deliver(struct world *w, int k)
{
    world_deliver(w, k, w->client[k].task_round);
}

Test(async, what_does_not_go_together_is_a_mistake_of_the_configuration)
{
    static const struct federation_spec good = {.mode = MODE_ASYNC,
                                                .clients = 10,
                                                .per_round = 4,
                                                .deadline_s = 60,
                                                .aggregator = AGGREGATION_CLIPPED_MEAN,
                                                .clip_norm = 1};
    struct federation_spec bad[7];
    struct err e = {0};
    cr_assert_eq(spec_check_federation(&good, &e), 0, "%s", e.text);
    for (int i = 0; i < 7; i++)
        bad[i] = good;
    bad[0].scaffold = true;
    bad[1].aggregator = AGGREGATION_MEDIAN;
    bad[2].aggregator = AGGREGATION_TRIMMED_MEAN;
    bad[3].aggregator = AGGREGATION_KRUM;
    bad[4].over_select = 1.3;
    bad[5].quorum = 2;
    bad[6].concurrency = 11;
    for (int i = 0; i < 7; i++)
        cr_expect_eq(spec_check_federation(&bad[i], &e), ERR_CONFIG, "%d", i);
    struct world w;
    open_async(&w, 4, 2, 2, 3);
    struct core_config c = world_config(&w);
    struct core *core;
    w.spec.local.carry_optimizer = true;
    cr_expect_eq(core_open(&core, &c, 0, &e), ERR_CONFIG);
    w.spec.local.carry_optimizer = false;
    w.spec.federation.upload = (char *)(uintptr_t) "topk";
    cr_expect_eq(core_open(&core, &c, 0, &e), ERR_CONFIG);
    cr_expect_not_null(strstr(e.text, "topk"), "%s", e.text);
    world_close(&w);
}

Test(async, as_many_train_as_there_are_places_for)
{
    const struct federation_spec own = {.clients = 100, .per_round = 7, .concurrency = 3};
    struct federation_spec f = own;
    cr_expect_eq(spec_concurrency(&f), 3);
    f.concurrency = 0;
    cr_expect_eq(spec_concurrency(&f), 14);
    f.clients = 12;
    cr_expect_eq(spec_concurrency(&f), 12);
    struct world w;
    open_async(&w, 8, 3, 2, 5);
    world_join_all(&w, 7);
    cr_assert_eq(busy(&w, 8), 0); /* the first round waits for all */
    world_join(&w, 7);
    cr_assert_eq(busy(&w, 8), 3);
    for (int i = 0; i < 40; i++) {
        int k = i % 8;
        if (has_task(&w, k))
            deliver(&w, k);
        cr_assert_eq(busy(&w, 8), 3, "%d", i);
    }
    cr_assert_gt(w.commits, 5);
    world_close(&w);
}

/* Values of an update as world_update makes them: what it changes. */
static double change(int k, int i, uint32_t round)
{
    return (double)(0.001F * (float)(k + 1) * (float)(i - 2) + 0.01F * (float)round);
}

Test(async, late_updates_count_for_less_and_nobody_knows_who_came_first)
{
    struct hash want = {{0}};
    static const int order[2][2] = {{2, 3}, {3, 2}};
    for (int run = 0; run < 2; run++) {
        struct world w;
        open_async(&w, 4, 4, 2, 5);
        world_join_all(&w, 4);
        deliver(&w, 0);
        deliver(&w, 1); /* round 1 */
        cr_assert_eq(w.commits, 1);
        cr_assert_eq(w.client[2].task_round, 0);
        cr_assert_eq(w.client[0].task_round, 1); /* asked again at once */
        deliver(&w, order[run][0]);
        deliver(&w, order[run][1]); /* both began one round before */
        cr_assert_eq(w.commits, 2);
        for (int i = 0; i < WORLD_VALUES; i++) {
            if (i == 2)
                continue; /* LOCAL */
            double mean = (12 * change(2, i, 0) + 13 * change(3, i, 0)) / 25 / sqrt(2);
            double got = (double)w.commit[1].params[i] - (double)w.commit[0].params[i];
            cr_expect_float_eq(got, mean, 1e-7, "%d: %g, not %g", i, got, mean);
        }
        if (run == 0)
            want = w.commit[1].hash;
        cr_assert(hash_same(&w.commit[1].hash, &want));
        world_close(&w);
    }
}

Test(async, what_is_too_stale_is_told_at_once_and_refused)
{
    struct world w;
    open_async(&w, 4, 4, 1, 1);
    world_join_all(&w, 4);
    deliver(&w, 0);
    cr_assert_eq(w.commits, 1);
    cr_assert_eq(w.client[3].withdrawn, 0);
    deliver(&w, 0);
    cr_assert_eq(w.commits, 2);
    for (int k = 1; k < 4; k++) {
        cr_assert_eq(w.client[k].withdrawn, 1, "%d", k);
        cr_assert_eq(w.client[k].task_round, 2); /* and has a new task */
    }
    world_deliver(&w, 1, 0);
    cr_assert_eq(w.client[1].receipt.reason, REASON_LATE);
    cr_assert_eq(core_refusals(w.core)[REASON_LATE], 1);
    world_close(&w);
}

Test(async, a_client_counts_once_in_a_round_and_only_when_asked)
{
    struct world w;
    unsigned char packed[4 * WORLD_VALUES];
    open_async(&w, 4, 2, 3, 5);
    world_join_all(&w, 4);
    int first = has_task(&w, 0) ? 0 : has_task(&w, 1) ? 1 : 2, other = 3;
    while (has_task(&w, other))
        other--;
    world_deliver(&w, other, 0);
    cr_assert_eq(w.client[other].receipt.reason, REASON_NOT_SELECTED);
    struct msg m = world_update(&w, first, 0, packed);
    world_say(&w, first, &m);
    cr_assert(w.client[first].receipt.accepted);
    unsigned stores = w.stores;
    world_say(&w, first, &m);
    cr_assert(w.client[first].receipt.accepted); /* a repeat */
    cr_assert_eq(w.stores, stores);
    w.gain = 2;
    world_deliver(&w, first, 0);
    cr_assert_eq(w.client[first].receipt.reason, REASON_DUPLICATE);
    world_deliver(&w, first, 1);
    cr_assert_eq(w.client[first].receipt.reason, REASON_ROUND);
    world_close(&w);
}

Test(async, updates_between_two_rounds_wait_for_the_next)
{
    struct world w;
    char text[256];
    open_async(&w, 5, 5, 2, 5);
    world_join_all(&w, 5);
    w.hold = w.hold_updates = true;
    for (int k = 0; k < 5; k++)
        deliver(&w, k);
    cr_assert_eq(w.stores, 2); /* the others wait, unanswered */
    world_disconnect(&w, 4);
    core_status(w.core, w.now, text, sizeof text);
    cr_assert_not_null(strstr(text, "0 of 2 updates, 3 clients train, 2 being stored"), "%s", text);
    world_stored(&w, 0, true);
    w.hold_updates = false;
    world_stored(&w, 1, true);
    cr_assert_eq(w.commits, 1);
    for (int k = 2; k < 5; k++)
        cr_assert_eq(w.client[k].heard[MSG_RECEIPT], 0);
    w.hold = false;
    world_commit(&w);
    cr_assert_eq(w.commits, 2); /* two of them made the next round, the last is in the one after */
    cr_assert_str_eq(w.commit[1].client[0], "client-0002");
    cr_assert_str_eq(w.commit[1].client[1], "client-0003");
    cr_assert_eq(w.stores, 5);
    cr_assert(w.client[2].receipt.accepted);
    world_join(&w, 4);
    world_deliver(&w, 4, 0); /* it has heard nothing: its update counts already */
    cr_assert_eq(w.stores, 5);
    world_close(&w);
}

Test(async, a_place_that_storing_has_freed_is_for_who_waits)
{
    struct world w;
    open_async(&w, 4, 4, 2, 5);
    world_join_all(&w, 4);
    w.hold_updates = true;
    for (int k = 0; k < 3; k++)
        deliver(&w, k);
    cr_assert_eq(w.stores, 2);
    world_stored(&w, 0, false);
    cr_assert_eq(w.client[0].goodbye.reason, REASON_INTERNAL);
    cr_assert_eq(w.stores, 3);
    world_stored(&w, 1, true);
    world_stored(&w, 2, true);
    cr_assert_eq(w.commits, 1);
    cr_assert_str_eq(w.commit[0].client[0], "client-0001");
    w.hold_updates = false;
    world_close(&w);
}

Test(async, a_place_is_kept_for_the_deadline_and_the_late_update_counts)
{
    struct world w;
    open_async(&w, 4, 2, 3, 5);
    world_join_all(&w, 4);
    int slow = 0;
    while (!has_task(&w, slow))
        slow++;
    cr_assert_eq(w.client[slow].deadline_ms, 60000);
    cr_assert_eq(core_deadline(w.core), w.now + 60000);
    world_disconnect(&w, slow);
    world_pass(&w, 59999);
    cr_assert_eq(busy(&w, 4), 2);
    world_pass(&w, 1);
    cr_assert_gt(busy(&w, 4), 2); /* its place is another's */
    come_back(&w, slow, 1);
    world_deliver(&w, slow, 0);
    cr_assert(w.client[slow].receipt.accepted);
    world_close(&w);
}

/* It would begin anew with each new task, and never end. */
Test(async, who_is_slower_than_the_deadline_is_left_to_finish_until_it_is_too_stale)
{
    struct world w;
    char text[256];
    open_async(&w, 3, 3, 1, 3);
    world_join_all(&w, 3);
    world_pass(&w, 30000);
    deliver(&w, 0); /* and has a new task */
    world_pass(&w, 30000);
    core_status(w.core, w.now, text, sizeof text);
    cr_assert_not_null(strstr(text, "1 clients train, 2 more for longer than deadline_s"), "%s",
                       text);
    deliver(&w, 0);
    cr_assert_eq(w.commits, 2);
    cr_assert_eq(w.client[1].heard[MSG_TASK], 1);
    deliver(&w, 1);
    cr_assert(w.client[1].receipt.accepted);
    cr_assert_eq(w.client[1].task_round, 3); /* idle again */
    cr_assert_eq(w.client[2].withdrawn, 0);
    deliver(&w, 0); /* four rounds: what client 2 is at is of no use any more */
    cr_assert_eq(w.client[2].withdrawn, 1);
    cr_assert_eq(w.client[2].task_round, 4);
    core_status(w.core, w.now, text, sizeof text);
    cr_assert_not_null(strstr(text, "3 clients train"), "%s", text);
    cr_assert_null(strstr(text, "longer"), "%s", text);
    world_close(&w);
}

Test(async, what_waits_for_the_next_round_is_one_wanted_update_of_each_client)
{
    struct world w;
    open_async(&w, 4, 3, 1, 5);
    world_join_all(&w, 4);
    int other = 0; /* has no task */
    while (has_task(&w, other))
        other++;
    int first = (other + 1) % 4, second = (other + 2) % 4;
    w.hold = true;
    deliver(&w, first);
    cr_assert_eq(w.commits, 1); /* which is being stored */
    world_deliver(&w, other, 0);
    cr_assert_eq(w.client[other].receipt.reason, REASON_NOT_SELECTED); /* at once */
    world_deliver(&w, first, 0);
    cr_assert(w.client[first].receipt.accepted); /* a repeat, too */
    world_deliver(&w, second, 0);
    cr_assert_eq(w.client[second].heard[MSG_RECEIPT], 0);
    w.gain = 2;
    world_deliver(&w, second, 0); /* another one of the same client takes its place */
    w.hold = false;
    world_commit(&w);
    cr_assert_eq(w.commits, 2);
    cr_assert_eq(w.client[second].heard[MSG_RECEIPT], 1);
    cr_assert(w.client[second].receipt.accepted);
    for (int i = 0; i < WORLD_VALUES; i++) {
        double got = (double)w.commit[1].params[i] - (double)w.commit[0].params[i];
        cr_expect(i == 2 || fabs(got - 2 * change(second, i, 0) / sqrt(2)) < 1e-6);
    }
    world_close(&w);
}

Test(async, an_update_that_waits_is_given_up_when_the_run_is_over)
{
    for (int how = 0; how < 2; how++) {
        struct world w;
        open_async(&w, 3, 3, 1, 5);
        if (how == 1)
            w.spec.federation.rounds = 1;
        world_join_all(&w, 3);
        w.hold = true;
        deliver(&w, 0);
        deliver(&w, 1);
        cr_assert_eq(w.client[1].heard[MSG_RECEIPT], 0);
        if (how == 0) /* stopped */
            core_end(w.core, w.now);
        world_commit(&w);
        cr_assert_eq(w.finished, 1);
        cr_assert_eq(w.commits, 1);
        cr_assert_eq(w.client[1].heard[MSG_FINISH], 1);
        cr_assert_eq(w.client[1].heard[MSG_RECEIPT], 0);
        deliver(&w, 1); /* from a client that has not heard of it yet */
        cr_assert_eq(w.client[1].receipt.reason, REASON_ROUND);
        world_close(&w);
    }
}

Test(async, a_pause_lets_the_round_end_and_what_comes_then_waits_for_the_next)
{
    struct world w;
    open_async(&w, 4, 4, 2, 5);
    world_join_all(&w, 4);
    deliver(&w, 0);
    core_pause(w.core, true, w.now);
    world_drain(&w);
    deliver(&w, 1);
    cr_assert_eq(w.commits, 1);
    deliver(&w, 2);
    deliver(&w, 3);
    cr_assert_eq(w.begins, 1);
    cr_assert_eq(w.client[2].heard[MSG_RECEIPT] + w.client[3].heard[MSG_RECEIPT], 0);
    cr_assert_eq(w.client[0].heard[MSG_TASK], 1); /* nobody is asked */
    world_pass(&w, 600000);
    core_pause(w.core, false, w.now);
    world_drain(&w);
    cr_assert_eq(w.commits, 2);
    cr_assert(w.client[2].receipt.accepted && w.client[3].receipt.accepted);
    cr_assert_eq(w.client[0].task_round, 2);
    world_close(&w);
}

/* clip_norm is a bound of what the client changed, whatever that counts. */
Test(async, a_stale_update_is_clipped_before_it_is_made_to_count_less)
{
    struct world w;
    double norm = 0;
    open_async(&w, 2, 2, 1, 5);
    w.spec.federation.weighted = false;
    world_aggregate(&w, AGGREGATION_CLIPPED_MEAN); /* to 0.005 */
    world_join_all(&w, 2);
    deliver(&w, 0);
    deliver(&w, 1); /* began one round before */
    cr_assert_eq(w.commits, 2);
    for (int i = 0; i < WORLD_VALUES; i++)
        norm += pow((double)w.commit[1].params[i] - (double)w.commit[0].params[i], 2);
    cr_assert_float_eq(sqrt(norm), 0.005 / sqrt(2), 1e-6);
    world_close(&w);
}

Test(async, a_client_that_is_at_work_is_left_alone)
{
    struct world w;
    open_async(&w, 2, 2, 2, 5);
    world_join_all(&w, 2);
    for (int lost = 0; lost < 2; lost++) { /* its connection; all that it knew */
        unsigned tasks = w.client[0].heard[MSG_TASK];
        world_disconnect(&w, 0);
        come_back(&w, 0, lost ? 0 : 1);
        cr_assert_eq(w.client[0].heard[MSG_TASK], tasks + (unsigned)lost);
    }
    world_close(&w);
}

/* --- restarts --------------------------------------------------------------------------------- */

/* What a store would have of the round under way: updates, with the bytes that they came with. */
struct record {
    size_t n;
    struct {
        char client[16];
        uint32_t round, attempt;
        unsigned char packed[4 * WORLD_VALUES];
        struct msg_update update;
    } update[WORLD_CLIENTS];
};

static void record_update(struct record *r, const struct core_update *u)
{
    size_t at = r->n++;
    snprintf(r->update[at].client, sizeof r->update[at].client, "%s", u->client);
    r->update[at].round = u->round;
    r->update[at].attempt = u->attempt;
    r->update[at].update = *u->update;
    r->update[at].update.round = u->round; /* as the store's rows have it */
    memcpy(r->update[at].packed, u->update->params.data, u->update->params.len);
    r->update[at].update.params.data = r->update[at].packed;
    r->update[at].update.run_id = "0123456789abcdef";
    for (size_t i = 0; i < u->update->n_metrics; i++)
        r->update[at].update.metric[i].name = "accuracy";
}

static void drain_to(struct world *w, struct record *r)
{
    struct core_out out;
    while (core_next(w->core, &out)) {
        if (out.kind == OUT_SEND) {
            world_hear(w, &out);
        } else if (out.kind == OUT_BEGIN) {
            r->n = 0;
            core_begun(w->core, w->now);
        } else if (out.kind == OUT_STORE) {
            record_update(r, out.update);
            core_stored(w->core, out.update->client, true, w->now);
        } else if (out.kind == OUT_AGGREGATE) {
            world_aggregated(w);
        } else if (out.kind == OUT_COMMIT) {
            world_note(w, out.commit);
            core_committed(w->core, w->now);
        }
    }
}

static void tell(struct world *w, struct record *r, int k, uint32_t round)
{
    unsigned char packed[4 * WORLD_VALUES];
    struct msg m = world_update(w, k, round, packed);
    core_message(w->core, w->client[k].conn, &m, w->now);
    drain_to(w, r);
}

/* The server is killed after `stored` updates of its second round, and another goes on. */
static void go_on(int stored, const struct hash *want, struct hash *got)
{
    struct world w;
    struct record r = {0};
    struct err e = {0};
    float params[WORLD_VALUES];
    open_async(&w, 6, 6, 3, 5);
    world_join_all(&w, 6);
    for (int k = 0; k < 3; k++)
        tell(&w, &r, k, 0);
    cr_assert_eq(w.commits, 1);
    /* Two from the first round, one from the second. */
    const int who[3] = {3, 4, 0};
    for (int i = 0; i < stored; i++)
        tell(&w, &r, who[i], i < 2 ? 0 : 1);
    if (want == NULL) {
        *got = w.commit[1].hash;
        world_close(&w);
        return;
    }
    cr_assert_eq(r.n, (size_t)stored);
    memcpy(params, w.commit[0].params, sizeof params);
    core_close(w.core);
    struct core_config c = world_config(&w);
    const char *names[6];
    uint32_t counted[6] = {1, 1, 1, 0, 0, 0};
    for (int k = 0; k < 6; k++)
        names[k] = w.client[k].name;
    c.round = 1;
    c.params = params;
    c.client = names;
    c.counted = counted;
    c.n_clients = 6;
    cr_assert_eq(core_open(&w.core, &c, w.now, &e), 0, "%s", e.text);
    const struct core_attempt a = {.round = 1};
    cr_assert_eq(core_resume(w.core, &a, w.now, &e), 0, "%s", e.text);
    for (size_t i = 0; i < r.n; i++) {
        const struct core_update u = {.client = r.update[i].client,
                                      .round = r.update[i].round,
                                      .attempt = r.update[i].attempt,
                                      .update = &r.update[i].update};
        cr_assert_eq(core_refeed(w.core, &u, w.now), REASON_NONE);
        cr_assert_eq(core_refeed(w.core, &u, w.now), REASON_NONE); /* counts once */
    }
    for (int k = 0; k < 6; k++)
        w.client[k].conn = 0;
    w.commits = 1;
    world_drain(&w);
    for (int k = 0; k < 6; k++)
        come_back(&w, k, w.client[k].task_round + 1);
    world_deliver(&w, 1, 0); /* of the first round: its receipt was lost, and it has counted */
    cr_assert_neq(w.client[1].receipt.accepted, true);
    cr_assert_eq(w.client[1].receipt.reason, REASON_DUPLICATE);
    for (int i = 0; i < 3; i++) /* those that are stored are offered again, too */
        world_deliver(&w, who[i], i < 2 ? 0 : 1);
    cr_assert_geq(w.commits, 2);
    cr_assert_eq(w.commit[1].n, 3);
    cr_assert(hash_same(&w.commit[1].hash, want), "%d stored", stored);
    world_close(&w);
}

Test(async, a_core_goes_on_in_the_round_of_its_predecessor)
{
    struct hash want, none;
    go_on(3, NULL, &want);
    for (int stored = 0; stored < 3; stored++)
        go_on(stored, &want, &none);
}

/* --- whatever happens ---------------------------------------------------------------------------
 */

static void random_event(struct world *w, struct rng *r)
{
    int k = (int)rng_below(r, 8);
    uint32_t what = rng_below(r, 100);
    if (w->client[k].conn == 0)
        world_join(w, k);
    else if (what < 4)
        world_disconnect(w, k);
    else if (what < 10)
        world_pass(w, rng_below(r, 30000));
    else if (what < 30 && w->hold)
        world_commit(w);
    else if (w->client[k].heard[MSG_TASK] > 0)
        world_deliver(w, k, w->client[k].task_round - (rng_below(r, 10) == 0));
}

/* No update is in two rounds, no client twice in one, and every round has its number of updates. */
static void check_rounds(const struct world *w)
{
    for (unsigned i = 0; i < w->commits; i++) {
        cr_assert_eq(w->commit[i].round, i);
        cr_assert_eq(w->commit[i].n, w->spec.federation.per_round);
        for (size_t a = 0; a < w->commit[i].n; a++) {
            const struct core_contribution *one = &w->commit[i].contribution[a];
            if (a > 0)
                cr_assert_lt(strcmp(w->commit[i].client[a - 1], w->commit[i].client[a]), 0);
            for (unsigned j = 0; j < i; j++)
                for (size_t b = 0; b < w->commit[j].n; b++)
                    cr_assert_not(
                        hash_same(&w->commit[j].contribution[b].update_id, &one->update_id));
        }
    }
}

Test(async, invariants_hold_under_random_events)
{
    unsigned commits = 0;
    for (uint32_t run = 0; run < 30; run++) {
        struct world w;
        struct rng r = rng_stream(9, run, 0, RNG_TEST);
        open_async(&w, 8, 1 + rng_below(&r, 8), 1 + rng_below(&r, 4), rng_below(&r, 4));
        w.hold = run % 3 == 0;
        for (int i = 0; i < 4000 && !core_finished(w.core); i++)
            random_event(&w, &r);
        check_rounds(&w);
        cr_assert_eq(w.finished, core_finished(w.core));
        commits += w.commits;
        world_close(&w);
    }
    cr_assert_gt(commits, 300);
}
