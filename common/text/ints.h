/* A growable array of 32-bit integers: code points, token ids or offsets, by turns. */
#ifndef TEXT_INTS_H
#define TEXT_INTS_H

#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero-initialised is empty. n <= cap. */
struct ints {
    int32_t *v;
    size_t n, cap;
};

void ints_release(struct ints *a);

/* Makes room for `more` further values, at least doubling the memory. False when there is none; `a`
 * is then unchanged. */
bool ints_grow(struct ints *a, size_t more) MUST_CHECK;

static inline MUST_CHECK bool ints_reserve(struct ints *a, size_t more)
{
    return a->cap - a->n >= more || ints_grow(a, more);
}

static inline MUST_CHECK bool ints_push(struct ints *a, int32_t value)
{
    if (!ints_reserve(a, 1))
        return false;
    a->v[a->n++] = value;
    return true;
}

bool ints_append(struct ints *a, const int32_t *v, size_t n) MUST_CHECK;

static inline void ints_swap(struct ints *a, struct ints *b)
{
    struct ints t = *a;

    *a = *b;
    *b = t;
}

#endif
