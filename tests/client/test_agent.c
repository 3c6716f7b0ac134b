/* The client agent on a virtual clock: every test plays the server and the shell. */
#include "client/agent.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PACKED = 5, INDEX = 7 };
#define RUN "0123456789abcdef"

static struct agent *agent;
static agent_time now;
static struct agent_out out; /* the last that came */

static struct hash filled(uint8_t byte)
{
    struct hash h;
    memset(h.byte, byte, sizeof h.byte);
    return h;
}

static void setup(void)
{
    struct err e;
    now = 1000;
    cr_assert_eq(agent_open(&agent, "client-7", 42, now, &e), 0);
}

static void teardown(void)
{
    agent_close(agent);
}

TestSuite(agent, .init = setup, .fini = teardown);

static void expect_at(int line, enum agent_out_kind kind)
{
    cr_assert(agent_next(agent, &out), "line %d: no output", line);
    cr_assert_eq(out.kind, kind, "line %d: output %d, not %d", line, out.kind, kind);
}
#define expect(kind) expect_at(__LINE__, kind)

static void expect_send_at(int line, enum msg_type type)
{
    expect_at(line, AGENT_SEND);
    cr_assert_eq(out.msg.type, type, "line %d: message %d, not %d", line, out.msg.type, type);
}
#define expect_send(type) expect_send_at(__LINE__, type)
#define expect_nothing() cr_assert(!agent_next(agent, &out), "output %d", out.kind)

static void expect_goodbye_at(int line, enum msg_reason reason)
{
    expect_send_at(line, MSG_GOODBYE);
    cr_assert_eq(out.msg.goodbye.reason, reason, "line %d: reason %d", line,
                 out.msg.goodbye.reason);
    expect_at(line, AGENT_DISCONNECT);
}
#define expect_goodbye(reason) expect_goodbye_at(__LINE__, reason)

/* --- the server's part ---------------------------------------------------------------------- */

/* What a peer sends lives only during the call: it is freed here, so that ASan sees the agent
 * looking at it later. */
static void deliver_run(enum msg_type type, struct msg m, const char *run)
{
    char *id = strdup(run);
    m.type = type;
    if (type == MSG_WELCOME)
        m.welcome.run_id = id;
    if (type == MSG_TASK)
        m.task.run_id = id;
    if (type == MSG_FINISH)
        m.finish.run_id = id;
    agent_message(agent, &m, now);
    free(id);
}

static void welcome_run(const char *run, uint32_t next_round)
{
    char *name = strdup("mrpc"), *label[2] = {strdup("no"), strdup("yes")};
    struct msg m = {.welcome = {.protocol = MSG_PROTOCOL,
                                .schema = filled(1),
                                .model = filled(2),
                                .index = INDEX,
                                .next_round = next_round}};
    m.welcome.spec.task.name = name;
    m.welcome.spec.task.labels = label;
    m.welcome.spec.task.n_labels = 2;
    m.welcome.spec.local.epochs = 3;
    deliver_run(MSG_WELCOME, m, run);
    free(name);
    free(label[0]);
    free(label[1]);
}

static void task(uint32_t round, uint8_t content)
{
    unsigned char *params = malloc(4 * PACKED);
    memset(params, content, 4 * PACKED);
    struct msg m = {.task = {.round = round, .params = {params, 4 * PACKED}}};
    deliver_run(MSG_TASK, m, RUN);
    free(params);
}

static void receipt(struct hash id, bool accepted)
{
    struct msg m = {.receipt = {.update_id = id,
                                .accepted = accepted,
                                .reason = accepted ? REASON_NONE : REASON_LATE}};
    deliver_run(MSG_RECEIPT, m, RUN);
}

static void finish(uint8_t content)
{
    unsigned char *params = malloc(4 * PACKED);
    memset(params, content, 4 * PACKED);
    struct msg m = {.finish = {.rounds = 9, .params = {params, 4 * PACKED}}};
    deliver_run(MSG_FINISH, m, RUN);
    free(params);
}

