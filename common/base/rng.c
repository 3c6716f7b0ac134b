#include "base/rng.h"

#include <math.h>

/* Constants of Salmon et al. 2011, section 3.3: multipliers from a search, Weyl increments golden
 * ratio and sqrt(3) - 1. */
enum { ROUNDS = 10 };
static const uint32_t MUL0 = 0xd2511f53, MUL1 = 0xcd9e8d57, WEYL0 = 0x9e3779b9, WEYL1 = 0xbb67ae85;

/* The half of a stream's positions that no draw can reach names its children. */
static const uint64_t CHILDREN = (uint64_t)1 << 63;

void philox4x32(const uint32_t ctr[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = ctr[0], c1 = ctr[1], c2 = ctr[2], c3 = ctr[3], k0 = key[0], k1 = key[1];

    for (int i = 0; i < ROUNDS; i++) {
        uint64_t p0 = (uint64_t)MUL0 * c0, p1 = (uint64_t)MUL1 * c2;

        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += WEYL0;
        k1 += WEYL1;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* A name is 128 bits: key and upper counter words. */
static struct rng named(const uint32_t name[4])
{
    return (struct rng){.key = {name[0], name[1]}, .ctr = {0, 0, name[2], name[3]}, .used = 4};
}

/* Philox is a bijection of the counter, so two names under one seed are never the same stream. */
struct rng rng_stream(uint64_t seed, uint32_t round, uint32_t client, enum rng_purpose purpose)
{
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    const uint32_t ctr[4] = {round, client, (uint32_t)purpose, UINT32_MAX};
    uint32_t name[4];

    philox4x32(ctr, key, name);
    return named(name);
}

struct rng rng_child(const struct rng *r, uint32_t index)
{
    uint32_t name[4];

    rng_block_at(r, CHILDREN | index, name);
    return named(name);
}

void rng_block_at(const struct rng *r, uint64_t i, uint32_t out[4])
{
    const uint32_t ctr[4] = {(uint32_t)i, (uint32_t)(i >> 32), r->ctr[2], r->ctr[3]};

    philox4x32(ctr, r->key, out);
}

uint32_t rng_u32(struct rng *r)
{
    if (r->used == 4) {
        philox4x32(r->ctr, r->key, r->block);
        if (++r->ctr[0] == 0)
            r->ctr[1]++;
        r->used = 0;
    }
    return r->block[r->used++];
}

double rng_uniform(struct rng *r)
{
    uint64_t high = rng_u32(r);
    uint64_t low = rng_u32(r);

    return (double)((high << 32 | low) >> 11) * 0x1p-53;
}

uint32_t rng_below(struct rng *r, uint32_t n)
{
    uint64_t product = (uint64_t)rng_u32(r) * n;

    if ((uint32_t)product < n) {
        uint32_t biased = -n % n; /* 2^32 mod n */
        while ((uint32_t)product < biased)
            product = (uint64_t)rng_u32(r) * n;
    }
    return (uint32_t)(product >> 32);
}

double rng_normal(struct rng *r)
{
    double radius = sqrt(-2 * log(1 - rng_uniform(r))); /* 1 - u is never 0 */

    return radius * cos(2 * 3.14159265358979323846 * rng_uniform(r));
}

double rng_gamma(struct rng *r, double shape)
{
    double boost = 1;

    if (shape < 1) {
        boost = pow(1 - rng_uniform(r), 1 / shape);
        shape += 1;
    }
    double d = shape - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        double x = rng_normal(r), v = 1 + c * x;

        if (v <= 0)
            continue;
        v = v * v * v;
        if (log(1 - rng_uniform(r)) < 0.5 * x * x + d - d * v + d * log(v))
            return boost * d * v;
    }
}

void rng_shuffle(struct rng *r, uint32_t *index, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = rng_below(r, (uint32_t)i);
        uint32_t other = index[j];

        index[j] = index[i - 1];
        index[i - 1] = other;
    }
}
