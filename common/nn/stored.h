/* Numbers where they lie: frozen weights in half precision or int8 are computed with as their file
 * holds them, so that all who map it share one copy of half the size, or a quarter. */
#ifndef NN_STORED_H
#define NN_STORED_H

#include "nn/real.h"
#include <stddef.h>
#include <stdint.h>

/* STORED_INT8: a byte x is the number (x - 128) * scale, a float product, where each row has a
 * scale of its own. That is compressed-tensors' pack-quantized, symmetric, of 8 bits: four numbers
 * are an int32, the first the lowest, so that a row ends at a multiple of four bytes. */
enum stored_as { STORED_REAL, STORED_F16, STORED_BF16, STORED_INT8 };

struct stored {
    const void *x; /* aligned to one number; NULL: there are none */
    enum stored_as as;
    int cols;          /* numbers in a row; of int8 alone, as is ... */
    const real *scale; /* ... one for each row, a float */
};

static inline struct stored stored_reals(const real *x)
{
    return (struct stored){.x = x};
}

/* F16 or BF16 */
static inline struct stored stored_halves(const void *x, enum stored_as as)
{
    return (struct stored){.x = x, .as = as};
}

static inline struct stored stored_int8(const void *x, const real *scale, int cols)
{
    return (struct stored){.x = x, .as = STORED_INT8, .cols = cols, .scale = scale};
}

/* Bytes of a row of int8. */
static inline size_t stored_int8_row(int cols)
{
    return ((size_t)cols + 3) / 4 * 4;
}

/* Numbers [from, from + n) of s. Exact, subnormals, infinities and NaN included; of int8 the one
 * rounding of its product. */
void stored_read(struct stored s, size_t from, size_t n, real *out);
/* The other way, as STORED_F16: the nearest, ties to even; the largest, 65504, for what is larger,
 * and for NaN. */
void stored_write_half(const real *x, size_t n, uint16_t *out);

#endif
