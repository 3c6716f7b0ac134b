#include "net/link_state.h"

#include "base/log.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { READ_SIZE = 64 << 10, KEEPALIVE_S = 60 };

static void deliver(struct link *l);
static void pump(struct link *l);

/* ---- birth and death ----------------------------------------------------------------------- */

static void link_free(struct link *l)
{
    if (l->owner)
        l->host_of->freed(l->owner);
    uv_freeaddrinfo(l->address);
    tls_close(l->tls);
    outgoing_release(&l->queue);
    buf_release(&l->plain);
    buf_release(&l->out);
    buf_release(&l->in_flight);
    free(l);
}

/* libuv has let go of one thing; with the last one the link ends. */
void link_unhold(struct link *l)
{
    if (--l->held > 0)
        return;
    if (l->announced)
        l->events->down(l, &l->why, l->ctx);
    link_free(l);
}

static void on_closed(uv_handle_t *h)
{
    link_unhold(h->data);
}

/* The listener counts those that have not shown who they are. */
static void leave_handshake(struct link *l)
{
    if (l->owner)
        l->host_of->shaken(l->owner);
}

/* Requests under way on the handles are called back first, with UV_ECANCELED. */
void link_destroy(struct link *l)
{
    if (l->state == CLOSING)
        return;
    enum link_state before = l->state;
    l->state = CLOSING;
    if (before == SHAKING)
        leave_handshake(l);
    if (l->resolving)
        uv_cancel((uv_req_t *)&l->resolve);
    if (l->tcp_open)
        uv_close((uv_handle_t *)&l->tcp, on_closed);
    l->tcp_open = false;
    uv_close((uv_handle_t *)&l->timer, on_closed);
}

/* The first fault is the cause; what follows from it is noise. */
static void link_blame(struct link *l, const struct err *e)
{
    if (!l->why.code)
        l->why = *e;
}

void link_cut(struct link *l, const char *what, int status)
{
    struct err e;
    err_set(&e, ERR_NET, "%s: %s", what, uv_strerror(status));
    link_blame(l, &e);
    link_destroy(l);
}

static void on_timer(uv_timer_t *t);

void link_arm(struct link *l, uint64_t ms)
{
    uv_timer_start(&l->timer, on_timer, ms, 0);
}

/* A link without socket. What a peer sends is bounded by frame_next, what we send by our callers,
 * so that the buffers themselves need no limit. */
struct link *link_new(uv_loop_t *loop, const struct link_events *events)
{
    struct link *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    l->loop = loop;
    l->events = events;
    buf_init(&l->plain, SIZE_MAX);
    buf_init(&l->out, SIZE_MAX);
    buf_init(&l->in_flight, SIZE_MAX);
    uv_timer_init(loop, &l->timer);
    l->timer.data = l;
    l->held = 1;
    return l;
}

void link_open_tcp(struct link *l)
{
    uv_tcp_init(l->loop, &l->tcp);
    l->tcp.data = l;
    l->tcp_open = true;
    l->held++;
}

/* Says goodbye to the peer, then destroys. The socket is not closed at once: TCP would answer data
 * that is still coming in with a reset, which destroys what the peer has not read yet (RFC
 * 1122, 4.2.2.13). */
static void end(struct link *l)
{
    if (l->state == DIALLING) {
        link_destroy(l);
    } else if (l->state == SHAKING || l->state == UP) {
        enum link_state before = l->state;
        l->state = ENDING;
        if (before == SHAKING)
            leave_handshake(l);
        link_arm(l, LINK_CLOSE_MS);
        pump(l);
    }
}

void link_fail(struct link *l, const struct err *e)
{
    link_blame(l, e);
    end(l);
}

/* ---- writing ------------------------------------------------------------------------------- */

static void say_goodbye(struct link *l)
{
    tls_end(l->tls, &l->out);
    l->mute = true;
}

/* Fills `out` with ciphertext of what waits; at the end of an ending link that is close_notify.
 * Whether there is something to be written now. */
