/* Added tokens: strings such as "[MASK]" that are found in a text before anything else and become
 * one id whatever the model says. One set is searched in the raw text, another in the normalised
 * text. */
#ifndef TEXT_ADDED_H
#define TEXT_ADDED_H

#include "base/arena.h"
#include "base/err.h"
#include "text/ints.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct added_token {
    const int32_t *c; /* the code points to find */
    size_t n;
    int32_t id;
    bool lstrip, rstrip; /* takes the white space before, after it */
    bool single_word;    /* only where no word character touches it */
};

/* Zero-initialised is empty. */
struct added_set {
    struct added_token *token;
    size_t n, cap;
    uint64_t begins[4]; /* bit (c & 255) is set when a token begins with c */
};

/* Adds a token; copies its code points. An empty one is never found and so left out. ERR_NOMEM. */
int added_put(struct added_set *s, const struct added_token *token, struct arena *mem,
              struct err *e) MUST_CHECK;
/* Call once, after the last added_put. */
void added_seal(struct added_set *s);

/* A walk over a text, which it cuts into tokens and the stretches between them. */
struct added_walk {
    const struct added_set *set;
    const int32_t *c;
    size_t n;
    size_t done;   /* what has been handed out ends here */
    size_t search; /* where to look for the next token */
    size_t start, end;
    int32_t id; /* of the token found at [start, end) and not yet handed out; -1: none */
};

struct added_piece {
    size_t start, end;
    int32_t id; /* -1: text, not empty */
};

struct added_walk added_begin(const struct added_set *s, const int32_t *c, size_t n);
/* False at the end. Tokens are leftmost, and longest among those that begin at one place; of equal
 * ones the first added. */
bool added_next(struct added_walk *w, struct added_piece *piece);

#endif
