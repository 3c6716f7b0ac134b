#include "net/tls.h"

#include "net/openssl.h"
#include "pki.h"

enum { MIB = 1 << 20, MOST = 64 * MIB };

/* Two engines and what is under way between them. */
struct pair {
    struct tls *client, *server;
    struct buf up, down;             /* ciphertext */
    struct buf at_server, at_client; /* plaintext */
    bool server_ended, client_ended; /* by the other side's close_notify */
};

static void pair_open(struct pair *p, struct tls_context *client, struct tls_context *server,
                      const char *name)
{
    struct err e = {0};
    *p = (struct pair){0};
    buf_init(&p->up, MOST);
    buf_init(&p->down, MOST);
    buf_init(&p->at_server, MOST);
    buf_init(&p->at_client, MOST);
    cr_assert_eq(tls_open(&p->client, client, name, &e), 0, "%s", e.text);
    cr_assert_eq(tls_open(&p->server, server, NULL, &e), 0, "%s", e.text);
    cr_assert_eq(tls_start(p->server, &p->down, &e), 0);
    cr_assert_eq(buf_size(&p->down), 0);
    cr_assert_eq(tls_start(p->client, &p->up, &e), 0, "%s", e.text);
}

static void pair_close(struct pair *p)
{
    tls_close(p->client);
    tls_close(p->server);
    buf_release(&p->up);
    buf_release(&p->down);
    buf_release(&p->at_server);
    buf_release(&p->at_client);
}

static int carry(struct buf *wire, size_t step, struct tls *to, struct buf *plain,
                 struct buf *answer, bool *ended, struct err *e)
{
    int rc = 0;
    while (!rc && !*ended && buf_size(wire) > 0) {
        size_t n = buf_size(wire) < step ? buf_size(wire) : step;
        rc = tls_feed(to, buf_bytes(wire), n, plain, answer, ended, e);
        buf_consume(wire, n);
    }
    return rc;
}

/* Carries bytes to and fro, `step` at a time, until both are silent or one fails. */
static int pump(struct pair *p, size_t step, struct err *at_client, struct err *at_server)
{
    while (buf_size(&p->up) + buf_size(&p->down) > 0) {
        int rc =
            carry(&p->up, step, p->server, &p->at_server, &p->down, &p->server_ended, at_server);
        int rd =
            carry(&p->down, step, p->client, &p->at_client, &p->up, &p->client_ended, at_client);
        if (rc || rd)
            return rc ? rc : rd;
        if (p->server_ended || p->client_ended)
            break;
    }
    return 0;
}

static void shake(struct pair *p)
{
    struct err a = {0}, b = {0};
    cr_assert_eq(pump(p, SIZE_MAX, &a, &b), 0, "client: %s, server: %s", a.text, b.text);
    cr_assert(tls_ready(p->client) && tls_ready(p->server));
}

/* Contexts of a good client and a good server of one federation, which most tests spoil in one way.
 */
struct world {
    struct pki pki;
    struct tls_context *client, *server;
};

static void world_init(struct world *w)
{
    pki_init(&w->pki);
    w->client = pki_client(&w->pki);
    w->server = pki_server(&w->pki);
}

static void world_release(struct world *w)
{
    tls_context_close(w->client);
    tls_context_close(w->server);
    pki_release(&w->pki);
}

Test(tls, both_sides_learn_who_the_other_is)
{
    static const char *const names[] = {"localhost", "127.0.0.1", "::1"};
    struct world w;
    world_init(&w);
    for (size_t i = 0; i < 3; i++) {
        struct pair p;
        pair_open(&p, w.client, w.server, names[i]);
        cr_assert(!tls_ready(p.client) && !tls_ready(p.server));
        shake(&p);
        cr_assert_str_eq(tls_peer(p.client), "localhost");
        cr_assert_str_eq(tls_peer(p.server), "client-0001");
        pair_close(&p);
    }
    world_release(&w);
}