static bool seal(struct link *l)
{
    struct err e = {0};
    const unsigned char *bytes;
    size_t n;
    while (!l->mute && buf_size(&l->out) < LINK_SEALED &&
           (n = outgoing_next(&l->queue, LINK_SEALED - buf_size(&l->out), &bytes)) > 0) {
        if (tls_send(l->tls, bytes, n, &l->out, &e)) {
            say_goodbye(l); /* half a frame may be in the stream */
            link_fail(l, &e);
        } else {
            outgoing_gone(&l->queue, n);
        }
    }
    if (l->state == ENDING && !l->mute && l->queue.frames == 0)
        say_goodbye(l);
    return !l->writing && l->state != CLOSING && buf_size(&l->out) > 0;
}

static void on_written(uv_write_t *w, int status);

/* What the socket does not take now, when it does. */
static void write_later(struct link *l)
{
    struct buf empty = l->in_flight;
    l->in_flight = l->out;
    l->out = empty;
    l->bytes_written += buf_size(&l->in_flight);
    uv_buf_t bytes = {.base = (char *)buf_bytes(&l->in_flight), .len = buf_size(&l->in_flight)};
    l->write.data = l;
    l->writing = true;
    int status = uv_write(&l->write, (uv_stream_t *)&l->tcp, &bytes, 1, on_written);
    if (status < 0) {
        l->writing = false;
        link_cut(l, "cannot send", status);
    }
}

/* As much as the socket takes: then all is written, or a write is under way. */
static void write_out(struct link *l)
{
    while (!l->writing && l->state != CLOSING && seal(l)) {
        uv_buf_t bytes = {.base = (char *)buf_bytes(&l->out), .len = buf_size(&l->out)};
        int taken = uv_try_write((uv_stream_t *)&l->tcp, &bytes, 1);
        if (taken < 0 && taken != UV_EAGAIN) {
            link_cut(l, "cannot send", taken);
        } else {
            size_t n = taken > 0 ? (size_t)taken : 0;
            buf_consume(&l->out, n);
            l->bytes_written += n;
            if (buf_size(&l->out) > 0)
                write_later(l);
        }
    }
    if (buf_size(&l->out) == 0)
        buf_release(&l->out);
}

static void on_written(uv_write_t *w, int status)
{
    struct link *l = w->data;
    l->writing = false;
    buf_release(&l->in_flight);
    if (l->state == CLOSING)
        return;
    if (status < 0) {
        link_cut(l, "cannot send", status);
        return;
    }
    write_out(l);
    deliver(l);
    pump(l);
}

static void on_shutdown(uv_shutdown_t *s, int status)
{
    struct link *l = s->data;
    if (status < 0)
        link_destroy(l);
}

/* When the last byte is written: waits for the peer's end, unless it has come already. */
static void linger(struct link *l)
{
    if (l->state != ENDING || l->writing || !l->mute || buf_size(&l->out) > 0)
        return;
    l->state = LINGERING;
    l->shutdown.data = l;
    if (l->peer_done || uv_shutdown(&l->shutdown, (uv_stream_t *)&l->tcp, on_shutdown) < 0)
        link_destroy(l);
}

/* ---- reading ------------------------------------------------------------------------------- */

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *b)
{
    (void)h, (void)suggested;
    b->base = malloc(READ_SIZE);
    b->len = b->base ? READ_SIZE : 0;
}

uint64_t link_waiting(const struct link *l)
{
    return uv_stream_get_write_queue_size((const uv_stream_t *)&l->tcp) + buf_size(&l->out) +
           l->queue.sealed;
}

/* True while the peer lets us wait with what we answered: then it may wait, too. */
static bool congested(const struct link *l)
{
    return l->owner && link_waiting(l) > LINK_HIGH_WATER;
}

static void take_end(struct link *l)
{
    struct err e;
    if (buf_size(&l->plain) == 0) {
        end(l);
    } else {
        err_set(&e, ERR_PROTO, "the peer ended the connection inside a frame");
        link_fail(l, &e);
    }
}

