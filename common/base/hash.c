#define OPENSSL_SUPPRESS_DEPRECATED /* the functions of OpenSSL 1.1: the later ones allocate, and  \
                                       so can fail */
#include "base/hash.h"

#include <openssl/sha.h>

_Static_assert(sizeof(SHA256_CTX) <= sizeof(struct hash_state), "the state has room for OpenSSL's");

static SHA256_CTX *context(struct hash_state *h)
{
    return (SHA256_CTX *)(void *)h->memory;
}

struct hash hash_of(const void *bytes, size_t len)
{
    struct hash_state state;

    hash_begin(&state);
    hash_feed(&state, bytes, len);
    return hash_end(&state);
}

struct hash_state *hash_begin(struct hash_state *h)
{
    SHA256_Init(context(h));
    return h;
}

void hash_feed(struct hash_state *h, const void *bytes, size_t len)
{
    SHA256_Update(context(h), bytes, len);
}

struct hash hash_end(struct hash_state *h)
{
    struct hash out;

    SHA256_Final(out.byte, context(h));
    return out;
}

void hash_hex(const struct hash *h, char out[HASH_HEX])
{
    static const char digit[] = "0123456789abcdef";

    for (int i = 0; i < HASH_BYTES; i++) {
        out[2 * i] = digit[h->byte[i] >> 4];
        out[2 * i + 1] = digit[h->byte[i] & 15];
    }
    out[HASH_HEX - 1] = '\0';
}
