/* The life of a run, and connections that come and go. */
#include "tests/client/agent_world.h"

TestSuite(agent, .init = setup, .fini = teardown);

/* --- a run ---------------------------------------------------------------------------------- */

Test(agent, dials_at_once_and_says_hello)
{
    cr_assert_eq(agent_deadline(agent), now);
    expect_nothing();
    connect_to_server();
    cr_assert_eq(out.msg.hello.protocol, MSG_PROTOCOL);
    expect_nothing();
}

Test(agent, prepares_once_and_gets_ready)
{
    connect_to_server();
    welcome_run(RUN, 3);
    expect(AGENT_PREPARE);
    const struct msg_welcome *w = out.welcome;
    cr_assert_str_eq(w->run_id, RUN);
    cr_assert_str_eq(w->spec.task.name, "mrpc");
    cr_assert_str_eq(w->spec.task.labels[1], "yes");
    cr_assert_eq(w->spec.local.epochs, 3);
    expect_nothing();
    prepared();
    expect_send(MSG_READY);
    cr_assert_eq(out.msg.ready.samples, 100);
    cr_assert_eq(out.msg.ready.schema.byte[0], 1);
    cr_assert_eq(out.msg.ready.model.byte[0], 2);
    cr_assert_eq(agent_deadline(agent), AGENT_NEVER);
}

Test(agent, is_idle_between_tasks_when_nothing_is_kept)
{
    cr_assert_not(agent_idle(agent));
    connect_to_server();
    welcome_run(RUN, 0);
    expect(AGENT_PREPARE);
    cr_assert_not(agent_idle(agent));
    prepared();
    cr_assert_not(agent_idle(agent)); /* it has something to say */
    expect_send(MSG_READY);
    cr_assert(agent_idle(agent));
    task(0, 1);
    expect(AGENT_TRAIN);
    cr_assert_not(agent_idle(agent));
    trained(2);
    receipt(sent_update(0, 2), true);
    cr_assert_not(agent_idle(agent)); /* the server may ask for it again */
    agent_forget(agent);
    cr_assert(agent_idle(agent));
    lose_connection();
    cr_assert_not(agent_idle(agent));
}

Test(agent, three_rounds_and_the_end)
{
    get_ready();
    for (uint32_t round = 0; round < 3; round++) {
        task(round, (uint8_t)round);
        expect(AGENT_TRAIN);
        cr_assert_str_eq(out.job->run_id, RUN);
        cr_assert_eq(out.job->round, round);
        cr_assert_eq(out.job->index, INDEX);
        cr_assert_eq(out.job->len, 4 * PACKED);
        cr_assert_eq(out.job->params[3], round);
        trained((uint8_t)(round + 100));
        receipt(sent_update(round, (uint8_t)(round + 100)), true);
        expect_nothing();
    }
    finish(9);
    expect(AGENT_FINISHED);
    cr_assert_eq(out.finish->params.data[0], 9);
    cr_assert_eq(out.finish->rounds, 9);
    goodbye(REASON_STOPPING, 0); /* no refusal: the run is over */
    expect(AGENT_DISCONNECT);
    expect(AGENT_STOPPED);
    cr_assert_eq(out.why.code, 0);
    expect_nothing();
}

Test(agent, pings_are_answered)
{
    get_ready();
    deliver_run(MSG_PING, (struct msg){0}, RUN);
    expect_send(MSG_PONG);
    deliver_run(MSG_PONG, (struct msg){0}, RUN);
    expect_nothing();
}

/* --- connections come and go ---------------------------------------------------------------- */

Test(agent, backs_off_with_full_jitter)
{
    int64_t bound = 1000, seen = 0;
    for (int i = 0; i < 400; i++) {
        wait_for_deadline();
        expect(AGENT_CONNECT);
        lose_connection();
        expect_nothing();
        int64_t wait = agent_deadline(agent) - now;
        cr_assert_geq(wait, 0);
        cr_assert_leq(wait, bound, "failure %d: %lld ms", i, (long long)wait);
        if (bound == 300000) {
            seen = wait > seen ? wait : seen;
        } else {
            bound = 2 * bound > 300000 ? 300000 : 2 * bound;
        }
    }
    cr_assert_gt(seen, 250000, "jitter never used its whole range: %lld", (long long)seen);
}

static void fail_to_connect(int times)
{
    for (int i = 0; i < times; i++) {
        wait_for_deadline();
        expect(AGENT_CONNECT);
        lose_connection();
    }
}

Test(agent, a_connection_that_lasted_resets_the_back_off)
{
    fail_to_connect(12);
    get_ready();
    now += 60000;
    lose_connection();
    cr_assert_leq(agent_deadline(agent) - now, 1000);
}

Test(agent, a_settled_update_resets_the_back_off)
{
    fail_to_connect(12);
    get_ready();
    task(0, 1);
    expect(AGENT_TRAIN);
    trained(2);
    receipt(sent_update(0, 2), true);
    lose_connection();
    cr_assert_leq(agent_deadline(agent) - now, 1000);
}

