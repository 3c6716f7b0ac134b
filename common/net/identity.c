#include "net/identity_state.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { SERIAL_BITS = 127, MAX_HOST = 253 };

void identity_release(struct identity *id)
{
    if (id->key)
        OPENSSL_cleanse(id->key, strlen(id->key));
    free(id->key);
    free(id->cert);
    *id = (struct identity){0};
}

bool identity_name_ok(const char *name)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t len = strnlen(name, IDENTITY_MAX_NAME + 1);
    return len > 0 && len <= IDENTITY_MAX_NAME && strspn(name, allowed) == len && name[0] != '.' &&
           name[0] != '_' && name[0] != '-';
}

static int check_name(const char *name, struct err *e)
{
    if (identity_name_ok(name))
        return 0;
    return err_set(
        e, ERR_CONFIG,
        "name \"%.80s\": use 1 to %d of [A-Za-z0-9._-], beginning with a letter or digit", name,
        IDENTITY_MAX_NAME);
}

int identity_check_days(unsigned days, struct err *e)
{
    if (days >= 1 && days <= IDENTITY_MAX_DAYS)
        return 0;
    return err_set(e, ERR_CONFIG, "a certificate may last 1 to %d days, not %u", IDENTITY_MAX_DAYS,
                   days);
}

int identity_failed(struct err *e, const char *what)
{
    return err_set(e, ERR_TLS, "cannot make %s (%s)", what, x509_reason());
}

/* ---- certificates -------------------------------------------------------------------------- */

/* What a certificate is for: the extensions that follow from it, as x509v3_config(5) writes them.
 */
struct profile {
    const char *constraints, *usage, *extended; /* extended NULL: none */
};
static const struct profile ca_profile = {"critical,CA:TRUE,pathlen:0",
                                          "critical,keyCertSign,cRLSign", NULL};
static const struct profile server_profile = {"critical,CA:FALSE", "critical,digitalSignature",
                                              "serverAuth"};
static const struct profile device_profile = {"critical,CA:FALSE", "critical,digitalSignature",
                                              "clientAuth"};

static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *x = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = x && X509_add_ext(cert, x, -1);
    X509_EXTENSION_free(x);
    return ok;
}

static bool add_profile(X509 *cert, X509 *issuer, const struct profile *p)
{
    return add_extension(cert, issuer, NID_basic_constraints, p->constraints) &&
           add_extension(cert, issuer, NID_key_usage, p->usage) &&
           (!p->extended || add_extension(cert, issuer, NID_ext_key_usage, p->extended)) &&
           add_extension(cert, issuer, NID_subject_key_identifier, "hash") &&
           add_extension(cert, issuer, NID_authority_key_identifier, "keyid:always");
}

/* RFC 5280, 4.1.2.2: positive, at most 20 octets; 127 random bits need no record of those given. */
static bool set_serial(X509 *cert)
{
    BIGNUM *n = BN_new();
    bool ok = n && BN_rand(n, SERIAL_BITS, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ODD) &&
              BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert));
    BN_free(n);
    return ok;
}

static bool set_name(X509_NAME *subject, const char *name)
{
    return X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1,
                                      -1, 0);
}

/* Everything but alternative names and the signature. `issuer` NULL: itself. */
static X509 *draft(EVP_PKEY *key, const char *name, X509 *issuer, const struct profile *p,
                   int64_t now, unsigned days)
{
    X509 *cert = X509_new();
    time_t start = (time_t)now;
    bool ok = cert && X509_set_version(cert, X509_VERSION_3) && set_serial(cert) &&
              set_name(X509_get_subject_name(cert), name) &&
              X509_set_issuer_name(cert, X509_get_subject_name(issuer ? issuer : cert)) &&
              X509_time_adj_ex(X509_getm_notBefore(cert), 0, -IDENTITY_BACKDATE_S, &start) &&
              X509_time_adj_ex(X509_getm_notAfter(cert), (int)days, 0, &start) &&
              X509_set_pubkey(cert, key) && add_profile(cert, issuer ? issuer : cert, p);
    if (ok)
        return cert;
    X509_free(cert);
    return NULL;
}

int identity_make_ca(struct identity *out, const char *name, int64_t now, unsigned days,
                     struct err *e)
{
    int rc = check_name(name, e);
    if (!rc)
        rc = identity_check_days(days, e);
    if (rc)
        return rc;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = key ? draft(key, name, NULL, &ca_profile, now, days) : NULL;
    rc = cert && X509_sign(cert, key, EVP_sha256()) ? identity_write(out, key, cert, NULL, e)
                                                    : identity_failed(e, "a CA");
    X509_free(cert);
    EVP_PKEY_free(key);
    return rc;
}

