/* Byte pair encoding (Sennrich et al. 2016; byte-level in Radford et al. 2019): a word's
 * characters, merged pair by pair in the order of the merge list. */
#ifndef TEXT_BPE_H
#define TEXT_BPE_H

#include "base/arena.h"
#include "base/err.h"
#include "text/ints.h"
#include "text/vocab.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bpe_merge {
    int32_t left, right; /* left -1: free slot */
    int32_t id;          /* of the two together */
    uint32_t rank;       /* position in the merge list: lower goes first */
};

enum { BPE_DIRECT_CHARS = 0x180 }; /* all characters of byte-level texts are below */

struct bpe {
    const struct vocab *vocab;
    struct bpe_merge *merge; /* open addressing by (left, right) */
    size_t mask, n_merges;
    int32_t direct[BPE_DIRECT_CHARS]; /* ids of single characters; -1: none */
    bool *whole;                      /* [vocab->n] the token, as a word, is encoded as itself */
    int32_t unk;                      /* -1: characters without a token are left out */
    bool fuse_unk;                    /* neighbouring unknown characters make one token */
    bool ignore_merges;               /* every word that is a token is encoded as itself */
};

/* Scratch memory of one thread. Zero-initialise. */
struct bpe_work {
    struct bpe_symbol *symbol;
    struct bpe_pair *heap;
    size_t cap, n_heap;
};
void bpe_work_release(struct bpe_work *w);

/* An empty merge list with room for n. `vocab` must be complete and stay; unk_token may be NULL.
 * Then bpe_add_merge in order of rank, then bpe_seal. ERR_MODEL: unk_token not in the vocabulary;
 * ERR_NOMEM. */
int bpe_init(struct bpe *b, const struct vocab *vocab, const char *unk_token, size_t n,
             struct arena *mem, struct err *e) MUST_CHECK;
/* ERR_MODEL when a part or the whole is not in the vocabulary. A pair given twice keeps the last
 * rank. */
int bpe_add_merge(struct bpe *b, const char *left, size_t left_len, const char *right,
                  size_t right_len, struct err *e) MUST_CHECK;
/* Finds the tokens that are encoded as themselves, so that most words of a text need one look-up.
 * ERR_NOMEM. */
int bpe_seal(struct bpe *b, struct err *e) MUST_CHECK;

/* Appends the ids of one word, UTF-8 of `len` bytes. False when there is no memory. */
bool bpe_encode(const struct bpe *b, const char *word, size_t len, struct bpe_work *work,
                struct ints *ids) MUST_CHECK;

#endif
