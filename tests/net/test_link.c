#include "net/link.h"

#include "base/log.h"
#include "pki.h"

enum { MIB = 1 << 20, DATA = 1, ASK = 2, LIMIT = 64 * MIB, MAX_LINKS = 8, SMALL = 1 << 10 };

/* One end of a connection, as its owner sees it. */
struct end {
    struct world *world;
    struct link *link;
    unsigned ups, downs, sent, frames;
    size_t bytes;
    uint64_t in, out; /* link_bytes_* at the end */
    char peer[IDENTITY_MAX_NAME + 1];
    struct err why;
    unsigned char *last; /* the last frame's payload */
    size_t last_len;
    void (*on_up)(struct end *);
    int (*on_frame)(struct end *, const struct frame *, struct err *);
};

/* A server, the clients that the test makes, and the loop they run on. */
struct world {
    struct pki pki;
    uv_loop_t loop;
    struct tls_context *client_tls, *server_tls;
    struct listener *listener;
    struct end accepted[MAX_LINKS];
    unsigned n_accepted, alive; /* alive: ends whose `down` is still to come */
    bool refuse, keep_listening;
    void (*server_up)(struct end *);
    int (*server_frame)(struct end *, const struct frame *, struct err *);
};

static void on_up(struct link *l, const char *peer, void *ctx)
{
    struct end *end = ctx;
    cr_assert_eq(end->ups++, 0);
    cr_assert_eq(end->downs, 0);
    end->link = l;
    snprintf(end->peer, sizeof end->peer, "%s", peer);
    if (end->on_up)
        end->on_up(end);
}

static int on_frame(struct link *l, const struct frame *f, void *ctx, struct err *e)
{
    struct end *end = ctx;
    cr_assert_eq(l, end->link);
    cr_assert_eq(end->downs, 0);
    end->frames++;
    end->bytes += f->len;
    free(end->last);
    end->last = malloc(f->len + 1);
    memcpy(end->last, f->payload, f->len);
    end->last_len = f->len;
    return end->on_frame ? end->on_frame(end, f, e) : 0;
}

static size_t limit(void *ctx, uint8_t type)
{
    (void)ctx;
    return type == DATA ? LIMIT : type == ASK ? 16 : 0;
}

static void on_down(struct link *l, const struct err *why, void *ctx)
{
    struct end *end = ctx;
    cr_assert(!end->link || l == end->link);
    cr_assert_eq(end->downs++, 0, "down is called once");
    end->why = *why;
    end->in = link_bytes_in(l);
    end->out = link_bytes_out(l);
    end->world->alive--;
    if (end->world->alive == 0 && !end->world->keep_listening && end->world->listener) {
        listener_close(end->world->listener);
        end->world->listener = NULL;
    }
}

static const struct link_events events = {on_up, on_frame, limit, on_down};

static void *on_accept(struct link *l, const char *address, void *ctx)
{
    struct world *w = ctx;
    cr_assert(strncmp(address, "127.0.0.1:", 10) == 0, "%s", address);
    cr_assert_lt(w->n_accepted, MAX_LINKS);
    if (w->refuse)
        return NULL;
    struct end *end = &w->accepted[w->n_accepted++];
    *end = (struct end){.world = w, .link = l, .on_up = w->server_up, .on_frame = w->server_frame};
    w->alive++;
    return end;
}

static void world_init(struct world *w)
{
    struct err e = {0};
    *w = (struct world){0};
    pki_init(&w->pki);
    cr_assert_eq(uv_loop_init(&w->loop), 0);
    w->client_tls = pki_client(&w->pki);
    w->server_tls = pki_server(&w->pki);
    cr_assert_eq(listener_open(&w->listener, &w->loop, "127.0.0.1:0", w->server_tls, MAX_LINKS,
                               &events, on_accept, w, &e),
                 0, "%s", e.text);
}

static void dial(struct world *w, struct end *end, const char *host)
{
    struct err e = {0};
    end->world = w;
    cr_assert_eq(link_connect(&end->link, &w->loop, host, listener_port(w->listener), w->client_tls,
                              &events, end, &e),
                 0, "%s", e.text);
    w->alive++;
}

/* Runs until nothing is left to happen, which needs every link to be down. */
static void run(struct world *w)
{
    cr_assert_eq(uv_run(&w->loop, UV_RUN_DEFAULT), 0);
    cr_assert_eq(w->alive, 0);
}

static void end_release(struct end *end)
{
    free(end->last);
}

static void world_release(struct world *w)
{
    if (w->listener)
        listener_close(w->listener);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    cr_assert_eq(uv_loop_close(&w->loop), 0, "something is still open on the loop");
    for (unsigned i = 0; i < w->n_accepted; i++)
        end_release(&w->accepted[i]);
    tls_context_close(w->client_tls);
    tls_context_close(w->server_tls);
    pki_release(&w->pki);
}

