/* Nothing counts, goes out or is acknowledged before it is stored; and a core that is told what was
 * stored goes on as the one that is gone would have. */
#include "world.h"

static const int forwards[WORLD_CLIENTS] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};

Test(core_journal, tasks_wait_until_the_selection_is_stored)
{
    struct world w;
    char text[256];
    world_open(&w, 3, 2, 0, 1);
    w.hold_begin = true;
    world_join_all(&w, 3);
    cr_assert_eq(w.begins, 1);
    for (int k = 0; k < 3; k++)
        cr_assert_eq(w.client[k].heard[MSG_TASK], 0);
    core_status(w.core, w.now, text, sizeof text);
    cr_assert_str_eq(text, "round 1 of 1: storing the selection of 2 clients");
    world_pass(&w, 3600 * 1000); /* the deadline begins with the tasks */
    cr_assert_eq(w.begins, 1);
    core_begun(w.core, w.now);
    core_begun(w.core, w.now); /* once too often */
    world_drain(&w);
    unsigned tasks = 0;
    for (int k = 0; k < 3; k++)
        tasks += w.client[k].heard[MSG_TASK];
    cr_assert_eq(tasks, 2);
    cr_assert_eq(core_deadline(w.core), w.now + 60 * 1000);
    cr_assert_eq(world_play(&w, 0, forwards, 3), 2);
    cr_assert_eq(w.commits, 1);
    world_close(&w);
}

Test(core_journal, an_update_counts_and_is_acknowledged_once_it_is_stored)
{
    struct world w;
    char text[256];
    world_open(&w, 2, 2, 0, 1);
    w.hold_updates = true;
    world_join_all(&w, 2);
    world_deliver(&w, 0, 0);
    world_deliver(&w, 0, 0); /* the same again, while it is being stored */
    cr_assert_eq(w.stores, 1);
    cr_assert_eq(w.client[0].heard[MSG_RECEIPT], 0);
    core_status(w.core, w.now, text, sizeof text);
    cr_assert_not_null(strstr(text, "0 of 2 updates, 60 s left, 1 being stored"), "%s", text);
    world_deliver(&w, 1, 0);
    cr_assert_eq(w.stores, 2);
    world_stored(&w, 1, true);
    cr_assert_eq(w.client[1].heard[MSG_RECEIPT], 1);
    cr_assert_eq(w.commits, 0);
    world_stored(&w, 1, true); /* once too often */
    world_stored(&w, 0, true);
    cr_assert_eq(w.client[0].heard[MSG_RECEIPT], 1);
    cr_assert(w.client[0].receipt.accepted);
    cr_assert_eq(w.commits, 1);
    cr_assert_eq(w.commit[0].n, 2);
    world_close(&w);
}

Test(core_journal, another_update_of_the_same_client_is_refused_while_the_first_is_stored)
{
    struct world w;
    unsigned char packed[4 * WORLD_VALUES];
    world_open(&w, 1, 1, 0, 1);
    w.hold_updates = true;
    world_join_all(&w, 1);
    world_deliver(&w, 0, 0);
    w.gain = 2;
    struct msg m = world_update(&w, 0, 0, packed);
    world_say(&w, 0, &m);
    cr_assert_eq(w.client[0].receipt.reason, REASON_DUPLICATE);
    world_stored(&w, 0, true);
    cr_assert(w.client[0].receipt.accepted);
    cr_assert_eq(w.commits, 1);
    world_close(&w);
}

Test(core_journal, an_update_that_cannot_be_stored_comes_again)
{
    struct world w;
    world_open(&w, 2, 2, 0, 1);
    w.hold_updates = true;
    world_join_all(&w, 2);
    world_deliver(&w, 0, 0);
    world_stored(&w, 0, false);
    cr_assert_eq(w.client[0].heard[MSG_RECEIPT], 0);
    cr_assert_eq(w.client[0].goodbye.reason, REASON_INTERNAL);
    cr_assert_gt(w.client[0].goodbye.retry_after_s, 0);
    cr_assert_eq(w.client[0].conn, 0);
    cr_assert_eq(core_refusals(w.core)[REASON_INTERNAL], 1);
    w.hold_updates = false;
    world_deliver(&w, 1, 0);
    cr_assert_eq(w.commits, 0);
    world_join(&w, 0);
    world_deliver(&w, 0, 0);
    cr_assert_eq(w.commits, 1);
    cr_assert_eq(w.commit[0].n, 2);
    world_close(&w);
}

Test(core_journal, the_deadline_waits_for_the_disk)
{
    struct world w;
    world_open(&w, 2, 2, 1, 1);
    w.hold_updates = true;
    world_join_all(&w, 2);
    world_deliver(&w, 0, 0);
    world_pass(&w, 61 * 1000);
    cr_assert_eq(w.commits, 0);
    cr_assert_eq(w.begins, 1);
    cr_assert_eq(core_deadline(w.core), CORE_NEVER); /* no reason to wake up: the disk will tell */
    world_stored(&w, 0, true);
    cr_assert_eq(w.commits, 1);
    cr_assert_eq(w.commit[0].n, 1);
    world_close(&w);
}

