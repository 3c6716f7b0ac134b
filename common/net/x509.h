/* X.509 certificates as tls.c and identity.c both need them; the rest of the product sees PEM only.
 */
#ifndef NET_X509_H
#define NET_X509_H

#include "base/err.h"
#include "base/hash.h"
#include "net/identity.h"
#include "net/openssl.h"

enum { X509_MAX_CHAIN = 8 };

/* The oldest of OpenSSL's queued errors in words (a static string); empties the queue. */
const char *x509_reason(void);
/* PEM has no count: reading ends at the first failure, and only "no further block" is a good end.
 */
bool x509_at_end(void);
/* All certificates of PEM text from `bio`, 1 to X509_MAX_CHAIN; `what` names it in messages. Free
 * with sk_X509_pop_free(chain, X509_free). ERR_TLS: none, too many, or broken. */
int x509_read_chain(STACK_OF(X509) * *out, BIO *bio, const char *what, struct err *e) MUST_CHECK;
/* SHA-256 of its DER form. Aborts only when OpenSSL has no memory. */
struct hash x509_fingerprint(const X509 *cert);
/* The one common name of a subject. ERR_TLS: none, several, or not identity_name_ok. */
int x509_common_name(const X509_NAME *subject, char out[IDENTITY_MAX_NAME + 1],
                     struct err *e) MUST_CHECK;
/* A password callback that refuses: a service has no terminal to ask for a passphrase on. */
int x509_no_passphrase(char *out, int size, int writing, void *ctx);

#endif
