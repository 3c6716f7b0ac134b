/* bfloat16: the upper half of a float, rounded to nearest, ties to even. 8 bits of precision over
 * the whole range of float; what rounding would make infinite becomes the largest. */
#include "codec/codec.h"
#include "codec/little.h"

enum { INFINITE = 0x7f80 };

static size_t size(size_t n)
{
    return 2 * n;
}

static uint16_t round_off(float x)
{
    uint32_t bits = bits_of_float(x), sign = bits >> 16 & 0x8000u, rest = bits & 0x7fffffffu;
    uint32_t rounded = (rest + 0x7fffu + (rest >> 16 & 1u)) >> 16;
    if (!isfinite(x))
        rounded = INFINITE;
    else if (rounded == INFINITE)
        rounded--;
    return (uint16_t)(sign | rounded);
}

static size_t encode(const struct codec_job *job, float *x, size_t n, unsigned char *out)
{
    (void)job;
    for (size_t i = 0; i < n; i++)
        put_le16(out + 2 * i, round_off(x[i]));
    return size(n);
}

static bool decode(const unsigned char *in, size_t len, float *x, size_t n)
{
    if (len != size(n))
        return false;
    for (size_t i = 0; i < n; i++)
        x[i] = float_of_bits((uint32_t)get_le16(in + 2 * i) << 16);
    return true;
}

const struct codec codec_bf16 = {
    .name = "bf16", .width = 2, .size = size, .encode = encode, .decode = decode};
