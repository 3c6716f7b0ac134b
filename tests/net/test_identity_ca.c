/* Revocation, renewal, and federations on their way from one CA to the next, by real handshakes. */
#include "net/openssl.h"
#include "pki.h"

static void carry(struct buf *from, struct tls *to, struct buf *answer, struct err *e)
{
    struct buf plain;
    bool closed;
    buf_init(&plain, 1 << 20);
    if (buf_size(from) > 0 && !e->code)
        (void)!tls_feed(to, buf_bytes(from), buf_size(from), &plain, answer, &closed, e);
    buf_clear(from);
    buf_release(&plain);
}

/* A handshake in memory: 0, or why one of them refused. The ends are closed unless asked for. */
static int shake(struct tls_context *client, struct tls_context *server, struct tls **at_server,
                 struct err *e)
{
    struct tls *c, *s;
    struct buf up, down;
    *e = (struct err){0};
    buf_init(&up, 1 << 20);
    buf_init(&down, 1 << 20);
    cr_assert_eq(tls_open(&c, client, "localhost", e), 0);
    cr_assert_eq(tls_open(&s, server, NULL, e), 0);
    cr_assert_eq(tls_start(c, &up, e), 0);
    while (buf_size(&up) + buf_size(&down) > 0 && !e->code) {
        carry(&up, s, &down, e);
        carry(&down, c, &up, e);
    }
    cr_assert(e->code || (tls_ready(c) && tls_ready(s)));
    buf_release(&up);
    buf_release(&down);
    tls_close(c);
    if (at_server)
        *at_server = s;
    else
        tls_close(s);
    return e->code;
}

static struct tls_context *server_with(const struct pki *p, const char *ca, const char *crl)
{
    struct tls_context *c = NULL;
    struct err e = {0};
    const struct tls_files f = {.ca = ca, .cert = p->server_cert, .key = p->server_key, .crl = crl};
    cr_assert_eq(tls_context_open(&c, TLS_SERVER, &f, &e), 0, "%s", e.text);
    return c;
}

static void serial_of(const char *cert_path, char serial[IDENTITY_SERIAL])
{
    char *pem = NULL;
    cr_assert_eq(file_read(cert_path, 1 << 16, &pem, NULL, NULL), 0);
    cr_assert_eq(identity_serial(pem, serial, NULL), 0);
    cr_assert(identity_serial_ok(serial));
    free(pem);
}

/* Lists of all CAs of a bundle, in a file. */
static void write_crl(const struct pki *p, const struct identity *ca, const char *const *serial,
                      size_t n, char path[PKI_PATH])
{
    struct identity_revocation list[4];
    char *pem = NULL;
    struct err e = {0};
    for (size_t i = 0; i < n; i++)
        list[i] = (struct identity_revocation){serial[i], time(NULL)};
    cr_assert_eq(identity_make_crl(&pem, ca, list, n, time(NULL), &e), 0, "%s", e.text);
    pki_write(p, path, "crl.pem", pem);
    free(pem);
}

Test(identity_ca, a_revoked_certificate_is_refused_and_no_other)
{
    struct pki p;
    char cert[PKI_PATH], key[PKI_PATH], crl[PKI_PATH], serial[IDENTITY_SERIAL];
    struct tls *live, *good;
    struct err e;
    pki_init(&p);
    pki_enroll(&p, "other", time(NULL), cert, key);
    serial_of(cert, serial);
    struct tls_context *thief = pki_context(TLS_CLIENT, p.ca_path, cert, key),
                       *honest = pki_client(&p);
    write_crl(&p, &p.ca, NULL, 0, crl);
    struct tls_context *before = server_with(&p, p.ca_path, crl);
    cr_assert_eq(shake(thief, before, &live, &e), 0, "%s", e.text);
    cr_assert_eq(shake(honest, before, &good, &e), 0, "%s", e.text);
    write_crl(&p, &p.ca, (const char *const[]){serial}, 1, crl);
    struct tls_context *after = server_with(&p, p.ca_path, crl);
    /* New connections, and those that are up. */
    cr_assert_eq(shake(thief, after, NULL, &e), ERR_TLS);
    cr_assert(strstr(e.text, "revoked"), "%s", e.text);
    cr_assert_eq(shake(honest, after, NULL, &e), 0, "%s", e.text);
    cr_assert_eq(tls_recheck(live, before, &e), 0);
    cr_assert_eq(tls_recheck(live, after, &e), ERR_TLS);
    cr_assert(strstr(e.text, "revoked"), "%s", e.text);
    cr_assert_eq(tls_recheck(good, after, &e), 0, "%s", e.text);
    tls_close(live);
    tls_close(good);
    tls_context_close(before);
    tls_context_close(after);
    tls_context_close(thief);
    tls_context_close(honest);
    unlink(crl);
    pki_release(&p);
}

