#include "text/wordcount.h"

#include "text/strmap.h"
#include <stdlib.h>
#include <string.h>

enum { FIRST_SLOTS = 1024 };

void wordcount_release(struct wordcount *w)
{
    free(w->word);
    free(w->bytes);
    free(w->slot);
    *w = (struct wordcount){0};
}

static size_t first_slot(const struct wordcount *w, uint32_t hash)
{
    return (hash ^ hash >> 15) & (w->slots - 1);
}

static bool grow_slots(struct wordcount *w)
{
    size_t slots = w->slots ? 2 * w->slots : FIRST_SLOTS;
    uint32_t *slot = calloc(slots, sizeof *slot);

    if (!slot)
        return false;
    free(w->slot);
    w->slot = slot;
    w->slots = slots;
    for (size_t k = 0; k < w->n; k++) {
        size_t i = first_slot(w, w->word[k].hash);
        while (slot[i])
            i = (i + 1) & (slots - 1);
        slot[i] = (uint32_t)k + 1;
    }
    return true;
}

static bool grow_words(struct wordcount *w)
{
    size_t cap = w->cap ? 2 * w->cap : FIRST_SLOTS / 2;
    struct wordcount_word *word = realloc(w->word, cap * sizeof *word);

    if (!word)
        return false;
    w->word = word;
    w->cap = cap;
    return true;
}

static bool grow_bytes(struct wordcount *w, size_t more)
{
    size_t cap = 2 * w->bytes_cap + more;
    unsigned char *bytes = realloc(w->bytes, cap);

    if (!bytes)
        return false;
    w->bytes = bytes;
    w->bytes_cap = cap;
    return true;
}

/* The slot that names the word, or the free one where it belongs. */
static uint32_t *probe(const struct wordcount *w, uint32_t hash, const unsigned char *bytes,
                       size_t len)
{
    size_t i = first_slot(w, hash);

    for (; w->slot[i]; i = (i + 1) & (w->slots - 1)) {
        const struct wordcount_word *x = &w->word[w->slot[i] - 1];
        if (x->hash == hash && x->len == len && memcmp(w->bytes + x->at, bytes, len) == 0)
            break;
    }
    return &w->slot[i];
}

bool wordcount_add(struct wordcount *w, const unsigned char *bytes, size_t len)
{
    uint32_t hash = STRMAP_HASH_START;

    for (size_t i = 0; i < len; i++)
        hash = strmap_hash_byte(hash, (char)bytes[i]);
    if (2 * w->n >= w->slots && !grow_slots(w))
        return false;
    uint32_t *slot = probe(w, hash, bytes, len);
    if (*slot) {
        w->word[*slot - 1].count++;
        return true;
    }
    if (len > UINT32_MAX || w->n >= UINT32_MAX - 1 || (w->n == w->cap && !grow_words(w)) ||
        (w->bytes_cap - w->n_bytes < len && !grow_bytes(w, len)))
        return false;
    memcpy(w->bytes + w->n_bytes, bytes, len);
    w->word[w->n] = (struct wordcount_word){w->n_bytes, (uint32_t)len, hash, 1};
    w->n_bytes += len;
    *slot = (uint32_t)++w->n;
    return true;
}
