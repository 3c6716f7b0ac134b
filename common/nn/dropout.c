#include "nn/dropout.h"
#include "nn/hot.h"

#include <string.h>

/* Philox4x32-10 once more (base/rng.c has the reference): many blocks at once, one a vector lane.
 */
enum { ROUNDS = 10, MOST_BLOCKS = 1 << 20 };
static const uint32_t MUL0 = 0xd2511f53, MUL1 = 0xcd9e8d57, WEYL0 = 0x9e3779b9, WEYL1 = 0xbb67ae85;

struct dropout dropout_make(const struct rng *stream, real p)
{
    return (struct dropout){
        .stream = *stream, .threshold = (uint32_t)((double)p * 0x1p32), .scale = 1 / (1 - p)};
}

/* The factors of `n` whole blocks from block (high, low); low + n must not wrap. */
HOT static void blocks(const struct dropout *d, uint32_t high, uint32_t low, uint32_t n,
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

/* Elements [from, to) of one block. */
static void part(const struct dropout *d, uint64_t block, unsigned from, unsigned to, real *factor)
{
    real whole[4];

    blocks(d, (uint32_t)(block >> 32), (uint32_t)block, 1, whole);
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