static void goodbye(enum msg_reason reason, uint32_t retry_after_s)
{
    struct msg m = {
        .goodbye = {.reason = reason, .text = "so long", .retry_after_s = retry_after_s}};
    deliver_run(MSG_GOODBYE, m, RUN);
}

static void lose_connection(void)
{
    const struct err why = {ERR_NET, "reset"};
    agent_disconnected(agent, &why, now);
}

/* --- the shell's part ----------------------------------------------------------------------- */

static void wait_for_deadline(void)
{
    cr_assert_neq(agent_deadline(agent), AGENT_NEVER);
    if (agent_deadline(agent) > now)
        now = agent_deadline(agent);
    agent_tick(agent, now);
}

/* As far as the Hello. */
static void connect_to_server(void)
{
    wait_for_deadline();
    expect(AGENT_CONNECT);
    agent_connected(agent, now);
    expect_send(MSG_HELLO);
}

static void prepared(void)
{
    agent_prepared(agent, filled(1), PACKED, filled(2), 100, now);
}

/* As far as the Ready. */
static void get_ready(void)
{
    connect_to_server();
    welcome_run(RUN, 0);
    expect(AGENT_PREPARE);
    prepared();
    expect_send(MSG_READY);
    expect_nothing();
}

static void come_back(uint32_t next_round)
{
    connect_to_server();
    welcome_run(RUN, next_round);
    expect_send(MSG_READY);
}

static void trained(uint8_t content)
{
    unsigned char *params = malloc(4 * PACKED);
    memset(params, content, 4 * PACKED);
    char *name = strdup("accuracy");
    struct agent_result r = {.params = params,
                             .len = 4 * PACKED,
                             .samples = 100,
                             .steps = 4,
                             .train_loss = 0.5,
                             .n_metrics = 1,
                             .metric = {{name, 0.75, 12}}};
    agent_trained(agent, &r, now);
    free(params);
    free(name);
}

static struct hash sent_update(uint32_t round, uint8_t content)
{
    expect_send(MSG_UPDATE);
    const struct msg_update *u = &out.msg.update;
    unsigned char params[4 * PACKED];
    memset(params, content, sizeof params);
    struct hash id =
        msg_update_id(RUN, round, "client-7", (struct msg_bytes){params, sizeof params});
    cr_assert_str_eq(u->run_id, RUN);
    cr_assert_eq(u->round, round);
    cr_assert_eq(u->params.len, sizeof params);
    cr_assert_arr_eq(u->params.data, params, sizeof params);
    cr_assert_arr_eq(u->update_id.byte, id.byte, HASH_BYTES);
    cr_assert_eq(u->schema.byte[0], 1);
    cr_assert_eq(u->samples, 100);
    cr_assert_eq(u->n_metrics, 1);
    cr_assert_str_eq(u->metric[0].name, "accuracy");
    return id;
}

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
    goodbye(REASON_NONE, 0);
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

