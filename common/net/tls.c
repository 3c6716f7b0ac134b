#include "net/tls.h"

#include "base/hash.h"
#include "base/log.h"
#include "net/x509.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { RECORD_OVERHEAD = 5 + 1 + 16, SEND_CHUNK = 4 * TLS_RECORD, MAX_DEPTH = 3 };
enum { SECURITY_LEVEL = 2 }; /* 112 bits, SSL_CTX_set_security_level(3) */

struct tls_context {
    SSL_CTX *ssl;
    enum tls_role role;
    BIO_METHOD *wire; /* where OpenSSL reads and writes ciphertext: see below */
    struct hash pin;  /* TLS_ENROLL_CLIENT */
    atomic_uint refs; /* the owner's and one of each connection */
};

struct tls {
    struct tls_context *context;
    SSL *ssl;
    /* During a call: what came and is not read yet, and where to write. No ciphertext is kept
     * between calls but by OpenSSL, of a record that is not whole: ten thousand idle connections
     * are small. */
    const unsigned char *in;
    size_t in_left;
    struct buf *out;
    bool full; /* it has no room */
    char peer[IDENTITY_MAX_NAME + 1];
    bool ready;
};

/* ---- the wire ------------------------------------------------------------------------------ */

static int wire_read(BIO *b, char *to, int n)
{
    struct tls *t = BIO_get_data(b);
    size_t take = (size_t)n < t->in_left ? (size_t)n : t->in_left;
    BIO_clear_retry_flags(b);
    if (take == 0) {
        BIO_set_retry_read(b);
        return -1;
    }
    memcpy(to, t->in, take);
    t->in += take;
    t->in_left -= take;
    return (int)take;
}

static int wire_write(BIO *b, const char *from, int n)
{
    struct tls *t = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    t->full |= !t->out || buf_append(t->out, from, (size_t)n) != 0;
    return t->full ? -1 : n;
}

static long wire_ctrl(BIO *b, int command, long number, void *pointer)
{
    (void)b, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH; /* nothing is held back */
}

static BIO_METHOD *wire_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "wire");
    if (m && BIO_meth_set_read(m, wire_read) && BIO_meth_set_write(m, wire_write) &&
        BIO_meth_set_ctrl(m, wire_ctrl))
        return m;
    BIO_meth_free(m);
    return NULL;
}

static bool wire_open(struct tls *t)
{
    BIO *wire = BIO_new(t->context->wire);
    if (!wire)
        return false;
    BIO_set_data(wire, t);
    BIO_set_init(wire, 1);
    SSL_set_bio(t->ssl, wire, wire);
    return true;
}

/* ---- context ------------------------------------------------------------------------------- */

static BIO *open_pem(const char *path, struct err *e)
{
    errno = 0;
    BIO *bio = BIO_new_file(path, "r");
    if (!bio)
        err_sys(e, ERR_IO, errno ? errno : EIO, "%s", path);
    ERR_clear_error();
    return bio;
}

static int check_dates(const X509 *cert, const char *path, struct err *e)
{
    if (X509_cmp_current_time(X509_get0_notBefore(cert)) > 0)
        return err_set(e, ERR_TLS, "%s: certificate not yet valid; check this machine's clock",
                       path);
    if (X509_cmp_current_time(X509_get0_notAfter(cert)) < 0)
        return err_set(e, ERR_TLS, "%s: certificate expired; make or enrol a new one", path);
    return 0;
}

/* All certificates of a file, every one of them in force now. */
static int read_chain(STACK_OF(X509) * *out, const char *path, struct err *e)
{
    STACK_OF(X509) *chain = NULL;
    BIO *bio = open_pem(path, e);
    if (!bio)
        return ERR_IO;
    int rc = x509_read_chain(&chain, bio, path, e);
    BIO_free(bio);
    if (rc)
        return rc;
    for (int i = 0; i < sk_X509_num(chain) && !rc; i++)
        rc = check_dates(sk_X509_value(chain, i), path, e);
    if (rc)
        sk_X509_pop_free(chain, X509_free);
    else
        *out = chain;
    return rc;
}

