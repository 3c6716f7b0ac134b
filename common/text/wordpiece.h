/* WordPiece: greedy longest match first (Schuster and Nakajima 2012; Devlin et al. 2019, section
 * 3). */
#ifndef TEXT_WORDPIECE_H
#define TEXT_WORDPIECE_H

#include "base/arena.h"
#include "base/err.h"
#include "text/ints.h"
#include "text/strmap.h"
#include "text/vocab.h"
#include <stddef.h>

enum { WORDPIECE_MAX_CHARS = 1000 };

struct wordpiece_config {
    const char *unk_token;                 /* "[UNK]" */
    const char *continuing_subword_prefix; /* "##" */
    size_t
        max_input_chars_per_word; /* longer words are unknown; 100, at most WORDPIECE_MAX_CHARS */
};

struct wordpiece {
    const struct vocab *vocab;
    struct strmap continuing; /* the tokens that begin with the prefix, without it */
    size_t longest;           /* bytes of the longest token */
    size_t max_chars;
    int32_t unk;
};

/* `vocab` must stay. ERR_MODEL: no unk_token in the vocabulary, limit too large; ERR_NOMEM. */
int wordpiece_init(struct wordpiece *w, const struct vocab *vocab, const struct wordpiece_config *c,
                   struct arena *mem, struct err *e) MUST_CHECK;

/* Appends the ids of one word, UTF-8 of `len` bytes and `chars` code points; the unknown token when
 * it cannot be spelt. False when there is no memory. */
bool wordpiece_encode(const struct wordpiece *w, const char *word, size_t len, size_t chars,
                      struct ints *ids) MUST_CHECK;

#endif
