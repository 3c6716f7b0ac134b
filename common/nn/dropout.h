/* Dropout masks: pure functions of a stream and an element's index, so backward draws the same mask
 * again instead of storing it (about 1 % of a step, measured). */
#ifndef NN_DROPOUT_H
#define NN_DROPOUT_H

#include "base/rng.h"
#include "nn/real.h"

struct dropout {
    struct rng stream;
    uint32_t threshold; /* an element is kept iff its word >= threshold */
    real scale;         /* of what is kept: 1 / (1 - p) */
};

/* p in [0, 1) */
struct dropout dropout_make(const struct rng *stream, real p);

/* factor[i] = 0 or scale for elements first + i, i < n. Element e is decided by word e % 4 of block
 * e / 4 of the stream. */
void dropout_factors(const struct dropout *d, uint64_t first, size_t n, real *factor);

#endif