static int use_ca(struct tls_context *c, const char *path, struct err *e)
{
    STACK_OF(X509) *chain = NULL;
    int rc = read_chain(&chain, path, e);
    if (rc)
        return rc;
    bool ok = true;
    /* An enrolling device cannot pin a CA that it is not shown; all others hold it already. */
    for (int i = 0; i < sk_X509_num(chain) && ok; i++)
        ok = c->role == TLS_ENROLL_SERVER
                 ? SSL_CTX_add1_chain_cert(c->ssl, sk_X509_value(chain, i))
                 : X509_STORE_add_cert(SSL_CTX_get_cert_store(c->ssl), sk_X509_value(chain, i));
    sk_X509_pop_free(chain, X509_free);
    return ok ? 0 : err_set(e, ERR_TLS, "%s: cannot be used as CA (%s)", path, x509_reason());
}

/* The first certificate is this side's own, those after it lead to the CA. */
static int use_cert(struct tls_context *c, const char *path, struct err *e)
{
    STACK_OF(X509) *chain = NULL;
    int rc = read_chain(&chain, path, e);
    if (rc)
        return rc;
    bool ok = SSL_CTX_use_certificate(c->ssl, sk_X509_value(chain, 0));
    for (int i = 1; i < sk_X509_num(chain) && ok; i++)
        ok = SSL_CTX_add1_chain_cert(c->ssl, sk_X509_value(chain, i));
    sk_X509_pop_free(chain, X509_free);
    return ok ? 0 : err_set(e, ERR_TLS, "%s: cannot be used (%s)", path, x509_reason());
}

static void warn_of_mode(const char *path)
{
    struct stat st;
    if (stat(path, &st) == 0 && st.st_mode & (S_IRWXG | S_IRWXO))
        log_warn(
            "private key is open to other users than its owner; use mode 600 path=%s mode=%03o",
            path, (unsigned)st.st_mode & 0777);
}

static int use_key(struct tls_context *c, const char *path, const char *cert, struct err *e)
{
    BIO *bio = open_pem(path, e);
    if (!bio)
        return ERR_IO;
    warn_of_mode(path);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, x509_no_passphrase, NULL);
    BIO_free(bio);
    if (!key)
        return err_set(e, ERR_TLS, "%s: no unencrypted PEM private key in it (%s)", path,
                       x509_reason());
    bool ok = SSL_CTX_use_PrivateKey(c->ssl, key) && SSL_CTX_check_private_key(c->ssl);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return ok ? 0 : err_set(e, ERR_TLS, "%s: is not the key of %s", path, cert);
}

static int use_one_crl(X509_STORE *store, X509_CRL *crl, const char *path, struct err *e)
{
    const ASN1_TIME *until = X509_CRL_get0_nextUpdate(crl);
    if (until && X509_cmp_current_time(until) < 0)
        return err_set(e, ERR_TLS, "%s: revocation list out of date; make a new one", path);
    return X509_STORE_add_crl(store, crl)
               ? 0
               : err_set(e, ERR_TLS, "%s: revocation list cannot be used (%s)", path,
                         x509_reason());
}

/* From now on every certificate needs a list of its issuer that does not name it. */
static int use_crl(struct tls_context *c, const char *path, struct err *e)
{
    X509_STORE *store = SSL_CTX_get_cert_store(c->ssl);
    X509_CRL *crl;
    int rc = 0, n = 0;
    BIO *bio = open_pem(path, e);
    if (!bio)
        return ERR_IO;
    while (!rc && (crl = PEM_read_bio_X509_CRL(bio, NULL, x509_no_passphrase, NULL))) {
        rc = use_one_crl(store, crl, path, e);
        X509_CRL_free(crl);
        n++;
    }
    if (!rc && (n == 0 || !x509_at_end()))
        rc = err_set(e, ERR_TLS, "%s: no PEM revocation list, or a broken one (%s)", path,
                     x509_reason());
    ERR_clear_error();
    BIO_free(bio);
    if (!rc)
        X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
    return rc;
}

static bool parse_hex(const char *text, struct hash *out)
{
    long len = 0;
    unsigned char *bytes = OPENSSL_hexstr2buf(text, &len);
    bool ok = bytes && len == HASH_BYTES;
    if (ok)
        memcpy(out->byte, bytes, HASH_BYTES);
    OPENSSL_free(bytes);
    ERR_clear_error();
    return ok;
}

