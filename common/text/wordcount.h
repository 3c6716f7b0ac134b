/* How often each word of a text occurs: a growing map from byte strings to counts, in the order of
 * their first occurrence. */
#ifndef TEXT_WORDCOUNT_H
#define TEXT_WORDCOUNT_H

#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wordcount_word {
    size_t at; /* of its bytes in wordcount.bytes */
    uint32_t len, hash;
    uint64_t count;
};

/* Zero-initialised is empty. */
struct wordcount {
    struct wordcount_word *word;
    size_t n, cap;
    unsigned char *bytes;
    size_t n_bytes, bytes_cap;
    uint32_t *slot; /* open addressing: index of a word + 1; 0: free */
    size_t slots;   /* a power of two, at least twice n; 0 before the first word */
};

void wordcount_release(struct wordcount *w);

/* Counts one occurrence of bytes[0..len). False when there is no memory, or no number left for
 * another word. */
bool wordcount_add(struct wordcount *w, const unsigned char *bytes, size_t len) MUST_CHECK;

#endif