Test(tls, handshake_works_byte_by_byte)
{
    struct world w;
    struct pair p;
    struct err e = {0};
    world_init(&w);
    pair_open(&p, w.client, w.server, "localhost");
    cr_assert_eq(pump(&p, 1, &e, &e), 0, "%s", e.text);
    cr_assert(tls_ready(p.client) && tls_ready(p.server));
    pair_close(&p);
    world_release(&w);
}

static void refused(struct tls_context *client, struct tls_context *server, const char *name,
                    const char *by_client, const char *by_server)
{
    struct pair p;
    struct err a = {0}, b = {0};
    pair_open(&p, client, server, name);
    cr_assert_eq(pump(&p, SIZE_MAX, &a, &b), ERR_TLS);
    /* The alert is in the buffer: the other side learns of it. */
    int more = pump(&p, SIZE_MAX, &a, &b);
    cr_assert(more == ERR_TLS || (a.code && b.code));
    cr_assert_eq(a.code, ERR_TLS, "%s", a.text);
    cr_assert_eq(b.code, ERR_TLS, "%s", b.text);
    cr_assert(strstr(a.text, by_client), "%s", a.text);
    cr_assert(strstr(b.text, by_server), "%s", b.text);
    pair_close(&p);
}

Test(tls, other_federations_and_other_hosts_are_refused)
{
    struct world w, other;
    world_init(&w);
    world_init(&other);
    /* The client trusts its own CA only, so it is the one that ends this. */
    refused(w.client, other.server, "localhost", "certificate was refused", "peer refused");
    refused(w.client, w.server, "other.example", "hostname mismatch", "peer refused");
    refused(w.client, w.server, "10.1.2.3", "IP address mismatch", "peer refused");
    struct tls_context *spy =
        pki_context(TLS_CLIENT, w.pki.ca_path, other.pki.client_cert, other.pki.client_key);
    refused(spy, w.server, "localhost", "peer refused", "certificate was refused");
    tls_context_close(spy);
    world_release(&other);
    world_release(&w);
}

Test(tls, a_device_cannot_pose_as_the_server)
{
    struct world w;
    world_init(&w);
    char cert[PKI_PATH], key[PKI_PATH];
    pki_enroll(&w.pki, "other", time(NULL), cert, key);
    struct tls_context *fake = pki_context(TLS_SERVER, w.pki.ca_path, cert, key);
    refused(w.client, fake, "localhost", "unsuitable certificate purpose", "peer refused");
    tls_context_close(fake);
    struct tls_context *server_as_client =
        pki_context(TLS_CLIENT, w.pki.ca_path, w.pki.server_cert, w.pki.server_key);
    refused(server_as_client, w.server, "localhost", "peer refused",
            "unsuitable certificate purpose");
    tls_context_close(server_as_client);
    world_release(&w);
}

/* ---- peers that are not this program -------------------------------------------------------- */

/* A bare OpenSSL client, as much as is needed to knock at our server. */
struct stranger {
    SSL_CTX *ctx;
    SSL *ssl;
    BIO *in, *out;
};

static void stranger_init(struct stranger *s, const char *cert, const char *key, int version)
{
    s->ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(s->ctx, version);
    if (cert) {
        cr_assert_eq(SSL_CTX_use_certificate_file(s->ctx, cert, SSL_FILETYPE_PEM), 1);
        cr_assert_eq(SSL_CTX_use_PrivateKey_file(s->ctx, key, SSL_FILETYPE_PEM), 1);
    }
    s->ssl = SSL_new(s->ctx);
    s->in = BIO_new(BIO_s_mem());
    s->out = BIO_new(BIO_s_mem());
    SSL_set_bio(s->ssl, s->in, s->out);
    SSL_set_connect_state(s->ssl);
}

static void stranger_release(struct stranger *s)
{
    SSL_free(s->ssl);
    SSL_CTX_free(s->ctx);
}

