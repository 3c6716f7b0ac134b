/* A map from byte strings to integers, filled once and then read by any number of threads. Open
 * addressing with linear probing, memory from an arena, keys borrowed. The hash can be carried from
 * a prefix to a longer string, so that WordPiece tries every end of a word for the price of one
 * hash. */
#ifndef TEXT_STRMAP_H
#define TEXT_STRMAP_H

#include "base/arena.h"
#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

struct strmap_slot {
    const char *key; /* NULL: free */
    uint32_t len, hash;
    int32_t value;
};

struct strmap {
    struct strmap_slot *slot;
    size_t mask; /* slots - 1; there are at least twice as many slots as keys */
};

/* Room for `keys` keys. ERR_NOMEM. */
int strmap_init(struct strmap *m, size_t keys, struct arena *mem, struct err *e) MUST_CHECK;

/* Sets key -> value (>= 0). `key` must outlive the map. No more than `keys` different keys. */
void strmap_put(struct strmap *m, const char *key, size_t len, int32_t value);

/* The value, or -1. */
int32_t strmap_find(const struct strmap *m, const char *key, size_t len);

/* FNV-1a, 32 bits (draft-eastlake-fnv). */
#define STRMAP_HASH_START 2166136261u
static inline uint32_t strmap_hash_byte(uint32_t hash, char byte)
{
    return (hash ^ (unsigned char)byte) * 16777619u;
}

/* As strmap_find, for a key whose hash is known. */
int32_t strmap_find_hashed(const struct strmap *m, uint32_t hash, const char *key, size_t len);

#endif
