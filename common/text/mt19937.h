/* The random numbers of numpy.random.RandomState, for the one thing that must be cut as others cut
 * it: what a data set holds out. Everything else draws from base/rng.h. Mersenne Twister
 * MT19937, Matsumoto and Nishimura 1998. */
#ifndef TEXT_MT19937_H
#define TEXT_MT19937_H

#include <stddef.h>
#include <stdint.h>

enum { MT19937_WORDS = 624 };
struct mt19937 {
    uint32_t state[MT19937_WORDS];
    int next; /* word of the state; MT19937_WORDS: make new ones */
};
/* As RandomState(seed). */
void mt19937_init(struct mt19937 *r, uint32_t seed);
uint32_t mt19937_next(struct mt19937 *r);

/* The bits of RandomState.permutation(n): 0..n-1 in random order, n < 2^32. */
void mt19937_permutation(struct mt19937 *r, uint32_t *out, size_t n);

#endif