/* How our server ends the stranger's handshake: 0 when it lets it in. */
static int knock(struct stranger *s, struct tls_context *server, struct err *e)
{
    struct tls *t = NULL;
    struct buf plain, cipher;
    bool ended = false;
    int rc = 0;
    buf_init(&plain, MIB);
    buf_init(&cipher, MIB);
    cr_assert_eq(tls_open(&t, server, NULL, e), 0);
    for (int turn = 0; turn < 8 && !rc; turn++) {
        SSL_do_handshake(s->ssl);
        char *bytes;
        long n = BIO_get_mem_data(s->out, &bytes);
        if (n > 0)
            rc = tls_feed(t, bytes, (size_t)n, &plain, &cipher, &ended, e);
        BIO_reset(s->out);
        BIO_write(s->in, buf_bytes(&cipher), (int)buf_size(&cipher));
        buf_clear(&cipher);
    }
    /* Takes in what may have come after the handshake, such as tickets. */
    char byte;
    cr_assert_leq(SSL_read(s->ssl, &byte, 1), 0);
    cr_assert(rc || tls_ready(t));
    tls_close(t);
    buf_release(&plain);
    buf_release(&cipher);
    ERR_clear_error();
    return rc;
}

Test(tls, strangers_without_certificate_in_force_or_tls_1_3_stay_outside)
{
    enum { LONG_AGO = 100 * 86400 };
    struct world w;
    struct stranger s;
    struct err e = {0};
    char cert[PKI_PATH], key[PKI_PATH];
    world_init(&w);

    stranger_init(&s, w.pki.client_cert, w.pki.client_key, TLS1_3_VERSION);
    cr_assert_eq(knock(&s, w.server, &e), 0, "%s", e.text);
    cr_assert_eq(SSL_session_reused(s.ssl), 0);
    cr_assert_eq(SSL_SESSION_has_ticket(SSL_get_session(s.ssl)), 0);
    stranger_release(&s);

    stranger_init(&s, NULL, NULL, TLS1_3_VERSION);
    cr_assert_eq(knock(&s, w.server, &e), ERR_TLS);
    cr_assert(strstr(e.text, "showed no certificate"), "%s", e.text);
    stranger_release(&s);

    pki_enroll(&w.pki, "other", time(NULL) - LONG_AGO, cert, key);
    stranger_init(&s, cert, key, TLS1_3_VERSION);
    cr_assert_eq(knock(&s, w.server, &e), ERR_TLS);
    cr_assert(strstr(e.text, "expired"), "%s", e.text);
    stranger_release(&s);

    pki_enroll(&w.pki, "other", time(NULL) + LONG_AGO, cert, key);
    stranger_init(&s, cert, key, TLS1_3_VERSION);
    cr_assert_eq(knock(&s, w.server, &e), ERR_TLS);
    cr_assert(strstr(e.text, "not yet valid"), "%s", e.text);
    stranger_release(&s);

    stranger_init(&s, w.pki.client_cert, w.pki.client_key, TLS1_2_VERSION);
    cr_assert_eq(knock(&s, w.server, &e), ERR_TLS);
    cr_assert(strstr(e.text, "unsupported protocol"), "%s", e.text);
    stranger_release(&s);
    world_release(&w);
}

Test(tls, noise_instead_of_tls_is_refused)
{
    struct world w;
    world_init(&w);
    for (uint32_t seed = 0; seed < 50; seed++) {
        struct tls *t = NULL;
        struct err e = {0};
        struct buf plain, cipher;
        bool ended;
        unsigned char *noise = pki_noise(4096, seed);
        buf_init(&plain, MIB);
        buf_init(&cipher, MIB);
        cr_assert_eq(tls_open(&t, w.server, NULL, &e), 0);
        int rc = tls_feed(t, noise, 4096, &plain, &cipher, &ended, &e);
        cr_assert(rc == ERR_TLS || (rc == 0 && !tls_ready(t)));
        cr_assert_eq(buf_size(&plain), 0);
        tls_close(t);
        buf_release(&plain);
        buf_release(&cipher);
        free(noise);
    }
    world_release(&w);
}

