#include "server/fedavg.h"
#include <math.h>
#include <stdbool.h>
#include <string.h>

/* FedAvg (McMahan et al. 2017, algorithm 1): the mean of the updates, weighted by their samples.
 * The sum is an integer, in units of 2^-FIXED_FRACTION_BITS times the weight, so adding commutes
 * and associates: any order of arrival gives the same bits. */

typedef __int128 wide;
typedef unsigned __int128 uwide;

struct fedavg {
    uint64_t weight; /* of all updates so far */
    wide sum[];
};

enum {
    FLOAT_FRACTION = 23, /* stored bits of an IEEE 754 single's significand */
    FLOAT_BIAS = 127,
    FLOAT_DIGITS = FLOAT_FRACTION + 1,
    /* A float with biased exponent b is significand * 2^(b - UNIT_EXPONENT) units. */
    UNIT_EXPONENT = FLOAT_BIAS + FLOAT_FRACTION - FIXED_FRACTION_BITS,
    /* The first biased exponent that is out of range; infinities and NaN are above it too. */
    END_EXPONENT = FLOAT_BIAS + FIXED_RANGE_BITS,
};
_Static_assert(FLOAT_DIGITS + FIXED_WEIGHT_BITS <= 64, "significand times weight fits 64 bits");
_Static_assert(FIXED_RANGE_BITS + FIXED_FRACTION_BITS + FIXED_WEIGHT_BITS < 127, "sums fit");

size_t fedavg_size(size_t n)
{
    return sizeof(struct fedavg) + n * sizeof(wide);
}

void fedavg_reset(void *state, size_t n)
{
    memset(state, 0, fedavg_size(n));
}

static uint32_t float_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static unsigned biased_exponent(uint32_t bits)
{
    return bits >> FLOAT_FRACTION & 0xff;
}

/* m / 2^shift, half to even. */
static uint64_t shift_right_even(uint64_t m, unsigned shift)
{
    if (shift > FLOAT_DIGITS + 1)
        return 0;
    uint64_t half = (uint64_t)1 << (shift - 1), odd = m >> shift & 1;
    return (m + half - 1 + odd) >> shift;
}

/* |x| * weight in units. Exact unless x needs digits below the unit. */
static uwide units(uint32_t bits, uint64_t weight)
{
    unsigned b = biased_exponent(bits);
    uint64_t m = bits & (((uint32_t)1 << FLOAT_FRACTION) - 1);
    if (b >= UNIT_EXPONENT) /* so b > 0: a normal number, with its implicit bit */
        return (uwide)((m | (uint64_t)1 << FLOAT_FRACTION) * weight) << (b - UNIT_EXPONENT);
    if (b == 0) /* zero or subnormal: below half a unit */
        return 0;
    return (uwide)shift_right_even(m | (uint64_t)1 << FLOAT_FRACTION, UNIT_EXPONENT - b) * weight;
}

int fedavg_add(void *state, const float *x, size_t n, uint64_t weight, struct err *e)
{
    struct fedavg *s = state;
    unsigned largest = 0;
    if (weight < 1 || weight > ((uint64_t)1 << FIXED_WEIGHT_BITS) - s->weight)
        return err_set(e, ERR_PROTO, "weights of a round must be 1 to 2^%d in all",
                       FIXED_WEIGHT_BITS);
    for (size_t i = 0; i < n; i++) {
        unsigned b = biased_exponent(float_bits(x[i]));
        largest = b > largest ? b : largest;
    }
    if (largest >= END_EXPONENT)
        return err_set(e, ERR_PROTO, "a value is not finite, or not below 2^%d in magnitude",
                       FIXED_RANGE_BITS);
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = float_bits(x[i]);
        wide u = (wide)units(bits, weight);
        s->sum[i] += bits >> 31 ? -u : u;
    }
    s->weight += weight;
    return 0;
}

static unsigned leading_zeros(uwide v)
{
    uint64_t high = (uint64_t)(v >> 64);
    return high != 0 ? (unsigned)__builtin_clzll(high)
                     : 64 + (unsigned)__builtin_clzll((uint64_t)v);
}

/* sum / weight units as the nearest float, half to even. */
static float mean(wide sum, uint64_t weight)
{
    if (sum == 0)
        return 0;
    uwide magnitude = sum < 0 ? -(uwide)sum : (uwide)sum;
    unsigned scaled = leading_zeros(magnitude);
    uwide dividend = magnitude << scaled; /* so that the quotient has more bits than a float */
    uwide quotient = dividend / weight;
    bool inexact = dividend % weight != 0;
    unsigned drop = 128 - leading_zeros(quotient) - FLOAT_DIGITS;
    uwide rest = quotient & (((uwide)1 << drop) - 1), half = (uwide)1 << (drop - 1);
    uint32_t digits = (uint32_t)(quotient >> drop);
    if (rest > half || (rest == half && (inexact || (digits & 1))))
        digits++;
    /* No result is subnormal: the least is 2^-(FIXED_FRACTION_BITS + FIXED_WEIGHT_BITS). */
    float r = ldexpf((float)digits, (int)drop - (int)scaled - FIXED_FRACTION_BITS);
    return sum < 0 ? -r : r;
}

void fedavg_finish(void *state, float *out, size_t n)
{
    const struct fedavg *s = state;
    for (size_t i = 0; i < n; i++)
        out[i] = mean(s->sum[i], s->weight);
}

const struct aggregator aggregator_fedavg = {
    .name = "fedavg",
    .what = "mean weighted by samples (McMahan et al. 2017)",
    .state_size = fedavg_size,
    .reset = fedavg_reset,
    .add = fedavg_add,
    .finish = fedavg_finish,
};
