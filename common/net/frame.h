/* Frames: the unit of the wire inside TLS. 8-byte header: 'F' 'P', version 1, type, payload length
 * (u32, big-endian); then the payload. The receiver states how long a payload of which type may be
 * before it is allocated. */
#ifndef NET_FRAME_H
#define NET_FRAME_H

#include "base/buf.h"
#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

enum { FRAME_HEADER = 8, FRAME_VERSION = 1 };

struct frame {
    uint8_t type;
    const unsigned char *payload; /* inside the input buffer; valid until it changes */
    size_t len;
};

/* Looks at the front of `in`. *ready: *out is a whole frame of FRAME_HEADER + len bytes, which the
 * caller consumes (buf_consume) when done with it; else more bytes are needed. ERR_PROTO: bad magic
 * or version, or longer than limit(ctx, type), which returns 0 for a type that may not come now;
 * this is decided on the header alone, before any payload is stored. */
int frame_next(const struct buf *in, size_t (*limit)(void *ctx, uint8_t type), void *ctx,
               struct frame *out, bool *ready, struct err *e) MUST_CHECK;

/* Appends a header for a payload of len bytes. ERR_NOMEM: no room, or len above 4 GiB - 1. */
int frame_begin(struct buf *out, uint8_t type, size_t len) MUST_CHECK;

#endif
