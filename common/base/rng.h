/* Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as
 * 1, 2, 3", SC11). A stream is named by (seed, round, client, purpose): no state is carried between
 * clients, rounds or threads, so results do not depend on who computes what, or when. */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

/* What a stream is used for: part of its name, never reuse a number. */
enum rng_purpose {
    RNG_INIT = 1,      /* initial parameters */
    RNG_PARTITION = 2, /* data partition of the simulator */
    RNG_SELECT = 3,    /* clients of a round */
    RNG_SHUFFLE = 4,   /* order of examples in an epoch */
    RNG_DROPOUT = 5,
    RNG_JITTER = 6, /* reconnect back-off; never touches results */
    RNG_SPLIT = 7,  /* train/validation split */
    RNG_TEST = 8,
    RNG_MASK = 9,      /* tokens that a language model has to guess */
    RNG_UPLOAD = 10,   /* rounding of an update's values */
    RNG_DOWNLOAD = 11, /* rounding of a task's values */
    RNG_DURATION = 12, /* how long a simulated client trains */
};

struct rng {
    uint32_t key[2];
    uint32_t ctr[4]; /* ctr[0..1]: position in the stream, counted in blocks of four words */
    uint32_t block[4];
    unsigned used; /* words of block already handed out; 4: none left */
};

/* The stream (seed, round, client, purpose), at position 0. */
struct rng rng_stream(uint64_t seed, uint32_t round, uint32_t client, enum rng_purpose purpose);

/* A stream derived from `r`'s name and `index` (a step, a tensor, an op), independent of r's
 * position. */
struct rng rng_child(const struct rng *r, uint32_t index);

/* Random access: the four words of block `i` of the stream named by r. Does not move r. */
void rng_block_at(const struct rng *r, uint64_t i, uint32_t out[4]);

uint32_t rng_u32(struct rng *r);
/* Uniform in [0, 1), 53 bits. */
double rng_uniform(struct rng *r);
/* Unbiased in [0, n), n >= 1 (Lemire 2019). */
uint32_t rng_below(struct rng *r, uint32_t n);
/* Standard normal (Box-Muller, one value per two uniforms). */
double rng_normal(struct rng *r);
/* Gamma(shape, 1), shape > 0 (Marsaglia and Tsang 2000; shape < 1 boosted). */
double rng_gamma(struct rng *r, double shape);
/* Fisher-Yates. */
void rng_shuffle(struct rng *r, uint32_t *index, size_t n);

/* The bare Philox4x32-10 bijection, for its known-answer test. */
void philox4x32(const uint32_t ctr[4], const uint32_t key[2], uint32_t out[4]);

#endif
