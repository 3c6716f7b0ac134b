#include "net/identity.h"

#include "net/openssl.h"
#include "pki.h"

static X509 *parse(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    cr_assert(cert);
    return cert;
}

static bool chains_to(X509 *cert, X509 *ca, int purpose)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    X509_STORE_add_cert(store, ca);
    X509_STORE_CTX_init(ctx, store, cert, NULL);
    X509_STORE_CTX_set_purpose(ctx, purpose);
    bool ok = X509_verify_cert(ctx) == 1;
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    return ok;
}

/* A request with any key and subject, as a device with other software might send. */
static char *foreign_request(EVP_PKEY *key, const char *name, bool spoil)
{
    X509_REQ *request = X509_REQ_new();
    X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(request), "CN", MBSTRING_UTF8,
                               (const unsigned char *)name, -1, -1, 0);
    X509_REQ_set_pubkey(request, key);
    X509_REQ_sign(request, key, EVP_sha256());
    if (spoil)
        X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(request), "O", MBSTRING_UTF8,
                                   (const unsigned char *)"x", -1, -1, 0);
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509_REQ(bio, request);
    char *bytes, *text;
    long n = BIO_get_mem_data(bio, &bytes);
    text = strndup(bytes, (size_t)n);
    BIO_free(bio);
    X509_REQ_free(request);
    EVP_PKEY_free(key);
    return text;
}

Test(identity, names)
{
    char longest[IDENTITY_MAX_NAME + 2];
    memset(longest, 'a', sizeof longest);
    longest[IDENTITY_MAX_NAME] = '\0';
    cr_assert(identity_name_ok("client-0001"));
    cr_assert(identity_name_ok("A.b_c-9"));
    cr_assert(identity_name_ok(longest));
    longest[IDENTITY_MAX_NAME] = 'a';
    longest[IDENTITY_MAX_NAME + 1] = '\0';
    cr_assert(!identity_name_ok(longest));
    static const char *const bad[] = {"",   ".hidden", "-x", "_x", "a b",   "a/b",
                                      "..", "a\n",     "a'", "ä",  "a\x01", "a;b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert(!identity_name_ok(bad[i]), "%s", bad[i]);
}

Test(identity, certificates_serve_their_purpose_and_no_other)
{
    struct pki p;
    pki_init(&p);
    char *server_pem, *device_pem;
    struct err e = {0};
    cr_assert_eq(file_read(p.server_cert, 1 << 16, &server_pem, NULL, &e), 0, "%s", e.text);
    cr_assert_eq(file_read(p.client_cert, 1 << 16, &device_pem, NULL, &e), 0, "%s", e.text);
    X509 *ca = parse(p.ca.cert), *server = parse(server_pem), *device = parse(device_pem);
    cr_assert(chains_to(server, ca, X509_PURPOSE_SSL_SERVER));
    cr_assert(!chains_to(server, ca, X509_PURPOSE_SSL_CLIENT));
    cr_assert(chains_to(device, ca, X509_PURPOSE_SSL_CLIENT));
    cr_assert(!chains_to(device, ca, X509_PURPOSE_SSL_SERVER));
    cr_assert_eq(X509_check_ca(ca), 1);
    cr_assert_eq(X509_check_ca(device), 0);
    cr_assert_eq(X509_get_pathlen(ca), 0);
    cr_assert_eq(X509_check_host(server, "localhost", 0, 0, NULL), 1);
    cr_assert_eq(X509_check_host(server, "other", 0, 0, NULL), 0);
    cr_assert_eq(X509_check_ip_asc(server, "::1", 0), 1);
    cr_assert_eq(X509_check_ip_asc(server, "10.0.0.1", 0), 0);
    X509_free(ca);
    X509_free(server);
    X509_free(device);
    free(server_pem);
    free(device_pem);
    pki_release(&p);
}

Test(identity, serial_numbers_are_positive_long_and_differ)
{
    struct pki p;
    pki_init(&p);
    X509 *ca = parse(p.ca.cert);
    const ASN1_INTEGER *serial = X509_get0_serialNumber(ca);
    BIGNUM *n = ASN1_INTEGER_to_BN(serial, NULL);
    cr_assert(!BN_is_negative(n) && !BN_is_zero(n));
    cr_assert_gt(BN_num_bits(n), 80, "127 random bits are this small once in 2^47 runs");
    cr_assert_leq(BN_num_bytes(n), 20);
    struct identity again = {0};
    struct err e = {0};
    cr_assert_eq(identity_make_ca(&again, "test-ca", time(NULL), 1, &e), 0);
    X509 *other = parse(again.cert);
    cr_assert_neq(ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(other)), 0);
    BN_free(n);
    X509_free(ca);
    X509_free(other);
    identity_release(&again);
    cr_assert_null(again.key);
    pki_release(&p);
}