Test(agent, a_welcome_resets_the_back_off)
{
    for (int i = 0; i < 12; i++) {
        wait_for_deadline();
        expect(AGENT_CONNECT);
        lose_connection();
    }
    get_ready();
    lose_connection();
    cr_assert_leq(agent_deadline(agent) - now, 1000);
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

/* --- work that has become useless ----------------------------------------------------------- */

Test(agent, a_newer_task_cancels_training)
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

Test(agent, a_result_that_comes_in_spite_of_cancelling_is_dropped)
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

Test(agent, another_run_cancels_training_and_is_prepared)
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

Test(agent, another_run_is_prepared_after_the_one_under_way)
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

Test(agent, the_end_of_the_run_cancels_training)
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

Test(agent, a_wrong_schema_ends_it)
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

Test(agent, a_wrong_model_ends_it)
{
    connect_to_server();
    welcome_run(RUN, 0);
    expect(AGENT_PREPARE);
    agent_prepared(agent, filled(1), PACKED, filled(9), 100, now);
    expect_goodbye(REASON_MODEL);
    expect(AGENT_STOPPED);
    cr_assert_eq(out.why.code, ERR_MODEL);
}

Test(agent, no_samples_ends_it)
{
    connect_to_server();
    welcome_run(RUN, 0);
    expect(AGENT_PREPARE);
    agent_prepared(agent, filled(1), PACKED, filled(2), 0, now);
    expect_goodbye(REASON_DATA);
    expect(AGENT_STOPPED);
    cr_assert_eq(out.why.code, ERR_DATA);
}

Test(agent, an_unfit_client_says_why)
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

Test(agent, another_protocol_ends_it)
{
    connect_to_server();
    struct msg m = {.welcome = {.protocol = MSG_PROTOCOL + 1}};
    deliver_run(MSG_WELCOME, m, RUN);
    expect_goodbye(REASON_VERSION);
    expect(AGENT_STOPPED);
    cr_assert_eq(out.why.code, ERR_PROTO);
}

Test(agent, a_refusal_with_retry_comes_back_then)
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

Test(agent, a_refusal_for_good_stops_it)
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

Test(agent, stale_and_foreign_tasks_are_refused)
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

Test(agent, a_refused_update_is_settled)
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
Test(agent, messages_out_of_turn)
{
    static const bool greeting[MSG_TYPES] = {
        [MSG_WELCOME] = true, [MSG_GOODBYE] = true, [MSG_PING] = true, [MSG_PONG] = true};
    static const bool preparing[MSG_TYPES] = {
        [MSG_GOODBYE] = true, [MSG_PING] = true, [MSG_PONG] = true};
    static const bool ready[MSG_TYPES] = {
        [MSG_TASK] = true,    [MSG_RECEIPT] = true, [MSG_FINISH] = true,
        [MSG_GOODBYE] = true, [MSG_PING] = true,    [MSG_PONG] = true};
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

Test(agent, a_task_may_be_as_long_as_its_parameters)
{
    get_ready();
    cr_assert_eq(agent_limit(agent, MSG_TASK), msg_limit(MSG_TASK, PACKED));
}

Test(agent, failed_training_is_told_and_not_repeated_at_once)
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

Test(agent, stop_when_idle_says_goodbye)
{
    get_ready();
    agent_stop(agent, now);
    expect_goodbye(REASON_STOPPING);
    expect(AGENT_STOPPED);
    cr_assert_eq(out.why.code, 0);
    agent_stop(agent, now);
    expect_nothing();
}

Test(agent, stop_when_away)
{
    agent_stop(agent, now);
    expect(AGENT_STOPPED);
    expect_nothing();
}

Test(agent, stop_while_dialling_hangs_up)
{
    wait_for_deadline();
    expect(AGENT_CONNECT);
    agent_stop(agent, now);
    expect(AGENT_DISCONNECT);
    expect(AGENT_STOPPED);
}

Test(agent, stop_waits_for_training)
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

Test(agent, stop_waits_for_preparing)
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

Test(agent, status_says_what_it_does)
{
    char text[128];
    connect_to_server();
    agent_status(agent, now, text, sizeof text);
    cr_assert_not_null(strstr(text, "welcome"), "%s", text);
    welcome_run(RUN, 0);
    expect(AGENT_PREPARE);
    prepared();
    expect_send(MSG_READY);
    task(12, 5);
    expect(AGENT_TRAIN);
    agent_status(agent, now, text, sizeof text);
    cr_assert_not_null(strstr(text, "round 12"), "%s", text);
    lose_connection();
    agent_status(agent, now, text, sizeof text);
    cr_assert_not_null(strstr(text, "reset"), "%s", text);
    char tiny[4];
    agent_status(agent, now, tiny, sizeof tiny);
}
