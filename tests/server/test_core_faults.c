#include "world.h"

static const int forwards[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};

static void expect_refused(struct world *w, int k, const struct msg *m, enum msg_reason reason)
{
    uint64_t before = core_refusals(w->core)[reason];
    unsigned receipts = w->client[k].heard[MSG_RECEIPT];
    world_say(w, k, m);
    cr_assert_eq(w->client[k].heard[MSG_RECEIPT], receipts + 1);
    cr_assert_not(w->client[k].receipt.accepted);
    cr_assert_eq(w->client[k].receipt.reason, reason, "got %d", w->client[k].receipt.reason);
    cr_assert_neq(w->client[k].receipt.text[0], '\0');
    cr_assert_eq(core_refusals(w->core)[reason], before + 1);
}

static void seal(struct world *w, int k, struct msg *m)
{
    m->update.update_id = msg_update_id(&m->update, w->client[k].name);
}

Test(core_faults, the_gate_refuses_what_is_wrong_and_the_round_goes_on)
{
    struct world w;
    unsigned char packed[4 * WORLD_VALUES + 4];
    const float infinite = INFINITY, nan = NAN, huge = 2e6F;
    world_open(&w, 2, 2, 0, 1);
    world_join_all(&w, 2);
    const struct msg good = world_update(&w, 0, 0, packed);
    struct msg m = good;
    m.update.run_id = "ffffffffffffffff";
    expect_refused(&w, 0, &m, REASON_RUN);
    m = good;
    m.update.round = 1;
    expect_refused(&w, 0, &m, REASON_ROUND);
    m = good;
    m.update.schema = hash_of("other", 5);
    expect_refused(&w, 0, &m, REASON_SCHEMA);
    m = good;
    m.update.params.len += 4;
    expect_refused(&w, 0, &m, REASON_SHAPE);
    m.update.params.len = 0;
    expect_refused(&w, 0, &m, REASON_SHAPE);
    m = good;
    m.update.samples = 0;
    expect_refused(&w, 0, &m, REASON_SAMPLES);
    m.update.samples = ((uint64_t)1 << 32) + 1;
    expect_refused(&w, 0, &m, REASON_SAMPLES);
    m = good;
    m.update.train_loss = (double)NAN;
    expect_refused(&w, 0, &m, REASON_NOT_FINITE);
    m = good;
    m.update.metric[0].value = (double)INFINITY;
    expect_refused(&w, 0, &m, REASON_NOT_FINITE);
    m.update.metric[0].value = 1e300; /* a mean of such would overflow */
    expect_refused(&w, 0, &m, REASON_NOT_FINITE);
    m = good;
    m.update.metric[0].weight = UINT64_MAX;
    expect_refused(&w, 0, &m, REASON_NOT_FINITE);
    m = good;
    m.update.update_id = hash_of("forged", 6);
    expect_refused(&w, 0, &m, REASON_IDENTITY);
    const float *const bad[] = {&infinite, &nan, &huge};
    for (int i = 0; i < 3; i++) {
        m = world_update(&w, 0, 0, packed);
        memcpy(packed + 8, bad[i], 4);
        seal(&w, 0, &m);
        expect_refused(&w, 0, &m, REASON_NOT_FINITE);
    }
    cr_assert_eq(world_play(&w, 0, forwards, 2), 2);
    cr_assert_eq(w.commits, 1);
    cr_assert_eq(w.commit[0].refused, 15);
    cr_assert_eq(w.commit[0].n, 2);
    world_close(&w);
}

Test(core_faults, a_refused_update_leaves_no_trace_in_the_mean)
{
    struct world clean, noisy;
    unsigned char packed[4 * WORLD_VALUES];
    const float nan = NAN;
    world_open(&clean, 2, 2, 0, 1);
    world_open(&noisy, 2, 2, 0, 1);
    world_join_all(&clean, 2);
    world_join_all(&noisy, 2);
    struct msg m = world_update(&noisy, 1, 0, packed);
    memcpy(packed + 16, &nan, 4);
    seal(&noisy, 1, &m);
    expect_refused(&noisy, 1, &m, REASON_NOT_FINITE);
    world_play(&clean, 0, forwards, 2);
    world_play(&noisy, 0, forwards, 2);
    cr_assert(hash_same(&clean.commit[0].hash, &noisy.commit[0].hash));
    world_close(&clean);
    world_close(&noisy);
}

