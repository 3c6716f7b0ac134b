/* The best round so far, by a score of its parameters: what federation.best hands out, and what
 * federation.patience waits for. */
#ifndef SERVER_BEST_H
#define SERVER_BEST_H

#include <stdbool.h>
#include <stdint.h>

struct best {
    bool any;       /* there is one; else round and score mean nothing */
    uint32_t round; /* from 0 */
    double score;
    uint32_t since; /* rounds scored after it: none was better */
};

/* Enters a round's score: true when it is the best so far. Of equal ones the first is; a score that
 * is no number is never better. low: the lower the better. */
bool best_enter(struct best *b, uint32_t round, double score, bool low);
/* Whether `patience` scored rounds brought none better; patience 0: never. */
bool best_stale(const struct best *b, uint32_t patience);

#endif
