/* Pre-tokenisers: a normalised text -> words, each of which the model tokenises by itself. */
#ifndef TEXT_PRETOKENIZE_H
#define TEXT_PRETOKENIZE_H

#include "base/err.h"
#include "text/ints.h"
#include <stdbool.h>
#include <stddef.h>

struct pretokenize_step {
    enum {
        PRETOKENIZE_BERT,  /* BertPreTokenizer: white space goes, punctuation stands alone */
        PRETOKENIZE_BYTES, /* ByteLevel: GPT-2's split, then each byte of the UTF-8 text becomes a
                              printable character */
    } kind;
    bool add_prefix_space, use_regex; /* of PRETOKENIZE_BYTES */
};

enum { PRETOKENIZE_MAX_STEPS = 8 };

struct pretokenizer {
    struct pretokenize_step step[PRETOKENIZE_MAX_STEPS];
    size_t n;
};

/* Appends a step. ERR_MODEL when there are too many. */
int pretokenizer_add(struct pretokenizer *p, struct pretokenize_step step,
                     struct err *e) MUST_CHECK;

/* Words, stored one after the other: word i is text.v[i ? end.v[i - 1] : 0, end.v[i]). No word is
 * empty. */
struct words {
    struct ints text, end;
};
void words_release(struct words *w);

/* Splits text[0..n) into out, which is cleared first; `spare` is scratch memory. ERR_NOMEM. */
int pretokenize(const struct pretokenizer *p, const int32_t *text, size_t n, struct words *out,
                struct words *spare, struct err *e) MUST_CHECK;

#endif
