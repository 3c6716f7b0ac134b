/* Growable byte buffer with a hard limit, for bytes whose number a peer decides. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

/* Invariant: start <= len <= cap <= limit; live bytes are data[start, len). Zero-initialised plus a
 * limit is valid. */
struct buf {
    unsigned char *data;
    size_t start, len, cap, limit;
};

void buf_init(struct buf *b, size_t limit);
void buf_release(struct buf *b);
/* Forgets the content, keeps the memory. */
void buf_clear(struct buf *b);

static inline const unsigned char *buf_bytes(const struct buf *b)
{
    return b->data ? b->data + b->start : b->data;
}
static inline size_t buf_size(const struct buf *b)
{
    return b->len - b->start;
}

/* Room for n more bytes at the end: returns where to write them, or NULL beyond limit or memory.
 * Then buf_commit(n). */
unsigned char *buf_reserve(struct buf *b, size_t n) MUST_CHECK;
void buf_commit(struct buf *b, size_t n);
/* Copies n bytes to the end. ERR_NOMEM beyond limit or memory. */
int buf_append(struct buf *b, const void *bytes, size_t n) MUST_CHECK;
int buf_printf(struct buf *b, const char *fmt, ...) MUST_CHECK PRINTF_LIKE(2, 3);
/* Drops n <= buf_size bytes from the front. */
void buf_consume(struct buf *b, size_t n);

/* Big-endian integers at unaligned places (wire order of RFC 1700). */
void put_be32(unsigned char *p, uint32_t v);
uint32_t get_be32(const unsigned char *p);

#endif