static void send_bytes(struct end *end, uint8_t type, const void *bytes, size_t n)
{
    struct err e = {0};
    cr_assert_eq(link_send(end->link, type, bytes, n, &e), 0, "%s", e.text);
}

/* A guard against links that wait for ever, far above what any of these tests takes. */
TestSuite(link, .timeout = 120);

/* ---- data ---------------------------------------------------------------------------------- */

enum { BIG = 8 * MIB };

static void send_big(struct end *end)
{
    unsigned char *b = pki_noise(BIG, 7);
    send_bytes(end, DATA, b, BIG);
    free(b);
}

static int echo(struct end *end, const struct frame *f, struct err *e)
{
    return link_send(end->link, f->type, f->payload, f->len, e);
}

static int close_after_one(struct end *end, const struct frame *f, struct err *e)
{
    (void)f, (void)e;
    link_close(end->link);
    link_close(end->link);
    return 0;
}

Test(link, echoes_what_it_gets_and_ends_cleanly)
{
    struct world w;
    struct end client = {.on_up = send_big, .on_frame = close_after_one};
    world_init(&w);
    w.server_frame = echo;
    dial(&w, &client, "127.0.0.1");
    struct err e = {0};
    cr_assert_eq(link_send(client.link, DATA, "x", 1, &e), ERR_STATE, "not up yet");
    run(&w);
    struct end *server = &w.accepted[0];
    unsigned char *b = pki_noise(BIG, 7);
    cr_assert_eq(client.last_len, BIG);
    cr_assert(memcmp(client.last, b, BIG) == 0);
    cr_assert_str_eq(client.peer, "localhost");
    cr_assert_str_eq(server->peer, "client-0001");
    cr_assert_eq(client.why.code, 0, "%s", client.why.text);
    cr_assert_eq(server->why.code, 0, "%s", server->why.text);
    cr_assert_eq(client.downs + server->downs, 2);
    free(b);
    end_release(&client);
    world_release(&w);
}

static int ask_back(struct end *end, const struct frame *f, struct err *e)
{
    (void)f;
    return link_send(end->link, ASK, "done", 4, e);
}

static int close_when_asked(struct end *end, const struct frame *f, struct err *e)
{
    (void)e;
    if (f->type == ASK)
        link_close(end->link);
    return 0;
}

/* More than the kernel holds for both sockets together. */
enum { HUGE_FRAME = 32 * MIB };

static void send_huge(struct end *end)
{
    unsigned char *b = calloc(1, HUGE_FRAME);
    send_bytes(end, DATA, b, HUGE_FRAME);
    free(b);
}

Test(link, two_large_frames_can_meet_under_way)
{
    struct world w;
    struct end client = {.on_up = send_huge, .on_frame = close_when_asked};
    world_init(&w);
    w.server_up = send_huge;
    w.server_frame = ask_back;
    dial(&w, &client, "127.0.0.1");
    run(&w);
    cr_assert_eq(w.accepted[0].bytes, HUGE_FRAME);
    cr_assert_eq(client.bytes, HUGE_FRAME + 4);
    cr_assert_eq(client.why.code, 0, "%s", client.why.text);
    end_release(&client);
    world_release(&w);
}

Test(link, both_ends_count_the_same_bytes)
{
    struct world w;
    struct end client = {.on_up = send_big, .on_frame = close_after_one};
    world_init(&w);
    w.server_frame = echo;
    dial(&w, &client, "127.0.0.1");
    run(&w);
    cr_assert_eq(client.out, w.accepted[0].in);
    cr_assert_eq(client.in, w.accepted[0].out);
    cr_assert_gt(client.out, BIG);
    cr_assert_lt(client.out, BIG + BIG / 100, "frames and TLS cost less than one percent");
    end_release(&client);
    world_release(&w);
}

/* On one loop: while this end sends, the other does not read. */
static void send_too_many(struct end *end)
{
    static const unsigned char small[SMALL];
    struct err e = {0};
    while (link_send(end->link, DATA, small, SMALL, &e) == 0)
        cr_assert_lt(++end->sent, 100 * LINK_MAX_WAITING);
    cr_assert_gt(end->sent, LINK_MAX_WAITING, "some on their way and the rest waiting");
    cr_assert_eq(e.code, ERR_NET);
    link_close(end->link);
    cr_assert_eq(link_send(end->link, ASK, "late", 4, &e), ERR_STATE);
}

