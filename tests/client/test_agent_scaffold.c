/* Control variates on their way through the agent: from the task to the job, from the result to the
 * update. */
#include "tests/client/agent_world.h"

static void begin(void)
{
    setup();
    scaffold = true;
}

TestSuite(agent_scaffold, .init = begin, .fini = teardown);

enum { LEN = 4 * PACKED };

static void task_with(uint32_t round, uint8_t content, size_t control_len, uint8_t control)
{
    unsigned char *params = malloc(LEN), *c = malloc(control_len + 1);
    memset(params, content, LEN);
    memset(c, control, control_len);
    struct msg m = {.task = {.round = round,
                             .params = {params, LEN},
                             .control = {c, control_len},
                             .counted = round}};
    deliver_run(MSG_TASK, m, RUN);
    free(params);
    free(c);
}

static void trained_with(uint8_t content, uint8_t control)
{
    unsigned char *params = malloc(LEN), *c = malloc(LEN);
    memset(params, content, LEN);
    memset(c, control, LEN);
    struct agent_result r = {
        .params = params, .len = LEN, .control = c, .control_len = LEN, .samples = 100};
    agent_trained(agent, &r, now);
    free(params);
    free(c);
}

static void expect_update(uint8_t content, uint8_t control)
{
    expect_send(MSG_UPDATE);
    const struct msg_update *u = &out.msg.update;
    cr_assert_eq(u->params.len, LEN);
    cr_assert_eq(u->control.len, LEN);
    for (int i = 0; i < LEN; i++)
        cr_assert(u->params.data[i] == content && u->control.data[i] == control);
}

Test(agent_scaffold, control_variates_go_both_ways)
{
    get_ready();
    for (uint32_t round = 0; round < 3; round++) {
        task_with(round, 10, LEN, (uint8_t)(20 + round));
        expect(AGENT_TRAIN);
        cr_assert_eq(out.job->counted, round);
        cr_assert_eq(out.job->params[LEN - 1], 10);
        cr_assert_eq(out.job->control[0], 20 + round);
        cr_assert_eq(out.job->control[LEN - 1], 20 + round);
        trained_with(30, 40);
        expect_update(30, 40);
        lose_connection(); /* the kept update has its control variate, too */
        come_back(round);
        expect_update(30, 40);
        receipt(out.msg.update.update_id, true);
        expect_nothing();
    }
}

Test(agent_scaffold, a_task_without_or_with_too_much_is_refused)
{
    static const size_t wrong[] = {0, LEN - 4, LEN + 4, 2 * LEN};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        if (i == 0)
            get_ready();
        else
            come_back(0);
        task_with(0, 1, wrong[i], 2);
        expect_goodbye(REASON_SHAPE);
        expect_nothing();
    }
}

Test(agent_scaffold, a_run_without_it_takes_no_control_variate)
{
    scaffold = false;
    get_ready();
    task_with(0, 1, LEN, 2);
    expect_goodbye(REASON_SHAPE);
    come_back(0);
    task(0, 1);
    expect(AGENT_TRAIN);
    cr_assert_null(out.job->control);
    trained(3);
    expect_send(MSG_UPDATE);
    cr_assert_eq(out.msg.update.control.len, 0);
}

Test(agent_scaffold, a_task_may_be_twice_as_long)
{
    get_ready();
    cr_assert_eq(agent_limit(agent, MSG_TASK), msg_limit(MSG_TASK, 2 * PACKED));
    cr_assert_eq(agent_limit(agent, MSG_FINISH), msg_limit(MSG_FINISH, PACKED));
}
