/* What listener.c needs of link.c: a link made from an accepted connection. */
#ifndef NET_LINK_ACCEPT_H
#define NET_LINK_ACCEPT_H

#include "net/link.h"

enum { LINK_ADDRESS_TEXT = 64 };

/* Accepts the connection that waits at `server`. The link is idle until link_begin or link_refuse;
 * freed(owner) is called when its memory is about to go. ERR_NET, ERR_TLS, ERR_NOMEM: there is no
 * link. */
int link_accept(struct link **out, uv_stream_t *server, struct tls_context *tls,
                const struct link_events *events, void (*freed)(void *owner), void *owner,
                struct err *e) MUST_CHECK;
/* Starts the handshake; events go to ctx. */
void link_begin(struct link *l, void *ctx);
/* Closes the connection without any event. */
void link_refuse(struct link *l);
/* "host:port" of the peer, for logs. */
void link_address(const struct link *l, char text[LINK_ADDRESS_TEXT]);

#endif