/* A server that fails after each Welcome is left alone more and more. */
Test(agent, a_welcome_alone_does_not_reset_the_back_off)
{
    agent_time began = now;
    get_ready();
    for (int i = 0; i < 30; i++) {
        lose_connection();
        come_back(0);
    }
    cr_assert_gt(now - began, 15 * 60 * 1000);
}

Test(agent, comes_back_when_it_is_told_and_not_before)
{
    fail_to_connect(12);
    for (int i = 0; i < 50; i++) {
        connect_to_server();
        goodbye(REASON_FULL, 70);
        expect(AGENT_DISCONNECT);
        cr_assert_geq(agent_deadline(agent) - now, 70000);
        cr_assert_lt(agent_deadline(agent) - now, 71000);
    }
}

Test(agent, different_clients_wait_differently)
{
    struct agent *other;
    struct err e;
    cr_assert_eq(agent_open(&other, "client-8", 43, now, &e), 0);
    const struct err why = {ERR_NET, "reset"};
    wait_for_deadline();
    lose_connection();
    agent_tick(other, now);
    agent_disconnected(other, &why, now);
    cr_assert_neq(agent_deadline(other), agent_deadline(agent));
    agent_close(other);
}

Test(agent, gives_up_a_server_that_does_not_answer)
{
    connect_to_server();
    agent_time at = agent_deadline(agent);
    cr_assert_eq(at, now + 30000);
    agent_tick(agent, at - 1);
    expect_nothing();
    now = at;
    agent_tick(agent, now);
    expect(AGENT_DISCONNECT);
    cr_assert_gt(agent_deadline(agent), now - 1);
    wait_for_deadline();
    expect(AGENT_CONNECT);
}

Test(agent, the_same_run_is_not_prepared_twice)
{
    get_ready();
    lose_connection();
    come_back(0);
    expect_nothing();
}

Test(agent, a_reconnect_while_preparing_waits_for_the_shell)
{
    connect_to_server();
    welcome_run(RUN, 0);
    expect(AGENT_PREPARE);
    lose_connection();
    connect_to_server();
    welcome_run(RUN, 0);
    expect_nothing();
    prepared();
    expect_send(MSG_READY);
    expect_nothing();
}

Test(agent, prepared_while_away_is_announced_on_return)
{
    connect_to_server();
    welcome_run(RUN, 0);
    expect(AGENT_PREPARE);
    lose_connection();
    prepared();
    expect_nothing();
    come_back(0);
}

Test(agent, an_update_trained_while_away_is_offered_on_return)
{
    get_ready();
    task(0, 5);
    expect(AGENT_TRAIN);
    lose_connection();
    trained(50);
    expect_nothing();
    come_back(0);
    struct hash id = sent_update(0, 50);
    task(0, 5); /* was sent before the server saw the update */
    expect_nothing();
    receipt(id, true);
    expect_nothing();
}

static void withdraw(uint32_t round)
{
    struct msg m = {.receipt = {.round = round, .reason = REASON_LATE}};
    deliver_run(MSG_RECEIPT, m, RUN);
}

Test(agent, stops_what_the_server_withdraws)
{
    const struct err stopped = {ERR_STATE, "cancelled"};
    get_ready();
    task(3, 1);
    expect(AGENT_TRAIN);
    withdraw(2); /* of a round before: not this one */
    expect_nothing();
    withdraw(3);
    expect(AGENT_CANCEL);
    withdraw(3);
    expect_nothing();
    task(4, 2); /* waits until the shell has stopped */
    expect_nothing();
    agent_failed(agent, &stopped, now);
    expect(AGENT_TRAIN);
    cr_assert_eq(out.job->round, 4);
    trained(5);
    sent_update(4, 5);
    withdraw(4); /* crossed the update: its own receipt will say so */
    expect_nothing();
}

Test(agent, a_result_that_comes_after_the_withdrawal_is_not_offered)
{
    get_ready();
    task(3, 1);
    expect(AGENT_TRAIN);
    withdraw(3);
    expect(AGENT_CANCEL);
    trained(5);
    expect_nothing();
    cr_assert_eq(agent_deadline(agent), AGENT_NEVER); /* and not held against anybody */
}

Test(agent, stops_what_belongs_to_a_round_that_is_over)
{
    get_ready();
    task(3, 1);
    expect(AGENT_TRAIN);
    lose_connection();
    connect_to_server();
    welcome_run(RUN, 4);
    expect(AGENT_CANCEL);
    expect_send(MSG_READY);
    trained(5);
    expect_nothing();
}

/* With federation.mode async, rounds that were committed meanwhile are no reason to stop. */
Test(agent, says_what_it_is_at_and_goes_on_with_it)
{
    async_rounds = true;
    get_ready();
    cr_assert_eq(out.msg.ready.at_work, 0);
    task(3, 1);
    expect(AGENT_TRAIN);
    lose_connection();
    come_back(9);
    cr_assert_eq(out.msg.ready.at_work, 4);
    expect_nothing();
    lose_connection();
    trained(5); /* while it is away */
    come_back(12);
    cr_assert_eq(out.msg.ready.at_work, 4);
    struct hash id = sent_update(3, 5);
    receipt(id, true);
    lose_connection();
    come_back(13);
    cr_assert_eq(out.msg.ready.at_work, 0);
    expect_nothing();
    task(13, 7);
    expect(AGENT_TRAIN);
    withdraw(13); /* too stale */
    expect(AGENT_CANCEL);
    lose_connection();
    come_back(20);
    cr_assert_eq(out.msg.ready.at_work, 0);
}

