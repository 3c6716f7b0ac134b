/* Numbers where they lie: frozen weights in half precision are computed with as their file holds
 * them, so that all who map it share one copy of half the size. */
#ifndef NN_STORED_H
#define NN_STORED_H

#include "nn/real.h"
#include <stddef.h>
#include <stdint.h>

enum stored_as { STORED_REAL, STORED_F16, STORED_BF16 };

struct stored {
    const void *x; /* aligned to one number; NULL: there are none */
    enum stored_as as;
};

static inline struct stored stored_reals(const real *x)
{
    return (struct stored){.x = x};
}

/* Numbers [from, from + n) of s. Exact, subnormals, infinities and NaN included. */
void stored_read(struct stored s, size_t from, size_t n, real *out);
/* The other way, as STORED_F16: the nearest, ties to even; the largest, 65504, for what is larger,
 * and for NaN. */
void stored_write_half(const real *x, size_t n, uint16_t *out);

#endif