void identity_signer_release(struct signer *s)
{
    X509_free(s->cert);
    EVP_PKEY_free(s->key);
}

int identity_signer(struct signer *s, const struct identity *ca, struct err *e)
{
    struct signer r = {0};
    int rc = identity_read_cert(&r.cert, ca->cert, e);
    if (!rc)
        rc = identity_read_key(&r.key, ca->key, e);
    if (!rc && !X509_check_private_key(r.cert, r.key))
        rc = err_set(e, ERR_TLS, "the CA's key does not belong to its certificate");
    if (!rc && X509_check_ca(r.cert) != 1)
        rc = err_set(e, ERR_TLS, "the CA's certificate is not one of a CA");
    ERR_clear_error();
    if (rc) {
        err_wrap(e, "CA");
        identity_signer_release(&r);
    } else {
        *s = r;
    }
    return rc;
}

/* ---- server -------------------------------------------------------------------------------- */

/* Letters, digits, '-', '.', with a leading "*." allowed; anything else is an address or an error.
 */
static bool is_host(const char *host)
{
    const char *p = strncmp(host, "*.", 2) == 0 ? host + 2 : host;
    size_t len = strnlen(p, MAX_HOST + 1);
    if (len == 0 || len > MAX_HOST || *p == '.' || *p == '-')
        return false;
    for (; *p; p++)
        if (!isalnum((unsigned char)*p) && *p != '-' && *p != '.')
            return false;
    return true;
}

static int add_host(GENERAL_NAMES *names, const char *host, struct err *e)
{
    ASN1_OCTET_STRING *ip = a2i_IPADDRESS(host);
    ERR_clear_error();
    if (!ip && !is_host(host))
        return err_set(e, ERR_CONFIG, "host \"%.80s\" is neither a host name nor an address", host);
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_STRING *value = ip ? ip : ASN1_IA5STRING_new();
    bool ok = name && value && (ip || ASN1_STRING_set(value, host, -1));
    if (ok) {
        GENERAL_NAME_set0_value(name, ip ? GEN_IPADD : GEN_DNS, value);
        value = NULL;
        ok = sk_GENERAL_NAME_push(names, name) > 0;
    }
    if (!ok) {
        ASN1_STRING_free(value);
        GENERAL_NAME_free(name);
        return err_set(e, ERR_NOMEM, "no memory for host names");
    }
    return 0;
}

static int add_hosts(X509 *cert, const char *const *host, size_t n, struct err *e)
{
    int rc = 0;
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    if (!names)
        return err_set(e, ERR_NOMEM, "no memory for host names");
    for (size_t i = 0; i < n && !rc; i++)
        rc = add_host(names, host[i], e);
    if (!rc && X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, 0) != 1)
        rc = identity_failed(e, "a list of host names");
    GENERAL_NAMES_free(names);
    return rc;
}

int identity_make_server(struct identity *out, const struct identity *ca, const char *const *host,
                         size_t n, int64_t now, unsigned days, struct err *e)
{
    struct signer s;
    int rc = identity_check_days(days, e);
    if (!rc && (n < 1 || n > IDENTITY_MAX_HOSTS))
        rc = err_set(e, ERR_CONFIG, "a server needs 1 to %d host names, not %zu",
                     IDENTITY_MAX_HOSTS, n);
    if (!rc)
        rc = identity_signer(&s, ca, e);
    if (rc)
        return rc;
    const char *name = identity_name_ok(host[0]) ? host[0] : "fedpet-server";
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = key ? draft(key, name, s.cert, &server_profile, now, days) : NULL;
    rc = cert ? add_hosts(cert, host, n, e) : identity_failed(e, "a server certificate");
    if (!rc)
        rc = X509_sign(cert, s.key, EVP_sha256()) ? identity_write(out, key, cert, NULL, e)
                                                  : identity_failed(e, "a server certificate");
    X509_free(cert);
    EVP_PKEY_free(key);
    identity_signer_release(&s);
    return rc;
}

/* The names of a server's certificate, as it has them. */
static bool copy_hosts(X509 *to, const X509 *from)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(from, NID_subject_alt_name, NULL, NULL);
    bool ok = names && X509_add1_ext_i2d(to, NID_subject_alt_name, names, 0, 0) == 1;
    GENERAL_NAMES_free(names);
    return ok;
}

