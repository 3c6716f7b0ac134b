/* An update that is too long for a message, as the agent sends it. */
#include "tests/client/agent_world.h"

TestSuite(agent_upload, .init = setup, .fini = teardown);

enum { LONG = 400000, LONG_BYTES = 4 * LONG, CHUNKS = 1 + (LONG_BYTES - 1) / MSG_CHUNK };
static unsigned char params[LONG_BYTES];

static void task_of(uint32_t round)
{
    struct msg m = {.task = {.round = round, .params = {params, LONG_BYTES}}};
    deliver_run(MSG_TASK, m, RUN);
}

/* As far as the question where to go on. */
static struct hash trained_long(void)
{
    connect_to_server();
    welcome_run(RUN, 0);
    expect(AGENT_PREPARE);
    agent_prepared(agent, filled(1), LONG, filled(2), 100, now);
    expect_send(MSG_READY);
    task_of(0);
    expect(AGENT_TRAIN);
    for (size_t i = 0; i < LONG_BYTES; i++)
        params[i] = (unsigned char)(i * 31 + i / 255);
    struct agent_result r = {.params = params, .len = LONG_BYTES, .samples = 100, .steps = 4};
    agent_trained(agent, &r, now);
    expect_send(MSG_PART);
    const struct msg_part *p = &out.msg.part;
    cr_assert_str_eq(p->run_id, RUN);
    cr_assert_eq(p->round, 0);
    cr_assert_eq(p->length, LONG_BYTES);
    cr_assert_eq(p->data.len, 0);
    expect_nothing();
    return p->update_id;
}

static void proceed(struct hash id, size_t offset)
{
    deliver_run(MSG_PROCEED, (struct msg){.proceed = {id, offset}}, RUN);
}

static void expect_part(struct hash id, size_t offset)
{
    size_t left = LONG_BYTES - offset, n = left < MSG_CHUNK ? left : MSG_CHUNK;
    expect_send(MSG_PART);
    const struct msg_part *p = &out.msg.part;
    cr_assert(hash_same(&p->update_id, &id));
    cr_assert_eq(p->offset, offset);
    cr_assert_eq(p->data.len, n);
    cr_assert_arr_eq(p->data.data, params + offset, n);
    expect_nothing();
}

static void expect_end(struct hash id)
{
    expect_send(MSG_UPDATE);
    const struct msg_update *u = &out.msg.update;
    cr_assert(hash_same(&u->update_id, &id));
    cr_assert(u->uploaded);
    cr_assert_eq(u->params.len, LONG_BYTES);
    cr_assert_null(u->params.data);
    cr_assert_eq(u->samples, 100);
    expect_nothing();
}

Test(agent_upload, one_part_after_the_other_then_the_update)
{
    struct hash id = trained_long();
    for (size_t at = 0; at < LONG_BYTES; at += MSG_CHUNK) {
        proceed(id, at);
        expect_part(id, at);
    }
    proceed(id, LONG_BYTES);
    expect_end(id);
    receipt(id, true);
    expect_nothing();
    proceed(id, 0); /* settled */
    expect_nothing();
    task_of(1);
    expect(AGENT_TRAIN);
}

Test(agent_upload, a_new_connection_asks_and_goes_on_where_it_is_told)
{
    struct hash id = trained_long();
    proceed(id, 0);
    expect_part(id, 0);
    lose_connection();
    proceed(id, MSG_CHUNK); /* was under way */
    expect_nothing();
    come_back(0);
    expect_send(MSG_PART);
    cr_assert_eq(out.msg.part.data.len, 0);
    proceed(id, MSG_CHUNK);
    expect_part(id, MSG_CHUNK);
    lose_connection();
    come_back(0);
    expect_send(MSG_PART);
    proceed(id, LONG_BYTES); /* the last part had arrived */
    expect_end(id);
}

Test(agent_upload, the_server_may_settle_it_at_any_point)
{
    struct hash id = trained_long();
    proceed(id, 0);
    expect_part(id, 0);
    receipt(id, false);
    expect_nothing();
    lose_connection();
    come_back(1);
    expect_nothing();
}

Test(agent_upload, other_updates_and_impossible_offsets)
{
    struct hash id = trained_long();
    proceed(filled(9), 0);
    expect_nothing();
    proceed(id, LONG_BYTES + 1);
    expect_goodbye(REASON_PART);
}