/* Hands over whole frames, as far as the answers to them find room. */
static void deliver(struct link *l)
{
    struct err e = {0};
    bool ready = true;
    uint64_t before = l->frames;
    while (l->state == UP && ready && !congested(l)) {
        struct frame f;
        int rc = frame_next(&l->plain, l->events->limit, l->ctx, &f, &ready, &e);
        if (!rc && ready)
            rc = link_pace_frame(l, &e);
        if (!rc && ready)
            rc = l->events->frame(l, &f, l->ctx, &e);
        if (rc) {
            link_fail(l, &e);
            return;
        }
        if (ready)
            buf_consume(&l->plain, FRAME_HEADER + f.len);
    }
    if (l->frames != before && buf_size(&l->plain) == 0)
        l->settled = l->bytes_in;
    /* A server with a thousand links must not keep a thousand buffers of the size of an update. */
    if (buf_size(&l->plain) == 0 && l->plain.cap > 2 * READ_SIZE)
        buf_release(&l->plain);
    if (l->state == UP && l->peer_ended && !ready)
        take_end(l);
}

static void feed(struct link *l, const void *bytes, size_t n)
{
    struct err e = {0};
    bool ended;
    if (tls_feed(l->tls, bytes, n, &l->plain, &l->out, &ended, &e)) {
        say_goodbye(l);
        link_fail(l, &e);
        return;
    }
    l->peer_ended |= ended;
    if (l->state == SHAKING && tls_ready(l->tls)) {
        l->state = UP;
        uv_timer_stop(&l->timer);
        link_pace_begin(l);
        leave_handshake(l);
        l->events->up(l, tls_peer(l->tls), l->ctx);
    }
    deliver(l);
}

static void on_end_of_stream(struct link *l, int status)
{
    if (l->state == LINGERING || (l->state == ENDING && status != UV_EOF)) {
        link_destroy(l);
    } else if (l->state == ENDING) {
        l->peer_done = true;
        linger(l);
    } else {
        /* TLS ends with close_notify: without it, somebody may have cut the stream (RFC 8446, 6.1).
         */
        link_cut(l, "the connection was cut", status);
    }
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
    struct link *l = s->data;
    if (n > 0) {
        l->bytes_in += (uint64_t)n;
        if (l->state == SHAKING || l->state == UP)
            feed(l, b->base, (size_t)n);
        pump(l);
    } else if (n < 0) {
        l->reading = false;
        uv_read_stop(s);
        on_end_of_stream(l, (int)n);
    }
    free(b->base);
}

static void gate_input(struct link *l)
{
    bool want = !l->peer_done && !(l->state == UP && congested(l));
    if (want == l->reading || l->state == CLOSING)
        return;
    l->reading = want;
    int status = want ? uv_read_start((uv_stream_t *)&l->tcp, on_alloc, on_read)
                      : uv_read_stop((uv_stream_t *)&l->tcp);
    if (status < 0)
        link_cut(l, "cannot receive", status);
}

/* Brings the socket up to date with the state; called after anything that may have changed it. */
static void pump(struct link *l)
{
    if (l->state == DIALLING || l->state == CLOSING)
        return;
    write_out(l);
    linger(l);
    gate_input(l);
}

/* ---- time ---------------------------------------------------------------------------------- */

/* A peer whose machine or network is gone answers nothing at all: TCP itself would send for a
 * quarter of an hour before it says so (RFC 5482). */
static void give_up_on_silence(struct link *l)
{
    const unsigned ms = LINK_SILENCE_MS;
    uv_os_fd_t fd;
    if (uv_fileno((uv_handle_t *)&l->tcp, &fd) == 0 &&
        setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms) != 0)
        log_debug("no limit on a silent peer reason=\"%s\"", strerror(errno));
}

