#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_SIZE = 256 };

void buf_init(struct buf *b, size_t limit)
{
    *b = (struct buf){.limit = limit};
}

void buf_release(struct buf *b)
{
    free(b->data);
    buf_init(b, b->limit);
}

void buf_clear(struct buf *b)
{
    b->start = b->len = 0;
}

static void move_to_front(struct buf *b)
{
    size_t live = buf_size(b);

    if (live)
        memmove(b->data, b->data + b->start, live);
    b->start = 0;
    b->len = live;
}

/* At least twice the memory, and at least `need` bytes, within the limit. */
static int grow(struct buf *b, size_t need)
{
    size_t cap = b->cap ? b->cap : FIRST_SIZE / 2;

    cap = cap > b->limit / 2 ? b->limit : 2 * cap;
    if (cap < need)
        cap = need;
    unsigned char *data = realloc(b->data, cap);
    if (!data)
        return ERR_NOMEM;
    b->data = data;
    b->cap = cap;
    return 0;
}

unsigned char *buf_reserve(struct buf *b, size_t n)
{
    size_t live = buf_size(b);

    if (n > b->limit - live || !b->limit)
        return NULL;
    if (!b->data || b->cap - b->len < n) {
        /* Moving no more bytes than were consumed since the last move keeps the cost of a byte
         * constant. */
        bool cheap = b->start >= live;

        move_to_front(b);
        if (!b->data || b->cap - live < n || (!cheap && b->cap < b->limit))
            if (grow(b, live + n))
                return NULL;
    }
    return b->data + b->len;
}

void buf_commit(struct buf *b, size_t n)
{
    assert(n <= b->cap - b->len);
    b->len += n;
}

int buf_append(struct buf *b, const void *bytes, size_t n)
{
    if (n == 0)
        return 0;
    unsigned char *p = buf_reserve(b, n);
    if (!p)
        return ERR_NOMEM;
    memcpy(p, bytes, n);
    buf_commit(b, n);
    return 0;
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
    char small[256], *text = small;
    va_list ap;

    va_start(ap, fmt);
    int len = vsnprintf(small, sizeof small, fmt, ap);
    va_end(ap);
    if (len < 0 || (size_t)len > b->limit)
        return ERR_NOMEM;
    if ((size_t)len >= sizeof small) {
        text = malloc((size_t)len + 1);
        if (!text)
            return ERR_NOMEM;
        va_start(ap, fmt);
        vsnprintf(text, (size_t)len + 1, fmt, ap);
        va_end(ap);
    }
    int rc = buf_append(b, text, (size_t)len);
    if (text != small)
        free(text);
    return rc;
}

void buf_consume(struct buf *b, size_t n)
{
    assert(n <= buf_size(b));
    b->start += n;
    if (b->start == b->len)
        buf_clear(b);
}

void put_be32(unsigned char *p, uint32_t v)
{
    p[0] = (unsigned char)(v >> 24);
    p[1] = (unsigned char)(v >> 16);
    p[2] = (unsigned char)(v >> 8);
    p[3] = (unsigned char)v;
}

uint32_t get_be32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
