#include "nn/dropout.h"
#include "nn/hot.h"

#include <string.h>

/* AddressSanitizer does not align vectors of 64 bytes on its stacks (GCC 12). */
#if defined __x86_64__ && defined __GNUC__ && !defined __clang__ && !defined FEDPET_DOUBLE &&      \
    !defined FEDPET_SANITIZED
#define NN_DROPOUT_X86
#include <immintrin.h>
#endif

/* Philox4x32-10 once more (base/rng.c has the reference): many blocks at once, one a vector lane.
 */
enum { ROUNDS = 10, GROUPS = 2, MOST_BLOCKS = 1 << 20 };
static const uint32_t MUL0 = 0xd2511f53, MUL1 = 0xcd9e8d57, WEYL0 = 0x9e3779b9, WEYL1 = 0xbb67ae85;

struct dropout dropout_make(const struct rng *stream, real p)
{
    return (struct dropout){
        .stream = *stream, .threshold = (uint32_t)((double)p * 0x1p32), .scale = 1 / (1 - p)};
}

/* The factors of `n` whole blocks from block (high, low); low + n must not wrap. */
HOT static void plain_blocks(const struct dropout *d, uint32_t high, uint32_t low, uint32_t n,
                             real *restrict factor)
{
    const uint32_t name0 = d->stream.ctr[2], name1 = d->stream.ctr[3], threshold = d->threshold;
    const uint32_t key0 = d->stream.key[0], key1 = d->stream.key[1];
    const real scale = d->scale;

    for (uint32_t b = 0; b < n; b++) {
        uint32_t c0 = low + b, c1 = high, c2 = name0, c3 = name1, k0 = key0, k1 = key1;

#pragma GCC unroll 10
        for (int i = 0; i < ROUNDS; i++) {
            uint64_t p0 = (uint64_t)MUL0 * c0, p1 = (uint64_t)MUL1 * c2;

            c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
            c1 = (uint32_t)p1;
            c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
            c3 = (uint32_t)p0;
            k0 += WEYL0;
            k1 += WEYL1;
        }
        factor[4 * (size_t)b] = c0 >= threshold ? scale : 0;
        factor[4 * (size_t)b + 1] = c1 >= threshold ? scale : 0;
        factor[4 * (size_t)b + 2] = c2 >= threshold ? scale : 0;
        factor[4 * (size_t)b + 3] = c3 >= threshold ? scale : 0;
    }
}

#ifdef NN_DROPOUT_X86
/* The same with the instruction for 32 x 32 -> 64 bits, for which the compiler takes three: 3 times
 * as fast with AVX-512, twice with AVX2. A block is a lane of four vectors, one for each of its
 * words, in the lower half of the lane; the upper half may hold anything, since the instruction
 * does not read it. A round waits for the one before it, so GROUPS of such vectors take turns;
 * blocks of theirs beyond n are computed and dropped. */
