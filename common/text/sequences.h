/* A corpus as token sequences for language modelling, in a file: it is tokenised once, and takes no
 * memory but an index of 16 bytes a sequence. A document of n tokens is cut into as few sequences
 * as may be, of even lengths, each between the tokenizer's first and last special token; nothing is
 * padded and none spans two documents. */
#ifndef TEXT_SEQUENCES_H
#define TEXT_SEQUENCES_H

#include "base/err.h"
#include "base/file.h"
#include "base/hash.h"
#include "text/corpus.h"
#include "text/tokenizer.h"
#include <stddef.h>
#include <stdint.h>

enum { SEQUENCES_MIN_TOKENS = 4 }; /* of a document; shorter ones are left out */

struct sequence {
    const int32_t *id; /* in the map */
    int32_t n;
};

struct sequences {
    struct file_map map;
    struct sequence *train, *held_out;
    size_t n_train, n_held_out;
    uint64_t tokens;                     /* of train, special ones included */
    uint64_t documents, short_documents; /* read, and left out of them */
};

/* Tokenises a corpus into a file, which appears whole or not at all, in sequences of at most
 * `length` >= 3 + SEQUENCES_MIN_TOKENS tokens. `identity`: what the file is known by. `progress`
 * may be NULL. ERR_MODEL: the tokenizer does not put one special token before and one after a text;
 * ERR_DATA: those of corpus_next, and when there is no document of SEQUENCES_MIN_TOKENS tokens;
 * ERR_IO: also when the disk is full; ERR_NOMEM. */
typedef void (*sequences_progress_fn)(uint64_t documents, uint64_t tokens, void *ctx);
int sequences_write(const char *path, const struct corpus_spec *corpus, const struct tokenizer *t,
                    size_t length, const struct hash *identity, sequences_progress_fn progress,
                    void *ctx, struct err *e) MUST_CHECK;

/* Whether there is such a file, of this identity. */
bool sequences_exist(const char *path, const struct hash *identity);
/* Maps it. Every hold_out-th document goes to held_out, none when it is 0. ERR_DATA: the file is
 * damaged (also: an id is not below `vocab`), there are fewer documents than hold_out, or none is
 * left to train on; ERR_IO, ERR_NOMEM.
 */
int sequences_open(struct sequences *s, const char *path, int vocab, uint32_t hold_out,
                   struct err *e) MUST_CHECK;
/* Also of a zeroed one. */
void sequences_close(struct sequences *s);

#endif
