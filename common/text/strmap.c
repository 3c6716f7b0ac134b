#include "text/strmap.h"

#include <string.h>

int strmap_init(struct strmap *m, size_t keys, struct arena *mem, struct err *e)
{
    size_t slots = 16;

    while (slots < 2 * keys)
        slots *= 2;
    m->slot = arena_calloc(mem, slots, sizeof *m->slot);
    if (!m->slot)
        return err_set(e, ERR_NOMEM, "no memory for a table of %zu strings", keys);
    m->mask = slots - 1;
    return 0;
}

/* FNV-1a leaves the low bits of short keys poorly mixed: fold the high ones in. */
static size_t first_slot(const struct strmap *m, uint32_t hash)
{
    return (hash ^ hash >> 15) & m->mask;
}

/* The slot that holds the key, or the free one where it belongs. */
static struct strmap_slot *probe(const struct strmap *m, uint32_t hash, const char *key, size_t len)
{
    size_t i = first_slot(m, hash);

    while (m->slot[i].key && (m->slot[i].hash != hash || m->slot[i].len != len ||
                              memcmp(m->slot[i].key, key, len) != 0))
        i = (i + 1) & m->mask;
    return &m->slot[i];
}

static uint32_t hash_of_key(const char *key, size_t len)
{
    uint32_t hash = STRMAP_HASH_START;

    for (size_t i = 0; i < len; i++)
        hash = strmap_hash_byte(hash, key[i]);
    return hash;
}

void strmap_put(struct strmap *m, const char *key, size_t len, int32_t value)
{
    uint32_t hash = hash_of_key(key, len);

    *probe(m, hash, key, len) = (struct strmap_slot){key, (uint32_t)len, hash, value};
}

int32_t strmap_find_hashed(const struct strmap *m, uint32_t hash, const char *key, size_t len)
{
    const struct strmap_slot *s = probe(m, hash, key, len);

    return s->key ? s->value : -1;
}

int32_t strmap_find(const struct strmap *m, const char *key, size_t len)
{
    return strmap_find_hashed(m, hash_of_key(key, len), key, len);
}