/* A list that somebody else signed does not count, and without one of the CA's nobody comes in. */
Test(identity_ca, lists_of_another_ca_admit_nobody)
{
    struct pki p;
    struct identity other = {0};
    char crl[PKI_PATH];
    struct err e;
    pki_init(&p);
    cr_assert_eq(identity_make_ca(&other, "test-ca", time(NULL), 10, &e), 0);
    write_crl(&p, &other, NULL, 0, crl);
    struct tls_context *server = server_with(&p, p.ca_path, crl), *client = pki_client(&p);
    cr_assert_eq(shake(client, server, NULL, &e), ERR_TLS);
    cr_assert(strstr(e.text, "CRL"), "%s", e.text);
    tls_context_close(server);
    tls_context_close(client);
    identity_release(&other);
    unlink(crl);
    pki_release(&p);
}

Test(identity_ca, broken_lists_are_named)
{
    static const char *const text[] = {"", "nonsense\n",
                                       "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"};
    struct pki p;
    char crl[PKI_PATH];
    struct tls_context *c = NULL;
    struct err e = {0};
    pki_init(&p);
    for (size_t i = 0; i < 3; i++) {
        pki_write(&p, crl, "crl.pem", text[i]);
        const struct tls_files f = {
            .ca = p.ca_path, .cert = p.server_cert, .key = p.server_key, .crl = crl};
        cr_assert_eq(tls_context_open(&c, TLS_SERVER, &f, &e), ERR_TLS);
        cr_assert(strstr(e.text, "crl.pem"), "%s", e.text);
    }
    unlink(crl);
    pki_release(&p);
}

Test(identity_ca, a_list_is_what_openssl_reads)
{
    struct identity ca = {0};
    struct err e = {0};
    char *pem = NULL;
    int64_t now = time(NULL);
    const struct identity_revocation list[] = {{"7B", now - 50}, {"0A10FF", now - 40}};
    cr_assert_eq(identity_make_ca(&ca, "ca", now, 30, &e), 0);
    cr_assert_eq(identity_make_crl(&pem, &ca, list, 2, now, &e), 0, "%s", e.text);
    BIO *bio = BIO_new_mem_buf(pem, -1), *cert_bio = BIO_new_mem_buf(ca.cert, -1);
    X509_CRL *crl = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL);
    X509 *cert = PEM_read_bio_X509(cert_bio, NULL, NULL, NULL);
    cr_assert(crl && cert);
    cr_assert_eq(X509_CRL_verify(crl, X509_get0_pubkey(cert)), 1);
    cr_assert_eq(X509_CRL_get_version(crl), X509_CRL_VERSION_2);
    cr_assert_eq(ASN1_TIME_compare(X509_CRL_get0_nextUpdate(crl), X509_get0_notAfter(cert)), 0);
    cr_assert_geq(X509_CRL_get_ext_by_NID(crl, NID_crl_number, -1), 0);
    for (long serial = 0; serial < 300; serial++) {
        ASN1_INTEGER *n = ASN1_INTEGER_new();
        X509_REVOKED *found = NULL;
        ASN1_INTEGER_set(n, serial);
        cr_assert_eq(X509_CRL_get0_by_serial(crl, &found, n), serial == 0x7b, "%ld", serial);
        ASN1_INTEGER_free(n);
    }
    X509_CRL_free(crl);
    X509_free(cert);
    BIO_free(bio);
    BIO_free(cert_bio);
    free(pem);
    identity_release(&ca);
}

/* The server with a certificate that the second CA of the bundle had signed, and the first has
 * renewed. */