#define BLOCKS(name, isa, bytes, multiply, FIRST, SECOND)                                          \
    __attribute__((target(isa))) static void name(const struct dropout *d, uint32_t high,          \
                                                  uint32_t low, uint32_t n, float *factor)         \
    {                                                                                              \
        typedef uint64_t lanes __attribute__((vector_size(bytes)));                                \
        typedef uint32_t halves __attribute__((vector_size(bytes)));                               \
        const lanes zero = {0}, mul0 = zero + MUL0, mul1 = zero + MUL1, lower = zero + UINT32_MAX; \
        const lanes from1 = zero + high, from2 = zero + d->stream.ctr[2];                          \
        const lanes from3 = zero + d->stream.ctr[3];                                               \
        lanes count = {0}, key[2 * ROUNDS];                                                        \
        uint32_t bits;                                                                             \
                                                                                                   \
        memcpy(&bits, &d->scale, sizeof bits);                                                     \
        const halves scale = (halves)zero + bits, threshold = (halves)zero + d->threshold;         \
        for (unsigned i = 0; i < (bytes) / 8; i++)                                                 \
            count[i] = low + i;                                                                    \
        for (uint64_t r = 0; r < ROUNDS; r++) {                                                    \
            key[2 * r] = zero + (d->stream.key[0] + r * WEYL0);                                    \
            key[2 * r + 1] = zero + (d->stream.key[1] + r * WEYL1);                                \
        }                                                                                          \
        for (uint32_t b = 0; b < n; b += GROUPS * (bytes) / 8) {                                   \
            lanes c0[GROUPS], c1[GROUPS], c2[GROUPS], c3[GROUPS], out[2 * GROUPS];                 \
                                                                                                   \
            for (int g = 0; g < GROUPS; g++, count += (bytes) / 8) {                               \
                c0[g] = count;                                                                     \
                c1[g] = from1;                                                                     \
                c2[g] = from2;                                                                     \
                c3[g] = from3;                                                                     \
            }                                                                                      \
            _Pragma("GCC unroll 10") for (int r = 0; r < ROUNDS; r++)                              \
            {                                                                                      \
                _Pragma("GCC unroll 2") for (int g = 0; g < GROUPS; g++)                           \
                {                                                                                  \
                    const lanes p0 = (lanes)multiply(c0[g], mul0);                                 \
                    const lanes p1 = (lanes)multiply(c2[g], mul1);                                 \
                                                                                                   \
                    c0[g] = (p1 >> 32) ^ c1[g] ^ key[2 * r];                                       \
                    c1[g] = p1;                                                                    \
                    c2[g] = (p0 >> 32) ^ c3[g] ^ key[2 * r + 1];                                   \
                    c3[g] = p0;                                                                    \
                }                                                                                  \
            }                                                                                      \
            _Pragma("GCC unroll 2") for (int g = 0; g < GROUPS; g++)                               \
            {                                                                                      \
                const halves w01 = (halves)((c0[g] & lower) | c1[g] << 32);                        \
                const halves w23 = (halves)((c2[g] & lower) | c3[g] << 32);                        \
                const lanes f01 = (lanes)((halves)(w01 >= threshold) & scale);                     \
                const lanes f23 = (lanes)((halves)(w23 >= threshold) & scale);                     \
                                                                                                   \
                out[2 * g] = __builtin_shufflevector(f01, f23, FIRST);                             \
                out[2 * g + 1] = __builtin_shufflevector(f01, f23, SECOND);                        \
            }                                                                                      \
            if (n - b >= GROUPS * (bytes) / 8)                                                     \
                memcpy(factor + 4 * (size_t)b, out, sizeof out);                                   \
            else                                                                                   \
                memcpy(factor + 4 * (size_t)b, out, 4 * (size_t)(n - b) * sizeof *factor);         \
        }                                                                                          \
    }
#define LIST(...) __VA_ARGS__
#define MULTIPLY256(a, b) _mm256_mul_epu32((__m256i)(a), (__m256i)(b))
#define MULTIPLY512(a, b) _mm512_mul_epu32((__m512i)(a), (__m512i)(b))
BLOCKS(avx2_blocks, "avx2", 32, MULTIPLY256, LIST(0, 4, 1, 5), LIST(2, 6, 3, 7))
BLOCKS(avx512_blocks, "arch=x86-64-v4", 64, MULTIPLY512, LIST(0, 8, 1, 9, 2, 10, 3, 11),
       LIST(4, 12, 5, 13, 6, 14, 7, 15))

static void blocks(const struct dropout *d, uint32_t high, uint32_t low, uint32_t n,
                   real *restrict factor)
{
    if (__builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        avx512_blocks(d, high, low, n, factor);
    else if (__builtin_cpu_supports("avx2"))
        avx2_blocks(d, high, low, n, factor);
    else
        plain_blocks(d, high, low, n, factor);
}
#else
static void blocks(const struct dropout *d, uint32_t high, uint32_t low, uint32_t n,
                   real *restrict factor)
{
    plain_blocks(d, high, low, n, factor);
}
#endif

/* Elements [from, to) of one block. */
static void part(const struct dropout *d, uint64_t block, unsigned from, unsigned to, real *factor)
{
    real whole[4];

    plain_blocks(d, (uint32_t)(block >> 32), (uint32_t)block, 1, whole);
    memcpy(factor, whole + from, (to - from) * sizeof *factor);
}

void dropout_factors(const struct dropout *d, uint64_t first, size_t n, real *factor)
{
    uint64_t block = first / 4;
    unsigned skip = first % 4;

    if (skip > 0) {
        unsigned to = n < 4 - skip ? skip + (unsigned)n : 4;
        part(d, block++, skip, to, factor);
        factor += to - skip;
        n -= to - skip;
    }
    while (n >= 4) {
        uint64_t run = ((uint64_t)1 << 32) - (uint32_t)block; /* until the low word wraps */

        run = run < n / 4 ? run : n / 4;
        run = run < MOST_BLOCKS ? run : MOST_BLOCKS;
        blocks(d, (uint32_t)(block >> 32), (uint32_t)block, (uint32_t)run, factor);
        block += run;
        factor += 4 * run;
        n -= 4 * run;
    }
    if (n > 0)
        part(d, block, 0, (unsigned)n, factor);
}