void link_begin_tls(struct link *l)
{
    struct err e = {0};
    l->state = SHAKING;
    l->why = (struct err){0}; /* earlier addresses that failed no longer matter */
    uv_tcp_nodelay(&l->tcp, 1);
    uv_tcp_keepalive(&l->tcp, 1, KEEPALIVE_S);
    give_up_on_silence(l);
    link_arm(l, l->owner ? l->limits.handshake_ms : LINK_HANDSHAKE_MS);
    if (tls_start(l->tls, &l->out, &e)) {
        say_goodbye(l);
        link_fail(l, &e);
    }
    pump(l);
}

static void on_timer(uv_timer_t *t)
{
    struct link *l = t->data;
    struct err e;
    if (l->state == DIALLING && l->tcp_open) {
        link_dial_timed_out(l);
    } else if (l->state == SHAKING) {
        link_cut(l, "no TLS handshake", UV_ETIMEDOUT);
    } else if (l->state == UP) {
        if (link_pace_tick(l, &e))
            link_fail(l, &e);
        else
            link_arm(l, l->limits.pace_ms);
        pump(l);
    } else {
        link_destroy(l);
    }
}

/* ---- accepting ----------------------------------------------------------------------------- */

int link_accept(struct link **out, uv_stream_t *server, struct tls_context *tls,
                const struct link_events *events, const struct link_limits *limits,
                const struct link_host *host, void *owner, struct err *e)
{
    struct link *l = link_new(server->loop, events);
    if (!l)
        return err_set(e, ERR_NOMEM, "no memory for a connection");
    link_open_tcp(l);
    int status = uv_accept(server, (uv_stream_t *)&l->tcp);
    int rc = status < 0 ? err_set(e, ERR_NET, "cannot accept: %s", uv_strerror(status))
                        : tls_open(&l->tls, tls, NULL, e);
    if (rc) {
        link_destroy(l);
        return rc;
    }
    l->limits = *limits;
    l->host_of = host;
    l->owner = owner;
    *out = l;
    return 0;
}

void link_begin(struct link *l, void *ctx)
{
    l->ctx = ctx;
    l->announced = true;
    link_begin_tls(l);
}

void link_refuse(struct link *l)
{
    link_destroy(l);
}

bool link_sockaddr(const struct link *l, struct sockaddr_storage *out)
{
    int len = sizeof *out;
    return uv_tcp_getpeername(&l->tcp, (struct sockaddr *)out, &len) == 0;
}

/* ---- for callers --------------------------------------------------------------------------- */

int link_send_shared(struct link *l, uint8_t type, const void *own, size_t len, struct shared *same,
                     struct err *e)
{
    struct err why = {0};
    if (l->state != UP)
        return err_set(e, ERR_STATE, "the connection is not up");
    if (l->queue.frames >= LINK_MAX_WAITING)
        return err_set(e, ERR_NET, "the peer does not read: %u frames wait for it",
                       l->queue.frames);
    int rc = outgoing_add(&l->queue, type, own, len, same, &why);
    if (rc) {
        if (e)
            *e = why;
        link_fail(l, &why);
        return rc;
    }
    pump(l);
    return 0;
}

int link_send(struct link *l, uint8_t type, const void *payload, size_t len, struct err *e)
{
    return link_send_shared(l, type, payload, len, NULL, e);
}

void link_close(struct link *l)
{
    if (l->state == DIALLING)
        l->why = (struct err){0}; /* of addresses that failed; the caller wants no others tried */
    end(l);
}

int link_recheck(const struct link *l, struct tls_context *tls, struct err *e)
{
    return l->state == UP ? tls_recheck(l->tls, tls, e) : 0;
}

bool link_peer_ca(const struct link *l, struct hash *out)
{
    return tls_peer_ca(l->tls, out);
}

uint64_t link_bytes_in(const struct link *l)
{
    return l->bytes_in;
}

uint64_t link_bytes_out(const struct link *l)
{
    return l->bytes_written + buf_size(&l->out) + l->queue.sealed;
}

size_t link_held(const struct link *l)
{
    return l->out.cap + l->in_flight.cap + outgoing_owned(&l->queue);
}