static struct tls_context *renewed(struct pki *p, const struct identity *bundle, const char *both,
                                   const char *crl)
{
    struct identity server = {0};
    struct err e = {0};
    char *old_server = NULL;
    size_t place = 9;
    struct hash who;
    cr_assert_eq(file_read(p->server_cert, 1 << 16, &old_server, NULL, &e), 0);
    cr_assert_eq(identity_issuer(old_server, bundle->cert, &place, &who, &e), 0);
    cr_assert(place == 1 && hash_same(&who, &p->fingerprint));
    cr_assert_eq(identity_renew_server(&server, bundle, old_server, time(NULL), 10, &e), 0);
    cr_assert_eq(identity_issuer(server.cert, bundle->cert, &place, NULL, &e), 0);
    cr_assert_eq(place, 0);
    pki_write(p, p->server_cert, "server.pem", server.cert);
    pki_write(p, p->server_key, "server.key", server.key);
    free(old_server);
    identity_release(&server);
    return server_with(p, both, crl);
}

/* From one CA to the next: everybody can reach everybody at every step. The names of the CAs are
 * the same, so that only keys tell them apart. */
Test(identity_ca, a_federation_moves_to_another_ca)
{
    struct pki p;
    struct identity next = {0}, bundle = {0}, alone = {0};
    char both[PKI_PATH], one[PKI_PATH], crl[PKI_PATH], cert[PKI_PATH], key[PKI_PATH];
    struct err e = {0};
    pki_init(&p);
    cr_assert_eq(identity_make_ca(&next, "test-ca", time(NULL), PKI_DAYS, &e), 0);
    cr_assert_eq(identity_bundle(&bundle, &next, &p.ca, &e), 0);
    pki_write(&p, both, "both.pem", bundle.cert);
    write_crl(&p, &bundle, NULL, 0, crl);

    /* 1. The server trusts both; its certificate is the old one; devices have the old CA. */
    struct tls_context *s1 = server_with(&p, both, crl), *old_device = pki_client(&p);
    cr_assert_eq(shake(old_device, s1, NULL, &e), 0, "%s", e.text);

    /* 2. A device that renews gets a certificate of the new CA, and both to trust. */
    struct pki other = p;
    other.ca = bundle;
    pki_enroll(&other, "other", time(NULL), cert, key);
    struct tls_context *device = pki_context(TLS_CLIENT, both, cert, key);
    cr_assert_eq(shake(device, s1, NULL, &e), 0, "%s", e.text);

    /* 3. The server's certificate is renewed by the new CA. */
    struct tls_context *s3 = renewed(&p, &bundle, both, crl);
    cr_assert_eq(shake(device, s3, NULL, &e), 0, "%s", e.text);
    cr_assert_eq(shake(old_device, s3, NULL, &e), ERR_TLS, "it has not renewed in time");

    /* 4. The old CA is dropped. */
    cr_assert_eq(identity_first(&alone, &bundle, &e), 0, "%s", e.text);
    pki_write(&p, one, "one.pem", alone.cert);
    write_crl(&p, &alone, NULL, 0, crl);
    struct tls_context *s4 = server_with(&p, one, crl),
                       *pure = pki_context(TLS_CLIENT, one, cert, key);
    cr_assert_eq(shake(device, s4, NULL, &e), 0, "%s", e.text);
    cr_assert_eq(shake(pure, s4, NULL, &e), 0, "%s", e.text);
    struct tls_context *all[] = {s1, s3, s4, old_device, device, pure};
    for (size_t i = 0; i < 6; i++)
        tls_context_close(all[i]);
    unlink(both);
    unlink(one);
    unlink(crl);
    identity_release(&alone);
    identity_release(&bundle);
    identity_release(&next);
    pki_release(&p);
}