Test(link, closing_writes_what_is_queued_first)
{
    struct world w;
    struct end client = {0};
    world_init(&w);
    w.server_up = send_too_many;
    dial(&w, &client, "127.0.0.1");
    run(&w);
    cr_assert_eq(client.frames, w.accepted[0].sent);
    cr_assert_eq(client.why.code, 0, "%s", client.why.text);
    end_release(&client);
    world_release(&w);
}

/* ---- ends ---------------------------------------------------------------------------------- */

static int complain(struct end *end, const struct frame *f, struct err *e)
{
    (void)end, (void)f;
    return err_set(e, ERR_PROTO, "no such thing");
}

static void ask_once(struct end *end)
{
    send_bytes(end, ASK, "?", 1);
}

Test(link, a_refused_frame_ends_the_link_with_its_error)
{
    struct world w;
    struct end client = {.on_up = ask_once};
    world_init(&w);
    w.server_frame = complain;
    dial(&w, &client, "127.0.0.1");
    run(&w);
    cr_assert_eq(w.accepted[0].why.code, ERR_PROTO);
    cr_assert_str_eq(w.accepted[0].why.text, "no such thing");
    cr_assert_eq(client.why.code, 0, "the other end sees a clean one");
    world_release(&w);
}

Test(link, a_foreign_certificate_is_an_error_on_both_ends)
{
    struct world w;
    struct pki other;
    struct end client = {0};
    world_init(&w);
    pki_init(&other);
    tls_context_close(w.client_tls);
    w.client_tls = pki_context(TLS_CLIENT, w.pki.ca_path, other.client_cert, other.client_key);
    dial(&w, &client, "127.0.0.1");
    run(&w);
    cr_assert_eq(client.why.code, ERR_TLS, "%s", client.why.text);
    cr_assert(strstr(client.why.text, "the peer refused"), "%s", client.why.text);
    cr_assert_eq(w.accepted[0].why.code, ERR_TLS);
    cr_assert_eq(w.accepted[0].ups, 0);
    pki_release(&other);
    world_release(&w);
}

static void close_at_once(struct end *end)
{
    link_close(end->link);
}

Test(link, can_be_closed_at_any_time)
{
    struct world w;
    struct end dialling = {0}, fresh = {.on_up = close_at_once};
    world_init(&w);
    dial(&w, &dialling, "127.0.0.1");
    link_close(dialling.link);
    link_close(dialling.link);
    dial(&w, &fresh, "127.0.0.1");
    run(&w);
    cr_assert_eq(dialling.ups, 0);
    cr_assert_eq(dialling.downs, 1);
    cr_assert_eq(dialling.why.code, 0);
    cr_assert_eq(fresh.downs, 1);
    cr_assert_eq(fresh.why.code, 0, "%s", fresh.why.text);
    world_release(&w);
}

Test(link, nobody_listening_is_told_with_a_remedy)
{
    struct world w;
    struct end client = {0}, nowhere = {0};
    struct err e = {0};
    world_init(&w);
    uint16_t port = listener_port(w.listener);
    listener_close(w.listener);
    w.listener = NULL;
    uv_run(&w.loop, UV_RUN_DEFAULT);
    client.world = nowhere.world = &w;
    w.alive = 2;
    cr_assert_eq(
        link_connect(&client.link, &w.loop, "127.0.0.1", port, w.client_tls, &events, &client, &e),
        0);
    cr_assert_eq(link_connect(&nowhere.link, &w.loop, "no-such-host.invalid", port, w.client_tls,
                              &events, &nowhere, &e),
                 0);
    run(&w);
    cr_assert_eq(client.why.code, ERR_NET);
    cr_assert(strstr(client.why.text, "connection refused; is the server running"), "%s",
              client.why.text);
    cr_assert_eq(client.ups, 0);
    cr_assert_eq(nowhere.why.code, ERR_NET);
    cr_assert(strstr(nowhere.why.text, "no-such-host.invalid"), "%s", nowhere.why.text);
    world_release(&w);
}

/* ---- listeners ----------------------------------------------------------------------------- */

Test(link, a_port_in_use_is_named)
{
    struct world w;
    struct listener *second = NULL;
    struct err e = {0};
    char address[32];
    world_init(&w);
    snprintf(address, sizeof address, "127.0.0.1:%u", listener_port(w.listener));
    cr_assert_eq(
        listener_open(&second, &w.loop, address, w.server_tls, 1, &events, on_accept, &w, &e),
        ERR_NET);
    cr_assert(strstr(e.text, address), "%s", e.text);
    cr_assert(strstr(e.text, "address already in use; stop the program"), "%s", e.text);
    cr_assert_eq(
        listener_open(&second, &w.loop, "192.0.2.1:0", w.server_tls, 1, &events, on_accept, &w, &e),
        ERR_NET);
    cr_assert(strstr(e.text, "no network interface"), "%s", e.text);
    cr_assert_eq(
        listener_open(&second, &w.loop, "nonsense", w.server_tls, 1, &events, on_accept, &w, &e),
        ERR_NET);
    cr_assert_null(second);
    world_release(&w);
}

