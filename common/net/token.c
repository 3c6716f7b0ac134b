#include "net/token.h"

#include "net/openssl.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { PREFIX = 8, SECRET_TEXT = 22, FINGERPRINT_TEXT = HASH_HEX - 1 };

static const char prefix[] = "fedpet1.";
static const char base64url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static const char hexadecimal[] = "0123456789abcdef";

int token_make(struct token *out, const struct hash *ca, struct err *e)
{
    struct token t = {.ca = *ca};
    if (RAND_bytes(t.secret, sizeof t.secret) != 1)
        return err_set(e, ERR_TLS, "the system gives no random numbers for a token");
    *out = t;
    return 0;
}

void token_format(const struct token *t, char text[TOKEN_TEXT])
{
    char *p = text;
    memcpy(p, prefix, PREFIX);
    p += PREFIX;
    uint32_t bits = 0;
    int held = 0;
    for (size_t i = 0; i < TOKEN_SECRET; i++) {
        bits = bits << 8 | t->secret[i];
        for (held += 8; held >= 6; held -= 6)
            *p++ = base64url[bits >> (held - 6) & 63];
    }
    *p++ = base64url[bits << (6 - held) & 63];
    *p++ = '.';
    hash_hex(&t->ca, p);
}

/* The value of a digit, -1 when it is none of the alphabet's. */
static int digit(const char *alphabet, char c)
{
    const char *at = c != '\0' ? strchr(alphabet, c) : NULL;
    return at ? (int)(at - alphabet) : -1;
}

/* The last digit carries two bits more than the secret: they must be zero, so that a token has one
 * form. */
static bool parse_secret(const char *text, unsigned char out[TOKEN_SECRET])
{
    uint32_t bits = 0;
    int held = 0;
    size_t n = 0;
    for (size_t i = 0; i < SECRET_TEXT; i++) {
        int v = digit(base64url, text[i]);
        if (v < 0)
            return false;
        bits = bits << 6 | (uint32_t)v;
        held += 6;
        if (held >= 8) {
            held -= 8;
            out[n++] = (unsigned char)(bits >> held);
        }
    }
    return (bits & ((1u << held) - 1)) == 0;
}

static bool parse_fingerprint(const char *text, struct hash *out)
{
    for (size_t i = 0; i < HASH_BYTES; i++) {
        int high = digit(hexadecimal, text[2 * i]);
        int low = digit(hexadecimal, text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out->byte[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

int token_parse(const char *text, struct token *out, struct err *e)
{
    struct token t;
    bool ok = strnlen(text, TOKEN_TEXT) == TOKEN_TEXT - 1 && memcmp(text, prefix, PREFIX) == 0 &&
              text[PREFIX + SECRET_TEXT] == '.' && parse_secret(text + PREFIX, t.secret) &&
              parse_fingerprint(text + PREFIX + SECRET_TEXT + 1, &t.ca);
    if (!ok)
        return err_set(e, ERR_TLS,
                       "not an enrolment token: expected \"fedpet1.\", %d characters, "
                       "\".\" and %d hexadecimal digits; copy it whole",
                       SECRET_TEXT, FINGERPRINT_TEXT);
    *out = t;
    OPENSSL_cleanse(&t, sizeof t);
    return 0;
}

struct hash token_digest(const struct token *t)
{
    return hash_of(t->secret, sizeof t->secret);
}
