/* What listener.c needs of link.c: a link made from an accepted connection. */
#ifndef NET_LINK_ACCEPT_H
#define NET_LINK_ACCEPT_H

#include "net/link.h"

/* What becomes of a link's owner: `shaken` when the handshake, once begun, has ended, well or not;
 * `freed` last of all. */
struct link_host {
    void (*shaken)(void *owner);
    void (*freed)(void *owner);
};

/* Accepts the connection that waits at `server`. The link is idle until link_begin or link_refuse.
 * ERR_NET, ERR_TLS, ERR_NOMEM: there is no link. */
int link_accept(struct link **out, uv_stream_t *server, struct tls_context *tls,
                const struct link_events *events, const struct link_limits *limits,
                const struct link_host *host, void *owner, struct err *e) MUST_CHECK;
/* Starts the handshake; events go to ctx. */
void link_begin(struct link *l, void *ctx);
/* Closes the connection without any event. */
void link_refuse(struct link *l);
/* The peer's address; false when the socket has none any more. */
bool link_sockaddr(const struct link *l, struct sockaddr_storage *out);

#endif
