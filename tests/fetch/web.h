/* A small HTTPS server for tests: HTTP/1.1 with keep-alive, a thread a connection, every answer
 * from a function of the test. */
#ifndef TESTS_FETCH_WEB_H
#define TESTS_FETCH_WEB_H

#include "net/identity.h"
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WEB_MAX_CONNECTIONS = 256 };

struct web_request {
    char method[8], path[512], authorization[256];
    bool ranged;
    uint64_t from; /* of the range; 0 without one */
};

/* The body is borrowed. */
struct web_answer {
    int status;
    char headers[1024]; /* each ended with "\r\n"; Content-Length is added */
    const unsigned char *body;
    size_t len;
    size_t cut; /* so many bytes of the body, then the connection is cut; SIZE_MAX: all */
    bool stall; /* instead of the cut, nothing more until the client goes away */
};

/* Called under the server's lock. */
typedef void (*web_fn)(void *ctx, const struct web_request *q, struct web_answer *a);

struct web {
    web_fn answer;
    void *ctx;
    int fd;
    uint16_t port;
    void *tls; /* SSL_CTX */
    pthread_t acceptor, connection[WEB_MAX_CONNECTIONS];
    size_t connections;
    pthread_mutex_t *lock; /* shared by the servers of a test */
};

/* Listens on an IPv4 address and a port of the system's choice; asserts. */
void web_start(struct web *w, const char *host, const struct identity *id, web_fn answer, void *ctx,
               pthread_mutex_t *lock);
/* After the client closed its connections. */
void web_stop(struct web *w);

#endif
