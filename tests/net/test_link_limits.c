/* Attackers with blocking sockets on a thread of their own, against a listener with tight limits:
 * slow handshakes, slow frames, floods, crowds, peers that say nothing or do not read. */
#include "net/link.h"

#include "pki.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>

enum { DATA = 1, ASK = 2, LIMIT = 1 << 20, ANSWER = 64 << 10, STEP_US = 20000, MAX_STEPS = 1500 };

struct siege {
    uv_loop_t loop;
    struct pki pki;
    struct tls_context *client_tls, *server_tls;
    struct listener *listener;
    uint16_t port;
    atomic_uint downs;
    unsigned accepted, ups, frames, here, most;
    struct err why;
    uv_work_t work;
    void (*attack)(struct siege *s);
    /* What the attacker saw. */
    unsigned served;
    bool honest;
};

/* A guard against peers that nobody ends, far above what any of these tests takes. */
TestSuite(link_limits, .timeout = 120);

/* ---- server -------------------------------------------------------------------------------- */

static void on_up(struct link *l, const char *peer, void *ctx)
{
    struct siege *s = ctx;
    (void)l, (void)peer;
    s->ups++;
}

static int on_frame(struct link *l, const struct frame *f, void *ctx, struct err *e)
{
    static const unsigned char answer[ANSWER];
    struct siege *s = ctx;
    s->frames++;
    return f->type == ASK ? link_send(l, DATA, answer, sizeof answer, e) : 0;
}

static size_t limit(void *ctx, uint8_t type)
{
    (void)ctx;
    return type == DATA ? LIMIT : type == ASK ? 16 : 0;
}

static void on_down(struct link *l, const struct err *why, void *ctx)
{
    struct siege *s = ctx;
    (void)l;
    s->downs++;
    s->here--;
    if (why->code)
        s->why = *why;
}

static const struct link_events events = {on_up, on_frame, limit, on_down};

static void *on_accept(struct link *l, const char *address, void *ctx)
{
    struct siege *s = ctx;
    (void)l, (void)address;
    s->accepted++;
    if (++s->here > s->most)
        s->most = s->here;
    return s;
}

static void at_work(uv_work_t *work)
{
    struct siege *s = work->data;
    s->attack(s);
}

static void on_attacked(uv_work_t *work, int status)
{
    struct siege *s = work->data;
    (void)status;
    listener_close(s->listener);
}

static void siege_run(struct siege *s, const struct link_limits *limits,
                      void (*attack)(struct siege *s))
{
    struct err e = {0};
    *s = (struct siege){.attack = attack};
    signal(SIGPIPE, SIG_IGN);
    pki_init(&s->pki);
    uv_loop_init(&s->loop);
    s->client_tls = pki_client(&s->pki);
    s->server_tls = pki_server(&s->pki);
    cr_assert_eq(listener_open(&s->listener, &s->loop, "127.0.0.1:0", s->server_tls, 1000, &events,
                               on_accept, s, &e),
                 0, "%s", e.text);
    listener_set_limits(s->listener, limits);
    s->port = listener_port(s->listener);
    s->work.data = s;
    uv_queue_work(&s->loop, &s->work, at_work, on_attacked);
    cr_assert_eq(uv_run(&s->loop, UV_RUN_DEFAULT), 0);
    cr_assert_eq(s->downs, s->accepted);
    cr_assert_eq(uv_loop_close(&s->loop), 0);
    tls_context_close(s->client_tls);
    tls_context_close(s->server_tls);
    pki_release(&s->pki);
}

/* ---- attacker ------------------------------------------------------------------------------ */