Test(link, connections_above_the_limit_are_turned_away)
{
    struct world w;
    struct end client[3] = {{0}, {0}, {0}};
    struct err e = {0};
    log_setup("test", stderr, LOG_ERROR, false); /* the warning is meant for operators */
    world_init(&w);
    listener_close(w.listener);
    cr_assert_eq(listener_open(&w.listener, &w.loop, "127.0.0.1:0", w.server_tls, 2, &events,
                               on_accept, &w, &e),
                 0);
    for (int i = 0; i < 3; i++)
        dial(&w, &client[i], "127.0.0.1");
    while (client[0].downs + client[1].downs + client[2].downs == 0 ||
           client[0].ups + client[1].ups + client[2].ups < 2)
        uv_run(&w.loop, UV_RUN_ONCE);
    cr_assert_eq(w.n_accepted, 2);
    for (int i = 0; i < 3; i++)
        if (client[i].ups)
            link_close(client[i].link);
    run(&w);
    unsigned cut = 0;
    for (int i = 0; i < 3; i++)
        cut += client[i].why.code == ERR_NET;
    cr_assert_eq(cut, 1);
    world_release(&w);
}

Test(link, a_dropped_connection_has_no_events)
{
    struct world w;
    struct end client = {0};
    world_init(&w);
    w.refuse = true;
    dial(&w, &client, "127.0.0.1");
    run(&w);
    cr_assert_eq(w.n_accepted, 0);
    cr_assert_eq(client.ups, 0);
    cr_assert_eq(client.why.code, ERR_NET, "%s", client.why.text);
    world_release(&w);
}

static void stop_listening_and_send(struct end *end)
{
    listener_close(end->world->listener);
    end->world->listener = NULL;
    send_big(end);
}

Test(link, links_outlive_their_listener)
{
    struct world w;
    struct end client = {.on_frame = close_after_one};
    world_init(&w);
    w.server_up = stop_listening_and_send;
    dial(&w, &client, "127.0.0.1");
    run(&w);
    cr_assert_eq(client.bytes, BIG);
    end_release(&client);
    world_release(&w);
}

Test(link, new_keys_serve_new_connections)
{
    struct world w;
    struct pki other;
    struct end old = {.on_up = ask_once, .on_frame = close_after_one}, late = {0};
    world_init(&w);
    pki_init(&other);
    w.keep_listening = true;
    w.server_frame = echo;
    dial(&w, &old, "127.0.0.1");
    while (w.n_accepted == 0)
        uv_run(&w.loop, UV_RUN_ONCE);
    struct tls_context *before = w.server_tls;
    w.server_tls = pki_server(&other);
    listener_set_tls(w.listener, w.server_tls);
    tls_context_close(before);
    dial(&w, &late, "127.0.0.1");
    while (w.alive > 0)
        uv_run(&w.loop, UV_RUN_ONCE);
    cr_assert_eq(old.bytes, 1);
    cr_assert_eq(old.why.code, 0, "%s", old.why.text);
    cr_assert_eq(late.why.code, ERR_TLS, "%s", late.why.text);
    end_release(&old);
    pki_release(&other);
    world_release(&w);
}

Test(link, addresses)
{
    static const struct {
        const char *text, *host;
        uint16_t port;
    } good[] = {{"localhost:8443", "localhost", 8443},
                {"10.0.0.1:0", "10.0.0.1", 0},
                {"[::1]:65535", "::1", 65535}};
    static const char *const bad[] = {
        "",        ":",       "host",     "host:",      ":80",    "host:65536",
        "host:-1", "host:+1", "host: 80", "host:80x",   "::1:80", "[::1]",
        "[::1]80", "[]:80",   "[::1:80",  "host:000080"};
    char host[LINK_MAX_HOST], longest[2 * LINK_MAX_HOST];
    uint16_t port;
    struct err e = {0};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        cr_assert_eq(link_parse_address(good[i].text, host, &port, &e), 0, "%s", e.text);
        cr_assert_str_eq(host, good[i].host);
        cr_assert_eq(port, good[i].port);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_eq(link_parse_address(bad[i], host, &port, &e), ERR_NET, "%s", bad[i]);
    memset(longest, 'a', sizeof longest);
    memcpy(longest + LINK_MAX_HOST, ":80", 4);
    cr_assert_eq(link_parse_address(longest, host, &port, &e), ERR_NET);
}
