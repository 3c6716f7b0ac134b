#include "net/frame.h"

int frame_next(const struct buf *in, size_t (*limit)(void *ctx, uint8_t type), void *ctx,
               struct frame *out, bool *ready, struct err *e)
{
    if (buf_size(in) < FRAME_HEADER) {
        *ready = false;
        return 0;
    }
    const unsigned char *p = buf_bytes(in);
    if (p[0] != 'F' || p[1] != 'P')
        return err_set(e, ERR_PROTO, "not a fedpet frame (begins with %02x %02x)", p[0], p[1]);
    if (p[2] != FRAME_VERSION)
        return err_set(e, ERR_PROTO, "frame version %d, here %d: update the older side", p[2],
                       FRAME_VERSION);
    size_t len = get_be32(p + 4);
    size_t most = limit(ctx, p[3]);
    if (most == 0)
        return err_set(e, ERR_PROTO, "frame of type %d may not come now", p[3]);
    if (len > most)
        return err_set(e, ERR_PROTO, "frame of type %d with %zu bytes, limit %zu", p[3], len, most);
    *ready = buf_size(in) - FRAME_HEADER >= len;
    if (*ready)
        *out = (struct frame){.type = p[3], .payload = p + FRAME_HEADER, .len = len};
    return 0;
}

int frame_begin(struct buf *out, uint8_t type, size_t len)
{
    if (len > UINT32_MAX)
        return ERR_NOMEM;
    unsigned char header[FRAME_HEADER] = {'F', 'P', FRAME_VERSION, type};
    put_be32(header + 4, (uint32_t)len);
    return buf_append(out, header, sizeof header);
}