Test(agent, training_goes_on_over_a_reconnect)
{
    get_ready();
    task(0, 5);
    expect(AGENT_TRAIN);
    lose_connection();
    come_back(0);
    task(0, 5);
    expect_nothing();
    trained(50);
    sent_update(0, 50);
}

Test(agent, an_update_without_receipt_is_offered_again)
{
    get_ready();
    task(2, 5);
    expect(AGENT_TRAIN);
    trained(50);
    sent_update(2, 50);
    lose_connection();
    come_back(2);
    receipt(sent_update(2, 50), true);
    lose_connection();
    come_back(2);
    expect_nothing();
}

Test(agent, an_update_of_a_past_round_is_not_offered)
{
    get_ready();
    task(2, 5);
    expect(AGENT_TRAIN);
    trained(50);
    sent_update(2, 50);
    lose_connection();
    come_back(3);
    expect_nothing();
}

Test(agent, a_task_that_comes_again_is_answered_without_training)
{
    get_ready();
    task(2, 5);
    expect(AGENT_TRAIN);
    trained(50);
    receipt(sent_update(2, 50), true);
    task(2, 5); /* the server lost it, or restarted the round */
    receipt(sent_update(2, 50), false);
    task(2, 5);
    sent_update(2, 50);
}

Test(agent, the_same_round_from_other_parameters_is_trained)
{
    get_ready();
    task(2, 5);
    expect(AGENT_TRAIN);
    trained(50);
    receipt(sent_update(2, 50), true);
    task(2, 6);
    expect(AGENT_TRAIN);
    cr_assert_eq(out.job->params[0], 6);
}

/* --- an update of an earlier life ------------------------------------------------------------ */

static void restored(uint32_t round, uint8_t base_content, uint8_t content)
{
    unsigned char base[4 * PACKED], *params = malloc(4 * PACKED);
    memset(base, base_content, sizeof base);
    memset(params, content, 4 * PACKED);
    struct hash h = hash_of(base, sizeof base);
    const struct agent_result r = {.params = params,
                                   .len = 4 * PACKED,
                                   .samples = 100,
                                   .steps = 4,
                                   .train_loss = 0.5,
                                   .n_metrics = 1,
                                   .metric = {{"accuracy", 0.75, 12}}};
    agent_restore(agent, round, &h, &r);
    free(params);
}

Test(agent, an_update_of_an_earlier_life_is_offered_again)
{
    connect_to_server();
    welcome_run(RUN, 3);
    expect(AGENT_PREPARE);
    restored(3, 1, 9);
    prepared();
    expect_send(MSG_READY);
    struct hash id = sent_update(3, 9);
    task(3, 1); /* the one that it answers, sent before the update was seen */
    expect_nothing();
    receipt(id, true);
    task(3, 1); /* the server has lost it */
    sent_update(3, 9);
    task(3, 2); /* from other parameters it is another task */
    expect(AGENT_TRAIN);
}

Test(agent, an_update_of_an_earlier_life_that_is_too_late_is_not_offered)
{
    connect_to_server();
    welcome_run(RUN, 4);
    expect(AGENT_PREPARE);
    restored(3, 1, 9);
    prepared();
    expect_send(MSG_READY);
    expect_nothing();
    task(4, 1);
    expect(AGENT_TRAIN);
}

Test(agent, an_update_can_be_restored_only_while_its_run_is_prepared)
{
    restored(3, 1, 9);
    get_ready();
    restored(3, 1, 9);
    task(3, 1);
    expect(AGENT_TRAIN);
    trained(8);
    sent_update(3, 8);
}

Test(agent, the_server_is_told_of_a_pause_on_each_connection)
{
    get_ready();
    agent_paused(agent, PAUSE_NONE);
    expect_nothing();
    task(0, 1);
    expect(AGENT_TRAIN);
    agent_paused(agent, PAUSE_BATTERY);
    expect_send(MSG_PAUSED);
    cr_assert_eq(out.msg.paused.why, PAUSE_BATTERY);
    agent_paused(agent, PAUSE_BATTERY);
    expect_nothing();
    lose_connection();
    agent_paused(agent, PAUSE_HOURS);
    expect_nothing();
    come_back(0);
    expect_send(MSG_PAUSED);
    cr_assert_eq(out.msg.paused.why, PAUSE_HOURS);
    task(0, 1);
    expect_nothing();
    agent_paused(agent, PAUSE_NONE);
    expect_send(MSG_PAUSED);
    cr_assert_eq(out.msg.paused.why, PAUSE_NONE);
    trained(2);
    receipt(sent_update(0, 2), true);
    expect_nothing();
}
