#include "tests/fetch/web.h"
#include "net/openssl.h"
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

struct connection {
    struct web *web;
    SSL *ssl;
    int fd;
};

static bool read_line(SSL *ssl, char *line, size_t size)
{
    size_t n = 0;
    char c = 0;
    while (c != '\n' && SSL_read(ssl, &c, 1) == 1)
        if (c != '\r' && c != '\n' && n + 1 < size)
            line[n++] = c;
    line[n] = '\0';
    return c == '\n';
}

static bool read_request(SSL *ssl, struct web_request *q)
{
    char line[1024];
    *q = (struct web_request){0};
    if (!read_line(ssl, line, sizeof line) || sscanf(line, "%7s %511s", q->method, q->path) != 2)
        return false;
    while (read_line(ssl, line, sizeof line) && *line) {
        if (strncasecmp(line, "Authorization: ", 15) == 0)
            snprintf(q->authorization, sizeof q->authorization, "%.255s", line + 15);
        if (strncasecmp(line, "Range: bytes=", 13) == 0) {
            q->ranged = true;
            q->from = strtoull(line + 13, NULL, 10);
        }
    }
    return true;
}

/* False: the connection is over. */
static bool send_answer(SSL *ssl, const struct web_request *q, const struct web_answer *a)
{
    char head[1400], end;
    bool body = strcmp(q->method, "HEAD") != 0;
    size_t len = a->cut < a->len ? a->cut : a->len;
    int n = snprintf(head, sizeof head, "HTTP/1.1 %d Answer\r\n%sContent-Length: %zu\r\n\r\n",
                     a->status, a->headers, a->len);
    if (SSL_write(ssl, head, n) != n)
        return false;
    if (!body)
        return true;
    for (size_t at = 0; at < len; at += 16384) {
        int part = (int)(len - at < 16384 ? len - at : 16384);
        if (SSL_write(ssl, a->body + at, part) != part)
            return false;
    }
    if (a->stall && len < a->len)
        SSL_read(ssl, &end, 1);
    return len == a->len;
}

static void *serve(void *arg)
{
    struct connection *c = arg;
    struct web_request q;
    bool open = SSL_accept(c->ssl) == 1;
    while (open && read_request(c->ssl, &q)) {
        struct web_answer a = {.status = 200, .cut = SIZE_MAX};
        pthread_mutex_lock(c->web->lock);
        c->web->answer(c->web->ctx, &q, &a);
        pthread_mutex_unlock(c->web->lock);
        open = send_answer(c->ssl, &q, &a);
    }
    /* Without close_notify, as a connection that is cut. */
    SSL_free(c->ssl);
    close(c->fd);
    free(c);
    return NULL;
}

static void *accept_all(void *arg)
{
    struct web *w = arg;
    int fd;
    while ((fd = accept(w->fd, NULL, NULL)) >= 0) {
        struct connection *c = calloc(1, sizeof *c);
        if (!c || w->connections == WEB_MAX_CONNECTIONS)
            abort();
        *c = (struct connection){w, SSL_new(w->tls), fd};
        SSL_set_fd(c->ssl, fd);
        if (pthread_create(&w->connection[w->connections++], NULL, serve, c) != 0)
            abort();
    }
    return NULL;
}

static SSL_CTX *make_tls(const struct identity *id)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    BIO *k = BIO_new_mem_buf(id->key, -1), *c = BIO_new_mem_buf(id->cert, -1);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(k, NULL, NULL, NULL);
    X509 *cert = PEM_read_bio_X509(c, NULL, NULL, NULL);
    cr_assert(SSL_CTX_use_certificate(tls, cert) == 1 && SSL_CTX_use_PrivateKey(tls, key) == 1);
    EVP_PKEY_free(key);
    X509_free(cert);
    BIO_free(k);
    BIO_free(c);
    return tls;
}

void web_start(struct web *w, const char *host, const struct identity *id, web_fn answer, void *ctx,
               pthread_mutex_t *lock)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof address;
    signal(SIGPIPE, SIG_IGN);
    *w = (struct web){.answer = answer, .ctx = ctx, .lock = lock, .tls = make_tls(id)};
    cr_assert_eq(inet_pton(AF_INET, host, &address.sin_addr), 1);
    w->fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert(bind(w->fd, (struct sockaddr *)&address, len) == 0 && listen(w->fd, 16) == 0);
    cr_assert_eq(getsockname(w->fd, (struct sockaddr *)&address, &len), 0);
    w->port = ntohs(address.sin_port);
    cr_assert_eq(pthread_create(&w->acceptor, NULL, accept_all, w), 0);
}

void web_stop(struct web *w)
{
    shutdown(w->fd, SHUT_RDWR);
    pthread_join(w->acceptor, NULL);
    for (size_t i = 0; i < w->connections; i++)
        pthread_join(w->connection[i], NULL);
    close(w->fd);
    SSL_CTX_free(w->tls);
}
