/* float and IEEE 754 binary16. */
#ifndef BASE_HALF_H
#define BASE_HALF_H

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { HALF_INFINITY = 0x7c00, HALF_LARGEST = 0x7bff };

static inline float float_of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint32_t bits_of_float(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* Exact; subnormals, infinities and NaN included. */
static inline float float_of_half(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t exponent = half >> 10 & 0x1fu, fraction = half & 0x3ffu;
    if (exponent == 0x1f)
        return float_of_bits(sign | 0x7f800000u | fraction << 13);
    if (exponent == 0) {
        float x = (float)fraction * 0x1p-24f;
        return sign != 0 ? -x : x;
    }
    return float_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

/* The nearest, ties to even; infinity from 65520 on, and for NaN. */
static inline uint16_t half_of_float(float x)
{
    uint32_t bits = bits_of_float(x);
    uint32_t sign = bits >> 16 & 0x8000u, rest = bits & 0x7fffffffu;
    if (rest < 0x38800000u) /* subnormal: in units of 2^-24 */
        return (uint16_t)(sign | (uint32_t)lrintf(fabsf(x) * 0x1p24f));
    uint32_t rounded = (rest + 0xfffu + (rest >> 13 & 1u) - 0x38000000u) >> 13;
    return (uint16_t)(sign | (rounded < HALF_INFINITY ? rounded : HALF_INFINITY));
}

#endif
