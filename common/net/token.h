/* One-time enrolment tokens: what an operator hands to a device so that both sides can trust the
 * first connection. The device pins the CA by its fingerprint, the server knows the device by the
 * secret, of which it keeps only the digest. Text: "fedpet1.SECRET.FINGERPRINT", SECRET 128 random
 * bits in base64url (RFC 4648, 5; no padding), FINGERPRINT the SHA-256 of the CA certificate's DER
 * in lower-case hexadecimal. */
#ifndef NET_TOKEN_H
#define NET_TOKEN_H

#include "base/err.h"
#include "base/hash.h"

enum { TOKEN_SECRET = 16, TOKEN_TEXT = 8 + 22 + 1 + 64 + 1 /* with the NUL */ };

struct token {
    unsigned char secret[TOKEN_SECRET];
    struct hash ca;
};

/* A fresh secret for the CA with this fingerprint (identity_fingerprint). ERR_TLS: no randomness.
 */
int token_make(struct token *out, const struct hash *ca, struct err *e) MUST_CHECK;
void token_format(const struct token *t, char text[TOKEN_TEXT]);
/* Exactly the form that token_format writes, nothing before or after. ERR_TLS; the text never
 * appears in the message. */
int token_parse(const char *text, struct token *out, struct err *e) MUST_CHECK;
/* What a server stores and looks up: SHA-256 of the secret, which has too much entropy to be
 * guessed from it. */
struct hash token_digest(const struct token *t);

#endif
