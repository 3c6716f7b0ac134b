/* Links against peers that speak TLS but keep none of our rules: a socket and a TLS engine driven
 * by hand. */
#include "net/link.h"

#include "pki.h"

enum { DATA = 1, ASK = 2, LIMIT = 1 << 20, ANSWER = 64 << 10, QUIET_MS = 300 };

struct hostile {
    uv_loop_t loop;
    struct pki pki;
    struct tls_context *client_tls, *server_tls;
    struct listener *listener;
    /* The server's end. */
    struct link *link;
    unsigned ups, downs, frames;
    struct err why;
    /* The peer. */
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_timer_t timer;
    struct tls *tls;
    struct buf plain, cipher;
    bool ready, ended, closed;
    size_t received;
    void (*on_ready)(struct hostile *h);
};

/* A guard against links that wait for ever, far above what any of these tests takes. */
TestSuite(link_hostile, .timeout = 120);

/* ---- server -------------------------------------------------------------------------------- */

static void on_up(struct link *l, const char *peer, void *ctx)
{
    struct hostile *h = ctx;
    cr_assert_str_eq(peer, "client-0001");
    h->link = l;
    h->ups++;
}

static int on_frame(struct link *l, const struct frame *f, void *ctx, struct err *e)
{
    static const unsigned char answer[ANSWER];
    struct hostile *h = ctx;
    h->frames++;
    return f->type == ASK ? link_send(l, DATA, answer, sizeof answer, e) : 0;
}

static size_t limit(void *ctx, uint8_t type)
{
    (void)ctx;
    return type == DATA ? LIMIT : type == ASK ? 16 : 0;
}

static void on_down(struct link *l, const struct err *why, void *ctx)
{
    struct hostile *h = ctx;
    (void)l;
    h->downs++;
    h->why = *why;
    listener_close(h->listener);
}

static const struct link_events events = {on_up, on_frame, limit, on_down};

static void *on_accept(struct link *l, const char *address, void *ctx)
{
    (void)l, (void)address;
    return ctx;
}

/* ---- peer ---------------------------------------------------------------------------------- */

static void on_peer_closed(uv_handle_t *handle)
{
    (void)handle;
}

static void hang_up(struct hostile *h)
{
    if (h->closed)
        return;
    h->closed = true;
    uv_close((uv_handle_t *)&h->tcp, on_peer_closed);
    uv_close((uv_handle_t *)&h->timer, on_peer_closed);
}

static void on_written(uv_write_t *w, int status)
{
    (void)status;
    free(w->data);
    free(w);
}

static void write_out(struct hostile *h)
{
    size_t n = buf_size(&h->cipher);
    uv_write_t *w = malloc(sizeof *w);
    if (n == 0 || h->closed) {
        free(w);
        return;
    }
    w->data = malloc(n);
    memcpy(w->data, buf_bytes(&h->cipher), n);
    buf_clear(&h->cipher);
    uv_buf_t b = {.base = w->data, .len = n};
    cr_assert_eq(uv_write(w, (uv_stream_t *)&h->tcp, &b, 1, on_written), 0);
}

static void on_alloc(uv_handle_t *handle, size_t n, uv_buf_t *b)
{
    (void)handle;
    *b = uv_buf_init(malloc(n), (unsigned)n);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
    struct hostile *h = s->data;
    struct err e = {0};
    if (n > 0)
        cr_assert_eq(tls_feed(h->tls, b->base, (size_t)n, &h->plain, &h->cipher, &h->ended, &e), 0,
                     "%s", e.text);
    free(b->base);
    h->received += buf_size(&h->plain);
    buf_clear(&h->plain);
    write_out(h);
    if (n < 0) {
        hang_up(h);
    } else if (!h->ready && tls_ready(h->tls)) {
        h->ready = true;
        h->on_ready(h);
    }
}

static void on_connect(uv_connect_t *c, int status)
{
    struct hostile *h = c->data;
    struct err e = {0};
    cr_assert_eq(status, 0);
    uv_read_start((uv_stream_t *)&h->tcp, on_alloc, on_read);
    if (!h->on_ready)
        return;
    cr_assert_eq(tls_start(h->tls, &h->cipher, &e), 0);
    write_out(h);
}

/* A peer that dials the server and, once TLS is up, does what on_ready says; NULL: never says a
 * word. */
static void hostile_run(struct hostile *h, void (*on_ready)(struct hostile *h))
{
    struct err e = {0};
    struct sockaddr_in to;
    *h = (struct hostile){.on_ready = on_ready};
    pki_init(&h->pki);
    uv_loop_init(&h->loop);
    h->client_tls = pki_client(&h->pki);
    h->server_tls = pki_server(&h->pki);
    cr_assert_eq(listener_open(&h->listener, &h->loop, "127.0.0.1:0", h->server_tls, 1, &events,
                               on_accept, h, &e),
                 0, "%s", e.text);
    buf_init(&h->plain, SIZE_MAX);
    buf_init(&h->cipher, SIZE_MAX);
    cr_assert_eq(tls_open(&h->tls, h->client_tls, "localhost", &e), 0);
    uv_tcp_init(&h->loop, &h->tcp);
    uv_timer_init(&h->loop, &h->timer);
    h->tcp.data = h->timer.data = h->connect.data = h;
    uv_ip4_addr("127.0.0.1", listener_port(h->listener), &to);
    uv_tcp_connect(&h->connect, &h->tcp, (struct sockaddr *)&to, on_connect);
    cr_assert_eq(uv_run(&h->loop, UV_RUN_DEFAULT), 0);
    cr_assert_eq(h->downs, 1);
}