static int dial(const struct siege *s)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(s->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Whether the server has ended the connection; what it says until then is thrown away. */
static bool ended(int fd)
{
    char bytes[4096];
    for (;;) {
        ssize_t n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            return true;
        if (n < 0)
            return false;
    }
}

/* One side of TLS over a blocking socket. */
struct wire {
    int fd;
    struct tls *tls;
    struct buf plain, cipher;
};

static bool put(int fd, const void *bytes, size_t n)
{
    const char *from = bytes;
    while (n > 0) {
        ssize_t sent = send(fd, from, n, 0);
        if (sent <= 0)
            return false;
        from += sent;
        n -= (size_t)sent;
    }
    return true;
}

static bool wire_flush(struct wire *w)
{
    bool ok = put(w->fd, buf_bytes(&w->cipher), buf_size(&w->cipher));
    buf_clear(&w->cipher);
    return ok;
}

static bool wire_open(struct wire *w, const struct siege *s)
{
    struct err e;
    char bytes[4096];
    bool closed = false;
    *w = (struct wire){.fd = dial(s)};
    buf_init(&w->plain, SIZE_MAX);
    buf_init(&w->cipher, SIZE_MAX);
    if (tls_open(&w->tls, s->client_tls, "localhost", &e) || tls_start(w->tls, &w->cipher, &e))
        return false;
    while (w->fd >= 0 && !tls_ready(w->tls)) {
        ssize_t n = wire_flush(w) ? recv(w->fd, bytes, sizeof bytes, 0) : -1;
        if (n <= 0 || tls_feed(w->tls, bytes, (size_t)n, &w->plain, &w->cipher, &closed, &e))
            return false;
    }
    return w->fd >= 0 && wire_flush(w);
}

static void wire_close(struct wire *w)
{
    tls_close(w->tls);
    buf_release(&w->plain);
    buf_release(&w->cipher);
    if (w->fd >= 0)
        close(w->fd);
}

static bool wire_say(struct wire *w, const void *bytes, size_t n)
{
    return tls_send(w->tls, bytes, n, &w->cipher, NULL) == 0 && wire_flush(w);
}

static const unsigned char frame_of_2000[FRAME_HEADER + 2000] = {'F', 'P', 1,    DATA,
                                                                 0,   0,   0x07, 0xd0};
static const unsigned char ask[FRAME_HEADER] = {'F', 'P', 1, ASK};

/* ---- before TLS is up ---------------------------------------------------------------------- */

static void spell_the_handshake(struct siege *s)
{
    struct tls *tls;
    struct buf hello;
    int fd = dial(s);
    buf_init(&hello, SIZE_MAX);
    if (tls_open(&tls, s->client_tls, "localhost", NULL) == 0) {
        bool begun = tls_start(tls, &hello, NULL) == 0;
        for (size_t i = 0; begun && i < buf_size(&hello) && !ended(fd); i++) {
            put(fd, buf_bytes(&hello) + i, 1);
            usleep(STEP_US);
        }
        tls_close(tls);
    }
    buf_release(&hello);
    close(fd);
}

Test(link_limits, a_handshake_a_byte_at_a_time_is_cut)
{
    struct siege s;
    struct link_limits m = link_limits_default;
    m.handshake_ms = 300;
    siege_run(&s, &m, spell_the_handshake);
    cr_assert_eq(s.ups, 0);
    cr_assert_eq(s.why.code, ERR_NET);
    cr_assert(strstr(s.why.text, "no TLS handshake"), "%s", s.why.text);
}

/* What an honest device does once the others are gone: it tries again until there is room. */
static bool knock(const struct siege *s)
{
    bool up = false;
    for (int steps = 0; steps < MAX_STEPS && !up; steps++) {
        struct wire w;
        up = wire_open(&w, s);
        wire_close(&w);
        usleep(STEP_US);
    }
    return up;
}

enum { CROWD = 40, PLACES = 5 };

static void come_as_a_crowd(struct siege *s)
{
    int fd[CROWD];
    for (int i = 0; i < CROWD; i++)
        fd[i] = dial(s);
    for (int steps = 0, left = CROWD; left > PLACES && steps < MAX_STEPS; steps++) {
        left = 0;
        for (int i = 0; i < CROWD; i++)
            left += !ended(fd[i]);
        s->served = (unsigned)left;
        usleep(STEP_US);
    }
    for (int i = 0; i < CROWD; i++)
        close(fd[i]);
    s->honest = knock(s);
}

Test(link_limits, an_address_has_so_many_places)
{
    struct siege s;
    struct link_limits m = link_limits_default;
    m.per_address = PLACES;
    siege_run(&s, &m, come_as_a_crowd);
    cr_assert_eq(s.served, PLACES);
    cr_assert_eq(s.most, PLACES);
    cr_assert_eq(s.ups, 1);
}

Test(link_limits, an_address_has_so_many_handshakes)
{
    struct siege s;
    struct link_limits m = link_limits_default;
    m.shaking_per_address = PLACES;
    siege_run(&s, &m, come_as_a_crowd);
    cr_assert_eq(s.served, PLACES);
    cr_assert_eq(s.ups, 1);
}

enum { SILENT = 3 * PLACES };

static void queue_in_silence(struct siege *s)
{
    int fd[SILENT];
    struct wire w;
    for (int i = 0; i < SILENT; i++)
        fd[i] = dial(s);
    s->served = wire_open(&w, s); /* behind all of them */
    wire_close(&w);
    for (int i = 0; i < SILENT; i++)
        close(fd[i]);
}

Test(link_limits, silent_connections_delay_an_honest_one_but_do_not_shut_it_out)
{
    struct siege s;
    struct link_limits m = link_limits_default;
    m.shaking = PLACES;
    m.handshake_ms = 1000; /* an honest handshake needs far less, however slow the machine */
    siege_run(&s, &m, queue_in_silence);
    cr_assert_eq(s.served, 1);
    cr_assert_eq(s.ups, 1);
    cr_assert_leq(s.most, 2 * PLACES, "%u at a time: those that are ending, and the next", s.most);
    cr_assert_eq(s.accepted, SILENT + 1);
}

enum { CONNECTS = 3000 };

static void connect_and_run(struct siege *s)
{
    for (int i = 0; i < CONNECTS; i++) {
        int fd = dial(s);
        put(fd, "GET / HTTP/1.1\r\n", 16);
        close(fd);
    }
    s->honest = knock(s);
}

Test(link_limits, thousands_of_connections_leave_nothing_behind)
{
    struct siege s;
    siege_run(&s, &link_limits_default, connect_and_run);
    cr_assert(s.honest);
    cr_assert_eq(s.ups, 1);
}

/* ---- after it ------------------------------------------------------------------------------ */

static void spell_a_frame(struct siege *s)
{
    struct wire w;
    if (wire_open(&w, s))
        for (size_t i = 0; i < sizeof frame_of_2000 && !ended(w.fd); i++) {
            if (!wire_say(&w, frame_of_2000 + i, 1))
                break;
            usleep(STEP_US);
        }
    wire_close(&w);
}

static const struct link_limits slow_limits = {
    .per_address = 10,
    .shaking_per_address = 10,
    .shaking = 10,
    .handshake_ms = LINK_HANDSHAKE_MS,
    .pace_ms = 200,
    .pace_bytes = 500, /* a byte of plaintext is 23 of TLS */
    .frames = 1000,
    .frames_per_s = 1000,
};

Test(link_limits, a_frame_a_byte_at_a_time_is_cut)
{
    struct siege s;
    siege_run(&s, &slow_limits, spell_a_frame);
    cr_assert_eq(s.ups, 1);
    cr_assert_eq(s.frames, 0);
    cr_assert_eq(s.why.code, ERR_NET);
    cr_assert(strstr(s.why.text, "too slowly"), "%s", s.why.text);
}

static void spell_a_record(struct siege *s)
{
    struct wire w;
    if (wire_open(&w, s) &&
        tls_send(w.tls, frame_of_2000, sizeof frame_of_2000, &w.cipher, NULL) == 0)
        for (size_t i = 0; i < buf_size(&w.cipher) && !ended(w.fd); i++) {
            if (!put(w.fd, buf_bytes(&w.cipher) + i, 1))
                break;
            usleep(STEP_US);
        }
    wire_close(&w);
}

Test(link_limits, a_record_a_byte_at_a_time_is_cut)
{
    struct siege s;
    siege_run(&s, &slow_limits, spell_a_record);
    cr_assert_eq(s.frames, 0);
    cr_assert(strstr(s.why.text, "too slowly"), "%s", s.why.text);
}

static void walk(struct siege *s)
{
    enum { PART = 100 };
    struct wire w;
    if (wire_open(&w, s)) {
        for (size_t i = 0; i < sizeof frame_of_2000; i += PART) {
            size_t left = sizeof frame_of_2000 - i;
            s->served += wire_say(&w, frame_of_2000 + i, left < PART ? left : PART);
            usleep(STEP_US);
        }
        tls_end(w.tls, &w.cipher);
        wire_flush(&w);
        while (!ended(w.fd))
            usleep(STEP_US);
    }
    wire_close(&w);
}

Test(link_limits, a_frame_that_comes_steadily_is_waited_for)
{
    struct siege s;
    siege_run(&s, &slow_limits, walk);
    cr_assert_eq(s.frames, 1);
    cr_assert_eq(s.why.code, 0, "%s", s.why.text);
}

static void say_nothing(struct siege *s)
{
    struct wire w;
    if (wire_open(&w, s))
        while (!ended(w.fd))
            usleep(STEP_US);
    wire_close(&w);
}

Test(link_limits, a_peer_that_says_nothing_is_cut_where_it_must_speak)
{
    struct siege s;
    struct link_limits m = slow_limits;
    m.idle_ms = 300;
    siege_run(&s, &m, say_nothing);
    cr_assert_eq(s.ups, 1);
    cr_assert(strstr(s.why.text, "says nothing"), "%s", s.why.text);
}

static void ask_without_pause(struct siege *s)
{
    struct wire w;
    const unsigned char empty[FRAME_HEADER] = {'F', 'P', 1, DATA};
    if (wire_open(&w, s))
        while (!ended(w.fd) && wire_say(&w, empty, sizeof empty))
            s->served++;
    wire_close(&w);
}

Test(link_limits, a_flood_of_frames_is_cut)
{
    struct siege s;
    struct link_limits m = slow_limits;
    m.frames = 100;
    m.frames_per_s = 10;
    siege_run(&s, &m, ask_without_pause);
    cr_assert_eq(s.why.code, ERR_PROTO);
    cr_assert(strstr(s.why.text, "10 messages a second"), "%s", s.why.text);
    cr_assert_geq(s.frames, 100);
    cr_assert_leq(s.frames, s.served);
}

/* Far fewer bytes in the time of a pace than the server's kernel waits for before it takes more. */
static void ask_and_read_slowly(struct siege *s)
{
    enum { ASKED = 200, SLICE = 8 << 10, SLICE_US = 50000, SLICES = 120, RECEIVED = 32 << 10 };
    static char bytes[SLICE];
    const int room = RECEIVED;
    struct wire w;
    if (wire_open(&w, s)) {
        setsockopt(w.fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
        for (int i = 0; i < ASKED; i++)
            wire_say(&w, ask, sizeof ask);
        for (int i = 0; i < SLICES && recv(w.fd, bytes, sizeof bytes, 0) > 0; i++)
            usleep(SLICE_US);
    }
    wire_close(&w);
}

Test(link_limits, a_peer_that_reads_slowly_is_waited_for)
{
    struct siege s;
    struct link_limits m = slow_limits;
    m.pace_ms = 2000;
    siege_run(&s, &m, ask_and_read_slowly);
    cr_assert_null(strstr(s.why.text, "does not read"), "%s", s.why.text); /* it has left */
}

static void ask_and_never_read(struct siege *s)
{
    struct wire w;
    if (wire_open(&w, s)) {
        for (int i = 0; i < 500; i++)
            wire_say(&w, ask, sizeof ask);
        for (int i = 0; i < MAX_STEPS && s->downs == 0; i++)
            usleep(STEP_US);
    }
    wire_close(&w);
}

Test(link_limits, a_peer_that_never_reads_is_cut)
{
    struct siege s;
    siege_run(&s, &slow_limits, ask_and_never_read);
    cr_assert_eq(s.why.code, ERR_NET);
    cr_assert(strstr(s.why.text, "does not read"), "%s", s.why.text);
}
