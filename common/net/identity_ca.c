#include "net/identity_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- bundles ------------------------------------------------------------------------------- */

static char *join(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    char *text = malloc(n + m + 1);
    if (text) {
        memcpy(text, a, n);
        memcpy(text + n, b, m + 1);
    }
    return text;
}

int identity_bundle(struct identity *out, const struct identity *next, const struct identity *ca,
                    struct err *e)
{
    struct identity all = {.key = join(next->key, ca->key), .cert = join(next->cert, ca->cert)};
    if (!all.key || !all.cert) {
        identity_release(&all);
        return err_set(e, ERR_NOMEM, "no memory for a bundle of CAs");
    }
    *out = all;
    return 0;
}

int identity_first(struct identity *out, const struct identity *ca, struct err *e)
{
    struct signer s;
    int rc = identity_signer(&s, ca, e);
    if (rc)
        return rc;
    rc = identity_write(out, s.key, s.cert, NULL, e);
    identity_signer_release(&s);
    return rc;
}

static int read_bundle(STACK_OF(X509) * *out, const char *pem, struct err *e)
{
    BIO *bio = identity_bio(pem);
    int rc = bio ? x509_read_chain(out, bio, "CA", e)
                 : err_set(e, ERR_NOMEM, "no memory for certificates");
    BIO_free(bio);
    return rc;
}

int identity_count(const char *ca_pem, size_t *n, struct err *e)
{
    STACK_OF(X509) *bundle = NULL;
    int rc = read_bundle(&bundle, ca_pem, e);
    if (rc)
        return rc;
    *n = (size_t)sk_X509_num(bundle);
    sk_X509_pop_free(bundle, X509_free);
    return 0;
}

bool identity_has(const char *ca_pem, const struct hash *fingerprint)
{
    STACK_OF(X509) *bundle = NULL;
    bool found = false;
    if (read_bundle(&bundle, ca_pem, NULL))
        return false;
    for (int i = 0; i < sk_X509_num(bundle) && !found; i++) {
        struct hash h = x509_fingerprint(sk_X509_value(bundle, i));
        found = hash_same(&h, fingerprint);
    }
    sk_X509_pop_free(bundle, X509_free);
    return found;
}

int identity_issuer(const char *cert_pem, const char *ca_pem, size_t *place,
                    struct hash *fingerprint, struct err *e)
{
    STACK_OF(X509) *bundle = NULL;
    X509 *cert = NULL;
    int found = -1, rc = read_bundle(&bundle, ca_pem, e);
    if (!rc)
        rc = identity_read_cert(&cert, cert_pem, e);
    for (int i = 0; !rc && i < sk_X509_num(bundle) && found < 0; i++)
        if (X509_verify(cert, X509_get0_pubkey(sk_X509_value(bundle, i))) == 1)
            found = i;
    ERR_clear_error();
    if (!rc && found < 0)
        rc = err_set(e, ERR_TLS, "none of the CAs has signed the certificate");
    if (!rc) {
        *place = (size_t)found;
        if (fingerprint)
            *fingerprint = x509_fingerprint(sk_X509_value(bundle, found));
    }
    X509_free(cert);
    sk_X509_pop_free(bundle, X509_free);
    return rc;
}

/* ---- revocation ---------------------------------------------------------------------------- */

static bool add_revoked(X509_CRL *crl, const struct identity_revocation *r)
{
    X509_REVOKED *x = X509_REVOKED_new();
    ASN1_TIME *at = ASN1_TIME_set(NULL, (time_t)r->at);
    BIGNUM *n = NULL;
    ASN1_INTEGER *serial = BN_hex2bn(&n, r->serial) ? BN_to_ASN1_INTEGER(n, NULL) : NULL;
    bool ok = x && at && serial && X509_REVOKED_set_serialNumber(x, serial) &&
              X509_REVOKED_set_revocationDate(x, at) && X509_CRL_add0_revoked(crl, x);
    if (!ok)
        X509_REVOKED_free(x);
    ASN1_TIME_free(at);
    ASN1_INTEGER_free(serial);
    BN_free(n);
    return ok;
}

/* RFC 5280, 5.2.3: a number that grows; the time does. */
static bool add_crl_extensions(X509_CRL *crl, X509 *ca, int64_t now)
{
    X509V3_CTX ctx;
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    X509V3_set_ctx(&ctx, ca, NULL, NULL, crl, 0);
    X509_EXTENSION *issuer =
        X509V3_EXT_conf_nid(NULL, &ctx, NID_authority_key_identifier, "keyid:always");
    bool ok = number && issuer && ASN1_INTEGER_set_int64(number, now) &&
              X509_CRL_add1_ext_i2d(crl, NID_crl_number, number, 0, 0) == 1 &&
              X509_CRL_add_ext(crl, issuer, -1);
    X509_EXTENSION_free(issuer);
    ASN1_INTEGER_free(number);
    return ok;
}

static bool write_crl(BIO *out, X509 *ca, EVP_PKEY *key, const struct identity_revocation *list,
                      size_t n, int64_t now)
{
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *from = ASN1_TIME_set(NULL, (time_t)(now - IDENTITY_BACKDATE_S));
    bool ok = crl && from && X509_CRL_set_version(crl, X509_CRL_VERSION_2) &&
              X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca)) &&
              X509_CRL_set1_lastUpdate(crl, from) &&
              X509_CRL_set1_nextUpdate(crl, X509_get0_notAfter(ca)) &&
              add_crl_extensions(crl, ca, now);
    for (size_t i = 0; i < n && ok; i++)
        ok = add_revoked(crl, &list[i]);
    ok = ok && X509_CRL_sort(crl) && X509_CRL_sign(crl, key, EVP_sha256()) &&
         PEM_write_bio_X509_CRL(out, crl);
    ASN1_TIME_free(from);
    X509_CRL_free(crl);
    return ok;
}

/* The one of a bundle that a key belongs to; NULL when it is not there. */
static X509 *owner_of(STACK_OF(X509) * bundle, const EVP_PKEY *key)
{
    X509 *found = NULL;
    for (int i = 0; i < sk_X509_num(bundle) && !found; i++)
        if (X509_check_private_key(sk_X509_value(bundle, i), key))
            found = sk_X509_value(bundle, i);
    ERR_clear_error();
    return found;
}

int identity_make_crl(char **out, const struct identity *ca, const struct identity_revocation *list,
                      size_t n, int64_t now, struct err *e)
{
    STACK_OF(X509) *bundle = NULL;
    EVP_PKEY *key = NULL;
    BIO *keys = identity_bio(ca->key), *text = BIO_new(BIO_s_mem());
    int rc = keys && text ? read_bundle(&bundle, ca->cert, e)
                          : err_set(e, ERR_NOMEM, "no memory for a revocation list");
    while (!rc && (key = PEM_read_bio_PrivateKey(keys, NULL, x509_no_passphrase, NULL))) {
        X509 *cert = owner_of(bundle, key);
        if (cert && !write_crl(text, cert, key, list, n, now))
            rc = identity_failed(e, "a revocation list");
        EVP_PKEY_free(key);
    }
    ERR_clear_error();
    if (!rc)
        rc = identity_bio_text(out, text, e);
    sk_X509_pop_free(bundle, X509_free);
    BIO_free(text);
    BIO_free(keys);
    return rc;
}
