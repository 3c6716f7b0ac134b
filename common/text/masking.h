/* Which tokens a masked language model has to guess: 15 % of a sequence; of these 80 % are replaced
 * by the mask token, 10 % by any token, and 10 % stay (Devlin et al. 2019, section 3.1). */
#ifndef TEXT_MASKING_H
#define TEXT_MASKING_H

#include "base/err.h"
#include "base/rng.h"
#include "text/tokenizer.h"
#include <stddef.h>
#include <stdint.h>

struct masking {
    int32_t mask;      /* the mask token */
    int32_t *ordinary; /* every other token that is not special: what may stand in for one */
    uint32_t n;
};

/* ERR_MODEL: the tokenizer has no "[MASK]" or "<mask>", or no ordinary tokens; ERR_NOMEM. */
int masking_open(struct masking *m, const struct tokenizer *t, struct err *e) MUST_CHECK;
void masking_close(struct masking *m);

/* Masks a sequence id[0..n), n >= 3, whose first and last token are special: 0.15 (n - 2) of the
 * others, rounded up or down at random so that this is the mean, at least one; each set of that
 * size is equally likely. in[i]: what the model sees; tag[i]: id[i] where it is to guess, else -1.
 */
void masking_apply(const struct masking *m, struct rng *r, const int32_t *id, int32_t n,
                   int32_t *in, int32_t *tag);

#endif