/* ---- data ---------------------------------------------------------------------------------- */

Test(tls, large_data_passes_both_ways_in_any_fragments)
{
    enum { SIZE = 16 * MIB, FINE = 40000 };
    struct world w;
    struct pair p;
    struct err e = {0};
    world_init(&w);
    pair_open(&p, w.client, w.server, "localhost");
    shake(&p);
    unsigned char *a = pki_noise(SIZE, 1), *b = pki_noise(SIZE, 2);
    cr_assert_eq(tls_send(p.client, a, SIZE, &p.up, &e), 0, "%s", e.text);
    cr_assert_eq(tls_send(p.server, b, SIZE, &p.down, &e), 0, "%s", e.text);
    cr_assert_lt(buf_size(&p.up), SIZE + SIZE / 500, "records cost 0.2 percent");
    for (size_t i = 0; i < FINE; i++) {
        bool ended;
        cr_assert_eq(tls_feed(p.server, buf_bytes(&p.up), 1, &p.at_server, &p.down, &ended, &e), 0);
        cr_assert_eq(tls_feed(p.client, buf_bytes(&p.down), 1, &p.at_client, &p.up, &ended, &e), 0);
        buf_consume(&p.up, 1);
        buf_consume(&p.down, 1);
    }
    cr_assert_eq(pump(&p, 1237, &e, &e), 0, "%s", e.text);
    cr_assert_eq(buf_size(&p.at_server), SIZE);
    cr_assert_eq(buf_size(&p.at_client), SIZE);
    cr_assert(memcmp(buf_bytes(&p.at_server), a, SIZE) == 0);
    cr_assert(memcmp(buf_bytes(&p.at_client), b, SIZE) == 0);
    free(a);
    free(b);
    pair_close(&p);
    world_release(&w);
}

Test(tls, any_changed_bit_of_a_record_is_noticed)
{
    struct world w;
    world_init(&w);
    unsigned char text[100] = "parameters";
    for (size_t at = 0; at < sizeof text + 22; at += 3) {
        struct pair p;
        struct err e = {0};
        bool ended;
        pair_open(&p, w.client, w.server, "localhost");
        shake(&p);
        cr_assert_eq(tls_send(p.client, text, sizeof text, &p.up, &e), 0);
        cr_assert_eq(buf_size(&p.up), sizeof text + 22);
        p.up.data[p.up.start + at] ^= 1;
        int rc = tls_feed(p.server, buf_bytes(&p.up), buf_size(&p.up), &p.at_server, &p.down,
                          &ended, &e);
        /* A length that grew is only noticed when the bytes that it asks for have come. */
        unsigned char more[512] = {0};
        if (!rc)
            rc = tls_feed(p.server, more, sizeof more, &p.at_server, &p.down, &ended, &e);
        cr_assert_eq(rc, ERR_TLS, "byte %zu", at);
        cr_assert_eq(buf_size(&p.at_server), 0);
        pair_close(&p);
    }
    world_release(&w);
}

Test(tls, only_close_notify_is_a_clean_end)
{
    struct world w;
    struct pair p;
    struct err e = {0};
    bool ended;
    world_init(&w);
    pair_open(&p, w.client, w.server, "localhost");
    shake(&p);
    cr_assert_eq(tls_send(p.client, "last", 4, &p.up, &e), 0);
    cr_assert_eq(pump(&p, SIZE_MAX, &e, &e), 0);
    cr_assert(!p.server_ended);
    tls_end(p.client, &p.up);
    cr_assert_gt(buf_size(&p.up), 0);
    cr_assert_eq(tls_feed(p.server, buf_bytes(&p.up), buf_size(&p.up) - 1, &p.at_server, &p.down,
                          &ended, &e),
                 0);
    cr_assert(!ended, "a cut close_notify is none");
    cr_assert_eq(tls_feed(p.server, buf_bytes(&p.up) + buf_size(&p.up) - 1, 1, &p.at_server,
                          &p.down, &ended, &e),
                 0);
    cr_assert(ended);
    cr_assert_eq(buf_size(&p.at_server), 4);
    pair_close(&p);
    world_release(&w);
}

