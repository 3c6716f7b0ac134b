/* SHA-256 (FIPS 180-4) through OpenSSL. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define HASH_BYTES 32
#define HASH_HEX 65 /* with the NUL */

struct hash {
    uint8_t byte[HASH_BYTES];
};

static inline bool hash_same(const struct hash *a, const struct hash *b)
{
    return memcmp(a->byte, b->byte, HASH_BYTES) == 0;
}

struct hash hash_of(const void *bytes, size_t len);
/* Incremental: begin, feed any number of times, end. The state is the caller's; nothing is
 * allocated, nothing can fail. hash_begin returns its argument. */
struct hash_state {
    uint64_t memory[16];
};
struct hash_state *hash_begin(struct hash_state *h);
void hash_feed(struct hash_state *h, const void *bytes, size_t len);
struct hash hash_end(struct hash_state *h);
/* Lower-case hexadecimal. */
void hash_hex(const struct hash *h, char out[HASH_HEX]);

#endif
