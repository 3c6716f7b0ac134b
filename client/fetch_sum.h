/* The checksums that name files on the Hugging Face hub: SHA-256 for large files (Git LFS), and for
 * small ones the name that git gives a blob, SHA-1 of "blob SIZE\0" and the bytes (Pro Git, 10.2).
 */
#ifndef CLIENT_FETCH_SUM_H
#define CLIENT_FETCH_SUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FETCH_SUM_HEX = 65 }; /* the longest, with the NUL */
enum fetch_sum_kind { FETCH_SHA256, FETCH_GIT_BLOB };

struct fetch_sum {
    enum fetch_sum_kind kind;
    char hex[FETCH_SUM_HEX]; /* lower case */
};

/* From 64 (SHA-256) or 40 (git) hexadecimal digits; false for anything else. */
bool fetch_sum_parse(struct fetch_sum *out, const char *hex);
/* A commit of git: 40 lower-case hexadecimal digits. */
bool fetch_sum_is_commit(const char *text);

/* Incremental: begin, feed any number of times, end, which frees the state and tells whether the
 * bytes are those of `sum`. `size` is that of the whole file. Aborts only when OpenSSL has no
 * memory. */
struct fetch_digest;
struct fetch_digest *fetch_digest_begin(enum fetch_sum_kind kind, uint64_t size);
void fetch_digest_feed(struct fetch_digest *d, const void *bytes, size_t n);
bool fetch_digest_end(struct fetch_digest *d, const struct fetch_sum *sum);

#endif
