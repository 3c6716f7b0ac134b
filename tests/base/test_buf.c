#include "base/buf.h"
#include "base/rng.h"

#include <criterion/criterion.h>
#include <string.h>

Test(buf, a_zeroed_buffer_with_a_limit_is_empty)
{
    struct buf b = {.limit = 10};

    cr_assert_eq(buf_size(&b), 0);
    cr_assert_null(buf_bytes(&b));
    buf_consume(&b, 0);
    buf_clear(&b);
    buf_release(&b);
    cr_assert_eq(b.limit, 10);
}

Test(buf, the_limit_is_exact)
{
    struct buf b;

    buf_init(&b, 10);
    cr_assert_eq(buf_append(&b, "0123456789", 10), 0);
    cr_assert_eq(buf_append(&b, "x", 1), ERR_NOMEM);
    cr_assert_null(buf_reserve(&b, 1));
    cr_assert_not_null(buf_reserve(&b, 0));
    cr_assert_eq(buf_printf(&b, "x"), ERR_NOMEM);
    cr_assert_eq(buf_printf(&b, "%s", ""), 0);
    cr_assert_eq(buf_append(&b, NULL, 0), 0);
    cr_assert_eq(memcmp(buf_bytes(&b), "0123456789", 10), 0);
    buf_consume(&b, 4);
    cr_assert_eq(buf_append(&b, "abcd", 4), 0);
    cr_assert_eq(buf_append(&b, "e", 1), ERR_NOMEM);
    cr_assert_eq(memcmp(buf_bytes(&b), "456789abcd", 10), 0);
    cr_assert_leq(b.cap, 10);
    buf_release(&b);
}

Test(buf, a_limit_of_zero_holds_nothing)
{
    struct buf b;

    buf_init(&b, 0);
    cr_assert_eq(buf_append(&b, "x", 1), ERR_NOMEM);
    cr_assert_eq(buf_append(&b, "", 0), 0);
    cr_assert_null(b.data);
}

Test(buf, printf_takes_texts_of_any_length)
{
    struct buf b;
    char big[1000];

    memset(big, 'y', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    buf_init(&b, 2000);
    cr_assert_eq(buf_printf(&b, "%d:", 7), 0);
    cr_assert_eq(buf_printf(&b, "%s", big), 0);
    cr_assert_eq(buf_size(&b), 1001);
    cr_assert_eq(memcmp(buf_bytes(&b), "7:yyy", 5), 0);
    cr_assert_eq(buf_printf(&b, "%s%s%s", big, big, big), ERR_NOMEM);
    cr_assert_eq(buf_size(&b), 1001);
    buf_release(&b);
}

/* Against a plain array as reference: any mix of appends and consumes. */
Test(buf, behaves_as_a_queue_of_bytes)
{
    static unsigned char ref[1 << 20];
    struct rng r = rng_stream(2, 0, 0, RNG_TEST);
    size_t head = 0, tail = 0;
    unsigned char next = 0;
    struct buf b;

    buf_init(&b, 5000);
    for (int i = 0; i < 3000; i++) {
        unsigned char chunk[700];
        size_t n = rng_below(&r, sizeof chunk);

        for (size_t j = 0; j < n; j++)
            chunk[j] = next++;
        if (n <= 5000 - (tail - head)) {
            cr_assert_eq(buf_append(&b, chunk, n), 0);
            memcpy(ref + tail, chunk, n);
            tail += n;
        } else {
            cr_assert_eq(buf_append(&b, chunk, n), ERR_NOMEM);
        }
        cr_assert(b.start <= b.len && b.len <= b.cap && b.cap <= b.limit);
        cr_assert_eq(buf_size(&b), tail - head);
        cr_assert_eq(memcmp(buf_bytes(&b), ref + head, tail - head), 0);
        n = rng_below(&r, (uint32_t)(tail - head) + 1);
        buf_consume(&b, n);
        head += n;
        if (tail > sizeof ref - 700)
            break;
    }
    cr_assert_gt(head, 100000);
    buf_release(&b);
}

Test(buf, big_endian_words)
{
    unsigned char p[5];

    put_be32(p + 1, 0x01020384);
    cr_assert_eq(memcmp(p + 1, "\x01\x02\x03\x84", 4), 0);
    cr_assert_eq(get_be32(p + 1), 0x01020384);
    put_be32(p, 0xffffffff);
    cr_assert_eq(get_be32(p), 0xffffffff);
}
