/* Link: frames over TLS over a libuv TCP stream. The only file with tls.c that touches a socket;
 * owns its buffers until libuv's callbacks. Reading stops while more than LINK_HIGH_WATER bytes
 * wait to be written, and goes on when they have drained. */
#ifndef NET_LINK_H
#define NET_LINK_H

#include "base/err.h"
#include "net/frame.h"
#include "net/tls.h"
#include <uv.h>

enum { LINK_HIGH_WATER = 1 << 20, LINK_HANDSHAKE_MS = 10000 };

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

/* Dials host:port. Returns at once; the outcome comes by `up` or `down`. ctx and events are
 * borrowed until `down`. tls is borrowed. */
int link_connect(struct link **out, uv_loop_t *loop, const char *host, uint16_t port,
                 struct tls_context *tls, const struct link_events *events, void *ctx,
                 struct err *e) MUST_CHECK;

struct listener;
/* Called for each accepted TCP connection; returns the ctx for its events, NULL to drop it. */
typedef void *(*link_accept_fn)(struct link *l, const char *address, void *ctx);
/* address "host:port", "[v6]:port"; port 0 picks a free one. ERR_NET naming the address ("in use"
 * with the remedy). */
int listener_open(struct listener **out, uv_loop_t *loop, const char *address,
                  struct tls_context *tls, unsigned max_links, const struct link_events *events,
                  link_accept_fn accept, void *ctx, struct err *e) MUST_CHECK;
uint16_t listener_port(const struct listener *s);
/* Replaces keys and trust for connections to come. */
void listener_set_tls(struct listener *s, struct tls_context *tls);
/* Stops accepting; links live on. Freed when libuv says so. */
void listener_close(struct listener *s);

/* Queues one frame; header and payload are copied into ciphertext before returning. ERR_STATE
 * before up or after down. */
int link_send(struct link *l, uint8_t type, const void *payload, size_t len,
              struct err *e) MUST_CHECK;
/* Ends the link after what is queued has been written (at most 5 s); `down` follows. */
void link_close(struct link *l);
/* Bytes of the TLS stream, handshake included, both ways since the connection began. */
uint64_t link_bytes_in(const struct link *l);
uint64_t link_bytes_out(const struct link *l);

#endif
