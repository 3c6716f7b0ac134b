#include "sim/wire.h"
#include "net/frame.h"
#include <stdlib.h>
#include <string.h>

/* One end: its TLS engine, and the bytes on the way to it. */
struct end {
    struct tls *tls;
    struct buf plain;  /* decrypted, not yet a whole frame */
    struct buf cipher; /* sent by this end, not yet fed to the other */
    uint64_t sent;
};

enum { RECORD_ROOM = 64 << 10 }; /* the engine asks for room by whole TLS records */

struct wire {
    enum wire_depth depth;
    size_t packed;
    struct tls_context *client_context;
    struct end end[2];
    struct buf frame; /* the outgoing frame */
};

bool wire_parse(const char *name, enum wire_depth *out)
{
    static const char *const names[] = {"none", "proto", "tls", "process"};
    for (int i = 0; i < 4; i++) {
        if (strcmp(name, names[i]) == 0) {
            *out = (enum wire_depth)i;
            return true;
        }
    }
    return false;
}

/* A payload is megabytes, a federation ten thousand connections: an empty buffer gives its memory
 * back. */
static void relax(struct buf *b)
{
    size_t limit = b->limit;
    if (buf_size(b) == 0) {
        buf_release(b);
        buf_init(b, limit);
    }
}

/* Moves ciphertext until neither end has any left. */
static int pump(struct wire *w, struct err *e)
{
    while (buf_size(&w->end[0].cipher) + buf_size(&w->end[1].cipher) > 0) {
        for (int i = 0; i < 2; i++) {
            struct end *from = &w->end[i], *to = &w->end[1 - i];
            size_t n = buf_size(&from->cipher);
            bool closed = false;
            if (n == 0)
                continue;
            from->sent += n;
            int rc =
                tls_feed(to->tls, buf_bytes(&from->cipher), n, &to->plain, &to->cipher, &closed, e);
            if (rc)
                return rc;
            buf_consume(&from->cipher, n);
            relax(&from->cipher);
        }
    }
    return 0;
}

static int shake_hands(struct wire *w, struct trust *trust, const char *name, struct err *e)
{
    int rc = trust_client(trust, name, &w->client_context, e);
    if (!rc)
        rc = tls_open(&w->end[WIRE_CLIENT].tls, w->client_context, TRUST_SERVER, e);
    if (!rc)
        rc = tls_open(&w->end[WIRE_SERVER].tls, trust_server(trust), NULL, e);
    if (!rc)
        rc = tls_start(w->end[WIRE_CLIENT].tls, &w->end[WIRE_CLIENT].cipher, e);
    if (!rc)
        rc = pump(w, e);
    if (!rc && strcmp(tls_peer(w->end[WIRE_SERVER].tls), name) != 0)
        rc = err_set(e, ERR_TLS, "the server saw the client %s as \"%s\"", name,
                     tls_peer(w->end[WIRE_SERVER].tls));
    return rc;
}

int wire_open(struct wire **out, enum wire_depth depth, struct trust *trust, const char *name,
              size_t packed, struct err *e)
{
    struct wire *w = calloc(1, sizeof *w);
    if (!w)
        return err_set(e, ERR_NOMEM, "no memory for the connection of %s", name);
    size_t limit = FRAME_HEADER + msg_limit(MSG_TASK, packed);
    w->depth = depth;
    w->packed = packed;
    buf_init(&w->frame, limit);
    for (int i = 0; i < 2; i++) {
        buf_init(&w->end[i].plain, limit + RECORD_ROOM);
        buf_init(&w->end[i].cipher,
                 2 * limit + RECORD_ROOM); /* records add less than 1 %, handshakes a few KiB */
    }
    int rc = depth == WIRE_TLS ? shake_hands(w, trust, name, e) : 0;
    if (rc) {
        wire_close(w);
        return err_wrap(e, "connection of %s", name);
    }
    *out = w;
    return 0;
}

void wire_close(struct wire *w)
{
    if (!w)
        return;
    for (int i = 0; i < 2; i++) {
        tls_close(w->end[i].tls);
        buf_release(&w->end[i].plain);
        buf_release(&w->end[i].cipher);
    }
    tls_context_close(w->client_context);
    buf_release(&w->frame);
    free(w);
}

static size_t frame_limit(void *ctx, uint8_t type)
{
    const struct wire *w = ctx;
    return msg_limit((enum msg_type)type, w->packed);
}

/* Puts m's frame into w->frame. */
static int frame_message(struct wire *w, const struct msg *m, struct err *e)
{
    struct buf payload;
    buf_init(&payload, msg_limit(m->type, w->packed));
    buf_clear(&w->frame);
    int rc = msg_encode(m, &payload);
    if (!rc)
        rc = frame_begin(&w->frame, (uint8_t)m->type, buf_size(&payload));
    if (!rc)
        rc = buf_append(&w->frame, buf_bytes(&payload), buf_size(&payload));
    buf_release(&payload);
    return rc ? err_set(e, rc, "cannot frame a %s message", msg_type_name(m->type)) : 0;
}

/* Takes the one frame in `in` apart and delivers it. */
static int arrive(struct wire *w, struct buf *in, void (*deliver)(void *ctx, const struct msg *m),
                  void *ctx, struct err *e)
{
    struct frame f;
    bool ready = false;
    int rc = frame_next(in, frame_limit, w, &f, &ready, e);
    if (rc)
        return rc;
    if (!ready)
        return err_set(e, ERR_PROTO, "half a frame arrived");
    struct arena mem;
    struct msg m;
    arena_init(&mem, f.len + MSG_SLACK);
    rc = msg_decode((enum msg_type)f.type, f.payload, f.len, &mem, &m, e);
    if (!rc)
        deliver(ctx, &m);
    arena_release(&mem);
    buf_consume(in, FRAME_HEADER + f.len);
    relax(in);
    return rc;
}

int wire_carry(struct wire *w, enum wire_end from, const struct msg *m,
               void (*deliver)(void *ctx, const struct msg *m), void *ctx, struct err *e)
{
    if (w->depth == WIRE_NONE) {
        deliver(ctx, m);
        return 0;
    }
    int rc = frame_message(w, m, e);
    if (rc)
        return rc;
    struct end *sender = &w->end[from], *receiver = &w->end[1 - from];
    if (w->depth == WIRE_PROTO) {
        sender->sent += buf_size(&w->frame);
        return arrive(w, &w->frame, deliver, ctx, e);
    }
    rc = tls_send(sender->tls, buf_bytes(&w->frame), buf_size(&w->frame), &sender->cipher, e);
    buf_clear(&w->frame);
    relax(&w->frame);
    if (!rc)
        rc = pump(w, e);
    return rc ? rc : arrive(w, &receiver->plain, deliver, ctx, e);
}

uint64_t wire_bytes(const struct wire *w, enum wire_end from)
{
    return w->end[from].sent;
}