/* The certificate of the peer's chain that the token pins; NULL when it is not there. */
static X509 *find_pinned(STACK_OF(X509) * chain, const struct hash *pin)
{
    for (int i = 0; i < sk_X509_num(chain); i++) {
        struct hash h = x509_fingerprint(sk_X509_value(chain, i));
        if (hash_same(&h, pin))
            return sk_X509_value(chain, i);
    }
    return NULL;
}

/* Trusts the pinned certificate for this one connection, then verifies the chain as ever. */
static int verify_pinned(X509_STORE_CTX *store, void *arg)
{
    const struct tls_context *c = arg;
    X509 *ca = find_pinned(X509_STORE_CTX_get0_untrusted(store), &c->pin);
    STACK_OF(X509) *trusted = ca ? sk_X509_new_null() : NULL;
    if (!trusted || !sk_X509_push(trusted, ca)) {
        sk_X509_free(trusted);
        X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_UNTRUSTED);
        return 0;
    }
    X509_STORE_CTX_set0_trusted_stack(store, trusted);
    int ok = X509_verify_cert(store);
    sk_X509_free(trusted);
    return ok > 0;
}

static bool configure(struct tls_context *c)
{
    SSL_CTX *s = c->ssl;
    /* Weak keys and hashes are refused whatever the machine's openssl.cnf says. */
    SSL_CTX_set_security_level(s, SECURITY_LEVEL);
    SSL_CTX_set_options(s, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
    /* The chain is what the role says, not what OpenSSL finds; idle connections keep no buffers. */
    SSL_CTX_set_mode(s, SSL_MODE_NO_AUTO_CHAIN | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(s, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_verify_depth(s, MAX_DEPTH);
    SSL_CTX_set_verify(s,
                       c->role == TLS_ENROLL_SERVER
                           ? SSL_VERIFY_NONE
                           : SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                       NULL);
    if (c->role == TLS_ENROLL_CLIENT)
        SSL_CTX_set_cert_verify_callback(s, verify_pinned, c);
    return SSL_CTX_set_min_proto_version(s, TLS1_3_VERSION) &&
           SSL_CTX_set_max_proto_version(s, TLS1_3_VERSION) && SSL_CTX_set_num_tickets(s, 0) &&
           SSL_CTX_set1_groups_list(s, "X25519:P-256");
}

static int check_files(enum tls_role role, const struct tls_files *f, struct err *e)
{
    if (role == TLS_ENROLL_CLIENT)
        return f->ca_sha256 ? 0 : err_set(e, ERR_TLS, "enrolment needs the CA's fingerprint");
    if (!f->ca || !f->cert || !f->key)
        return err_set(e, ERR_TLS, "no %s file is configured",
                       !f->ca     ? "CA"
                       : !f->cert ? "certificate"
                                  : "key");
    return 0;
}

static int use_files(struct tls_context *c, const struct tls_files *f, struct err *e)
{
    if (c->role == TLS_ENROLL_CLIENT)
        return parse_hex(f->ca_sha256, &c->pin)
                   ? 0
                   : err_set(e, ERR_TLS, "the CA's fingerprint is not %d hexadecimal digits",
                             HASH_HEX - 1);
    /* Chain certificates belong to the current own certificate, so that comes first. */
    int rc = use_cert(c, f->cert, e);
    if (!rc)
        rc = use_ca(c, f->ca, e);
    if (!rc && f->crl)
        rc = use_crl(c, f->crl, e);
    if (!rc)
        rc = use_key(c, f->key, f->cert, e);
    return rc;
}

int tls_context_open(struct tls_context **out, enum tls_role role, const struct tls_files *f,
                     struct err *e)
{
    int rc = check_files(role, f, e);
    if (rc)
        return rc;
    struct tls_context *c = calloc(1, sizeof *c);
    if (!c)
        return err_set(e, ERR_NOMEM, "no memory for a TLS context");
    c->role = role;
    atomic_init(&c->refs, 1);
    bool serves = role == TLS_SERVER || role == TLS_ENROLL_SERVER;
    c->ssl = SSL_CTX_new(serves ? TLS_server_method() : TLS_client_method());
    c->wire = wire_method();
    if (!c->ssl || !c->wire || !configure(c))
        rc = err_set(e, ERR_TLS, "OpenSSL cannot do TLS 1.3 here (%s)", x509_reason());
    if (!rc)
        rc = use_files(c, f, e);
    if (rc) {
        tls_context_close(c);
        return rc;
    }
    *out = c;
    return 0;
}

void tls_context_close(struct tls_context *c)
{
    if (!c || atomic_fetch_sub(&c->refs, 1) != 1)
        return;
    SSL_CTX_free(c->ssl);
    BIO_meth_free(c->wire);
    free(c);
}

/* ---- connection ---------------------------------------------------------------------------- */

/* RFC 6066, 3: a literal address is no server name, so it is checked but not announced. */
static bool expect_name(SSL *ssl, const char *name)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    if (X509_VERIFY_PARAM_set1_ip_asc(param, name))
        return true;
    ERR_clear_error();
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return X509_VERIFY_PARAM_set1_host(param, name, 0) && SSL_set_tlsext_host_name(ssl, name);
}

static bool dials(const struct tls *t)
{
    return t->context->role == TLS_CLIENT || t->context->role == TLS_ENROLL_CLIENT;
}

int tls_open(struct tls **out, struct tls_context *c, const char *name, struct err *e)
{
    struct tls *t = calloc(1, sizeof *t);
    if (!t)
        return err_set(e, ERR_NOMEM, "no memory for a TLS connection");
    atomic_fetch_add(&c->refs, 1);
    t->context = c;
    t->ssl = SSL_new(c->ssl);
    if (!t->ssl || !wire_open(t)) {
        tls_close(t);
        return err_set(e, ERR_NOMEM, "no memory for a TLS connection (%s)", x509_reason());
    }
    if (dials(t))
        SSL_set_connect_state(t->ssl);
    else
        SSL_set_accept_state(t->ssl);
    if (dials(t) && (!name || !*name || !expect_name(t->ssl, name))) {
        tls_close(t);
        return err_set(e, ERR_TLS, "\"%s\" is not a host name or an address", name ? name : "");
    }
    *out = t;
    return 0;
}

void tls_close(struct tls *t)
{
    if (!t)
        return;
    SSL_free(t->ssl);
    tls_context_close(t->context);
    ERR_clear_error();
    free(t);
}

/* What a failed handshake or record means to the people at both ends. */
static int explain(struct tls *t, struct err *e)
{
    unsigned long code = ERR_peek_error();
    int why = ERR_GET_REASON(code);
    long verdict = SSL_get_verify_result(t->ssl);
    const char *text = x509_reason();
    if (why == SSL_R_CERTIFICATE_VERIFY_FAILED && verdict != X509_V_OK)
        return err_set(e, ERR_TLS, "the peer's certificate was refused: %s",
                       X509_verify_cert_error_string(verdict));
    if (why == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
        return err_set(e, ERR_TLS, "the peer showed no certificate; it must be enrolled first");
    if (why > SSL_AD_REASON_OFFSET && why < SSL_AD_REASON_OFFSET + 256)
        return err_set(e, ERR_TLS, "the peer refused this side's TLS or certificate: %s", text);
    return err_set(e, ERR_TLS, "TLS failed: %s", text);
}

/* Servers know a client by its name alone, so there it must be one that we would have given. */
static int learn_peer(struct tls *t, struct err *e)
{
    t->ready = true;
    X509 *cert = SSL_get0_peer_certificate(t->ssl);
    int rc = cert ? x509_common_name(X509_get_subject_name(cert), t->peer, e) : 0;
    return t->context->role == TLS_SERVER ? rc : 0;
}

static int read_plain(struct tls *t, struct buf *plain, bool *closed, struct err *e)
{
    for (;;) {
        size_t n = 0;
        unsigned char *to = buf_reserve(plain, TLS_RECORD);
        if (!to)
            return err_set(e, ERR_NOMEM, "no room for what the peer sends");
        int ok = SSL_read_ex(t->ssl, to, TLS_RECORD, &n);
        int state = SSL_get_error(t->ssl, ok);
        buf_commit(plain, n);
        if (state == SSL_ERROR_WANT_READ)
            return 0;
        if (state == SSL_ERROR_ZERO_RETURN) {
            *closed = true;
            return 0;
        }
        if (state != SSL_ERROR_NONE)
            return explain(t, e);
    }
}

static int advance(struct tls *t, struct buf *plain, bool *closed, struct err *e)
{
    if (!t->ready) {
        int ok = SSL_do_handshake(t->ssl);
        if (ok != 1)
            return SSL_get_error(t->ssl, ok) == SSL_ERROR_WANT_READ ? 0 : explain(t, e);
        int rc = learn_peer(t, e);
        if (rc)
            return rc;
    }
    return read_plain(t, plain, closed, e);
}

static void begin(struct tls *t, const unsigned char *in, size_t n, struct buf *cipher)
{
    t->in = in;
    t->in_left = n;
    t->out = cipher;
    t->full = false;
}

/* Without room for what was to be sent, everything else that went wrong follows from that. */
static int finish(struct tls *t, int rc, struct err *e)
{
    bool full = t->full;
    begin(t, NULL, 0, NULL);
    return full ? err_set(e, ERR_NOMEM, "no memory for what is to be sent") : rc;
}

int tls_feed(struct tls *t, const void *in, size_t n, struct buf *plain, struct buf *cipher,
             bool *closed, struct err *e)
{
    ERR_clear_error();
    *closed = false;
    begin(t, in, n, cipher);
    int rc = n > 0 ? advance(t, plain, closed, e) : 0;
    return finish(t, rc, e);
}

int tls_start(struct tls *t, struct buf *cipher, struct err *e)
{
    ERR_clear_error();
    if (!dials(t))
        return 0;
    begin(t, NULL, 0, cipher);
    int ok = SSL_do_handshake(t->ssl);
    bool waits = ok == 1 || SSL_get_error(t->ssl, ok) == SSL_ERROR_WANT_READ;
    return finish(t, waits ? 0 : explain(t, e), e);
}

size_t tls_sealed(size_t n)
{
    return n + (n + TLS_RECORD - 1) / TLS_RECORD * RECORD_OVERHEAD;
}

int tls_send(struct tls *t, const void *bytes, size_t n, struct buf *cipher, struct err *e)
{
    const unsigned char *from = bytes;
    if (!t->ready)
        return err_set(e, ERR_STATE, "TLS is not up yet");
    ERR_clear_error();
    /* Room first: a record that was encrypted and then dropped would break the stream. */
    if (n && !buf_reserve(cipher, tls_sealed(n)))
        return err_set(e, ERR_NOMEM, "no memory for %zu bytes to send", n);
    begin(t, NULL, 0, cipher);
    int rc = 0;
    while (n > 0 && !rc) {
        size_t part = n < SEND_CHUNK ? n : SEND_CHUNK, done = 0;
        if (!SSL_write_ex(t->ssl, from, part, &done))
            rc = explain(t, e);
        from += done;
        n -= done;
    }
    return finish(t, rc, e);
}

void tls_end(struct tls *t, struct buf *cipher)
{
    ERR_clear_error();
    begin(t, NULL, 0, cipher);
    SSL_shutdown(t->ssl);
    ERR_clear_error();
    /* Without memory for the alert, the peer sees a cut stream: true enough. */
    if (finish(t, 0, NULL))
        return;
}

bool tls_ready(const struct tls *t)
{
    return t->ready;
}

const char *tls_peer(const struct tls *t)
{
    return t->peer;
}

int tls_recheck(const struct tls *t, struct tls_context *c, struct err *e)
{
    X509 *cert = SSL_get0_peer_certificate(t->ssl);
    if (!cert)
        return 0;
    X509_STORE_CTX *store = X509_STORE_CTX_new();
    bool made = store &&
                X509_STORE_CTX_init(store, SSL_CTX_get_cert_store(c->ssl), cert,
                                    SSL_get_peer_cert_chain(t->ssl)) &&
                X509_STORE_CTX_set_default(store, dials(t) ? "ssl_server" : "ssl_client");
    int rc = 0;
    if (!made)
        rc = err_set(e, ERR_NOMEM, "no memory to check a certificate");
    else if (X509_verify_cert(store) != 1)
        rc = err_set(e, ERR_TLS, "%s",
                     X509_verify_cert_error_string(X509_STORE_CTX_get_error(store)));
    X509_STORE_CTX_free(store);
    ERR_clear_error();
    return rc;
}

bool tls_peer_ca(const struct tls *t, struct hash *out)
{
    STACK_OF(X509) *chain = t->ready ? SSL_get0_verified_chain(t->ssl) : NULL;
    int n = chain ? sk_X509_num(chain) : 0;
    if (n > 0)
        *out = x509_fingerprint(sk_X509_value(chain, n - 1));
    return n > 0;
}
