/* Encoded parameters at the agent: what it says it knows, what it makes of a task and of a result,
 * and what it passes on. */
#include "codec/coder.h"
#include "tests/client/agent_world.h"

TestSuite(agent_coding, .init = setup, .fini = teardown);

static void send_coded(enum msg_type type, uint32_t coding, const void *bytes, size_t len)
{
    unsigned char *exact = malloc(len + 1);
    if (len > 0)
        memcpy(exact, bytes, len);
    struct msg m = {.task = {.round = 0, .params = {exact, len}, .coding = coding}};
    if (type == MSG_FINISH)
        m = (struct msg){.finish = {.rounds = 9, .params = {exact, len}, .coding = coding}};
    deliver_run(type, m, RUN);
    free(exact);
}

static const unsigned char halves[2 * PACKED] = {0, 0x3c, 0, 0xc0, 0, 0x38, 0, 0, 0, 0x3c};
static const float values[PACKED] = {1, -2, 0.5F, 0, 1};

Test(agent_coding, says_what_it_knows)
{
    get_ready();
    cr_expect_eq(out.msg.ready.codings, coding_known());
}

Test(agent_coding, trains_from_decoded_parameters_and_sends_what_it_is_given)
{
    get_ready();
    send_coded(MSG_TASK, 1, halves, sizeof halves);
    expect(AGENT_TRAIN);
    cr_assert_eq(out.job->len, sizeof values);
    cr_assert_arr_eq(out.job->params, values, sizeof values);
    const unsigned char update[] = {1, 2, 3, 4, 5, 6, 7};
    const struct agent_result r = {
        .params = update, .len = sizeof update, .coding = 35, .samples = 100};
    agent_trained(agent, &r, now);
    expect_send(MSG_UPDATE);
    cr_assert_eq(out.msg.update.coding, 35);
    cr_assert_eq(out.msg.update.params.len, sizeof update);
    cr_assert_arr_eq(out.msg.update.params.data, update, sizeof update);
    struct hash id = msg_update_id(&out.msg.update, "client-7");
    cr_assert(hash_same(&id, &out.msg.update.update_id));
}

/* The same values are the same task, however they came: nothing is trained twice. */
Test(agent_coding, a_task_is_known_by_its_values)
{
    get_ready();
    send_coded(MSG_TASK, 1, halves, sizeof halves);
    expect(AGENT_TRAIN);
    lose_connection();
    come_back(0);
    send_coded(MSG_TASK, CODING_PLAIN, values, sizeof values);
    expect_nothing();
    trained(4);
    expect_send(MSG_UPDATE);
    lose_connection();
    come_back(0);
    expect_send(MSG_UPDATE);
    send_coded(MSG_TASK, 1, halves, sizeof halves);
    expect_nothing();
}

Test(agent_coding, what_cannot_be_decoded_ends_the_connection)
{
    static const struct {
        uint32_t coding;
        size_t len;
    } bad[] = {{1, 2 * PACKED - 1}, {1, 2 * PACKED - 2}, {0, 2 * PACKED},  {3, 2 * PACKED},
               {33, 2 * PACKED},    {5, 2 * PACKED},     {64, 2 * PACKED}, {UINT32_MAX, 4}};
    static const enum msg_type types[] = {MSG_TASK, MSG_FINISH};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        for (int t = 0; t < 2; t++) {
            if (i + (size_t)t == 0)
                get_ready();
            else
                come_back(0);
            send_coded(types[t], bad[i].coding, halves, bad[i].len);
            expect_goodbye(REASON_SHAPE);
            expect_nothing();
        }
    }
}

Test(agent_coding, a_result_is_decoded)
{
    get_ready();
    send_coded(MSG_FINISH, 1, halves, sizeof halves);
    expect(AGENT_FINISHED);
    cr_assert_eq(out.finish->params.len, sizeof values);
    cr_assert_arr_eq(out.finish->params.data, values, sizeof values);
    cr_assert_eq(out.finish->coding, CODING_PLAIN);
    send_coded(MSG_FINISH, 1, halves, sizeof halves); /* said again */
    expect_nothing();
}

/* Strings of a Welcome are the agent's own. */
Test(agent_coding, names_of_encodings_are_copied)
{
    connect_to_server();
    char *up = strdup("int8"), *down = strdup("fp16");
    struct msg m = {.welcome = {.protocol = MSG_PROTOCOL, .schema = filled(1), .model = filled(2)}};
    m.welcome.spec.task.name = up;
    m.welcome.spec.federation.upload = up;
    m.welcome.spec.federation.download = down;
    deliver_run(MSG_WELCOME, m, RUN);
    memset(up, 'x', 4);
    memset(down, 'x', 4);
    free(up);
    free(down);
    expect(AGENT_PREPARE);
    cr_expect_str_eq(out.welcome->spec.federation.upload, "int8");
    cr_expect_str_eq(out.welcome->spec.federation.download, "fp16");
}
