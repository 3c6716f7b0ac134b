/* Certificates that our own code would never make: each wrong in one way. And peers that are bare
 * OpenSSL, on blocking sockets: they show what they like, and tell which alert they are sent. */
#ifndef TESTS_SERVER_CRAFT_H
#define TESTS_SERVER_CRAFT_H

#include "net/openssl.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What a certificate says; zeroes: a device's, P-256, in force. */
struct craft {
    const char *name;     /* its common name */
    const char *usage;    /* extended key usage; NULL: clientAuth */
    const char *hosts;    /* subjectAltName; NULL: none */
    int from_day, to_day; /* from today; 0 and 0: yesterday to tomorrow */
    int rsa_bits;         /* 0: P-256 */
    bool sha1;            /* the signature's hash */
};

struct paper {
    EVP_PKEY *key;
    X509 *cert;
};

static inline void paper_release(struct paper *p)
{
    EVP_PKEY_free(p->key);
    X509_free(p->cert);
}

/* A CA of PEM text. */
static inline struct paper paper_read(const char *cert, const char *key)
{
    BIO *c = BIO_new_mem_buf(cert, -1), *k = BIO_new_mem_buf(key, -1);
    struct paper p = {PEM_read_bio_PrivateKey(k, NULL, NULL, NULL),
                      PEM_read_bio_X509(c, NULL, NULL, NULL)};
    BIO_free(c);
    BIO_free(k);
    cr_assert(p.key && p.cert);
    return p;
}

static inline void craft_extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *x = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    cr_assert(x && X509_add_ext(cert, x, -1), "%s", value);
    X509_EXTENSION_free(x);
}

/* Signed by `ca`; NULL: by itself. */
static inline struct paper craft_make(const struct craft *c, const struct paper *ca)
{
    struct paper p = {c->rsa_bits ? EVP_RSA_gen((unsigned)c->rsa_bits) : EVP_EC_gen("P-256"),
                      X509_new()};
    const struct paper *signer = ca ? ca : &p;
    static long serial = 1000; /* each its own, and none that a revocation list names by chance */
    cr_assert(p.key && p.cert);
    X509_set_version(p.cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(p.cert), ++serial);
    bool dated = c->from_day || c->to_day;
    X509_time_adj_ex(X509_getm_notBefore(p.cert), dated ? c->from_day : -1, 0, NULL);
    X509_time_adj_ex(X509_getm_notAfter(p.cert), dated ? c->to_day : 1, 0, NULL);
    X509_NAME_add_entry_by_NID(X509_get_subject_name(p.cert), NID_commonName, MBSTRING_ASC,
                               (const unsigned char *)c->name, -1, -1, 0);
    X509_set_issuer_name(p.cert, X509_get_subject_name(signer->cert));
    X509_set_pubkey(p.cert, p.key);
    craft_extend(p.cert, signer->cert, NID_basic_constraints, "critical,CA:FALSE");
    craft_extend(p.cert, signer->cert, NID_ext_key_usage, c->usage ? c->usage : "clientAuth");
    craft_extend(p.cert, signer->cert, NID_subject_key_identifier, "hash");
    craft_extend(p.cert, signer->cert, NID_authority_key_identifier, "keyid");
    if (c->hosts)
        craft_extend(p.cert, signer->cert, NID_subject_alt_name, c->hosts);
    cr_assert(X509_sign(p.cert, signer->key, c->sha1 ? EVP_sha1() : EVP_sha256()) > 0);
    return p;
}

enum { ALERT_NONE = -1, ALERT_CLOSED = -2 }; /* all is well; the stream just ended */

static inline SSL_CTX *bare_context(const SSL_METHOD *method, const struct paper *p, int version)
{
    SSL_CTX *c = SSL_CTX_new(method);
    SSL_CTX_set_security_level(c, 0); /* it is for the other side to mind */
    cr_assert(SSL_CTX_set_max_proto_version(c, version ? version : TLS1_3_VERSION));
    if (p) {
        cr_assert_eq(SSL_CTX_use_certificate(c, p->cert), 1);
        cr_assert_eq(SSL_CTX_use_PrivateKey(c, p->key), 1);
    }
    return c;
}

/* What the peer said last: the number of its alert. */
static inline int bare_alert(void)
{
    int why = ERR_GET_REASON(ERR_peek_error());
    ERR_clear_error();
    return why > SSL_AD_REASON_OFFSET && why < SSL_AD_REASON_OFFSET + 256
               ? why - SSL_AD_REASON_OFFSET
               : ALERT_CLOSED;
}

#endif
