/* Identities: the private CA of a federation, and the keys and certificates (X.509, RFC 5280) that
 * it vouches for.
 *
 * Keys are ECDSA P-256: the one curve that TLS 1.3 requires (RFC 8446, 9.1), that TPMs, phones' key
 * stores and FIPS modules hold, and that every HTTP tool accepts; Ed25519 would save nothing here
 * and fails on most of these. The CA signs end entities only (path length 0); a server's
 * certificate may only serve and a device's may only dial, so a device cannot pose as the server.
 *
 * Functions take the time from the caller and return PEM text; they touch no file. Callers write
 * keys with mode 0600. */
#ifndef NET_IDENTITY_H
#define NET_IDENTITY_H

#include "base/err.h"
#include "base/hash.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    IDENTITY_MAX_NAME = 64,
    IDENTITY_MAX_HOSTS = 64,
    IDENTITY_MAX_DAYS = 36500,
    IDENTITY_SERIAL = 41, /* 20 bytes in hexadecimal (RFC 5280, 4.1.2.2), with the NUL */
};

/* A private key and what speaks for it. Both are NUL-terminated PEM; zero-initialise, free with
 * identity_release. */
struct identity {
    char *key;  /* PKCS #8, not encrypted */
    char *cert; /* the certificate, or the signing request that asks for one */
};
/* Wipes and frees the key, frees the rest. */
void identity_release(struct identity *id);

/* Names of clients and CAs: 1 to 64 of [A-Za-z0-9._-], beginning with a letter or a digit: safe in
 * file names, logs and SQL. */
bool identity_name_ok(const char *name);

/* A self-signed CA. `now` in Unix seconds; certificates begin an hour earlier, for clocks that run
 * late. ERR_CONFIG: bad name or days outside 1..IDENTITY_MAX_DAYS; ERR_TLS. */
int identity_make_ca(struct identity *out, const char *name, int64_t now, unsigned days,
                     struct err *e) MUST_CHECK;
/* A server's key and certificate for n >= 1 host names or IP addresses, the first also its common
 * name when it is short enough. ERR_CONFIG: a bad host or days; ERR_TLS: broken CA, or key that is
 * not its own. */
int identity_make_server(struct identity *out, const struct identity *ca, const char *const *host,
                         size_t n, int64_t now, unsigned days, struct err *e) MUST_CHECK;
/* A new key and certificate for the server that `old_cert` names: same common name and hosts. No
 * check of who issued that. ERR_CONFIG: days; ERR_TLS: broken CA or certificate. */
int identity_renew_server(struct identity *out, const struct identity *ca, const char *old_cert,
                          int64_t now, unsigned days, struct err *e) MUST_CHECK;
/* A device's key and PKCS #10 request (RFC 2986) for `name`. ERR_CONFIG, ERR_TLS. */
int identity_make_csr(struct identity *out, const char *name, struct err *e) MUST_CHECK;
/* The certificate of a device. Only the public key is taken from the request, after its signature
 * proved possession; the subject is `name` and the extensions are ours. *cert is malloc'ed PEM.
 * ERR_CONFIG: bad name or days; ERR_TLS: broken request, key other than P-256. */
int identity_sign_csr(char **cert, const struct identity *ca, const char *csr_pem, const char *name,
                      int64_t now, unsigned days, struct err *e) MUST_CHECK;

/* SHA-256 of the DER form of the first certificate in PEM text. ERR_TLS. */
int identity_fingerprint(const char *cert_pem, struct hash *out, struct err *e) MUST_CHECK;
/* Its common name, at most IDENTITY_MAX_NAME bytes. ERR_TLS: none, or one that identity_name_ok
 * refuses. */
int identity_common_name(const char *cert_pem, char out[IDENTITY_MAX_NAME + 1],
                         struct err *e) MUST_CHECK;
/* The common name that a request asks for, under the same conditions. Nothing is verified: that is
 * for identity_sign_csr. */
int identity_csr_name(const char *csr_pem, char out[IDENTITY_MAX_NAME + 1],
                      struct err *e) MUST_CHECK;
/* Unix seconds of a certificate's last valid moment. ERR_TLS. */
int identity_expiry(const char *cert_pem, int64_t *out, struct err *e) MUST_CHECK;
/* Both ends of the time in which it is good. ERR_TLS. */
int identity_validity(const char *cert_pem, int64_t *begins, int64_t *ends,
                      struct err *e) MUST_CHECK;
/* That the key is the first certificate's. ERR_TLS. */
int identity_check_pair(const struct identity *id, struct err *e) MUST_CHECK;
/* Its serial number in upper-case hexadecimal, as `openssl x509 -serial` prints it. ERR_TLS. */
int identity_serial(const char *cert_pem, char out[IDENTITY_SERIAL], struct err *e) MUST_CHECK;
/* Whether a text could be one. */
bool identity_serial_ok(const char *text);

/* --- several CAs at a time ---
 *
 * While a federation moves from one CA to the next, it trusts both: `cert` of its CA is then a
 * bundle, the CA that signs first, and `key` has the keys of all, the same one first. */

/* A bundle: `next` in front of what `ca` holds. ERR_NOMEM. */
int identity_bundle(struct identity *out, const struct identity *next, const struct identity *ca,
                    struct err *e) MUST_CHECK;
/* The first CA alone. ERR_TLS. */
int identity_first(struct identity *out, const struct identity *ca, struct err *e) MUST_CHECK;
/* How many CAs a bundle has. ERR_TLS. */
int identity_count(const char *ca_pem, size_t *n, struct err *e) MUST_CHECK;
/* Whether one of the bundle has this fingerprint. */
bool identity_has(const char *ca_pem, const struct hash *fingerprint);
/* Which of the bundle signed the first certificate of `cert_pem`: its place and, unless NULL, its
 * fingerprint. ERR_TLS: none. */
int identity_issuer(const char *cert_pem, const char *ca_pem, size_t *place,
                    struct hash *fingerprint, struct err *e) MUST_CHECK;

struct identity_revocation {
    const char *serial; /* identity_serial_ok */
    int64_t at;         /* Unix seconds */
};
/* Certificate revocation lists (RFC 5280, 5), one signed by each CA whose key is there, as PEM
 * text. All name the same n serials: these are random, and one that its CA never gave harms nobody.
 * A list is good for as long as its CA: it never travels, so nobody can pass off an old one as the
 * present one. ERR_TLS. */
int identity_make_crl(char **out, const struct identity *ca, const struct identity_revocation *list,
                      size_t n, int64_t now, struct err *e) MUST_CHECK;

#endif