Test(tls, limits_and_order_are_kept)
{
    enum { LIMIT = 32 << 10 };
    struct world w;
    struct pair p;
    struct err e = {0};
    world_init(&w);
    pair_open(&p, w.client, w.server, "localhost");
    size_t hello = buf_size(&p.up);
    cr_assert_eq(tls_send(p.client, "x", 1, &p.up, &e), ERR_STATE);
    cr_assert_eq(buf_size(&p.up), hello);
    shake(&p);
    unsigned char *a = pki_noise(MIB, 3);
    struct buf tight;
    buf_init(&tight, LIMIT);
    cr_assert_eq(tls_send(p.client, a, MIB, &tight, &e), ERR_NOMEM);
    cr_assert_eq(buf_size(&tight), 0, "all or nothing");
    cr_assert_eq(tls_send(p.client, a, 0, &p.up, &e), 0);
    cr_assert_eq(buf_size(&p.up), 0);
    cr_assert_eq(tls_send(p.client, a, MIB, &p.up, &e), 0);
    bool ended;
    cr_assert_eq(tls_feed(p.server, buf_bytes(&p.up), buf_size(&p.up), &tight, &p.down, &ended, &e),
                 ERR_NOMEM);
    buf_release(&tight);
    free(a);
    pair_close(&p);
    world_release(&w);
}

/* ---- enrolment ----------------------------------------------------------------------------- */

static struct tls_context *pinned(const struct hash *ca)
{
    char hex[HASH_HEX];
    struct tls_context *c = NULL;
    struct err e = {0};
    hash_hex(ca, hex);
    cr_assert_eq(tls_context_open(&c, TLS_ENROLL_CLIENT, &(struct tls_files){.ca_sha256 = hex}, &e),
                 0, "%s", e.text);
    return c;
}

Test(tls, enrolment_trusts_the_pinned_ca_only)
{
    struct world w, other;
    struct pair p;
    world_init(&w);
    world_init(&other);
    struct tls_context *device = pinned(&w.pki.fingerprint);
    struct tls_context *right =
        pki_context(TLS_ENROLL_SERVER, w.pki.ca_path, w.pki.server_cert, w.pki.server_key);
    struct tls_context *wrong = pki_context(TLS_ENROLL_SERVER, other.pki.ca_path,
                                            other.pki.server_cert, other.pki.server_key);
    /* Shows the right CA, but its own certificate is not that CA's. */
    struct tls_context *liar =
        pki_context(TLS_ENROLL_SERVER, w.pki.ca_path, other.pki.server_cert, other.pki.server_key);
    /* Is of the right federation, but only a device. */
    struct tls_context *thief =
        pki_context(TLS_ENROLL_SERVER, w.pki.ca_path, w.pki.client_cert, w.pki.client_key);
    pair_open(&p, device, right, "localhost");
    shake(&p);
    cr_assert_str_eq(tls_peer(p.server), "");
    cr_assert_str_eq(tls_peer(p.client), "localhost");
    pair_close(&p);
    refused(device, right, "other.example", "hostname mismatch", "peer refused");
    refused(device, wrong, "localhost", "not trusted", "peer refused");
    refused(device, liar, "localhost", "certificate was refused", "peer refused");
    refused(device, thief, "localhost", "unsuitable certificate purpose", "peer refused");
    /* The port for the enrolled does not show its CA, and wants a certificate. */
    refused(device, w.server, "localhost", "not trusted", "peer refused");
    tls_context_close(device);
    tls_context_close(right);
    tls_context_close(wrong);
    tls_context_close(liar);
    tls_context_close(thief);
    world_release(&w);
    world_release(&other);
}

