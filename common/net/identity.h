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

enum { IDENTITY_MAX_NAME = 64, IDENTITY_MAX_HOSTS = 64, IDENTITY_MAX_DAYS = 36500 };

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

#endif
