/* Packing: a batch of examples -> micro-batches without padding. What is in a micro-batch depends
 * on the examples alone, never on the number of threads, so that gradients reduced in micro-batch
 * order have the same bits everywhere. */
#ifndef TEXT_PACK_H
#define TEXT_PACK_H

#include "base/arena.h"
#include "base/err.h"
#include "model/model.h"
#include "text/dataset.h"

/* What a micro-batch aims at: large enough for BLAS, small enough to share a batch between
 * threads. */
enum { PACK_TOKENS = 512 };

struct packing {
    struct batch *batch;
    int n;
    uint32_t **example; /* example[m][s]: index into the data set of sequence s of micro-batch m */
};

/* Splits examples index[0..n) of d into micro-batches of about PACK_TOKENS tokens with even
 * token counts (longest first into the emptiest, ties by order); an even number of micro-batches
 * from PACK_TOKENS / 2 tokens on, none of them empty. Token types are 0 where the family has fewer
 * than two. Memory from `mem`. ERR_NOMEM. */
int pack_examples(const struct dataset *d, const uint32_t *index, size_t n,
                  const struct model_config *c, struct arena *mem, struct packing *out,
                  struct err *e) MUST_CHECK;
/* The same with micro-batches of about `aim` tokens: larger ones pay where gradients are large. */
int pack_about(const struct dataset *d, const uint32_t *index, size_t n,
               const struct model_config *c, size_t aim, struct arena *mem, struct packing *out,
               struct err *e) MUST_CHECK;

/* What the loss of a micro-batch is a sum over: its sequences, or its tokens that have a tag. */
size_t pack_scored(const struct batch *b);

#endif
