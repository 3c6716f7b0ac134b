#include "net/link_accept.h"

#include "base/log.h"
#include "net/census.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PORT_TEXT = 6, ADDRESS_TEXT = 64 };

struct listener {
    uv_tcp_t tcp;
    struct tls_context *tls;
    const struct link_events *events;
    link_accept_fn accept;
    void *ctx;
    struct link_limits limits;
    struct census census;
    unsigned links, max_links, shaking;
    bool full;          /* said so in the log, until there is room again */
    bool crowded;       /* said so of an address, until no handshake is under way */
    bool waiting;       /* a connection is left in the kernel's queue until handshakes end */
    bool closing, gone; /* gone: libuv has let go of tcp */
};

/* A link's place: what its listener must remember of it. */
struct seat {
    struct listener *listener;
    struct census_key key;
    bool counted, shaking;
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

static void accept_one(struct listener *s);

static void free_if_unused(struct listener *s)
{
    if (!s->gone || s->links > 0)
        return;
    census_release(&s->census);
    free(s);
}

/* Handshakes have ended: takes what waits in the kernel's queue. libuv goes on by itself once the
 * connection that it holds has been accepted. */
static void accept_waiting(struct listener *s)
{
    if (!s->waiting || s->closing || s->shaking >= s->limits.shaking)
        return;
    s->waiting = false;
    accept_one(s);
}

static void stop_shaking(struct seat *seat)
{
    struct listener *s = seat->listener;
    if (!seat->shaking)
        return;
    seat->shaking = false;
    s->shaking--;
    s->crowded &= s->shaking > 0;
    census_find(&s->census, &seat->key)->shaking--;
}

static void on_shaken(void *owner)
{
    struct seat *seat = owner;
    stop_shaking(seat);
    accept_waiting(seat->listener);
}

static void on_link_freed(void *owner)
{
    struct seat *seat = owner;
    struct listener *s = seat->listener;
    stop_shaking(seat);
    if (seat->counted) {
        struct census_entry *e = census_find(&s->census, &seat->key);
        if (--e->links == 0)
            census_drop(&s->census, e);
    }
    free(seat);
    s->links--;
    accept_waiting(s);
    free_if_unused(s);
}

static const struct link_host hosting = {on_shaken, on_link_freed};

/* "host:port", for logs. */
static void describe(const struct sockaddr_storage *peer, char text[ADDRESS_TEXT])
{
    char name[ADDRESS_TEXT - PORT_TEXT - 2] = "unknown";
    uv_ip_name((const struct sockaddr *)peer, name, sizeof name);
    unsigned port =
        ntohs(peer->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)peer)->sin6_port
                                          : ((const struct sockaddr_in *)peer)->sin_port);
    snprintf(text, ADDRESS_TEXT, strchr(name, ':') ? "[%s]:%u" : "%s:%u", name, port);
}

/* Counts the link at its address; false when that has too many. */
static bool seat_at(struct seat *seat, const struct sockaddr_storage *peer, const char *address)
{
    struct listener *s = seat->listener;
    seat->key = census_key((const struct sockaddr *)peer);
    struct census_entry *e = census_enter(&s->census, &seat->key);
    if (!e)
        return false;
    e->links++;
    e->shaking++;
    s->shaking++;
    seat->counted = seat->shaking = true;
    bool crowd = e->links > s->limits.per_address || e->shaking > s->limits.shaking_per_address;
    if (crowd && !s->crowded)
        log_warn("too many connections from one address, more are dropped address=%s "
                 "connections=%u handshakes=%u",
                 address, e->links, e->shaking);
    s->crowded |= crowd;
    return !crowd;
}

static void admit(struct seat *seat, struct link *l)
{
    struct listener *s = seat->listener;
    struct sockaddr_storage peer;
    char address[ADDRESS_TEXT];
    if (!link_sockaddr(l, &peer)) { /* it has gone already */
        link_refuse(l);
        return;
    }
    describe(&peer, address);
    bool full = s->links > s->max_links;
    if (full && !s->full)
        log_warn("connections are turned away until others end max=%u address=%s", s->max_links,
                 address);
    s->full = full;
    bool fits = !full && seat_at(seat, &peer, address);
    void *ctx = fits ? s->accept(l, address, s->ctx) : NULL;
    if (ctx)
        link_begin(l, ctx);
    else
        link_refuse(l);
}

static void accept_one(struct listener *s)
{
    struct link *l;
    struct err e;
    struct seat *seat = calloc(1, sizeof *seat);
    if (!seat) {
        s->waiting = true;
        return;
    }
    seat->listener = s;
    if (link_accept(&l, (uv_stream_t *)&s->tcp, s->tls, s->events, &s->limits, &hosting, seat,
                    &e)) {
        log_warn("a connection was dropped reason=\"%s\"", e.text);
        free(seat);
        return;
    }
    s->links++;
    admit(seat, l);
}

static void on_connection(uv_stream_t *server, int status)
{
    struct listener *s = server->data;
    if (status < 0)
        log_warn("a connection could not be accepted reason=\"%s\"", uv_strerror(status));
    else if (s->shaking >= s->limits.shaking)
        s->waiting = true;
    else
        accept_one(s);
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
    s->limits = link_limits_default;
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

void listener_set_limits(struct listener *s, const struct link_limits *limits)
{
    s->limits = *limits;
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