Test(identity, fingerprint_name_and_expiry_are_those_of_openssl)
{
    enum { NOW = 1700000000, DAYS = 365 };
    struct identity ca = {0};
    struct err e = {0};
    struct hash h;
    char name[IDENTITY_MAX_NAME + 1];
    int64_t expiry;
    cr_assert_eq(identity_make_ca(&ca, "field-ca", NOW, DAYS, &e), 0, "%s", e.text);
    cr_assert_eq(identity_fingerprint(ca.cert, &h, &e), 0);
    cr_assert_eq(identity_common_name(ca.cert, name, &e), 0);
    cr_assert_str_eq(name, "field-ca");
    cr_assert_eq(identity_expiry(ca.cert, &expiry, &e), 0);
    cr_assert_eq(expiry, NOW + (int64_t)DAYS * 86400);
    X509 *cert = parse(ca.cert);
    unsigned char *der = NULL;
    int len = i2d_X509(cert, &der);
    struct hash naive = hash_of(der, (size_t)len);
    cr_assert_arr_eq(h.byte, naive.byte, HASH_BYTES);
    time_t start = NOW - 3600;
    cr_assert_eq(X509_cmp_time(X509_get0_notBefore(cert), &start), -1, "not before, or just then");
    start--;
    cr_assert_eq(X509_cmp_time(X509_get0_notBefore(cert), &start), 1);
    OPENSSL_free(der);
    X509_free(cert);
    identity_release(&ca);
}

Test(identity, requests_give_their_key_and_nothing_else)
{
    struct pki p;
    struct err e = {0};
    char *cert = NULL, name[IDENTITY_MAX_NAME + 1];
    pki_init(&p);
    char *csr = foreign_request(EVP_EC_gen("P-256"), "root", false);
    cr_assert_eq(identity_sign_csr(&cert, &p.ca, csr, "client-7", time(NULL), 1, &e), 0, "%s",
                 e.text);
    cr_assert_eq(identity_common_name(cert, name, &e), 0);
    cr_assert_str_eq(name, "client-7");
    free(cert);
    free(csr);
    pki_release(&p);
}

Test(identity, bad_requests_are_refused)
{
    struct pki p;
    struct err e = {0};
    char *cert = NULL;
    pki_init(&p);
    struct {
        char *csr;
        const char *says;
    } bad[] = {
        {foreign_request(EVP_EC_gen("P-256"), "x", true), "signature"},
        {foreign_request(EVP_EC_gen("P-384"), "x", false), "P-256"},
        {foreign_request(EVP_RSA_gen(2048), "x", false), "P-256"},
        {strdup("hello"), "PEM"},
        {strdup(p.ca.cert), "PEM"},
        {strdup(""), "PEM"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_assert_eq(identity_sign_csr(&cert, &p.ca, bad[i].csr, "c", time(NULL), 1, &e), ERR_TLS);
        cr_assert(strstr(e.text, bad[i].says), "%s", e.text);
        cr_assert_null(cert);
        free(bad[i].csr);
    }
    pki_release(&p);
}

Test(identity, bad_arguments_are_refused)
{
    struct pki p;
    struct err e = {0};
    struct identity id = {0};
    char *cert = NULL;
    pki_init(&p);
    struct identity csr = {0}, swapped = {.key = NULL, .cert = p.ca.cert};
    cr_assert_eq(identity_make_csr(&csr, "device", &e), 0);
    swapped.key = csr.key;
    cr_assert_eq(identity_make_csr(&id, "../etc", &e), ERR_CONFIG);
    cr_assert_eq(identity_make_ca(&id, "a b", 0, 1, &e), ERR_CONFIG);
    cr_assert_eq(identity_make_ca(&id, "ca", 0, 0, &e), ERR_CONFIG);
    cr_assert_eq(identity_make_ca(&id, "ca", 0, IDENTITY_MAX_DAYS + 1, &e), ERR_CONFIG);
    cr_assert_eq(identity_sign_csr(&cert, &p.ca, csr.cert, "", 0, 1, &e), ERR_CONFIG);
    cr_assert_eq(identity_sign_csr(&cert, &swapped, csr.cert, "x", time(NULL), 1, &e), ERR_TLS);
    static const char *const hosts[] = {"good.example", "bad host", "-x", "a..b/c", "", "x\ny"};
    cr_assert_eq(identity_make_server(&id, &p.ca, hosts, 0, 0, 1, &e), ERR_CONFIG);
    for (size_t i = 1; i < sizeof hosts / sizeof *hosts; i++)
        cr_assert_eq(identity_make_server(&id, &p.ca, hosts + i, 1, time(NULL), 1, &e), ERR_CONFIG,
                     "%s", hosts[i]);
    cr_assert_null(id.key);
    identity_release(&csr);
    pki_release(&p);
}
