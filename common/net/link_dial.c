#include "net/link_state.h"

#include <stdio.h>
#include <string.h>

enum { PORT_TEXT = 6 };

static void dial_next(struct link *l);

static void on_address_closed(uv_handle_t *h)
{
    struct link *l = h->data;
    if (l->state == DIALLING) {
        l->held--; /* not the last: the timer lives */
        dial_next(l);
    } else {
        link_unhold(l);
    }
}

static void dial_failed(struct link *l, int status)
{
    err_set(&l->why, ERR_NET, "cannot connect to %s:%u: %s%s", l->host, l->port,
            uv_strerror(status),
            status == UV_ECONNREFUSED ? "; is the server running, and is this its port?" : "");
    l->tcp_open = false;
    uv_timer_stop(&l->timer);
    uv_close((uv_handle_t *)&l->tcp, on_address_closed);
}

static void on_connect(uv_connect_t *c, int status)
{
    struct link *l = c->data;
    if (!l->tcp_open || l->state != DIALLING)
        return;
    if (status < 0)
        dial_failed(l, status);
    else
        link_begin_tls(l);
}

static void dial_next(struct link *l)
{
    const struct addrinfo *a = l->next;
    if (!a) {
        link_destroy(l);
        return;
    }
    l->next = a->ai_next;
    link_open_tcp(l);
    link_arm(l, LINK_HANDSHAKE_MS);
    l->connect.data = l;
    int status = uv_tcp_connect(&l->connect, &l->tcp, a->ai_addr, on_connect);
    if (status < 0)
        dial_failed(l, status);
}

static void on_resolved(uv_getaddrinfo_t *r, int status, struct addrinfo *address)
{
    struct link *l = r->data;
    l->resolving = false;
    l->address = l->next = address;
    if (l->state == CLOSING) {
        link_unhold(l);
        return;
    }
    l->held--; /* not the last: the timer lives */
    if (status < 0)
        err_set(&l->why, ERR_NET, "cannot find %s: %s", l->host, uv_strerror(status));
    dial_next(l);
}

static int start_resolving(struct link *l, struct err *e)
{
    char port[PORT_TEXT];
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    snprintf(port, sizeof port, "%u", l->port);
    l->resolve.data = l;
    int status = uv_getaddrinfo(l->loop, &l->resolve, on_resolved, l->host, port, &hints);
    if (status < 0)
        return err_set(e, ERR_NET, "cannot look up %s: %s", l->host, uv_strerror(status));
    l->resolving = true;
    l->held++;
    return 0;
}

void link_dial_timed_out(struct link *l)
{
    dial_failed(l, UV_ETIMEDOUT);
}

int link_connect(struct link **out, uv_loop_t *loop, const char *host, uint16_t port,
                 struct tls_context *tls, const struct link_events *events, void *ctx,
                 struct err *e)
{
    if (strlen(host) >= LINK_MAX_HOST)
        return err_set(e, ERR_NET, "host name longer than %d characters", LINK_MAX_HOST - 1);
    struct link *l = link_new(loop, events);
    if (!l)
        return err_set(e, ERR_NOMEM, "no memory for a connection");
    memcpy(l->host, host, strlen(host) + 1);
    l->port = port;
    int rc = tls_open(&l->tls, tls, host, e);
    if (!rc)
        rc = start_resolving(l, e);
    if (rc) {
        link_destroy(l);
        return rc;
    }
    l->ctx = ctx;
    l->announced = true;
    *out = l;
    return 0;
}