Test(core_journal, after_the_deadline_a_failing_disk_begins_the_round_anew)
{
    struct world w;
    world_open(&w, 2, 2, 1, 1);
    w.hold_updates = true;
    world_join_all(&w, 2);
    world_deliver(&w, 0, 0);
    world_pass(&w, 61 * 1000);
    world_stored(&w, 0, false);
    cr_assert_eq(w.commits, 0);
    cr_assert_eq(w.begins, 2);
    w.hold_updates = false;
    world_deliver(&w, 1, 0);
    world_pass(&w, 61 * 1000);
    cr_assert_eq(w.commits, 1);
    cr_assert_eq(w.commit[0].attempt, 1);
    world_close(&w);
}

/* The result is computed elsewhere: all goes on but the round. */
Test(core_journal, what_comes_while_the_result_is_computed_is_late)
{
    struct world w;
    char text[256];
    world_open(&w, 3, 2, 1, 2);
    w.hold_aggregate = true;
    world_join_all(&w, 3);
    int last = -1, first = -1;
    for (int k = 0; k < 3; k++)
        if (w.client[k].heard[MSG_TASK] > 0)
            *(first < 0 ? &first : &last) = k;
    world_deliver(&w, first, 0);
    world_pass(&w, 61 * 1000); /* the quorum closes it */
    core_status(w.core, w.now, text, sizeof text);
    cr_assert_str_eq(text, "round 1 of 2: computing the result");
    cr_assert_eq(core_deadline(w.core), CORE_NEVER);
    world_deliver(&w, last, 0);
    cr_assert_eq(w.client[last].receipt.reason, REASON_LATE);
    world_disconnect(&w, last);
    world_join(&w, last);
    world_pass(&w, 3600 * 1000);
    cr_assert_eq(w.commits, 0);
    world_aggregated(&w);
    core_aggregated(w.core, w.now); /* once too often */
    world_drain(&w);
    cr_assert_eq(w.commits, 1);
    cr_assert_eq(w.commit[0].n, 1);
    cr_assert_eq(core_round(w.core), 1);
    world_close(&w);
}

Test(core_journal, the_receipt_goes_to_the_connection_that_asked_last)
{
    struct world w;
    world_open(&w, 2, 2, 0, 1);
    w.hold_updates = true;
    world_join_all(&w, 2);
    world_deliver(&w, 0, 0);
    world_disconnect(&w, 0);
    world_join(&w, 0);
    unsigned tasks = w.client[0].heard[MSG_TASK];
    world_deliver(&w, 0, 0);
    world_stored(&w, 0, true);
    cr_assert_eq(w.stores, 1);
    cr_assert_eq(w.client[0].heard[MSG_RECEIPT], 1);
    cr_assert_eq(w.client[0].heard[MSG_TASK], tasks);
    world_disconnect(&w, 1);
    world_join(&w, 1);
    world_deliver(&w, 1, 0);
    world_disconnect(&w, 1);
    world_stored(&w, 1, true); /* nobody there to be told */
    cr_assert_eq(w.commits, 1);
    world_close(&w);
}

/* --- going on ------------------------------------------------------------------------------- */

/* What a store would have of a round: the attempt, and copies of the updates that came. */
struct record {
    uint32_t round, attempt;
    size_t n, updates;
    char name[WORLD_CLIENTS][16];
    const char *client[WORLD_CLIENTS];
    struct {
        char client[16];
        unsigned char packed[4 * WORLD_VALUES];
        struct msg_update update;
    } update[WORLD_CLIENTS];
};

static void record_begin(struct record *r, const struct core_attempt *a)
{
    *r = (struct record){.round = a->round, .attempt = a->attempt, .n = a->n};
    for (size_t i = 0; i < a->n; i++) {
        snprintf(r->name[i], sizeof r->name[i], "%s", a->client[i]);
        r->client[i] = r->name[i];
    }
}

static void record_update(struct record *r, const struct core_update *u)
{
    size_t at = r->updates++;
    snprintf(r->update[at].client, sizeof r->update[at].client, "%s", u->client);
    r->update[at].update = *u->update;
    memcpy(r->update[at].packed, u->update->params.data, u->update->params.len);
    r->update[at].update.params.data = r->update[at].packed;
    r->update[at].update.run_id = "0123456789abcdef";
    for (size_t i = 0; i < u->update->n_metrics; i++)
        r->update[at].update.metric[i].name = "accuracy";
}

/* As world_drain, with a store that takes everything. */
static void drain_to(struct world *w, struct record *r)
{
    struct core_out out;
    while (core_next(w->core, &out)) {
        if (out.kind == OUT_BEGIN) {
            record_begin(r, out.attempt);
            core_begun(w->core, w->now);
        } else if (out.kind == OUT_STORE) {
            record_update(r, out.update);
            core_stored(w->core, out.update->client, true, w->now);
        } else if (out.kind == OUT_AGGREGATE) {
            world_aggregated(w);
        } else if (out.kind == OUT_SEND) {
            world_hear(w, &out);
        } else if (out.kind == OUT_COMMIT) {
            world_note(w, out.commit);
        }
    }
}

