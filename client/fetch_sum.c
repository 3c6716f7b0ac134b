#include "client/fetch_sum.h"
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GIT_HEX = 40, SHA256_HEX = 64 };

struct fetch_digest {
    EVP_MD_CTX *md;
};

static bool is_hex(const char *text, size_t n)
{
    return strspn(text, "0123456789abcdef") == n && text[n] == '\0';
}

bool fetch_sum_is_commit(const char *text)
{
    return is_hex(text, GIT_HEX);
}

bool fetch_sum_parse(struct fetch_sum *out, const char *hex)
{
    if (!is_hex(hex, SHA256_HEX) && !is_hex(hex, GIT_HEX))
        return false;
    out->kind = strlen(hex) == SHA256_HEX ? FETCH_SHA256 : FETCH_GIT_BLOB;
    snprintf(out->hex, sizeof out->hex, "%s", hex);
    return true;
}

/* Digests of bytes in memory cannot fail but for want of memory. */
static void must(bool ok)
{
    if (ok)
        return;
    fputs("fatal: no memory for a checksum\n", stderr);
    abort();
}

struct fetch_digest *fetch_digest_begin(enum fetch_sum_kind kind, uint64_t size)
{
    struct fetch_digest *d = malloc(sizeof *d);
    must(d != NULL);
    d->md = EVP_MD_CTX_new();
    must(d->md != NULL);
    must(EVP_DigestInit_ex(d->md, kind == FETCH_SHA256 ? EVP_sha256() : EVP_sha1(), NULL) == 1);
    if (kind == FETCH_GIT_BLOB) {
        char header[32];
        int n = snprintf(header, sizeof header, "blob %" PRIu64, size);
        fetch_digest_feed(d, header, (size_t)n + 1);
    }
    return d;
}

void fetch_digest_feed(struct fetch_digest *d, const void *bytes, size_t n)
{
    must(EVP_DigestUpdate(d->md, bytes, n) == 1);
}

bool fetch_digest_end(struct fetch_digest *d, const struct fetch_sum *sum)
{
    unsigned char out[EVP_MAX_MD_SIZE];
    unsigned n;
    char hex[FETCH_SUM_HEX] = "";
    must(EVP_DigestFinal_ex(d->md, out, &n) == 1);
    for (unsigned i = 0; i < n; i++)
        snprintf(hex + 2 * i, sizeof hex - 2 * i, "%02x", out[i]);
    EVP_MD_CTX_free(d->md);
    free(d);
    return strcmp(hex, sum->hex) == 0;
}