Test(core_faults, a_repeat_is_acknowledged_and_counted_once)
{
    struct world once, twice;
    unsigned char packed[4 * WORLD_VALUES];
    world_open(&once, 2, 2, 0, 2);
    world_open(&twice, 2, 2, 0, 2);
    world_join_all(&once, 2);
    world_join_all(&twice, 2);
    struct msg m = world_update(&twice, 0, 0, packed);
    for (int i = 0; i < 3; i++) {
        world_say(&twice, 0, &m);
        cr_assert(twice.client[0].receipt.accepted);
    }
    cr_assert_eq(twice.client[0].heard[MSG_RECEIPT], 3);
    m.update.samples = 11; /* other content in the same round, well made */
    packed[0] ^= 1;
    seal(&twice, 0, &m);
    expect_refused(&twice, 0, &m, REASON_DUPLICATE);
    world_deliver(&twice, 1, 0);
    world_play(&once, 0, forwards, 2);
    cr_assert(hash_same(&once.commit[0].hash, &twice.commit[0].hash));
    /* Its receipt was lost, the round is over: still accepted. */
    packed[0] ^= 1;
    m.update.samples = 10;
    seal(&twice, 0, &m);
    world_say(&twice, 0, &m);
    cr_assert(twice.client[0].receipt.accepted);
    cr_assert_eq(twice.commits, 1);
    world_close(&once);
    world_close(&twice);
}

Test(core_faults, only_the_selected_are_heard)
{
    struct world w;
    unsigned char packed[4 * WORLD_VALUES];
    world_open(&w, 6, 2, 0, 1);
    world_join_all(&w, 6);
    for (int k = 0; k < 6; k++) {
        if (w.client[k].heard[MSG_TASK] == 0) {
            memcpy(w.client[k].task, w.theta, sizeof w.theta);
            struct msg m = world_update(&w, k, 0, packed);
            expect_refused(&w, k, &m, REASON_NOT_SELECTED);
        }
    }
    cr_assert_eq(world_play(&w, 0, forwards, 6), 2);
    cr_assert_eq(w.commits, 1);
    world_close(&w);
}

Test(core_faults, a_client_that_was_cut_off_gets_its_task_again)
{
    struct world cut, whole;
    world_open(&cut, 3, 3, 0, 1);
    world_open(&whole, 3, 3, 0, 1);
    world_join_all(&cut, 3);
    world_join_all(&whole, 3);
    world_disconnect(&cut, 1);
    world_deliver(&cut, 0, 0);
    world_deliver(&cut, 2, 0);
    cr_assert_eq(cut.commits, 0);
    cut.now += 20 * 1000;
    world_join(&cut, 1);
    cr_assert_eq(cut.client[1].heard[MSG_TASK], 2);
    cr_assert_eq(cut.client[1].deadline_ms, 40 * 1000);
    world_deliver(&cut, 1, 0);
    world_play(&whole, 0, forwards, 3);
    cr_assert_eq(cut.commits, 1);
    cr_assert(hash_same(&cut.commit[0].hash, &whole.commit[0].hash));
    world_close(&cut);
    world_close(&whole);
}

