/* The inside of the identity module, shared by its files: identity.c (makes certificates),
 * identity_read.c (PEM text), identity_ca.c (bundles of CAs, revocation). */
#ifndef NET_IDENTITY_STATE_H
#define NET_IDENTITY_STATE_H

#include "net/identity.h"
#include "net/x509.h"

enum { IDENTITY_BACKDATE_S = 3600 };

/* A CA as OpenSSL objects. */
struct signer {
    X509 *cert;
    EVP_PKEY *key;
};
/* The first certificate and the first key. ERR_TLS: broken, not a pair, no CA. */
int identity_signer(struct signer *s, const struct identity *ca, struct err *e) MUST_CHECK;
void identity_signer_release(struct signer *s);

/* ERR_TLS "cannot make WHAT", with OpenSSL's reason. */
int identity_failed(struct err *e, const char *what);
int identity_check_days(unsigned days, struct err *e) MUST_CHECK;

/* A BIO that reads text; NULL without memory. */
BIO *identity_bio(const char *pem);
/* What a memory BIO holds, malloc'ed. ERR_NOMEM. */
int identity_bio_text(char **out, BIO *bio, struct err *e) MUST_CHECK;
/* Exactly one of the three is given; the BIO's memory is the secure kind, wiped when freed. */
int identity_pem(char **out, EVP_PKEY *key, X509 *cert, X509_REQ *request,
                 struct err *e) MUST_CHECK;
int identity_write(struct identity *out, EVP_PKEY *key, X509 *cert, X509_REQ *request,
                   struct err *e) MUST_CHECK;
/* The first of the text. ERR_TLS. */
int identity_read_cert(X509 **out, const char *pem, struct err *e) MUST_CHECK;
int identity_read_key(EVP_PKEY **out, const char *pem, struct err *e) MUST_CHECK;

#endif
