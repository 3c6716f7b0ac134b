/* Work that has become useless, refusals, and stopping. */
#include "tests/client/agent_world.h"

TestSuite(agent_ends, .init = setup, .fini = teardown);

/* --- work that has become useless ----------------------------------------------------------- */

Test(agent_ends, a_newer_task_cancels_training)
{
    get_ready();
    task(0, 5);
    expect(AGENT_TRAIN);
    task(1, 6);
    expect(AGENT_CANCEL);
    expect_nothing();
    task(2, 7); /* asked to cancel only once */
    expect_nothing();
    const struct err why = {ERR_STATE, "cancelled"};
    agent_failed(agent, &why, now);
    expect(AGENT_TRAIN);
    cr_assert_eq(out.job->round, 2);
    cr_assert_eq(out.job->params[0], 7);
    trained(70);
    sent_update(2, 70);
}

Test(agent_ends, a_result_that_comes_in_spite_of_cancelling_is_dropped)
{
    get_ready();
    task(0, 5);
    expect(AGENT_TRAIN);
    task(1, 6);
    expect(AGENT_CANCEL);
    trained(50);
    expect(AGENT_TRAIN);
    cr_assert_eq(out.job->round, 1);
    expect_nothing();
}

Test(agent_ends, another_run_cancels_training_and_is_prepared)
{
    get_ready();
    task(0, 5);
    expect(AGENT_TRAIN);
    lose_connection();
    connect_to_server();
    welcome_run("fedcba9876543210", 0);
    expect(AGENT_CANCEL);
    expect_nothing();
    trained(50);
    expect(AGENT_PREPARE);
    cr_assert_str_eq(out.welcome->run_id, "fedcba9876543210");
    prepared();
    expect_send(MSG_READY);
    expect_nothing();
}

Test(agent_ends, another_run_is_prepared_after_the_one_under_way)
{
    connect_to_server();
    welcome_run(RUN, 0);
    expect(AGENT_PREPARE);
    const struct msg_welcome *first = out.welcome;
    lose_connection();
    connect_to_server();
    welcome_run("fedcba9876543210", 0);
    expect_nothing();
    cr_assert_str_eq(first->spec.task.name, "mrpc"); /* still the shell's */
    agent_unfit(agent, REASON_DATA, "no data for the old run", now);
    expect(AGENT_PREPARE);
    cr_assert_str_eq(out.welcome->run_id, "fedcba9876543210");
}

Test(agent_ends, the_end_of_the_run_cancels_training)
{
    get_ready();
    task(0, 5);
    expect(AGENT_TRAIN);
    finish(9);
    expect(AGENT_CANCEL);
    expect(AGENT_FINISHED);
    trained(50);
    expect_nothing();
    lose_connection();
    come_back(9);
    finish(9); /* said again to who comes back */
    expect_nothing();
}

/* --- refusals ------------------------------------------------------------------------------- */

Test(agent_ends, a_wrong_schema_ends_it)
{
    connect_to_server();
    welcome_run(RUN, 0);
    expect(AGENT_PREPARE);
    agent_prepared(agent, filled(9), PACKED, filled(2), 100, now);
    expect_goodbye(REASON_SCHEMA);
    expect(AGENT_STOPPED);
    cr_assert_eq(out.why.code, ERR_MODEL);
    cr_assert_eq(agent_deadline(agent), AGENT_NEVER);
}

Test(agent_ends, a_wrong_model_ends_it)
{
    connect_to_server();
    welcome_run(RUN, 0);
    expect(AGENT_PREPARE);
    agent_prepared(agent, filled(1), PACKED, filled(9), 100, now);
    expect_goodbye(REASON_MODEL);
    expect(AGENT_STOPPED);
    cr_assert_eq(out.why.code, ERR_MODEL);
}

