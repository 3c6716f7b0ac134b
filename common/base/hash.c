#include "base/hash.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

struct hash_state {
    EVP_MD_CTX *md;
};

/* SHA-256 of bytes in memory cannot fail but for want of memory. */
static void must(bool ok)
{
    if (ok)
        return;
    fputs("fatal: no memory for SHA-256\n", stderr);
    abort();
}

struct hash hash_of(const void *bytes, size_t len)
{
    struct hash h;

    must(EVP_Digest(bytes, len, h.byte, NULL, EVP_sha256(), NULL) == 1);
    return h;
}

struct hash_state *hash_begin(void)
{
    struct hash_state *h = malloc(sizeof *h);

    must(h != NULL);
    h->md = EVP_MD_CTX_new();
    must(h->md && EVP_DigestInit_ex(h->md, EVP_sha256(), NULL) == 1);
    return h;
}

void hash_feed(struct hash_state *h, const void *bytes, size_t len)
{
    must(EVP_DigestUpdate(h->md, bytes, len) == 1);
}

struct hash hash_end(struct hash_state *h)
{
    struct hash out;

    must(EVP_DigestFinal_ex(h->md, out.byte, NULL) == 1);
    EVP_MD_CTX_free(h->md);
    free(h);
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