int identity_renew_server(struct identity *out, const struct identity *ca, const char *old_cert,
                          int64_t now, unsigned days, struct err *e)
{
    struct signer s = {0};
    X509 *old = NULL, *cert = NULL;
    EVP_PKEY *key = NULL;
    char name[IDENTITY_MAX_NAME + 1];
    int rc = identity_check_days(days, e);
    if (!rc)
        rc = identity_read_cert(&old, old_cert, e);
    if (!rc)
        rc = x509_common_name(X509_get_subject_name(old), name, e);
    if (!rc)
        rc = identity_signer(&s, ca, e);
    if (rc)
        goto out;
    key = EVP_EC_gen("P-256");
    cert = key ? draft(key, name, s.cert, &server_profile, now, days) : NULL;
    rc = cert && copy_hosts(cert, old) && X509_sign(cert, s.key, EVP_sha256())
             ? identity_write(out, key, cert, NULL, e)
             : identity_failed(e, "a server certificate");
out:
    X509_free(cert);
    X509_free(old);
    EVP_PKEY_free(key);
    identity_signer_release(&s);
    return rc;
}

/* ---- devices ------------------------------------------------------------------------------- */

int identity_make_csr(struct identity *out, const char *name, struct err *e)
{
    int rc = check_name(name, e);
    if (rc)
        return rc;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509_REQ *request = key ? X509_REQ_new() : NULL;
    bool ok = request && X509_REQ_set_version(request, X509_REQ_VERSION_1) &&
              set_name(X509_REQ_get_subject_name(request), name) &&
              X509_REQ_set_pubkey(request, key) && X509_REQ_sign(request, key, EVP_sha256());
    rc = ok ? identity_write(out, key, NULL, request, e) : identity_failed(e, "a signing request");
    X509_REQ_free(request);
    EVP_PKEY_free(key);
    return rc;
}

static bool is_p256(EVP_PKEY *key)
{
    char group[32];
    size_t len = 0;
    return EVP_PKEY_is_a(key, "EC") &&
           EVP_PKEY_get_group_name(key, group, sizeof group, &len) == 1 &&
           OBJ_txt2nid(group) == NID_X9_62_prime256v1;
}

/* The request's public key (borrowed), once its signature has shown that the sender holds the
 * private one. */
static int requested_key(EVP_PKEY **out, X509_REQ *request, struct err *e)
{
    EVP_PKEY *key = X509_REQ_get0_pubkey(request);
    int rc = 0;
    if (!key || !is_p256(key))
        rc = err_set(e, ERR_TLS, "signing request: the key is not ECDSA P-256");
    else if (X509_REQ_verify(request, key) != 1)
        rc = err_set(e, ERR_TLS, "signing request: its signature is wrong");
    ERR_clear_error();
    if (!rc)
        *out = key;
    return rc;
}

static int read_request(X509_REQ **out, const char *pem, struct err *e)
{
    BIO *bio = identity_bio(pem);
    X509_REQ *request = bio ? PEM_read_bio_X509_REQ(bio, NULL, x509_no_passphrase, NULL) : NULL;
    BIO_free(bio);
    if (!request)
        return err_set(e, ERR_TLS, "signing request: not PEM or broken (%s)", x509_reason());
    *out = request;
    return 0;
}

int identity_sign_csr(char **cert, const struct identity *ca, const char *csr_pem, const char *name,
                      int64_t now, unsigned days, struct err *e)
{
    struct signer s = {0};
    X509_REQ *request = NULL;
    EVP_PKEY *key = NULL;
    X509 *made = NULL;
    int rc = check_name(name, e);
    if (!rc)
        rc = identity_check_days(days, e);
    if (!rc)
        rc = read_request(&request, csr_pem, e);
    if (!rc)
        rc = requested_key(&key, request, e);
    if (!rc)
        rc = identity_signer(&s, ca, e);
    if (rc)
        goto out;
    made = draft(key, name, s.cert, &device_profile, now, days);
    rc = made && X509_sign(made, s.key, EVP_sha256()) ? identity_pem(cert, NULL, made, NULL, e)
                                                      : identity_failed(e, "a device certificate");
out:
    X509_free(made);
    X509_REQ_free(request);
    identity_signer_release(&s);
    return rc;
}

int identity_csr_name(const char *csr_pem, char out[IDENTITY_MAX_NAME + 1], struct err *e)
{
    X509_REQ *request = NULL;
    int rc = read_request(&request, csr_pem, e);
    if (!rc && (rc = x509_common_name(X509_REQ_get_subject_name(request), out, e)))
        err_wrap(e, "signing request");
    X509_REQ_free(request);
    return rc;
}
