#include "text/mt19937.h"

void mt19937_init(struct mt19937 *r, uint32_t seed)
{
    for (uint32_t i = 0; i < MT19937_WORDS; i++) {
        r->state[i] = seed;
        seed = 1812433253u * (seed ^ (seed >> 30)) + i + 1;
    }
    r->next = MT19937_WORDS;
}

static void renew(struct mt19937 *r)
{
    uint32_t *s = r->state;

    for (int i = 0; i < MT19937_WORDS; i++) {
        uint32_t y = (s[i] & 0x80000000u) | (s[(i + 1) % MT19937_WORDS] & 0x7fffffffu);
        s[i] = s[(i + 397) % MT19937_WORDS] ^ (y >> 1) ^ (y & 1 ? 0x9908b0dfu : 0);
    }
    r->next = 0;
}

uint32_t mt19937_next(struct mt19937 *r)
{
    if (r->next == MT19937_WORDS)
        renew(r);
    uint32_t y = r->state[r->next++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

/* A number in 0..most as numpy draws it: as many low bits as `most` has, until they fit. */
static uint32_t below(struct mt19937 *r, uint32_t most)
{
    uint32_t mask = most, value;

    for (int shift = 1; shift < 32; shift *= 2)
        mask |= mask >> shift;
    do
        value = mt19937_next(r) & mask;
    while (value > most);
    return value;
}

void mt19937_permutation(struct mt19937 *r, uint32_t *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (uint32_t)i;
    for (size_t i = n; i-- > 1;) {
        uint32_t k = below(r, (uint32_t)i), held = out[i];
        out[i] = out[k];
        out[k] = held;
    }
}
