#include "net/x509.h"

#include <stdlib.h>
#include <string.h>

const char *x509_reason(void)
{
    unsigned long code = ERR_get_error();
    const char *text = code ? ERR_reason_error_string(code) : NULL;
    ERR_clear_error();
    return text ? text : "no reason given";
}

int x509_no_passphrase(char *out, int size, int writing, void *ctx)
{
    (void)out, (void)size, (void)writing, (void)ctx;
    return -1;
}

bool x509_at_end(void)
{
    unsigned long code = ERR_peek_last_error();
    return ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
}

int x509_read_chain(STACK_OF(X509) * *out, BIO *bio, const char *what, struct err *e)
{
    int rc = 0;
    X509 *cert;
    STACK_OF(X509) *chain = sk_X509_new_null();
    if (!chain)
        return err_set(e, ERR_NOMEM, "no memory for certificates");
    ERR_clear_error();
    while (!rc && (cert = PEM_read_bio_X509(bio, NULL, x509_no_passphrase, NULL))) {
        if (sk_X509_num(chain) == X509_MAX_CHAIN || !sk_X509_push(chain, cert)) {
            X509_free(cert);
            rc = err_set(e, ERR_TLS, "%s: more than %d certificates", what, X509_MAX_CHAIN);
        }
    }
    if (!rc && !x509_at_end())
        rc = err_set(e, ERR_TLS, "%s: broken certificate (%s)", what, x509_reason());
    if (!rc && sk_X509_num(chain) == 0)
        rc = err_set(e, ERR_TLS, "%s: no PEM certificate in it", what);
    ERR_clear_error();
    if (rc)
        sk_X509_pop_free(chain, X509_free);
    else
        *out = chain;
    return rc;
}

struct hash x509_fingerprint(const X509 *cert)
{
    struct hash h;
    unsigned len = 0;
    if (!X509_digest(cert, EVP_sha256(), h.byte, &len) || len != HASH_BYTES)
        abort();
    return h;
}

int x509_common_name(const X509_NAME *subject, char out[IDENTITY_MAX_NAME + 1], struct err *e)
{
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at < 0)
        return err_set(e, ERR_TLS, "there is no common name");
    if (X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0)
        return err_set(e, ERR_TLS, "there is more than one common name");
    unsigned char *text = NULL;
    int len =
        ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    /* A NUL inside would make the C string another name than the one that was signed. */
    bool ok = len > 0 && len == (int)strlen((char *)text) && identity_name_ok((char *)text);
    if (ok)
        memcpy(out, text, (size_t)len + 1);
    OPENSSL_free(text);
    ERR_clear_error();
    return ok ? 0
              : err_set(e, ERR_TLS, "the common name is not 1 to %d of [A-Za-z0-9._-]",
                        IDENTITY_MAX_NAME);
}
