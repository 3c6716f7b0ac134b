/* How the kernels get vectorised: plain loops that the compiler vectorises, compiled once for each
 * level of x86-64 and chosen by the dynamic linker (elsewhere: once, for the target's baseline).
 * Sums name their lanes, so that their order, and with it their bits, does not depend on the vector
 * width. */
#ifndef NN_HOT_H
#define NN_HOT_H

#include "nn/real.h"
#include <stddef.h>

/* Sanitizers and clang cannot take the resolvers that target_clones makes. */
#if defined __GNUC__ && !defined __clang__ && defined __x86_64__ && !defined FEDPET_SANITIZED
#define HOT __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define HOT
#endif
#define INLINE static inline __attribute__((always_inline))

enum { LANES = 16 };

/* Adds the lanes pairwise, halving. */
INLINE real lanes_sum(real lane[LANES])
{
#pragma GCC unroll 4
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++)
            lane[l] += lane[l + half];
    return lane[0];
}

/* sum_i x_i */
INLINE real row_sum(const real *restrict x, size_t n)
{
    real lane[LANES] = {0};
    size_t i = 0;

    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++)
            lane[l] += x[i + l];
    for (int l = 0; i < n; i++, l++)
        lane[l] += x[i];
    return lanes_sum(lane);
}

/* sum_i x_i y_i; x and y may be the same. */
INLINE real row_dot(const real *x, const real *y, size_t n)
{
    real lane[LANES] = {0};
    size_t i = 0;

    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++)
            lane[l] += x[i + l] * y[i + l];
    for (int l = 0; i < n; i++, l++)
        lane[l] += x[i] * y[i];
    return lanes_sum(lane);
}

/* max_i x_i of n >= 1 values; NaNs may or may not be seen. */
INLINE real row_max(const real *restrict x, size_t n)
{
    real lane[LANES];
    size_t i = 0;

    for (int l = 0; l < LANES; l++)
        lane[l] = x[0];
    for (; i + LANES <= n; i += LANES)
#pragma GCC unroll 1 /* unrolled first, it would not be vectorised */
        for (int l = 0; l < LANES; l++)
            lane[l] = x[i + l] > lane[l] ? x[i + l] : lane[l];
    for (int l = 0; i < n; i++, l++)
        lane[l] = x[i] > lane[l] ? x[i] : lane[l];
#pragma GCC unroll 4
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++)
            lane[l] = lane[l + half] > lane[l] ? lane[l + half] : lane[l];
    return lane[0];
}

#endif