static void hostile_release(struct hostile *h)
{
    cr_assert_eq(uv_loop_close(&h->loop), 0);
    tls_close(h->tls);
    buf_release(&h->plain);
    buf_release(&h->cipher);
    tls_context_close(h->client_tls);
    tls_context_close(h->server_tls);
    pki_release(&h->pki);
}

static void say(struct hostile *h, const void *bytes, size_t n)
{
    struct err e = {0};
    cr_assert_eq(tls_send(h->tls, bytes, n, &h->cipher, &e), 0);
    write_out(h);
}

/* ---- misbehaviour -------------------------------------------------------------------------- */

static void announce_too_much(struct hostile *h)
{
    say(h, (unsigned char[]){'F', 'P', 1, DATA, 0x7f, 0, 0, 0}, FRAME_HEADER);
}

Test(link_hostile, an_oversized_frame_is_refused_on_its_header)
{
    struct hostile h;
    hostile_run(&h, announce_too_much);
    cr_assert_eq(h.why.code, ERR_PROTO, "%s", h.why.text);
    cr_assert(strstr(h.why.text, "limit 1048576"), "%s", h.why.text);
    cr_assert_eq(h.frames, 0);
    cr_assert(h.ended, "the server says goodbye all the same");
    hostile_release(&h);
}

static void speak_http(struct hostile *h)
{
    say(h, "GET / HTTP/1.1\r\n\r\n", 18);
}

Test(link_hostile, another_protocol_is_refused)
{
    struct hostile h;
    hostile_run(&h, speak_http);
    cr_assert_eq(h.why.code, ERR_PROTO);
    hostile_release(&h);
}

static void cut(struct hostile *h)
{
    say(h, (unsigned char[]){'F', 'P', 1, DATA, 0, 0, 0, 1, 'x'}, FRAME_HEADER + 1);
    hang_up(h);
}

Test(link_hostile, an_end_without_close_notify_is_an_error)
{
    struct hostile h;
    hostile_run(&h, cut);
    cr_assert_eq(h.why.code, ERR_NET, "%s", h.why.text);
    cr_assert(strstr(h.why.text, "cut"), "%s", h.why.text);
    hostile_release(&h);
}

static void end_inside_a_frame(struct hostile *h)
{
    say(h, (unsigned char[]){'F', 'P', 1, DATA, 0, 0, 0, 2, 'x'}, FRAME_HEADER + 1);
    tls_end(h->tls, &h->cipher);
    write_out(h);
}

Test(link_hostile, half_a_frame_is_an_error)
{
    struct hostile h;
    hostile_run(&h, end_inside_a_frame);
    cr_assert_eq(h.why.code, ERR_PROTO, "%s", h.why.text);
    cr_assert(strstr(h.why.text, "inside a frame"), "%s", h.why.text);
    hostile_release(&h);
}

static void end_politely(struct hostile *h)
{
    unsigned char two[] = {'F', 'P', 1, ASK, 0, 0, 0, 0, 'F', 'P', 1, ASK, 0, 0, 0, 0};
    say(h, two, sizeof two);
    tls_end(h->tls, &h->cipher);
    write_out(h);
}

Test(link_hostile, a_clean_end_is_clean_and_answers_still_come)
{
    struct hostile h;
    hostile_run(&h, end_politely);
    cr_assert_eq(h.why.code, 0, "%s", h.why.text);
    cr_assert_eq(h.frames, 2);
    cr_assert_eq(h.received, 2 * (FRAME_HEADER + ANSWER));
    hostile_release(&h);
}

enum { ASKS = 3000 };

static void read_on(uv_timer_t *t)
{
    struct hostile *h = t->data;
    /* What the kernel buffers on both sides is a few MiB; 3000 answers would be 190. */
    cr_assert_lt(h->frames, ASKS / 3, "a peer that does not read makes us hold its answers");
    uv_read_start((uv_stream_t *)&h->tcp, on_alloc, on_read);
}

static void ask_and_not_read(struct hostile *h)
{
    unsigned char *asks = calloc(ASKS, FRAME_HEADER);
    for (size_t i = 0; i < ASKS; i++)
        memcpy(asks + i * FRAME_HEADER, (unsigned char[]){'F', 'P', 1, ASK, 0, 0, 0, 0},
               FRAME_HEADER);
    uv_read_stop((uv_stream_t *)&h->tcp);
    say(h, asks, (size_t)ASKS * FRAME_HEADER);
    tls_end(h->tls, &h->cipher);
    write_out(h);
    uv_timer_start(&h->timer, read_on, QUIET_MS, 0);
    free(asks);
}

Test(link_hostile, a_peer_that_does_not_read_waits_for_its_answers)
{
    struct hostile h;
    hostile_run(&h, ask_and_not_read);
    cr_assert_eq(h.frames, ASKS);
    cr_assert_eq(h.received, (size_t)ASKS * (FRAME_HEADER + ANSWER));
    cr_assert_eq(h.why.code, 0, "%s", h.why.text);
    hostile_release(&h);
}

Test(link_hostile, a_silent_peer_is_given_up)
{
    struct hostile h;
    hostile_run(&h, NULL);
    cr_assert_eq(h.ups, 0);
    cr_assert_eq(h.why.code, ERR_NET, "%s", h.why.text);
    cr_assert(strstr(h.why.text, "no TLS handshake"), "%s", h.why.text);
    hostile_release(&h);
}
