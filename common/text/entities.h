/* Entities in sequences of tags, as seqeval's default mode and CoNLL's own script find them. A tag
 * is "O", or a mark and a type, "B-PER": B begin, I inside, E (or L) end, S (or U) single, M as I.
 * An I or E that nothing begins begins an entity too. A mark B, I, E or S alone has the type "_";
 * any other tag stands for I and its own type: words of the same tag in a row are one entity. */
#ifndef TEXT_ENTITIES_H
#define TEXT_ENTITIES_H

#include "base/err.h"
#include "text/metrics.h"
#include <stddef.h>
#include <stdint.h>

/* What a set of tags means. */
struct entities {
    uint32_t n_types;
    const char **type; /* their names, in the order in which the tags first have them */
    uint32_t *type_of; /* of each tag; n_types: "O" */
    char *mark;        /* of each tag: one of "OBIES" */
};

/* The n tags' names, which must stay. ERR_NOMEM. */
int entities_open(struct entities *s, const char *const *tag, uint32_t n, struct err *e) MUST_CHECK;
void entities_close(struct entities *s);

/* Adds the entities of one sentence of n words to score->entity: those that are, that were
 * predicted, and that were predicted with the right first word, last word and type. */
void entities_score(const struct entities *s, const int32_t *truth, const int32_t *guess, size_t n,
                    struct score *score);

#endif