Test(agent_ends, no_samples_ends_it)
{
    connect_to_server();
    welcome_run(RUN, 0);
    expect(AGENT_PREPARE);
    agent_prepared(agent, filled(1), PACKED, filled(2), 0, now);
    expect_goodbye(REASON_DATA);
    expect(AGENT_STOPPED);
    cr_assert_eq(out.why.code, ERR_DATA);
}

Test(agent_ends, an_unfit_client_says_why)
{
    connect_to_server();
    welcome_run(RUN, 0);
    expect(AGENT_PREPARE);
    agent_unfit(agent, REASON_DATA, "data/train.tsv: no such file", now);
    expect_send(MSG_GOODBYE);
    cr_assert_str_eq(out.msg.goodbye.text, "data/train.tsv: no such file");
    expect(AGENT_DISCONNECT);
    expect(AGENT_STOPPED);
    cr_assert_str_eq(out.why.text, "data/train.tsv: no such file");
}

Test(agent_ends, another_protocol_ends_it)
{
    connect_to_server();
    struct msg m = {.welcome = {.protocol = MSG_PROTOCOL + 1}};
    deliver_run(MSG_WELCOME, m, RUN);
    expect_goodbye(REASON_VERSION);
    expect(AGENT_STOPPED);
    cr_assert_eq(out.why.code, ERR_PROTO);
}

Test(agent_ends, a_refusal_with_retry_comes_back_then)
{
    get_ready();
    task(0, 5);
    expect(AGENT_TRAIN);
    goodbye(REASON_STOPPING, 60);
    expect(AGENT_DISCONNECT);
    expect_nothing();
    cr_assert_geq(agent_deadline(agent), now + 60000);
    cr_assert_leq(agent_deadline(agent), now + 61000);
    trained(50);
    come_back(0);
    sent_update(0, 50);
}

Test(agent_ends, a_refusal_for_good_stops_it)
{
    connect_to_server();
    goodbye(REASON_IDENTITY, 0);
    expect(AGENT_DISCONNECT);
    expect(AGENT_STOPPED);
    cr_assert_eq(out.why.code, ERR_REFUSED);
    cr_assert_not_null(strstr(out.why.text, "so long"));
    expect_nothing();
    agent_connected(agent, now);
    lose_connection();
    agent_tick(agent, now + 1000000);
    expect_nothing();
}

Test(agent_ends, stale_and_foreign_tasks_are_refused)
{
    get_ready();
    task(4, 5);
    expect(AGENT_TRAIN);
    task(3, 5);
    expect_goodbye(REASON_ROUND);
    expect_nothing();

    come_back(4);
    unsigned char params[4 * PACKED] = {0};
    struct msg m = {.task = {.round = 5, .params = {params, sizeof params}}};
    deliver_run(MSG_TASK, m, "fedcba9876543210");
    expect_goodbye(REASON_RUN);

    come_back(4);
    m.task.params.len = sizeof params - 4;
    deliver_run(MSG_TASK, m, RUN);
    expect_goodbye(REASON_SHAPE);

    come_back(4);
    m = (struct msg){.finish = {.params = {params, 4}}};
    deliver_run(MSG_FINISH, m, RUN);
    expect_goodbye(REASON_SHAPE);
    trained(50);
    come_back(4);
    sent_update(4, 50);
}

Test(agent_ends, a_refused_update_is_settled)
{
    get_ready();
    task(0, 5);
    expect(AGENT_TRAIN);
    trained(50);
    receipt(sent_update(0, 50), false);
    lose_connection();
    come_back(0);
    expect_nothing();
    receipt(filled(77), true); /* of nothing we know */
    expect_nothing();
}

/* For every message type, in every state of the connection: what agent_limit admits is handled,
 * and what it does not ends the connection. */
