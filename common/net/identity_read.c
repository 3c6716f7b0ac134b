#include "net/identity_state.h"

#include <stdlib.h>
#include <string.h>

enum { DAY_S = 86400, MAX_PEM = 1 << 17 };

/* ---- PEM text ------------------------------------------------------------------------------ */

int identity_bio_text(char **out, BIO *bio, struct err *e)
{
    const char *bytes = NULL;
    long len = BIO_get_mem_data(bio, &bytes);
    char *text = malloc((size_t)len + 1);
    if (!text)
        return err_set(e, ERR_NOMEM, "no memory for %ld bytes of PEM", len);
    memcpy(text, bytes, (size_t)len);
    text[len] = '\0';
    *out = text;
    return 0;
}

/* Exactly one of the three is given; the BIO's memory is the secure kind, wiped when freed. */
int identity_pem(char **out, EVP_PKEY *key, X509 *cert, X509_REQ *request, struct err *e)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    bool ok = bio && (key    ? PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL)
                      : cert ? PEM_write_bio_X509(bio, cert)
                             : PEM_write_bio_X509_REQ(bio, request));
    int rc = ok ? identity_bio_text(out, bio, e) : identity_failed(e, "PEM text");
    BIO_free(bio);
    return rc;
}

int identity_write(struct identity *out, EVP_PKEY *key, X509 *cert, X509_REQ *request,
                   struct err *e)
{
    struct identity id = {0};
    int rc = identity_pem(&id.key, key, NULL, NULL, e);
    if (!rc)
        rc = identity_pem(&id.cert, NULL, cert, request, e);
    if (rc)
        identity_release(&id);
    else
        *out = id;
    return rc;
}

BIO *identity_bio(const char *pem)
{
    size_t len = strnlen(pem, MAX_PEM);
    return BIO_new_mem_buf(pem, (int)len);
}

int identity_read_cert(X509 **out, const char *pem, struct err *e)
{
    STACK_OF(X509) *chain = NULL;
    BIO *bio = identity_bio(pem);
    int rc = bio ? x509_read_chain(&chain, bio, "certificate", e)
                 : err_set(e, ERR_NOMEM, "no memory for a certificate");
    BIO_free(bio);
    if (rc)
        return rc;
    *out = sk_X509_shift(chain);
    sk_X509_pop_free(chain, X509_free);
    return 0;
}

int identity_read_key(EVP_PKEY **out, const char *pem, struct err *e)
{
    BIO *bio = identity_bio(pem);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, x509_no_passphrase, NULL) : NULL;
    BIO_free(bio);
    if (!key)
        return err_set(e, ERR_TLS, "no unencrypted PEM private key (%s)", x509_reason());
    *out = key;
    return 0;
}

/* ---- reading ------------------------------------------------------------------------------- */

int identity_fingerprint(const char *cert_pem, struct hash *out, struct err *e)
{
    X509 *cert = NULL;
    int rc = identity_read_cert(&cert, cert_pem, e);
    if (rc)
        return rc;
    *out = x509_fingerprint(cert);
    X509_free(cert);
    return 0;
}

int identity_common_name(const char *cert_pem, char out[IDENTITY_MAX_NAME + 1], struct err *e)
{
    X509 *cert = NULL;
    int rc = identity_read_cert(&cert, cert_pem, e);
    if (!rc)
        rc = x509_common_name(X509_get_subject_name(cert), out, e);
    X509_free(cert);
    return rc;
}

/* Unix seconds of a time; false when it is none. */
static bool seconds_of(const ASN1_TIME *t, int64_t *out)
{
    int days = 0, seconds = 0;
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    bool ok = epoch && ASN1_TIME_diff(&days, &seconds, epoch, t);
    if (ok)
        *out = (int64_t)days * DAY_S + seconds;
    ASN1_TIME_free(epoch);
    return ok;
}

int identity_validity(const char *cert_pem, int64_t *begins, int64_t *ends, struct err *e)
{
    X509 *cert = NULL;
    int64_t from = 0, to = 0;
    int rc = identity_read_cert(&cert, cert_pem, e);
    if (rc)
        return rc;
    if (!seconds_of(X509_get0_notBefore(cert), &from) || !seconds_of(X509_get0_notAfter(cert), &to))
        rc = err_set(e, ERR_TLS, "the certificate has no readable first and last day");
    X509_free(cert);
    if (!rc) {
        *begins = from;
        *ends = to;
    }
    return rc;
}

int identity_expiry(const char *cert_pem, int64_t *out, struct err *e)
{
    int64_t begins;
    return identity_validity(cert_pem, &begins, out, e);
}

int identity_check_pair(const struct identity *id, struct err *e)
{
    X509 *cert = NULL;
    EVP_PKEY *key = NULL;
    int rc = identity_read_cert(&cert, id->cert, e);
    if (!rc)
        rc = identity_read_key(&key, id->key, e);
    if (!rc && !X509_check_private_key(cert, key))
        rc = err_set(e, ERR_TLS, "the certificate is for another key");
    ERR_clear_error();
    EVP_PKEY_free(key);
    X509_free(cert);
    return rc;
}

int identity_serial(const char *cert_pem, char out[IDENTITY_SERIAL], struct err *e)
{
    X509 *cert = NULL;
    int rc = identity_read_cert(&cert, cert_pem, e);
    if (rc)
        return rc;
    BIGNUM *n = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
    char *hex = n ? BN_bn2hex(n) : NULL;
    if (!hex || strlen(hex) >= IDENTITY_SERIAL)
        rc = err_set(e, ERR_TLS, "the certificate's serial number is longer than 20 bytes");
    else
        memcpy(out, hex, strlen(hex) + 1);
    OPENSSL_free(hex);
    BN_free(n);
    X509_free(cert);
    return rc;
}

bool identity_serial_ok(const char *text)
{
    size_t len = strnlen(text, IDENTITY_SERIAL);
    return len > 0 && len < IDENTITY_SERIAL && strspn(text, "0123456789ABCDEF") == len;
}