/* ---- files --------------------------------------------------------------------------------- */

static void cannot_open(const char *ca, const char *cert, const char *key, int code,
                        const char *says)
{
    struct tls_context *c = NULL;
    struct err e = {0};
    struct tls_files f = {.ca = ca, .cert = cert, .key = key};
    cr_assert_eq(tls_context_open(&c, TLS_CLIENT, &f, &e), code, "%s", e.text);
    cr_assert(strstr(e.text, says), "%s", e.text);
    cr_assert_null(c);
}

Test(tls, bad_files_are_named)
{
    enum { LONG_AGO = 100 * 86400 };
    struct pki p;
    char cert[PKI_PATH], key[PKI_PATH], broken[PKI_PATH];
    pki_init(&p);
    cannot_open(NULL, p.client_cert, p.client_key, ERR_TLS, "CA");
    cannot_open("/nonexistent/ca.pem", p.client_cert, p.client_key, ERR_IO,
                "/nonexistent/ca.pem: No such file");
    cannot_open(p.ca_path, p.client_cert, p.server_key, ERR_TLS, "is not the key of");
    cannot_open(p.ca_path, p.client_key, p.client_key, ERR_TLS, "no PEM certificate");
    cannot_open(p.ca_path, p.client_cert, p.client_cert, ERR_TLS, "private key");
    pki_enroll(&p, "other", time(NULL) - LONG_AGO, cert, key);
    cannot_open(p.ca_path, cert, key, ERR_TLS, "other.pem: certificate expired");
    pki_enroll(&p, "other", time(NULL) + LONG_AGO, cert, key);
    cannot_open(p.ca_path, cert, key, ERR_TLS, "other.pem: certificate not yet valid");
    pki_write(&p, broken, "other.pem",
              "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    cannot_open(p.ca_path, broken, key, ERR_TLS, "broken certificate");
    /* An encrypted key must not stop a service at a prompt. */
    pki_write(&p, broken, "other.key",
              "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
              "MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAi4u1dq4O0zXQICCAAw\n"
              "-----END ENCRYPTED PRIVATE KEY-----\n");
    cannot_open(p.ca_path, p.client_cert, broken, ERR_TLS, "private key");
    struct tls_context *c = NULL;
    struct err e = {0};
    cr_assert_eq(
        tls_context_open(&c, TLS_ENROLL_CLIENT, &(struct tls_files){.ca_sha256 = "12:34"}, &e),
        ERR_TLS);
    cr_assert_eq(tls_context_open(&c, TLS_ENROLL_CLIENT, &(struct tls_files){0}, &e), ERR_TLS);
    pki_release(&p);
}

Test(tls, connections_outlive_their_context)
{
    struct world w;
    struct pair p;
    struct err e = {0};
    world_init(&w);
    pair_open(&p, w.client, w.server, "localhost");
    tls_context_close(w.client);
    tls_context_close(w.server);
    shake(&p);
    cr_assert_eq(tls_send(p.server, "hello", 5, &p.down, &e), 0);
    cr_assert_eq(pump(&p, SIZE_MAX, &e, &e), 0);
    cr_assert_eq(buf_size(&p.at_client), 5);
    pair_close(&p);
    pki_release(&w.pki);
}

Test(tls, clients_must_say_whom_they_dial)
{
    struct world w;
    struct tls *t = NULL;
    struct err e = {0};
    world_init(&w);
    cr_assert_eq(tls_open(&t, w.client, NULL, &e), ERR_TLS);
    cr_assert_eq(tls_open(&t, w.client, "", &e), ERR_TLS);
    cr_assert_null(t);
    world_release(&w);
}