Test(agent_ends, messages_out_of_turn)
{
    static const bool greeting[MSG_TYPES] = {
        [MSG_WELCOME] = true, [MSG_GOODBYE] = true, [MSG_PING] = true, [MSG_PONG] = true};
    static const bool preparing[MSG_TYPES] = {
        [MSG_GOODBYE] = true, [MSG_PING] = true, [MSG_PONG] = true};
    static const bool ready[MSG_TYPES] = {
        [MSG_TASK] = true, [MSG_RECEIPT] = true, [MSG_FINISH] = true, [MSG_GOODBYE] = true,
        [MSG_PING] = true, [MSG_PONG] = true,    [MSG_PROCEED] = true};
    static const bool *const admitted[] = {greeting, preparing, ready};
    for (int state = 0; state < 3; state++) {
        for (int type = 0; type <= 255; type++) {
            teardown();
            setup();
            cr_assert_eq(agent_limit(agent, (uint8_t)type), 0); /* not connected */
            connect_to_server();
            if (state > 0) {
                welcome_run(RUN, 0);
                expect(AGENT_PREPARE);
            }
            if (state > 1) {
                prepared();
                expect_send(MSG_READY);
            }
            bool good = type < MSG_TYPES && admitted[state][type];
            cr_assert_eq(agent_limit(agent, (uint8_t)type) > 0, good, "state %d type %d", state,
                         type);
            if (!good) {
                struct msg m = {0};
                deliver_run((enum msg_type)type, m, RUN);
                expect_goodbye(REASON_UNEXPECTED);
                expect_nothing();
                cr_assert_neq(agent_deadline(agent), AGENT_NEVER);
            }
        }
    }
}

Test(agent_ends, a_task_may_be_as_long_as_its_parameters)
{
    get_ready();
    cr_assert_eq(agent_limit(agent, MSG_TASK), msg_limit(MSG_TASK, PACKED));
}

Test(agent_ends, failed_training_is_told_and_not_repeated_at_once)
{
    get_ready();
    int64_t longest = 0;
    for (int i = 0; i < 12; i++) {
        task(0, 5);
        expect(AGENT_TRAIN);
        const struct err why = {ERR_NOMEM, "over the memory limit"};
        agent_failed(agent, &why, now);
        expect_goodbye(REASON_INTERNAL);
        expect_nothing();
        int64_t wait = agent_deadline(agent) - now;
        longest = wait > longest ? wait : longest;
        come_back(0);
    }
    cr_assert_gt(longest, 5000, "waited at most %lld ms", (long long)longest);
}

/* --- stopping ------------------------------------------------------------------------------- */

Test(agent_ends, stop_when_idle_says_goodbye)
{
    get_ready();
    agent_stop(agent, now);
    expect_goodbye(REASON_STOPPING);
    expect(AGENT_STOPPED);
    cr_assert_eq(out.why.code, 0);
    agent_stop(agent, now);
    expect_nothing();
}

Test(agent_ends, stop_when_away)
{
    agent_stop(agent, now);
    expect(AGENT_STOPPED);
    expect_nothing();
}

Test(agent_ends, stop_while_dialling_hangs_up)
{
    wait_for_deadline();
    expect(AGENT_CONNECT);
    agent_stop(agent, now);
    expect(AGENT_DISCONNECT);
    expect(AGENT_STOPPED);
}

Test(agent_ends, stop_waits_for_training)
{
    get_ready();
    task(0, 5);
    expect(AGENT_TRAIN);
    agent_stop(agent, now);
    expect_goodbye(REASON_STOPPING);
    expect(AGENT_CANCEL);
    expect_nothing();
    const struct err why = {ERR_STATE, "cancelled"};
    agent_failed(agent, &why, now);
    expect(AGENT_STOPPED);
    cr_assert_eq(out.why.code, 0);
    expect_nothing();
}

Test(agent_ends, stop_waits_for_preparing)
{
    connect_to_server();
    welcome_run(RUN, 0);
    expect(AGENT_PREPARE);
    agent_stop(agent, now);
    expect_goodbye(REASON_STOPPING);
    expect_nothing();
    prepared();
    expect(AGENT_STOPPED);
    expect_nothing();
}
