/* What many clients are sent is encoded once, and outlives the round that it is of. */
#include "codec/coding.h"
#include "server/handout.h"
#include <criterion/criterion.h>
#include <string.h>

enum { VALUES = 1000, BYTES = 4 * VALUES, LIMIT = BYTES + 200 };

static unsigned char params[BYTES], control[BYTES];

static struct msg task(uint32_t round, uint32_t coding, uint32_t counted)
{
    return (struct msg){.type = MSG_TASK,
                        .task = {.run_id = "00112233445566ff",
                                 .round = round,
                                 .deadline_ms = 1000 + counted,
                                 .params = {params, coding == CODING_PLAIN ? BYTES : BYTES / 2},
                                 .counted = counted,
                                 .coding = coding}};
}

static struct msg finish(uint32_t rounds)
{
    return (struct msg){
        .type = MSG_FINISH,
        .finish = {.run_id = "00112233445566ff", .rounds = rounds, .params = {params, BYTES}}};
}

static struct shared *find(struct handout *h, const struct msg *m)
{
    struct shared *same = NULL;
    struct err e = {0};
    cr_assert_eq(handout_find(h, m, LIMIT, &same, &e), 0, "%s", e.text);
    return same;
}

/* m as its client reads it. */
static void expect_read(const struct msg *m, const struct shared *same)
{
    struct buf all;
    struct arena mem;
    struct msg got;
    struct err e = {0};
    buf_init(&all, SIZE_MAX);
    cr_assert_eq(msg_encode_own(m, &all), 0);
    cr_assert_leq(buf_size(&all), 32, "what is one client's own is little");
    cr_assert_eq(buf_append(&all, same->data, same->len), 0);
    arena_init(&mem, buf_size(&all) + MSG_SLACK);
    cr_assert_eq(msg_decode(m->type, buf_bytes(&all), buf_size(&all), &mem, &got, &e), 0, "%s",
                 e.text);
    if (m->type == MSG_TASK) {
        cr_assert_eq(got.task.round, m->task.round);
        cr_assert_eq(got.task.deadline_ms, m->task.deadline_ms);
        cr_assert_eq(got.task.counted, m->task.counted);
        cr_assert_eq(got.task.coding, m->task.coding);
        cr_assert_eq(got.task.params.len, m->task.params.len);
        cr_assert_arr_eq(got.task.params.data, m->task.params.data, m->task.params.len);
        cr_assert_eq(got.task.control.len, m->task.control.len);
        if (got.task.control.len > 0)
            cr_assert_arr_eq(got.task.control.data, control, got.task.control.len);
    } else {
        cr_assert_eq(got.finish.rounds, m->finish.rounds);
        cr_assert_arr_eq(got.finish.params.data, m->finish.params.data, BYTES);
    }
    arena_release(&mem);
    buf_release(&all);
}

static void fill(unsigned char what)
{
    memset(params, what, sizeof params);
    memset(control, what + 1, sizeof control);
}

Test(handout, clients_of_a_round_and_coding_share_one_encoding)
{
    struct handout h = {0};
    fill(1);
    struct msg a = task(3, CODING_PLAIN, 0), b = task(3, CODING_PLAIN, 7),
               c = task(3, CODING_ZSTD, 7);
    struct shared *plain = find(&h, &a), *coded = find(&h, &c);
    cr_assert_neq(plain, coded);
    cr_assert_eq(find(&h, &b), plain);
    cr_assert_eq(find(&h, &c), coded);
    expect_read(&a, plain);
    expect_read(&b, plain);
    expect_read(&c, coded);
    handout_release(&h);
}

Test(handout, a_slow_client_reads_the_round_that_it_was_given)
{
    struct handout h = {0};
    fill(1);
    struct msg old = task(3, CODING_PLAIN, 2);
    struct shared *slow = shared_hold(find(&h, &old));
    fill(9); /* the core goes on */
    struct msg new = task(4, CODING_PLAIN, 2), end = finish(4);
    struct shared *next = shared_hold(find(&h, &new));
    cr_assert_neq(next, slow);
    cr_assert_eq(slow->holders, 1, "its client alone");
    expect_read(&new, next);
    struct shared *result = find(&h, &end);
    cr_assert_neq(result, next, "the result after 4 rounds is no task of round 4");
    expect_read(&end, result);
    fill(1);
    expect_read(&old, slow);
    shared_drop(slow);
    shared_drop(next);
    handout_release(&h);
}

Test(handout, control_variates_are_shared_too)
{
    struct handout h = {0};
    struct shared *same = NULL;
    fill(1);
    struct msg m = task(0, CODING_PLAIN, 0);
    m.task.control = (struct msg_bytes){control, BYTES};
    cr_assert_eq(handout_find(&h, &m, 2 * LIMIT, &same, NULL), 0);
    expect_read(&m, same);
    handout_release(&h);
}

Test(handout, other_messages_have_nothing_in_common)
{
    struct handout h = {0};
    struct shared *same = (struct shared *)&h;
    struct msg pong = {.type = MSG_PONG};
    cr_assert_eq(handout_find(&h, &pong, LIMIT, &same, NULL), 0);
    cr_assert_null(same);
}

Test(handout, what_is_too_long_is_refused_and_comes_again)
{
    struct handout h = {0};
    struct shared *same;
    struct err e = {0};
    fill(1);
    struct msg m = task(0, CODING_PLAIN, 0);
    cr_assert_eq(handout_find(&h, &m, BYTES, &same, &e), ERR_NOMEM);
    cr_assert_null(same);
    expect_read(&m, find(&h, &m));
    handout_release(&h);
}
