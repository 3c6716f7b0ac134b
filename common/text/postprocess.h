/* Post-processing: truncation, special tokens and token types. Every post-processor of
 * tokenizer.json is a pair of templates. */
#ifndef TEXT_POSTPROCESS_H
#define TEXT_POSTPROCESS_H

#include "base/err.h"
#include "text/ints.h"
#include "text/tokenizer.h"
#include <stddef.h>
#include <stdint.h>

struct template_piece {
    enum { TEMPLATE_A, TEMPLATE_B, TEMPLATE_SPECIAL } kind;
    int32_t type;
    int32_t id; /* of TEMPLATE_SPECIAL */
};

enum { TEMPLATE_MAX_PIECES = 32 };

struct template
{
    struct template_piece piece[TEMPLATE_MAX_PIECES];
    size_t n;
};

/* single holds A once and no B, pair holds A and B once. */
struct postprocess {
    struct template single, pair;
};

/* Appends a piece. ERR_MODEL when there are too many. */
int template_add(struct template *t, struct template_piece piece, struct err *e) MUST_CHECK;
/* ERR_MODEL, naming the template, unless it holds A once and B `b` times. */
int template_check(const struct template *t, const char *name, size_t b, struct err *e) MUST_CHECK;

/* cls A sep, and cls A sep B sep with types 0 and 1 (BertProcessing), or cls A sep sep B sep with
 * type 0 (RobertaProcessing). */
void postprocess_cls_sep(struct postprocess *p, int32_t cls, int32_t sep, bool roberta);

/* Lengths to which a and b are cut, so that together they have at most `room` tokens: the longer is
 * cut until both are equal, then both (Hugging Face's "longest_first"). */
void postprocess_lengths(size_t a, size_t b, size_t room, size_t *keep_a, size_t *keep_b);

/* Fills `out` from the ids of one text, or of two when b is not NULL; `word`, as many as a, or
 * NULL, goes to out->word. ERR_CONFIG when max_length does not even hold the special tokens,
 * ERR_NOMEM; `out` is then unchanged but for its capacity.
 */
int postprocess(const struct postprocess *p, const struct ints *a, const struct ints *b,
                const struct ints *word, size_t max_length, struct encoding *out,
                struct err *e) MUST_CHECK;

#endif