Test(identity_ca, a_bundle_knows_its_members)
{
    struct identity a = {0}, b = {0}, other = {0}, bundle = {0}, first = {0};
    struct hash of_a, of_b, of_other;
    struct err e = {0};
    size_t n = 0, place = 9;
    cr_assert_eq(identity_make_ca(&a, "ca", time(NULL), 10, &e), 0);
    cr_assert_eq(identity_make_ca(&b, "ca", time(NULL), 10, &e), 0);
    cr_assert_eq(identity_make_ca(&other, "ca", time(NULL), 10, &e), 0);
    cr_assert_eq(identity_fingerprint(a.cert, &of_a, &e), 0);
    cr_assert_eq(identity_fingerprint(b.cert, &of_b, &e), 0);
    cr_assert_eq(identity_fingerprint(other.cert, &of_other, &e), 0);
    cr_assert_eq(identity_bundle(&bundle, &a, &b, &e), 0);
    cr_assert(identity_count(bundle.cert, &n, &e) == 0 && n == 2);
    cr_assert(identity_has(bundle.cert, &of_a) && identity_has(bundle.cert, &of_b));
    cr_assert_not(identity_has(bundle.cert, &of_other));
    cr_assert_not(identity_has("nonsense", &of_a));
    cr_assert(identity_issuer(b.cert, bundle.cert, &place, NULL, &e) == 0 && place == 1);
    cr_assert_eq(identity_issuer(other.cert, bundle.cert, &place, NULL, &e), ERR_TLS);
    cr_assert_eq(identity_first(&first, &bundle, &e), 0, "%s", e.text);
    cr_assert(identity_has(first.cert, &of_a));
    cr_assert_not(identity_has(first.cert, &of_b));
    cr_assert_eq(identity_check_pair(&first, &e), 0);
    struct identity mixed = {.key = b.key, .cert = a.cert};
    cr_assert_eq(identity_check_pair(&mixed, &e), ERR_TLS);
    identity_release(&a);
    identity_release(&b);
    identity_release(&other);
    identity_release(&bundle);
    identity_release(&first);
}

Test(identity_ca, revocation_reaches_certificates_of_either_ca)
{
    struct pki p;
    struct identity next = {0}, bundle = {0};
    char both[PKI_PATH], crl[PKI_PATH], serial[IDENTITY_SERIAL];
    struct err e = {0};
    pki_init(&p);
    cr_assert_eq(identity_make_ca(&next, "test-ca", time(NULL), PKI_DAYS, &e), 0);
    cr_assert_eq(identity_bundle(&bundle, &next, &p.ca, &e), 0);
    pki_write(&p, both, "both.pem", bundle.cert);
    serial_of(p.client_cert, serial);
    write_crl(&p, &bundle, (const char *const[]){serial}, 1, crl);
    struct tls_context *server = server_with(&p, both, crl), *client = pki_client(&p);
    cr_assert_eq(shake(client, server, NULL, &e), ERR_TLS);
    cr_assert(strstr(e.text, "revoked"), "%s", e.text);
    tls_context_close(server);
    tls_context_close(client);
    identity_release(&bundle);
    identity_release(&next);
    unlink(both);
    unlink(crl);
    pki_release(&p);
}

Test(identity_ca, a_renewed_server_has_the_same_names_and_another_key)
{
    struct pki p;
    struct identity server = {0};
    char *old = NULL, *old_key = NULL;
    struct err e = {0};
    pki_init(&p);
    cr_assert_eq(file_read(p.server_cert, 1 << 16, &old, NULL, &e), 0);
    cr_assert_eq(file_read(p.server_key, 1 << 16, &old_key, NULL, &e), 0);
    cr_assert_eq(identity_renew_server(&server, &p.ca, old, time(NULL), 10, &e), 0, "%s", e.text);
    cr_assert_str_neq(server.key, old_key);
    BIO *bio = BIO_new_mem_buf(server.cert, -1);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    cr_assert_eq(X509_check_host(cert, "localhost", 0, 0, NULL), 1);
    cr_assert_eq(X509_check_ip_asc(cert, "127.0.0.1", 0), 1);
    cr_assert_eq(X509_check_ip_asc(cert, "::1", 0), 1);
    cr_assert_eq(X509_check_host(cert, "example.org", 0, 0, NULL), 0);
    X509_free(cert);
    BIO_free(bio);
    /* A device's certificate has no hosts to be renewed. */
    free(old);
    cr_assert_eq(file_read(p.client_cert, 1 << 16, &old, NULL, &e), 0);
    identity_release(&server);
    cr_assert_eq(identity_renew_server(&server, &p.ca, old, time(NULL), 10, &e), ERR_TLS);
    free(old);
    free(old_key);
    pki_release(&p);
}

Test(identity_ca, serial_texts)
{
    static const char *const good[] = {"0", "7F", "0123456789ABCDEF0123456789ABCDEF01234567"};
    static const char *const bad[] = {"", "7f", "client-7",
                                      "0123456789ABCDEF0123456789ABCDEF012345678"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        cr_assert(identity_serial_ok(good[i]), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_not(identity_serial_ok(bad[i]), "%s", bad[i]);
}
