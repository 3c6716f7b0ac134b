/* Normalisers: what happens to a text before it is split, as steps on code points. The components
 * of tokenizer.json (BertNormalizer, NFC, NFD, NFKC, NFKD, Lowercase, StripAccents and sequences of
 * them) are lists of these steps. */
#ifndef TEXT_NORMALIZE_H
#define TEXT_NORMALIZE_H

#include "base/err.h"
#include "text/ints.h"
#include <stddef.h>

enum normalize_step {
    NORMALIZE_CLEAN,     /* control characters, NUL and U+FFFD go; white space becomes U+0020 */
    NORMALIZE_SPACE_CJK, /* a space before and after each CJK ideograph */
    NORMALIZE_NFD,       /* the four forms of UAX #15 */
    NORMALIZE_NFC,
    NORMALIZE_NFKD,
    NORMALIZE_NFKC,
    NORMALIZE_DROP_NONSPACING, /* marks of category Mn go */
    NORMALIZE_DROP_MARKS,      /* marks of any category M go */
    NORMALIZE_LOWER, /* full lower case of each code point, without regard to its neighbours */
};

enum { NORMALIZE_MAX_STEPS = 16 };

struct normalizer {
    enum normalize_step step[NORMALIZE_MAX_STEPS];
    size_t n;
};

/* Appends a step. ERR_MODEL when there are too many. */
int normalizer_add(struct normalizer *n, enum normalize_step step, struct err *e) MUST_CHECK;

/* BertNormalizer. strip_accents < 0: as lowercase. */
int normalizer_add_bert(struct normalizer *n, bool clean, bool cjk, int strip_accents,
                        bool lowercase, struct err *e) MUST_CHECK;

/* Normalises `text` in place; `spare` is scratch memory. ERR_NOMEM. */
int normalize(const struct normalizer *n, struct ints *text, struct ints *spare,
              struct err *e) MUST_CHECK;

#endif
