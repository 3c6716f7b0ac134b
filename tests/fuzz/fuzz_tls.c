/* The TLS engine against a peer that spoils the stream. First byte: what the rest is.
 *   0, 1: bytes for a fresh server, for a fresh enrolling client
 *   2: a good handshake, of which bytes are changed: triples of (place high, place low, xor)
 *   3: the same after the handshake, in a stream of records */
#include "scratch.h"

#include "net/identity.h"
#include "net/tls.h"

enum { LIMIT = 1 << 20, DAYS = 30, RECORDS = 20, TURNS = 8 };

static struct tls_context *server, *client, *device;

static void must(int rc)
{
    if (rc)
        abort();
}

/* Keys are made anew at each start: an input's bytes matter more than the key they meet. */
static void set_up(void)
{
    static const char *const host = "localhost";
    struct identity ca = {0}, s = {0}, d = {0};
    struct hash h;
    char *cert, hex[HASH_HEX];
    int64_t now = 1700000000;
    must(identity_make_ca(&ca, "fuzz-ca", now, DAYS * 1000, NULL));
    must(identity_make_server(&s, &ca, &host, 1, now, DAYS * 1000, NULL));
    must(identity_make_csr(&d, "fuzz", NULL));
    must(identity_sign_csr(&cert, &ca, d.cert, "fuzz", now, DAYS * 1000, NULL));
    must(identity_fingerprint(ca.cert, &h, NULL));
    hash_hex(&h, hex);
    const char *ca_path = scratch_write(0, "ca.pem", ca.cert, strlen(ca.cert));
    struct tls_files sf = {.ca = ca_path,
                           .cert = scratch_write(1, "s.pem", s.cert, strlen(s.cert)),
                           .key = scratch_write(2, "s.key", s.key, strlen(s.key))};
    struct tls_files cf = {.ca = ca_path,
                           .cert = scratch_write(3, "c.pem", cert, strlen(cert)),
                           .key = scratch_write(4, "c.key", d.key, strlen(d.key))};
    must(tls_context_open(&server, TLS_SERVER, &sf, NULL));
    must(tls_context_open(&client, TLS_CLIENT, &cf, NULL));
    must(tls_context_open(&device, TLS_ENROLL_CLIENT, &(struct tls_files){.ca_sha256 = hex}, NULL));
    free(cert);
    identity_release(&ca);
    identity_release(&s);
    identity_release(&d);
}

static void feed_one(struct tls_context *c, const char *name, const uint8_t *data, size_t size)
{
    struct tls *t;
    struct buf plain, cipher;
    bool ended;
    struct err e;
    buf_init(&plain, LIMIT);
    buf_init(&cipher, LIMIT);
    must(tls_open(&t, c, name, NULL));
    must(tls_start(t, &cipher, NULL));
    int rc = tls_feed(t, data, size, &plain, &cipher, &ended, &e);
    if ((rc && rc != ERR_TLS && rc != ERR_NOMEM) || tls_ready(t) || buf_size(&plain))
        abort();
    tls_close(t);
    buf_release(&plain);
    buf_release(&cipher);
}

struct spoiler {
    const uint8_t *triple;
    size_t n;
};

static void spoil(const struct spoiler *s, struct buf *wire)
{
    size_t n = buf_size(wire);
    for (size_t i = 0; n && i + 3 <= s->n; i += 3)
        wire->data[wire->start + ((size_t)s->triple[i] << 8 | s->triple[i + 1]) % n] ^=
            s->triple[i + 2];
}

/* One direction of one turn; false when the receiver has had enough. */
static bool carry(struct buf *wire, struct tls *to, struct buf *plain, struct buf *answer)
{
    bool ended = false;
    int rc = tls_feed(to, buf_bytes(wire), buf_size(wire), plain, answer, &ended, NULL);
    buf_clear(wire);
    return !rc && !ended;
}

static void converse(const uint8_t *data, size_t size, bool shake_well)
{
    struct spoiler s = {data, size}, none = {NULL, 0};
    struct tls *a, *b;
    struct buf up, down, at_a, at_b;
    buf_init(&up, LIMIT);
    buf_init(&down, LIMIT);
    buf_init(&at_a, LIMIT);
    buf_init(&at_b, LIMIT);
    must(tls_open(&a, client, "localhost", NULL));
    must(tls_open(&b, server, NULL, NULL));
    must(tls_start(a, &up, NULL));
    bool alive = true;
    for (int turn = 0; turn < TURNS && alive; turn++) {
        spoil(shake_well ? &none : &s, &up);
        alive = carry(&up, b, &at_b, &down);
        spoil(shake_well ? &none : &s, &down);
        alive = alive && carry(&down, a, &at_a, &up);
    }
    if (shake_well && !(tls_ready(a) && tls_ready(b)))
        abort();
    for (int i = 0; i < RECORDS && tls_ready(a); i++)
        must(tls_send(a, data, size, &up, NULL));
    spoil(&s, &up);
    if (tls_ready(b))
        carry(&up, b, &at_b, &down);
    /* Whatever came through is what was sent, in order. */
    for (size_t i = 0; i < buf_size(&at_b); i++)
        if (buf_bytes(&at_b)[i] != data[i % size])
            abort();
    tls_close(a);
    tls_close(b);
    buf_release(&up);
    buf_release(&down);
    buf_release(&at_a);
    buf_release(&at_b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!server)
        set_up();
    if (size < 2)
        return 0;
    if (data[0] % 4 == 0)
        feed_one(server, NULL, data + 1, size - 1);
    else if (data[0] % 4 == 1)
        feed_one(device, "localhost", data + 1, size - 1);
    else
        converse(data + 1, size - 1, data[0] % 4 == 3);
    return 0;
}