Test(core_faults, a_new_connection_replaces_the_old_one)
{
    struct world w;
    struct core_out out;
    world_open(&w, 2, 2, 0, 1);
    world_join_all(&w, 2);
    uint64_t old = w.client[0].conn, new = ++w.last_conn;
    core_connected(w.core, new, "client-0000", w.now);
    cr_assert(core_next(w.core, &out));
    cr_assert_eq(out.conn, old);
    cr_assert_eq(out.msg.type, MSG_GOODBYE);
    cr_assert_eq(out.msg.goodbye.reason, REASON_DUPLICATE);
    cr_assert_neq(out.msg.goodbye.retry_after_s, 0);
    cr_assert(core_next(w.core, &out));
    cr_assert_eq(out.kind, OUT_CLOSE);
    cr_assert_not(core_next(w.core, &out));
    w.client[0].conn = new;
    world_hello(&w, 0);
    world_ready(&w, 0);
    core_disconnected(w.core, old, w.now); /* the end of the old one does not touch the new one */
    world_deliver(&w, 0, 0);
    cr_assert(w.client[0].receipt.accepted);
    world_deliver(&w, 1, 0);
    cr_assert_eq(w.commits, 1);
    world_close(&w);
}

Test(core_faults, the_deadline_commits_what_a_quorum_delivered)
{
    struct world w;
    world_open(&w, 4, 4, 2, 2);
    world_join_all(&w, 4);
    world_deliver(&w, 0, 0);
    world_deliver(&w, 3, 0);
    world_pass(&w, 59 * 1000);
    cr_assert_eq(w.commits, 0);
    cr_assert_eq(core_deadline(w.core), w.now + 1000);
    world_pass(&w, 1000);
    cr_assert_eq(w.commits, 1);
    cr_assert_eq(w.commit[0].n, 2);
    cr_assert_eq(w.commit[0].selected, 4);
    cr_assert_str_eq(w.commit[0].client[0], "client-0000");
    cr_assert_str_eq(w.commit[0].client[1], "client-0003");
    unsigned char packed[4 * WORLD_VALUES];
    struct msg late = world_update(&w, 1, 0, packed);
    expect_refused(&w, 1, &late, REASON_LATE);
    cr_assert_eq(w.client[1].task_round, 1); /* it is in the second round already */
    world_close(&w);
}

Test(core_faults, a_deadline_without_quorum_restarts_the_round_among_those_present)
{
    struct world w;
    world_open(&w, 6, 3, 0, 1);
    world_join_all(&w, 6);
    int gone = -1;
    for (int k = 0; k < 6 && gone < 0; k++)
        if (w.client[k].heard[MSG_TASK] > 0)
            gone = k;
    world_disconnect(&w, gone);
    cr_assert_eq(world_play(&w, 0, forwards, 6), 2);
    world_pass(&w, 60 * 1000);
    cr_assert_eq(w.commits, 0);
    cr_assert_eq(core_round(w.core), 0);
    char text[200];
    core_status(w.core, w.now, text, sizeof text);
    cr_assert_not_null(strstr(text, "round 1 of 1, attempt 2: 0 of 3 updates, 60 s left"), "%s",
                       text);
    cr_assert_eq(world_play(&w, 0, forwards, 6) >= 3, 1);
    cr_assert_eq(w.commits, 1);
    cr_assert_eq(w.commit[0].attempt, 1);
    cr_assert_eq(w.commit[0].n, 3);
    for (int i = 0; i < 3; i++)
        cr_assert_str_neq(w.commit[0].client[i], w.client[gone].name);
    world_close(&w);
}

Test(core_faults, a_restart_waits_until_a_quorum_is_there)
{
    struct world w;
    world_open(&w, 3, 3, 2, 1);
    world_join_all(&w, 3);
    world_disconnect(&w, 0);
    world_disconnect(&w, 1);
    world_deliver(&w, 2, 0);
    world_pass(&w, 60 * 1000);
    cr_assert_eq(w.client[2].heard[MSG_TASK], 1);
    char text[200];
    core_status(w.core, w.now, text, sizeof text);
    cr_assert_str_eq(text, "round 1 of 1, attempt 2: waiting for clients: 1 of 2 ready");
    world_join(&w, 0);
    cr_assert_eq(w.client[2].heard[MSG_TASK], 2);
    world_deliver(&w, 2, 0); /* the very same update, once more, counts again */
    cr_assert(w.client[2].receipt.accepted);
    world_deliver(&w, 0, 0);
    cr_assert_eq(w.commits, 1);
    cr_assert_eq(w.commit[0].n, 2);
    cr_assert_eq(w.commit[0].selected, 2);
    world_close(&w);
}

