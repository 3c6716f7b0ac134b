/* The client agent on a virtual clock: every test plays the server and the shell. */
#ifndef TESTS_CLIENT_AGENT_WORLD_H
#define TESTS_CLIENT_AGENT_WORLD_H

#include "client/agent.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PACKED = 5, INDEX = 7 };
#define RUN "0123456789abcdef"

static struct agent *agent;
static bool scaffold, async_rounds; /* what the next Welcome says */
static agent_time now;
static struct agent_out out; /* the last that came */

static inline struct hash filled(uint8_t byte)
{
    struct hash h;
    memset(h.byte, byte, sizeof h.byte);
    return h;
}

static inline void setup(void)
{
    struct err e;
    now = 1000;
    scaffold = async_rounds = false;
    cr_assert_eq(agent_open(&agent, "client-7", 42, now, &e), 0);
}

static inline void teardown(void)
{
    agent_close(agent);
}

static inline void expect_at(int line, enum agent_out_kind kind)
{
    cr_assert(agent_next(agent, &out), "line %d: no output", line);
    cr_assert_eq(out.kind, kind, "line %d: output %d, not %d", line, out.kind, kind);
}
#define expect(kind) expect_at(__LINE__, kind)

static inline void expect_send_at(int line, enum msg_type type)
{
    expect_at(line, AGENT_SEND);
    cr_assert_eq(out.msg.type, type, "line %d: message %d, not %d", line, out.msg.type, type);
}
#define expect_send(type) expect_send_at(__LINE__, type)
#define expect_nothing() cr_assert(!agent_next(agent, &out), "output %d", out.kind)

static inline void expect_goodbye_at(int line, enum msg_reason reason)
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
static inline void deliver_run(enum msg_type type, struct msg m, const char *run)
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

static inline void welcome_run(const char *run, uint32_t next_round)
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
    m.welcome.spec.federation.scaffold = scaffold;
    m.welcome.spec.federation.mode = async_rounds ? MODE_ASYNC : MODE_SYNC;
    deliver_run(MSG_WELCOME, m, run);
    free(name);
    free(label[0]);
    free(label[1]);
}

static inline void task(uint32_t round, uint8_t content)
{
    unsigned char *params = malloc(4 * PACKED);
    memset(params, content, 4 * PACKED);
    struct msg m = {.task = {.round = round, .params = {params, 4 * PACKED}}};
    deliver_run(MSG_TASK, m, RUN);
    free(params);
}

static inline void receipt(struct hash id, bool accepted)
{
    struct msg m = {.receipt = {.update_id = id,
                                .accepted = accepted,
                                .reason = accepted ? REASON_NONE : REASON_LATE}};
    deliver_run(MSG_RECEIPT, m, RUN);
}

static inline void finish(uint8_t content)
{
    unsigned char *params = malloc(4 * PACKED);
    memset(params, content, 4 * PACKED);
    struct msg m = {.finish = {.rounds = 9, .params = {params, 4 * PACKED}}};
    deliver_run(MSG_FINISH, m, RUN);
    free(params);
}

static inline void goodbye(enum msg_reason reason, uint32_t retry_after_s)
{
    struct msg m = {
        .goodbye = {.reason = reason, .text = "so long", .retry_after_s = retry_after_s}};
    deliver_run(MSG_GOODBYE, m, RUN);
}

static inline void lose_connection(void)
{
    const struct err why = {ERR_NET, "reset"};
    agent_disconnected(agent, &why, now);
}

/* --- the shell's part ----------------------------------------------------------------------- */

static inline void wait_for_deadline(void)
{
    cr_assert_neq(agent_deadline(agent), AGENT_NEVER);
    if (agent_deadline(agent) > now)
        now = agent_deadline(agent);
    agent_tick(agent, now);
}

/* As far as the Hello. */
static inline void connect_to_server(void)
{
    wait_for_deadline();
    expect(AGENT_CONNECT);
    agent_connected(agent, now);
    expect_send(MSG_HELLO);
}

static inline void prepared(void)
{
    agent_prepared(agent, filled(1), PACKED, filled(2), 100, now);
}

/* As far as the Ready. */
static inline void get_ready(void)
{
    connect_to_server();
    welcome_run(RUN, 0);
    expect(AGENT_PREPARE);
    prepared();
    expect_send(MSG_READY);
    expect_nothing();
}

static inline void come_back(uint32_t next_round)
{
    connect_to_server();
    welcome_run(RUN, next_round);
    expect_send(MSG_READY);
}

static inline void trained(uint8_t content)
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

static inline struct hash sent_update(uint32_t round, uint8_t content)
{
    expect_send(MSG_UPDATE);
    const struct msg_update *u = &out.msg.update;
    unsigned char params[4 * PACKED];
    memset(params, content, sizeof params);
    const struct msg_update same = {
        .run_id = RUN, .round = round, .params = {params, sizeof params}};
    struct hash id = msg_update_id(&same, "client-7");
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

#endif
