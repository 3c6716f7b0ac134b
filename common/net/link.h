/* Link: frames over TLS over a libuv TCP stream: where the TLS engine meets a socket. Owns its
 * buffers until libuv's callbacks.
 *
 * Frames wait as plain bytes, and become ciphertext as the socket takes them, LINK_SEALED at a
 * time. So what is the same for many peers, and handed over as shared bytes, is in memory once,
 * however many links wait with it.
 *
 * Back-pressure: an accepted link neither reads nor takes frames while more than LINK_HIGH_WATER
 * bytes wait to be written, and goes on when they have drained, so that a peer cannot make us hold
 * answers that it does not read. A dialled link always reads: if both ends stopped, two large
 * frames under way in opposite directions would wait for each other for ever. Either end gives up
 * on a peer for whom LINK_MAX_WAITING frames have piled up. */
#ifndef NET_LINK_H
#define NET_LINK_H

#include "base/err.h"
#include "base/shared.h"
#include "net/frame.h"
#include "net/tls.h"
#include <uv.h>

enum {
    LINK_HIGH_WATER = 1 << 20, /* bytes */
    LINK_MAX_WAITING = 4096,   /* frames */
    LINK_SEALED = 64 << 10,    /* bytes of ciphertext that wait for the socket, and a record */
    LINK_HANDSHAKE_MS = 10000, /* from TCP's connection to TLS's; to each address before that */
    LINK_CLOSE_MS = 5000,
    LINK_SILENCE_MS = 120000, /* without a sign of life from the peer's TCP */
    LINK_MAX_HOST = 256,      /* with the NUL */
};

/* "host:port" or "[v6]:port" -> its parts. ERR_NET naming the address. */
int link_parse_address(const char *address, char host[LINK_MAX_HOST], uint16_t *port,
                       struct err *e) MUST_CHECK;

struct link;

struct link_events {
    /* TLS is up; `peer` is the certificate's common name. */
    void (*up)(struct link *l, const char *peer, void *ctx);
    /* A whole frame; its payload is valid during the call. Non-zero: close the link with *e. */
    int (*frame)(struct link *l, const struct frame *f, void *ctx, struct err *e);
    /* The longest payload now acceptable for a type; 0: the type may not come now. */
    size_t (*limit)(void *ctx, uint8_t type);
    /* The link is gone, called once, last; e->code 0 for a clean end. The link is freed after this
     * returns. */
    void (*down)(struct link *l, const struct err *e, void *ctx);
};

/* Dials host:port: every address of the name in turn until one answers. Returns at once; the
 * outcome comes by `up` or `down`. A server that refuses this side's certificate can say so only
 * after `up` (RFC 8446, 4.4): `down` with ERR_TLS then follows. ctx and events are borrowed until
 * `down`, tls during the call. ERR_TLS: not a host name; ERR_NOMEM. */
int link_connect(struct link **out, uv_loop_t *loop, const char *host, uint16_t port,
                 struct tls_context *tls, const struct link_events *events, void *ctx,
                 struct err *e) MUST_CHECK;

/* What a listener asks of the peers that it accepts. Times in ms. */
struct link_limits {
    unsigned per_address;         /* connections at a time of one address; IPv6: of one /64 */
    unsigned shaking_per_address; /* of these, in their handshake; more are dropped */
    unsigned shaking; /* of all addresses; more wait in the kernel's queue until others are done */
    unsigned handshake_ms;
    /* Of a frame that has begun, pace_bytes must come every pace_ms, and of what waits to be
     * written the peer must take as many: slow lorises are cut, slow radio links are not. */
    unsigned pace_ms, pace_bytes;
    unsigned idle_ms; /* without a whole frame; 0: for ever. Checked every pace_ms */
    /* Frames that may come at once, and a second on average. */
    unsigned frames, frames_per_s;
};
extern const struct link_limits link_limits_default;

struct listener;
/* Called for each accepted TCP connection; returns the ctx for its events, NULL to drop it (then no
 * event comes). Connections above max_links are dropped before. */
typedef void *(*link_accept_fn)(struct link *l, const char *address, void *ctx);
/* address "host:port", "[v6]:port"; port 0 picks a free one. tls and events are borrowed until the
 * listener and its links are gone. ERR_NET naming the address ("in use" with the remedy). */
int listener_open(struct listener **out, uv_loop_t *loop, const char *address,
                  struct tls_context *tls, unsigned max_links, const struct link_events *events,
                  link_accept_fn accept, void *ctx, struct err *e) MUST_CHECK;
/* For connections to come; until then link_limits_default. */
void listener_set_limits(struct listener *s, const struct link_limits *limits);
uint16_t listener_port(const struct listener *s);
/* Replaces keys and trust for connections to come; the old ones may be closed at once. */
void listener_set_tls(struct listener *s, struct tls_context *tls);
/* Stops accepting; links live on. Freed when libuv says so. */
void listener_close(struct listener *s);

/* Queues one frame, with a copy of its payload, and sends what the socket takes. ERR_STATE before
 * up, after link_close or when the link is ending; ERR_NET: LINK_MAX_WAITING frames wait already;
 * ERR_NOMEM, which ends the link: its peer must not go on without this frame. */
int link_send(struct link *l, uint8_t type, const void *payload, size_t len,
              struct err *e) MUST_CHECK;
/* The same for a frame whose payload is `own`, and behind it `same`, of which the link is a holder
 * until it has been sent or the link is gone. NULL: `own` is all. */
int link_send_shared(struct link *l, uint8_t type, const void *own, size_t len, struct shared *same,
                     struct err *e) MUST_CHECK;
/* Ends the link after what is queued has been written and the peer has seen the end (at most
 * LINK_CLOSE_MS); `down` follows, and nothing else. Harmless when repeated. */
void link_close(struct link *l);
/* Whether the peer's certificate would be accepted now, by these keys and trust (tls_recheck): 0
 * before up. */
int link_recheck(const struct link *l, struct tls_context *tls, struct err *e) MUST_CHECK;
/* tls_peer_ca; false before up. */
bool link_peer_ca(const struct link *l, struct hash *out);
/* Bytes of the TLS stream, handshake included, both ways since the connection began; out: with what
 * is queued. */
uint64_t link_bytes_in(const struct link *l);
uint64_t link_bytes_out(const struct link *l);
/* Memory that waits to be written, in bytes: without what is shared. */
size_t link_held(const struct link *l);

#endif
