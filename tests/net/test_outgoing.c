/* Frames that wait: their order, and the pieces in which they go. */
#include "net/outgoing.h"

#include "net/frame.h"
#include "net/tls.h"

#include <criterion/criterion.h>

enum { LONG = 3 * TLS_RECORD + 100, MOST = 2 * TLS_RECORD - 1 };

static struct shared *make_shared(size_t n)
{
    struct buf b;
    buf_init(&b, n + 1);
    unsigned char *to = buf_reserve(&b, n + 1);
    cr_assert_not_null(to);
    for (size_t i = 0; i < n; i++)
        to[i] = (unsigned char)(i * 7 + i / 251);
    buf_commit(&b, n);
    return shared_take(&b);
}

/* Takes the next piece, and appends it to what came before. */
static size_t next(struct outgoing *q, struct buf *all)
{
    const unsigned char *bytes;
    uint64_t before = q->sealed;
    size_t n = outgoing_next(q, MOST, &bytes);
    cr_assert_eq(outgoing_next(q, MOST, &bytes), n, "looking takes nothing");
    if (n == 0)
        return 0;
    cr_assert_eq(buf_append(all, bytes, n), 0);
    outgoing_gone(q, n);
    cr_assert_eq(before - q->sealed, tls_sealed(n));
    return n;
}

static void expect_frame(const unsigned char **at, uint8_t type, const void *head, size_t len,
                         const struct shared *tail)
{
    size_t all = len + (tail ? tail->len : 0);
    cr_assert_eq((*at)[3], type);
    cr_assert_eq(get_be32(*at + 4), all);
    *at += FRAME_HEADER;
    cr_assert_eq(memcmp(*at, head, len), 0);
    if (tail)
        cr_assert_eq(memcmp(*at + len, tail->data, tail->len), 0);
    *at += all;
}

Test(outgoing, frames_go_in_their_order_and_in_whole_records)
{
    struct outgoing q = {0};
    struct shared *tail = make_shared(LONG), *none = make_shared(0);
    unsigned char *long_head = calloc(1, LONG);
    struct buf all;
    buf_init(&all, SIZE_MAX);
    cr_assert_eq(next(&q, &all), 0);
    cr_assert_eq(outgoing_add(&q, 1, "one", 3, tail, NULL), 0);
    cr_assert_eq(outgoing_add(&q, 2, NULL, 0, NULL, NULL), 0);
    cr_assert_eq(outgoing_add(&q, 3, long_head, LONG, none, NULL), 0);
    cr_assert_eq(outgoing_add(&q, 4, NULL, 0, tail, NULL), 0);
    cr_assert_eq(tail->holders, 3);
    cr_assert_eq(q.frames, 4);
    const size_t piece[] = {FRAME_HEADER + 3, 2 * TLS_RECORD, TLS_RECORD + 100,
                            FRAME_HEADER,     2 * TLS_RECORD, FRAME_HEADER + TLS_RECORD + 100,
                            FRAME_HEADER,     2 * TLS_RECORD, TLS_RECORD + 100};
    for (size_t i = 0; i < sizeof piece / sizeof *piece; i++) {
        cr_assert_eq(next(&q, &all), piece[i], "piece %zu", i);
        cr_assert_eq(q.frames, i < 2 ? 4 : i < 3 ? 3 : i < 5 ? 2 : i < 8 ? 1 : 0, "piece %zu", i);
        cr_assert_eq(tail->holders, i < 2 ? 3 : i < 8 ? 2 : 1, "piece %zu", i);
    }
    cr_assert_eq(next(&q, &all), 0);
    cr_assert_eq(q.sealed, 0);
    cr_assert_eq(outgoing_owned(&q), 0);
    const unsigned char *at = buf_bytes(&all);
    expect_frame(&at, 1, "one", 3, tail);
    expect_frame(&at, 2, "", 0, NULL);
    expect_frame(&at, 3, long_head, LONG, NULL);
    expect_frame(&at, 4, "", 0, tail);
    cr_assert_eq(at, buf_bytes(&all) + buf_size(&all));
    buf_release(&all);
    free(long_head);
    shared_drop(tail);
    shared_drop(none);
}

Test(outgoing, what_has_not_gone_is_let_go_of)
{
    struct outgoing q = {0};
    struct shared *tail = make_shared(LONG);
    struct buf all;
    buf_init(&all, SIZE_MAX);
    cr_assert_eq(outgoing_add(&q, 1, "one", 3, tail, NULL), 0);
    cr_assert_eq(outgoing_add(&q, 1, "two", 3, tail, NULL), 0);
    next(&q, &all);
    next(&q, &all);
    cr_assert_lt(outgoing_owned(&q), 2048, "the tail is not its own");
    outgoing_release(&q);
    cr_assert_eq(tail->holders, 1);
    cr_assert_eq(q.frames + q.sealed, 0);
    buf_release(&all);
    shared_drop(tail);
}

Test(outgoing, a_frame_longer_than_frames_can_be_is_refused)
{
    struct outgoing q = {0};
    struct shared endless = {.data = NULL, .len = UINT32_MAX, .holders = 1};
    struct err e = {0};
    cr_assert_eq(outgoing_add(&q, 1, "x", 1, &endless, &e), ERR_NOMEM);
    cr_assert_eq(endless.holders, 1);
    cr_assert_eq(q.frames, 0);
}
