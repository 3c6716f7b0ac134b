/* Downloads over HTTPS by libcurl: redirects, retries with growing waits, bodies that go on where
 * they were cut. The server's certificate is always verified, a redirect away from https is
 * refused, and the access token goes to its own origin alone, however the server redirects. One
 * request at a time. */
#ifndef CLIENT_FETCH_HTTP_H
#define CLIENT_FETCH_HTTP_H

#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

#define FETCH_UNKNOWN_SIZE UINT64_MAX
enum {
    FETCH_IDLE_TRIES = 5,  /* failures with no new byte in between */
    FETCH_MOST_TRIES = 100 /* of one request */
};

/* Who looks on, and keeps the time. Either function may be NULL. */
struct fetch_watch {
    void *ctx;
    /* A file begins: `left` bytes of it are to come. */
    void (*begin)(void *ctx, const char *name, uint64_t left);
    /* n more of them came. */
    void (*bytes)(void *ctx, size_t n);
    /* A try failed. Returns after `ms` milliseconds; NULL: at once. */
    void (*retry)(void *ctx, const char *why, unsigned ms);
};

/* Strings are borrowed. */
struct fetch_http_settings {
    const char *ca;           /* PEM file of CAs to trust besides the system's; NULL: none */
    const char *token;        /* bearer token; NULL: none */
    const char *token_origin; /* the URL whose scheme, host and port get the token */
    struct fetch_watch watch;
};

struct fetch_http;
/* ERR_IO: no libcurl. ERR_NOMEM. A `ca` that cannot be read is ERR_TLS of the first request. */
int fetch_http_open(struct fetch_http **out, const struct fetch_http_settings *s,
                    struct err *e) MUST_CHECK;
/* NULL is nothing to close. */
void fetch_http_close(struct fetch_http *h);
const struct fetch_watch *fetch_http_watch(const struct fetch_http *h);
/* `text` as a part of a URL's path: all but unreserved characters (RFC 3986, 2.3) as %XX. The
 * caller frees it. NULL: no memory. */
char *fetch_http_escape(const struct fetch_http *h, const char *text) MUST_CHECK;

enum { FETCH_HEADER_MAX = 128 };
/* The last answer. Texts are empty when the header is absent or longer than FETCH_HEADER_MAX. */
struct fetch_reply {
    int status;
    uint64_t size; /* X-Linked-Size, else Content-Length, of an answer without error */
    char etag[FETCH_HEADER_MAX];  /* X-Linked-Etag, else ETag, without W/ and quotes */
    char error[FETCH_HEADER_MAX]; /* X-Error-Code: what the hub calls the error */
};

/* All three try again after cut connections, time-outs and the answers 408, 429, 500, 502, 503 and
 * 504, and then fail with ERR_NET; ERR_TLS when the server's certificate is not trusted; ERR_PROTO
 * when its answer makes no sense; ERR_CONFIG: not an https URL. Another answer than success is no
 * failure: reply->status says it. */

/* The answer's headers. A redirect that carries X-Linked-Etag and -Size (a large file of the hub,
 * kept elsewhere) is not followed: it tells all. */
int fetch_http_head(struct fetch_http *h, const char *url, struct fetch_reply *reply,
                    struct err *e) MUST_CHECK;

/* A body of at most `limit` bytes, else ERR_PROTO; NUL-terminated, the caller frees it. *text is
 * NULL unless the status is 200. */
int fetch_http_text(struct fetch_http *h, const char *url, size_t limit, char **text,
                    struct fetch_reply *reply, struct err *e) MUST_CHECK;

/* Where a file's bytes go. Errors end the request. */
struct fetch_sink {
    void *ctx;
    /* The body begins at this byte: where it was asked to, or at 0 after a server that sends all.
     */
    int (*seek)(void *ctx, uint64_t offset, struct err *e);
    int (*write)(void *ctx, const void *bytes, size_t n, struct err *e);
};
/* The bytes of a file from `offset` on; `size` of the whole, or FETCH_UNKNOWN_SIZE. More bytes than
 * that are ERR_PROTO, fewer are a cut connection. */
int fetch_http_body(struct fetch_http *h, const char *url, uint64_t offset, uint64_t size,
                    const struct fetch_sink *sink, struct fetch_reply *reply,
                    struct err *e) MUST_CHECK;

/* An error in words for a status that is no success: ERR_REFUSED. */
int fetch_http_refused(const struct fetch_reply *reply, const char *url, struct err *e);

#endif
