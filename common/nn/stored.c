#include "nn/stored.h"
#include "base/half.h"
#include "nn/hot.h"
#include <string.h>

/* As float_of_half, without a branch: exponents are moved by 112 = 127 - 15; a subnormal's fraction
 * becomes that of 2^-14, which is then taken off; infinities and NaN are moved once more. */
HOT static void read_f16(const uint16_t *restrict x, size_t n, real *restrict out)
{
    const uint32_t one = 1u << 23, move = 112u << 23;

    for (size_t i = 0; i < n; i++) {
        uint32_t sign = (uint32_t)(x[i] & 0x8000u) << 16, rest = (uint32_t)(x[i] & 0x7fffu) << 13;
        uint32_t small = bits_of_float(float_of_bits(rest + move + one) - 0x1p-14f);
        uint32_t bits = rest < one ? small : rest + move;

        bits = rest < 31 * one ? bits : rest + 2 * move;
        out[i] = (real)float_of_bits(sign | bits);
    }
}

/* bfloat16 is the upper half of a float. */
HOT static void read_bf16(const uint16_t *restrict x, size_t n, real *restrict out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (real)float_of_bits((uint32_t)x[i] << 16);
}

/* Part of a row. */
HOT static void read_int8(const uint8_t *restrict x, float scale, size_t n, real *restrict out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (real)((float)(x[i] - 128) * scale);
}

static void read_int8_rows(struct stored s, size_t from, size_t n, real *out)
{
    const size_t cols = (size_t)s.cols;
    size_t row = from / cols, col = from % cols, piece;

    for (; n > 0; n -= piece, out += piece, row++, col = 0) {
        piece = cols - col < n ? cols - col : n;
        read_int8((const uint8_t *)s.x + row * stored_int8_row(s.cols) + col, (float)s.scale[row],
                  piece, out);
    }
}

/* As half_of_float, but for its ends and without a branch: a number below 2^-14 is added to one of
 * which 2^-24 is the last bit, which rounds it. */
HOT static void write_f16(const real *restrict x, size_t n, uint16_t *restrict out)
{
    const uint32_t move = 112u << 23, magic = bits_of_float(0.5f);

    for (size_t i = 0; i < n; i++) {
        uint32_t bits = bits_of_float((float)x[i]), sign = bits >> 16 & 0x8000u;
        uint32_t rest = bits & 0x7fffffffu;
        uint32_t small = bits_of_float(float_of_bits(rest) + 0.5f) - magic;
        uint32_t normal = (rest + 0xfffu + (rest >> 13 & 1u) - move) >> 13;
        uint32_t half = rest < move + (1u << 23) ? small : normal;

        half = half < HALF_LARGEST ? half : HALF_LARGEST;
        out[i] = (uint16_t)(sign | half);
    }
}

void stored_write_half(const real *x, size_t n, uint16_t *out)
{
    write_f16(x, n, out);
}

void stored_read(struct stored s, size_t from, size_t n, real *out)
{
    switch (s.as) {
    case STORED_REAL:
        memcpy(out, (const real *)s.x + from, n * sizeof *out);
        break;
    case STORED_F16:
        read_f16((const uint16_t *)s.x + from, n, out);
        break;
    case STORED_BF16:
        read_bf16((const uint16_t *)s.x + from, n, out);
        break;
    case STORED_INT8:
        read_int8_rows(s, from, n, out);
        break;
    }
}