Test(core_faults, later_rounds_begin_with_a_quorum_and_serve_who_comes_back)
{
    struct world w;
    world_open(&w, 3, 3, 2, 2);
    world_join_all(&w, 3);
    w.hold = true;
    world_play(&w, 0, forwards, 3);
    world_disconnect(&w, 1);
    world_commit(&w);
    w.hold = false;
    cr_assert_eq(w.client[0].heard[MSG_TASK], 2);
    world_join(&w, 1);
    cr_assert_eq(w.client[1].heard[MSG_TASK], 2);
    cr_assert_eq(world_play(&w, 1, forwards, 3), 3);
    cr_assert_eq(w.commit[1].n, 3);
    world_close(&w);
}

Test(core_faults, a_poisoned_update_does_not_hold_up_a_quorum)
{
    struct world w;
    unsigned char packed[4 * WORLD_VALUES];
    const float nan = NAN;
    world_open(&w, 3, 3, 2, 1);
    world_join_all(&w, 3);
    struct msg m = world_update(&w, 0, 0, packed);
    memcpy(packed, &nan, 4);
    seal(&w, 0, &m);
    expect_refused(&w, 0, &m, REASON_NOT_FINITE);
    world_deliver(&w, 1, 0);
    world_deliver(&w, 2, 0);
    cr_assert_eq(w.commits, 1);
    cr_assert_eq(w.commit[0].n, 2);
    world_close(&w);
}

Test(core_faults, messages_out_of_turn_end_the_connection)
{
    struct world w;
    unsigned char packed[4 * WORLD_VALUES];
    world_open(&w, 3, 3, 0, 1);
    world_join(&w, 0);
    struct msg update = world_update(&w, 1, 0, packed), none = {.type = MSG_TYPES},
               task = {.type = MSG_TASK};
    const struct msg *const bad[] = {&update, &none, &task};
    for (int i = 0; i < 3; i++) {
        world_connect(&w, 1);
        world_say(&w, 1, bad[i]);
        cr_assert_eq(w.client[1].conn, 0);
        cr_assert_eq(w.client[1].goodbye.reason, REASON_UNEXPECTED);
    }
    world_connect(&w, 1);
    world_ready(&w, 1); /* before Hello */
    cr_assert_eq(w.client[1].conn, 0);
    world_hello(&w, 0); /* a second Hello */
    cr_assert_eq(w.client[0].conn, 0);
    cr_assert_eq(core_refusals(w.core)[REASON_UNEXPECTED], 5);
    world_close(&w);
}

Test(core_faults, who_cannot_take_part_is_told_why_and_for_good)
{
    struct world w;
    world_open(&w, 2, 2, 0, 1);
    world_connect(&w, 0);
    world_say(&w, 0, &(struct msg){.type = MSG_HELLO, .hello = {MSG_PROTOCOL + 1, "new"}});
    cr_assert_eq(w.client[0].goodbye.reason, REASON_VERSION);
    const struct {
        struct msg_ready ready;
        enum msg_reason reason;
    } bad[] = {
        {{hash_of("x", 1), hash_of("model", 5), 10, 0, 0}, REASON_SCHEMA},
        {{w.schema.hash, hash_of("x", 1), 10, 0, 0}, REASON_MODEL},
        {{w.schema.hash, hash_of("model", 5), 0, 0, 0}, REASON_DATA},
    };
    for (int i = 0; i < 3; i++) {
        world_connect(&w, 0);
        world_hello(&w, 0);
        world_say(&w, 0, &(struct msg){.type = MSG_READY, .ready = bad[i].ready});
        cr_assert_eq(w.client[0].goodbye.reason, bad[i].reason);
        cr_assert_eq(w.client[0].goodbye.retry_after_s, 0);
        cr_assert_eq(w.client[0].conn, 0);
    }
    world_connect(&w, 0);
    world_hello(&w, 0);
    world_say(&w, 0,
              &(struct msg){.type = MSG_GOODBYE, .goodbye = {REASON_MODEL, "mine is another", 0}});
    cr_assert_eq(w.client[0].conn, 0);
    cr_assert_eq(core_refusals(w.core)[REASON_MODEL], 2);
    world_close(&w);
}

