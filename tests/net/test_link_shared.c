/* What goes to many is in memory once: a crowd of clients over TLS, on loops that the test lets
 * stand still, so that a payload far larger than what the kernel takes waits for all of them. */
#include "net/link_state.h"

#include "pki.h"

enum { DATA = 1, ASK = 2, CROWD = 32, BIG = 12 << 20, OWN = 4, LIMIT = OWN + BIG };
/* Of a link that waits: LINK_SEALED and a record, in a buffer that has doubled to hold them, and
 * two small frames. */
enum { MOST_HELD = 2 * (LINK_SEALED + TLS_RECORD) + 2048 };

struct crowd;
/* Both ends of one connection. */
struct pair {
    struct crowd *crowd;
    unsigned char number[OWN];
    struct link *server, *client;
    bool server_up, client_up, server_down, client_down;
    unsigned intact, asked; /* frames that the client got */
    struct err why;         /* at the server */
};
struct crowd {
    struct pki pki;
    struct tls_context *client_tls, *server_tls;
    uv_loop_t server, clients, runaway; /* the first client has a loop of its own */
    struct listener *listener;
    struct pair pair[CROWD];
    unsigned accepted;
    struct shared *big;
};

/* A guard against links that wait for ever, far above what any of these tests takes. */
TestSuite(link_shared, .timeout = 300);

/* ---- the server's end ---------------------------------------------------------------------- */

static void server_up(struct link *l, const char *peer, void *ctx)
{
    struct pair *p = ctx;
    (void)l, (void)peer;
    p->server_up = true;
}

static int server_frame(struct link *l, const struct frame *f, void *ctx, struct err *e)
{
    (void)l, (void)f, (void)ctx;
    return err_set(e, ERR_PROTO, "clients here say nothing");
}

static size_t server_limit(void *ctx, uint8_t type)
{
    (void)ctx, (void)type;
    return 0;
}

static void server_down(struct link *l, const struct err *why, void *ctx)
{
    struct pair *p = ctx;
    (void)l;
    p->server_down = true;
    p->why = *why;
}

static const struct link_events server_events = {server_up, server_frame, server_limit,
                                                 server_down};

/* Clients dial one after the other, so that the server's ends are found by their order. */
static void *on_accept(struct link *l, const char *address, void *ctx)
{
    struct crowd *c = ctx;
    (void)address;
    struct pair *p = &c->pair[c->accepted++];
    p->server = l;
    return p;
}

/* ---- the clients' -------------------------------------------------------------------------- */

static void client_up(struct link *l, const char *peer, void *ctx)
{
    struct pair *p = ctx;
    (void)l, (void)peer;
    p->client_up = true;
}

/* The large frame, and then the small one that was sent behind it. */
static int client_frame(struct link *l, const struct frame *f, void *ctx, struct err *e)
{
    struct pair *p = ctx;
    const struct shared *big = p->crowd->big;
    (void)l, (void)e;
    if (f->type == DATA) {
        cr_assert_eq(p->asked, 0);
        p->intact += f->len == LIMIT && memcmp(f->payload, p->number, OWN) == 0 &&
                     memcmp(f->payload + OWN, big->data, BIG) == 0;
    } else {
        cr_assert_eq(p->intact, 1, "frames come in their order");
        p->asked++;
    }
    return 0;
}

static size_t client_limit(void *ctx, uint8_t type)
{
    (void)ctx;
    return type == DATA ? LIMIT : 16;
}

static void client_down(struct link *l, const struct err *why, void *ctx)
{
    struct pair *p = ctx;
    (void)l, (void)why;
    p->client_down = true;
}

static const struct link_events client_events = {client_up, client_frame, client_limit,
                                                 client_down};

/* ---- the crowd ----------------------------------------------------------------------------- */

static void turn(struct crowd *c)
{
    uv_run(&c->server, UV_RUN_NOWAIT);
    uv_run(&c->clients, UV_RUN_NOWAIT);
}

static void dial(struct crowd *c, struct pair *p, unsigned number)
{
    struct err e = {0};
    uv_loop_t *loop = number == 0 ? &c->runaway : &c->clients;
    p->crowd = c;
    put_be32(p->number, number);
    cr_assert_eq(link_connect(&p->client, loop, "127.0.0.1", listener_port(c->listener),
                              c->client_tls, &client_events, p, &e),
                 0, "%s", e.text);
    while (!p->server_up || !p->client_up) {
        turn(c);
        uv_run(&c->runaway, UV_RUN_NOWAIT);
    }
}

static void crowd_init(struct crowd *c)
{
    struct err e = {0};
    struct buf b;
    unsigned char *noise = pki_noise(BIG, 7);
    *c = (struct crowd){0};
    buf_init(&b, BIG);
    cr_assert_eq(buf_append(&b, noise, BIG), 0);
    free(noise);
    c->big = shared_take(&b);
    cr_assert_not_null(c->big);
    pki_init(&c->pki);
    uv_loop_init(&c->server);
    uv_loop_init(&c->clients);
    uv_loop_init(&c->runaway);
    c->client_tls = pki_client(&c->pki);
    c->server_tls = pki_server(&c->pki);
    cr_assert_eq(listener_open(&c->listener, &c->server, "127.0.0.1:0", c->server_tls, CROWD,
                               &server_events, on_accept, c, &e),
                 0, "%s", e.text);
    for (unsigned i = 0; i < CROWD; i++)
        dial(c, &c->pair[i], i);
}

