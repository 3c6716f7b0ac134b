/* Little-endian numbers at unaligned places, as packed tensors have them. */
#ifndef CODEC_LITTLE_H
#define CODEC_LITTLE_H

#include "base/half.h"
#include <stdbool.h>

static inline void put_le16(unsigned char *p, uint16_t v)
{
    p[0] = (unsigned char)v;
    p[1] = (unsigned char)(v >> 8);
}

static inline uint16_t get_le16(const unsigned char *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline void put_le32(unsigned char *p, uint32_t v)
{
    put_le16(p, (uint16_t)v);
    put_le16(p + 2, (uint16_t)(v >> 16));
}

static inline uint32_t get_le32(const unsigned char *p)
{
    return get_le16(p) | (uint32_t)get_le16(p + 2) << 16;
}

/* The nearest half, ties to even; of what is finite but beyond them the largest. */
static inline uint16_t nearest_half(float x)
{
    uint16_t half = half_of_float(x);
    bool saturates = (half & HALF_INFINITY) == HALF_INFINITY && isfinite(x);
    return saturates ? (uint16_t)((half & 0x8000) | HALF_LARGEST) : half;
}

static inline void put_float(unsigned char *p, float x)
{
    put_le32(p, bits_of_float(x));
}

static inline float get_float(const unsigned char *p)
{
    return float_of_bits(get_le32(p));
}

#endif