/* The first round of a federation of 6, of whom 4 are to deliver, as far as `delivered` updates. */
static void play_first(struct world *w, struct record *r, enum aggregation how, double over_select,
                       int delivered)
{
    unsigned char packed[4 * WORLD_VALUES];
    world_open(w, 6, 4, 0, 1);
    w->spec.federation.over_select = over_select;
    world_aggregate(w, how);
    for (int k = 0; k < 6; k++) {
        struct puppet *p = &w->client[k];
        p->conn = ++w->last_conn;
        core_connected(w->core, p->conn, p->name, w->now);
        core_message(w->core, p->conn,
                     &(struct msg){.type = MSG_HELLO, .hello = {MSG_PROTOCOL, "test"}}, w->now);
        core_message(
            w->core, p->conn,
            &(struct msg){.type = MSG_READY, .ready = {w->schema.hash, hash_of("model", 5), 10}},
            w->now);
        drain_to(w, r);
    }
    for (int k = 0; k < 6 && delivered > 0; k++) {
        if (w->client[k].heard[MSG_TASK] == 0)
            continue;
        struct msg m = world_update(w, k, 0, packed);
        core_message(w->core, w->client[k].conn, &m, w->now);
        drain_to(w, r);
        delivered--;
    }
}

static void go_on_by(enum aggregation how, double over_select)
{
    struct world whole;
    struct record all = {0};
    play_first(&whole, &all, how, over_select, 4);
    cr_assert_eq(whole.commits, 1);
    for (int stored = 0; stored <= 4; stored++) {
        struct world w;
        struct record r = {0};
        struct err e = {0};
        play_first(&w, &r, how, over_select, stored);
        core_close(w.core);
        struct core_config c = world_config(&w);
        cr_assert_eq(core_open(&w.core, &c, w.now, &e), 0);
        const struct core_attempt a = {r.round, r.attempt, r.n, r.client};
        cr_assert_eq(core_resume(w.core, &a, w.now, &e), 0, "%s", e.text);
        for (size_t i = 0; i < r.updates; i++) {
            const struct core_update u = {
                .client = r.update[i].client, .bytes_up = 100, .update = &r.update[i].update};
            cr_assert_eq(core_refeed(w.core, &u, w.now), REASON_NONE);
            cr_assert_eq(core_refeed(w.core, &u, w.now), REASON_NONE); /* counts once */
        }
        w.commits = 0;
        for (int k = 0; k < 6; k++) {
            w.client[k].conn = 0;
            w.client[k].heard[MSG_TASK] = 0;
        }
        world_drain(&w);
        world_join_all(&w, 6); /* only those are asked whose update is not there */
        unsigned asked = (over_select > 1 ? 6 : 4) - (unsigned)stored;
        cr_assert_eq(world_play(&w, 0, forwards, 6), stored < 4 ? asked : 0);
        cr_assert_eq(w.begins, 0);
        cr_assert_eq(w.commits, 1);
        cr_assert_eq(w.commit[0].n, 4);
        cr_assert(hash_same(&w.commit[0].hash, &whole.commit[0].hash), "%d, %d stored", (int)how,
                  stored);
        cr_assert_eq(w.commit[0].metric, whole.commit[0].metric);
        world_close(&w);
    }
    world_close(&whole);
}

Test(core_journal, a_core_goes_on_in_the_round_of_its_predecessor)
{
    for (int how = AGGREGATION_FEDAVG; how <= AGGREGATION_KRUM; how++) {
        go_on_by((enum aggregation)how, 1);
        go_on_by((enum aggregation)how, 1.5);
    }
}

Test(core_journal, what_is_stored_passes_the_gate_once_more)
{
    struct world w;
    struct record r = {0};
    struct err e = {0};
    play_first(&w, &r, AGGREGATION_FEDAVG, 1, 2);
    core_close(w.core);
    struct core_config c = world_config(&w);
    cr_assert_eq(core_open(&w.core, &c, w.now, &e), 0);
    const struct core_update u = {.client = r.update[0].client, .update = &r.update[0].update};
    cr_assert_eq(core_refeed(w.core, &u, w.now), REASON_NOT_SELECTED);
    struct core_attempt a = {r.round + 1, r.attempt, r.n, r.client};
    cr_assert_eq(core_resume(w.core, &a, w.now, &e), ERR_STATE);
    a.round = r.round;
    cr_assert_eq(core_resume(w.core, &a, w.now, &e), 0);
    cr_assert_eq(core_resume(w.core, &a, w.now, &e), ERR_STATE);
    r.update[0].packed[5] ^= 1;
    cr_assert_eq(core_refeed(w.core, &u, w.now), REASON_IDENTITY);
    r.update[0].packed[5] ^= 1;
    cr_assert_eq(core_refeed(w.core, &u, w.now), REASON_NONE);
    world_close(&w);
}