static void crowd_release(struct crowd *c)
{
    listener_close(c->listener);
    uv_run(&c->server, UV_RUN_DEFAULT);
    cr_assert_eq(uv_loop_close(&c->server), 0, "something is still open on the loop");
    cr_assert_eq(uv_loop_close(&c->clients), 0);
    cr_assert_eq(uv_loop_close(&c->runaway), 0);
    tls_context_close(c->client_tls);
    tls_context_close(c->server_tls);
    pki_release(&c->pki);
    cr_assert_eq(c->big->holders, 1, "all links have let go of it");
    shared_drop(c->big);
}

/* What links hold, each of them little. */
static size_t held(const struct crowd *c)
{
    size_t all = 0;
    for (unsigned i = 0; i < CROWD; i++) {
        size_t one = c->pair[i].server_down ? 0 : link_held(c->pair[i].server);
        cr_assert_leq(one, MOST_HELD);
        all += one;
    }
    cr_assert_lt(all, BIG, "all links together hold less than one copy");
    return all;
}

static void send_to_all(struct crowd *c)
{
    struct err e = {0};
    for (unsigned i = 0; i < CROWD; i++) {
        struct pair *p = &c->pair[i];
        uint64_t before = link_bytes_out(p->server);
        cr_assert_eq(link_send_shared(p->server, DATA, p->number, OWN, c->big, &e), 0, "%s",
                     e.text);
        cr_assert_eq(link_send(p->server, ASK, "next", 4, &e), 0, "%s", e.text);
        cr_assert_eq(link_bytes_out(p->server) - before, tls_sealed(FRAME_HEADER + OWN) +
                                                             tls_sealed(BIG) +
                                                             tls_sealed(FRAME_HEADER + 4));
    }
}

static bool all_asked(const struct crowd *c)
{
    unsigned n = 0;
    for (unsigned i = 1; i < CROWD; i++)
        n += c->pair[i].asked;
    return n == CROWD - 1;
}

static bool all_down(const struct crowd *c)
{
    unsigned n = 0;
    for (unsigned i = 0; i < CROWD; i++)
        n += c->pair[i].server_down && c->pair[i].client_down;
    return n == CROWD;
}

Test(link_shared, a_payload_for_many_that_do_not_read_is_in_memory_once)
{
    enum { STILL = 50 };
    static struct crowd c;
    crowd_init(&c);
    cr_assert_eq(held(&c), 0, "idle links hold nothing");
    send_to_all(&c);
    for (int i = 0; i < STILL; i++) /* the kernel takes what it takes */
        uv_run(&c.server, UV_RUN_NOWAIT);
    cr_assert_eq(c.big->holders, 1 + CROWD, "it waits for everybody");
    cr_assert_gt(held(&c), 0);

    /* One reads a little, and is gone. */
    struct pair *gone = &c.pair[0];
    uv_run(&c.runaway, UV_RUN_NOWAIT);
    uv_run(&c.server, UV_RUN_NOWAIT);
    cr_assert_eq(c.big->holders, 1 + CROWD);
    link_destroy(gone->client);
    uv_run(&c.runaway, UV_RUN_DEFAULT);
    while (!gone->server_down)
        uv_run(&c.server, UV_RUN_ONCE);
    cr_assert_eq(gone->why.code, ERR_NET, "%s", gone->why.text);
    cr_assert_eq(gone->intact, 0);
    cr_assert_eq(c.big->holders, CROWD);

    /* The others read at last. */
    while (!all_asked(&c)) {
        turn(&c);
        held(&c);
    }
    for (unsigned i = 1; i < CROWD; i++)
        cr_assert_eq(c.pair[i].intact, 1, "client %u", i);
    cr_assert_eq(c.big->holders, 1);
    cr_assert_eq(held(&c), 0);
    for (unsigned i = 1; i < CROWD; i++) {
        cr_assert_eq(link_bytes_out(c.pair[i].server), link_bytes_in(c.pair[i].client));
        link_close(c.pair[i].client);
    }
    while (!all_down(&c))
        turn(&c);
    crowd_release(&c);
}

Test(link_shared, closing_sends_it_first)
{
    static struct crowd c;
    struct err e = {0};
    crowd_init(&c);
    struct pair *last = &c.pair[1];
    for (unsigned i = 0; i < CROWD; i++)
        if (&c.pair[i] != last)
            link_close(c.pair[i].client);
    cr_assert_eq(link_send_shared(last->server, DATA, last->number, OWN, c.big, &e), 0, "%s",
                 e.text);
    cr_assert_eq(c.big->holders, 2, "most of it waits");
    link_close(last->server);
    cr_assert_eq(link_send_shared(last->server, DATA, last->number, OWN, c.big, &e), ERR_STATE);
    while (!all_down(&c)) {
        turn(&c);
        uv_run(&c.runaway, UV_RUN_NOWAIT);
    }
    cr_assert_eq(last->intact, 1);
    cr_assert_eq(last->why.code, 0, "%s", last->why.text);
    crowd_release(&c);
}
