/* A small HTTP server on the event loop, for pages that machines read: libmicrohttpd polled by
 * libuv, without a thread of its own. GET and HEAD only; no body is taken, and a request's head
 * must fit HTTP_MAX_REQUEST. At most HTTP_MAX_CONNECTIONS at a time, each idle for at most
 * HTTP_IDLE_S. */
#ifndef SERVER_HTTP_H
#define SERVER_HTTP_H

#include "base/buf.h"
#include "base/err.h"
#include <stdbool.h>
#include <uv.h>

enum {
    HTTP_MAX_CONNECTIONS = 32,
    HTTP_MAX_REQUEST = 16 << 10, /* bytes; libmicrohttpd's whole memory for a connection */
    HTTP_MAX_PAGE = 1 << 20,     /* bytes */
    HTTP_IDLE_S = 10,
};

struct http_page {
    unsigned status;
    const char *type;
    struct buf body; /* at most HTTP_MAX_PAGE */
};
/* Answers a path, "/metrics", by filling in the page (status 404, an empty body). Non-zero: no
 * memory, answered as 503. */
typedef int (*http_answer_fn)(void *ctx, const char *path, struct http_page *page);

struct http;
/* address "host:port", "[v6]:port"; port 0 picks a free one. ERR_NET naming the address; ERR_NOMEM.
 * ctx is borrowed until http_close. */
int http_open(struct http **out, uv_loop_t *loop, const char *address, http_answer_fn answer,
              void *ctx, struct err *e) MUST_CHECK;
uint16_t http_port(const struct http *h);
/* Whether only this machine can reach it. */
bool http_loopback(const struct http *h);
/* Ends all connections; freed when libuv lets go of its handles. NULL is allowed. */
void http_close(struct http *h);

#endif