Test(core_faults, a_silent_connection_is_ended)
{
    struct world w;
    world_open(&w, 2, 2, 0, 1);
    world_connect(&w, 0);
    world_connect(&w, 1);
    world_hello(&w, 1);
    cr_assert_eq(core_deadline(w.core), w.now + 30 * 1000);
    world_pass(&w, 30 * 1000);
    cr_assert_eq(w.client[0].conn, 0);
    cr_assert_eq(w.client[0].goodbye.reason, REASON_LATE);
    cr_assert_neq(w.client[1].conn, 0); /* preparing may take longer */
    world_pass(&w, 30 * 60 * 1000);
    cr_assert_eq(w.client[1].conn, 0);
    cr_assert_eq(core_deadline(w.core), CORE_NEVER);
    world_close(&w);
}

Test(core_faults, drains_with_goodbye_and_opens_nothing_new)
{
    struct world w;
    world_open(&w, 3, 3, 1, 2);
    world_join_all(&w, 3);
    world_deliver(&w, 0, 0);
    core_drain(w.core, w.now);
    world_drain(&w);
    for (int k = 0; k < 3; k++) {
        cr_assert_eq(w.client[k].goodbye.reason, REASON_STOPPING);
        cr_assert_neq(w.client[k].goodbye.retry_after_s, 0);
        cr_assert_eq(w.client[k].conn, 0);
    }
    world_connect(&w, 1);
    cr_assert_eq(w.client[1].conn, 0);
    world_pass(&w, 3600 * 1000);
    cr_assert_eq(w.commits, 0);
    cr_assert_eq(core_deadline(w.core), CORE_NEVER);
    world_close(&w);
}

Test(core_faults, a_commit_in_progress_survives_the_drain)
{
    struct world w;
    world_open(&w, 2, 2, 0, 2);
    w.hold = true;
    world_join_all(&w, 2);
    world_play(&w, 0, forwards, 2);
    core_drain(w.core, w.now);
    world_drain(&w);
    world_commit(&w);
    cr_assert_eq(core_round(w.core), 1);
    cr_assert_eq(w.client[0].heard[MSG_TASK], 1);
    world_close(&w);
}

Test(core_faults, limits_follow_the_state_of_the_connection)
{
    struct world w;
    world_open(&w, 2, 2, 0, 1);
    cr_assert_eq(core_limit(w.core, 77, MSG_HELLO), 0);
    world_connect(&w, 0);
    uint64_t conn = w.client[0].conn;
    cr_assert_gt(core_limit(w.core, conn, MSG_HELLO), 0);
    cr_assert_eq(core_limit(w.core, conn, MSG_UPDATE), 0);
    cr_assert_eq(core_limit(w.core, conn, 200), 0);
    world_hello(&w, 0);
    cr_assert_eq(core_limit(w.core, conn, MSG_HELLO), 0);
    cr_assert_gt(core_limit(w.core, conn, MSG_READY), 0);
    world_ready(&w, 0);
    cr_assert_eq(core_limit(w.core, conn, MSG_UPDATE), msg_limit(MSG_UPDATE, w.schema.packed));
    cr_assert_gt(core_limit(w.core, conn, MSG_PING), 0);
    world_say(&w, 0, &(struct msg){.type = MSG_PING});
    cr_assert_eq(w.client[0].heard[MSG_PONG], 1);
    world_close(&w);
}

Test(core_faults, events_of_unknown_connections_are_ignored)
{
    struct world w;
    world_open(&w, 1, 1, 0, 1);
    core_message(w.core, 5, &(struct msg){.type = MSG_PING}, w.now);
    core_disconnected(w.core, 5, w.now);
    core_traffic(w.core, 5, 1, 1);
    core_committed(w.core, w.now);
    world_drain(&w);
    cr_assert_eq(core_round(w.core), 0);
    world_close(&w);
}
