#include "net/link_accept.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PORT_TEXT = 6 };

struct listener {
    uv_tcp_t tcp;
    struct tls_context *tls;
    const struct link_events *events;
    link_accept_fn accept;
    void *ctx;
    unsigned links, max_links;
    bool full;          /* said so in the log, until there is room again */
    bool closing, gone; /* gone: libuv has let go of tcp */
};

static int bad_address(const char *address, struct err *e)
{
    return err_set(e, ERR_NET, "address \"%.300s\": expected HOST:PORT or [IPv6]:PORT", address);
}

static bool parse_port(const char *text, uint16_t *port)
{
    size_t len = strnlen(text, PORT_TEXT);
    if (len == 0 || len >= PORT_TEXT || strspn(text, "0123456789") != len)
        return false;
    unsigned long value = strtoul(text, NULL, 10);
    *port = (uint16_t)value;
    return value <= UINT16_MAX;
}

int link_parse_address(const char *address, char host[LINK_MAX_HOST], uint16_t *port, struct err *e)
{
    const char *colon = strrchr(address, ':');
    const char *from = address, *to = colon;
    if (!colon)
        return bad_address(address, e);
    if (*from == '[') {
        from++;
        to--;
        if (to <= from || *to != ']')
            return bad_address(address, e);
    } else if (memchr(from, ':', (size_t)(to - from))) {
        return bad_address(address, e);
    }
    size_t len = (size_t)(to - from);
    uint16_t p;
    if (len == 0 || len >= LINK_MAX_HOST || !parse_port(colon + 1, &p))
        return bad_address(address, e);
    memcpy(host, from, len);
    host[len] = '\0';
    *port = p;
    return 0;
}

/* ---- accepting ----------------------------------------------------------------------------- */

static void free_if_unused(struct listener *s)
{
    if (s->gone && s->links == 0)
        free(s);
}

static void on_link_freed(void *owner)
{
    struct listener *s = owner;
    s->links--;
    free_if_unused(s);
}

static void admit(struct listener *s, struct link *l)
{
    char address[LINK_ADDRESS_TEXT];
    link_address(l, address);
    bool full = s->links > s->max_links;
    if (full && !s->full)
        log_warn("connections are turned away until others end max=%u address=%s", s->max_links,
                 address);
    s->full = full;
    void *ctx = full ? NULL : s->accept(l, address, s->ctx);
    if (ctx)
        link_begin(l, ctx);
    else
        link_refuse(l);
}

static void on_connection(uv_stream_t *server, int status)
{
    struct listener *s = server->data;
    struct link *l;
    struct err e;
    if (status < 0) {
        log_warn("a connection could not be accepted reason=\"%s\"", uv_strerror(status));
        return;
    }
    if (link_accept(&l, server, s->tls, s->events, on_link_freed, s, &e)) {
        log_warn("a connection was dropped reason=\"%s\"", e.text);
        return;
    }
    s->links++;
    admit(s, l);
}

/* ---- opening ------------------------------------------------------------------------------- */

static int cannot_listen(const char *address, int status, struct err *e)
{
    const char *remedy =
        status == UV_EADDRINUSE ? "; stop the program that listens there or choose another port"
        : status == UV_EADDRNOTAVAIL ? "; no network interface of this machine has this address"
        : status == UV_EACCES        ? "; choose a port above 1023 or grant CAP_NET_BIND_SERVICE"
                                     : "";
    return err_set(e, ERR_NET, "cannot listen on %s: %s%s", address, uv_strerror(status), remedy);
}

static void on_gone(uv_handle_t *h)
{
    struct listener *s = h->data;
    s->gone = true;
    free_if_unused(s);
}

/* A listener on the first of the addresses that can be bound; else libuv's last error. */
static int listen_on(struct listener **out, uv_loop_t *loop, const struct addrinfo *address)
{
    int status = UV_EADDRNOTAVAIL;
    for (; address; address = address->ai_next) {
        struct listener *s = calloc(1, sizeof *s);
        if (!s)
            return UV_ENOMEM;
        uv_tcp_init(loop, &s->tcp);
        s->tcp.data = s;
        status = uv_tcp_bind(&s->tcp, address->ai_addr, 0);
        if (status == 0)
            status = uv_listen((uv_stream_t *)&s->tcp, SOMAXCONN, on_connection);
        if (status == 0) {
            *out = s;
            return 0;
        }
        listener_close(s);
    }
    return status;
}

int listener_open(struct listener **out, uv_loop_t *loop, const char *address,
                  struct tls_context *tls, unsigned max_links, const struct link_events *events,
                  link_accept_fn accept, void *ctx, struct err *e)
{
    char host[LINK_MAX_HOST];
    uint16_t port;
    int rc = link_parse_address(address, host, &port, e);
    if (rc)
        return rc;
    char service[PORT_TEXT];
    snprintf(service, sizeof service, "%u", port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    uv_getaddrinfo_t lookup;
    /* Without a callback libuv resolves at once, which a program that is only starting can afford.
     */
    int status = uv_getaddrinfo(loop, &lookup, NULL, host, service, &hints);
    if (status < 0)
        return cannot_listen(address, status, e);
    struct listener *s = NULL;
    status = listen_on(&s, loop, lookup.addrinfo);
    uv_freeaddrinfo(lookup.addrinfo);
    if (status < 0)
        return cannot_listen(address, status, e);
    s->tls = tls;
    s->events = events;
    s->accept = accept;
    s->ctx = ctx;
    s->max_links = max_links;
    *out = s;
    return 0;
}

uint16_t listener_port(const struct listener *s)
{
    struct sockaddr_storage here;
    int len = sizeof here;
    if (uv_tcp_getsockname(&s->tcp, (struct sockaddr *)&here, &len))
        return 0;
    return ntohs(here.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&here)->sin6_port
                                            : ((struct sockaddr_in *)&here)->sin_port);
}

void listener_set_tls(struct listener *s, struct tls_context *tls)
{
    s->tls = tls;
}

void listener_close(struct listener *s)
{
    if (s->closing)
        return;
    s->closing = true;
    uv_close((uv_handle_t *)&s->tcp, on_gone);
}
