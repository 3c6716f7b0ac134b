#include "net/frame.h"

#include <criterion/criterion.h>
#include <string.h>

enum { SMALL_TYPE = 1, BIG_TYPE = 2, EMPTY_TYPE = 3, LIMIT_SMALL = 64, LIMIT_BIG = 1000 };

static size_t limit(void *ctx, uint8_t type)
{
    (void)ctx;
    return type == SMALL_TYPE ? LIMIT_SMALL : type == BIG_TYPE ? LIMIT_BIG : type == EMPTY_TYPE;
}

static size_t payload_size(unsigned i)
{
    return i % 3 == 0 ? 0 : i % 3 == 1 ? i % LIMIT_SMALL : (i * 37) % (LIMIT_BIG + 1);
}

/* A stream of `n` frames whose contents follow from their number. */
static void write_frames(struct buf *b, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        unsigned char payload[LIMIT_BIG];
        memset(payload, (int)i, sizeof payload);
        uint8_t type = i % 3 == 0 ? EMPTY_TYPE : i % 3 == 1 ? SMALL_TYPE : BIG_TYPE;
        cr_assert_eq(frame_begin(b, type, payload_size(i)), 0);
        cr_assert_eq(buf_append(b, payload, payload_size(i)), 0);
    }
}

/* Takes whole frames off `in` and checks that they are number *next and so on. */
static void read_frames(struct buf *in, unsigned *next)
{
    bool ready = true;
    while (ready) {
        struct frame f;
        struct err e = {0};
        cr_assert_eq(frame_next(in, limit, NULL, &f, &ready, &e), 0, "%s", e.text);
        if (!ready)
            break;
        cr_assert_eq(f.len, payload_size(*next));
        for (size_t k = 0; k < f.len; k++)
            cr_assert_eq(f.payload[k], (unsigned char)*next);
        buf_consume(in, FRAME_HEADER + f.len);
        ++*next;
    }
}

Test(frame, any_split_gives_the_same_frames)
{
    enum { FRAMES = 60 };
    struct buf stream, in;
    buf_init(&stream, 1 << 20);
    write_frames(&stream, FRAMES);
    for (size_t step = 1; step < 1200; step = step * 3 / 2 + 1) {
        unsigned next = 0;
        buf_init(&in, 1 << 20);
        for (size_t at = 0; at < buf_size(&stream); at += step) {
            size_t left = buf_size(&stream) - at;
            cr_assert_eq(buf_append(&in, buf_bytes(&stream) + at, step < left ? step : left), 0);
            read_frames(&in, &next);
        }
        cr_assert_eq(next, FRAMES);
        cr_assert_eq(buf_size(&in), 0);
        buf_release(&in);
    }
    buf_release(&stream);
}

Test(frame, header_bytes_are_fixed)
{
    static const unsigned char golden[] = {'F', 'P', 1, 5, 0x01, 0x02, 0x03, 0x04};
    struct buf b;
    buf_init(&b, 64);
    cr_assert_eq(frame_begin(&b, 5, 0x01020304), 0);
    cr_assert_eq(buf_size(&b), sizeof golden);
    cr_assert_arr_eq(buf_bytes(&b), golden, sizeof golden);
    buf_release(&b);
}

static int decide(const unsigned char header[FRAME_HEADER], struct err *e)
{
    struct buf b;
    struct frame f;
    bool ready = true;
    buf_init(&b, 64);
    cr_assert_eq(buf_append(&b, header, FRAME_HEADER), 0);
    int rc = frame_next(&b, limit, NULL, &f, &ready, e);
    cr_assert(rc || !ready || f.len == 0);
    buf_release(&b);
    return rc;
}

Test(frame, is_refused_on_its_header_alone)
{
    struct err e = {0};
    cr_assert_eq(decide((unsigned char[]){'F', 'P', 1, SMALL_TYPE, 0, 0, 0, LIMIT_SMALL}, &e), 0);
    cr_assert_eq(decide((unsigned char[]){'F', 'P', 1, SMALL_TYPE, 0, 0, 0, LIMIT_SMALL + 1}, &e),
                 ERR_PROTO);
    cr_assert(strstr(e.text, "limit 64"), "%s", e.text);
    cr_assert_eq(decide((unsigned char[]){'F', 'P', 1, BIG_TYPE, 255, 255, 255, 255}, &e),
                 ERR_PROTO);
    cr_assert_eq(decide((unsigned char[]){'F', 'P', 1, 9, 0, 0, 0, 0}, &e), ERR_PROTO);
    cr_assert_eq(decide((unsigned char[]){'F', 'P', 2, SMALL_TYPE, 0, 0, 0, 0}, &e), ERR_PROTO);
    cr_assert_eq(decide((unsigned char *)"GET / HT", &e), ERR_PROTO);
}

Test(frame, respects_the_limit_of_its_buffer)
{
    struct buf b;
    buf_init(&b, FRAME_HEADER - 1);
    cr_assert_eq(frame_begin(&b, 1, 1), ERR_NOMEM);
    cr_assert_eq(buf_size(&b), 0);
    buf_release(&b);
    buf_init(&b, 64);
    cr_assert_eq(frame_begin(&b, 1, (size_t)UINT32_MAX + 1), ERR_NOMEM);
    buf_release(&b);
}
