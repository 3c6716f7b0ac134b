#include "base/rng.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* kat_vectors of Random123 1.14, philox4x32 with 10 rounds. */
Test(rng, philox_known_answers)
{
    static const struct {
        uint32_t ctr[4], key[2], want[4];
    } kat[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };

    for (size_t i = 0; i < sizeof kat / sizeof *kat; i++) {
        uint32_t out[4];

        philox4x32(kat[i].ctr, kat[i].key, out);
        cr_assert_eq(memcmp(out, kat[i].want, sizeof out), 0, "vector %zu", i);
    }
}

Test(rng, drawing_is_random_access_in_order)
{
    struct rng r = rng_stream(42, 3, 5, RNG_SHUFFLE), start = r;
    uint32_t block[4];

    for (uint64_t i = 0; i < 1000; i++) {
        rng_block_at(&start, i, block);
        for (int j = 0; j < 4; j++)
            cr_assert_eq(rng_u32(&r), block[j]);
    }
    rng_block_at(&r, 0, block);
    cr_assert_eq(rng_u32(&start), block[0], "the position of r does not matter");
}

Test(rng, the_position_carries_into_its_upper_word)
{
    struct rng r = rng_stream(1, 0, 0, RNG_TEST);
    uint32_t want[4];

    rng_block_at(&r, (uint64_t)1 << 32, want);
    r.ctr[0] = UINT32_MAX;
    for (int i = 0; i < 4; i++)
        rng_u32(&r);
    for (int i = 0; i < 4; i++)
        cr_assert_eq(rng_u32(&r), want[i]);
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static uint64_t first_words(struct rng r)
{
    uint64_t high = rng_u32(&r);

    return high << 32 | rng_u32(&r);
}

/* 13,000 names that differ in few bits, and their children: 64-bit values collide by chance with
 * probability 1e-11. */
Test(rng, different_names_are_different_streams)
{
    enum { N = 13000 };
    uint64_t *seen = malloc(N * sizeof *seen);
    size_t n = 0;

    for (uint32_t seed = 0; seed < 5; seed++)
        for (uint32_t round = 0; round < 10; round++)
            for (uint32_t client = 0; client < 10; client++)
                for (int purpose = RNG_INIT; purpose <= RNG_SPLIT - 3; purpose++) {
                    struct rng r = rng_stream(seed, round, client, (enum rng_purpose)purpose);

                    seen[n++] = first_words(r);
                    for (uint32_t i = 0; i < 5; i++)
                        if (n < N)
                            seen[n++] = first_words(rng_child(&r, i));
                }
    for (uint64_t high = 1; n < N; high++)
        seen[n++] = first_words(rng_stream(high << 32, 0, 0, RNG_INIT));
    qsort(seen, N, sizeof *seen, by_value);
    for (size_t i = 1; i < N; i++)
        cr_assert_neq(seen[i], seen[i - 1]);
    free(seen);
}

Test(rng, a_child_depends_on_the_name_only)
{
    struct rng r = rng_stream(7, 1, 2, RNG_DROPOUT), moved = r;

    for (int i = 0; i < 9; i++)
        rng_u32(&moved);
    struct rng a = rng_child(&r, 3), b = rng_child(&moved, 3);
    struct rng grandchild = rng_child(&a, 3);

    cr_assert_eq(first_words(a), first_words(b));
    cr_assert_neq(first_words(a), first_words(grandchild));
    cr_assert_neq(first_words(a), first_words(r));
}

/* From another implementation of the naming rule: a change here changes every result of the
 * product. */
Test(rng, streams_are_stable_over_versions)
{
    struct rng r = rng_stream(42, 1, 2, RNG_INIT), c = rng_child(&r, 5);

    cr_assert_eq(rng_u32(&r), 0x9336b80f);
    cr_assert_eq(rng_u32(&c), 0x40ef328f);
}

/* Mean, variance, skewness and kurtosis within five standard errors. */
struct moments {
    double mean, var, skew, kurt;
};

static struct moments moments_of(const double *x, size_t n)
{
    struct moments m = {0};
    double m3 = 0, m4 = 0;

    for (size_t i = 0; i < n; i++)
        m.mean += x[i] / (double)n;
    for (size_t i = 0; i < n; i++) {
        double d = x[i] - m.mean;

        m.var += d * d / (double)n;
        m3 += d * d * d / (double)n;
        m4 += d * d * d * d / (double)n;
    }
    m.skew = m3 / pow(m.var, 1.5);
    m.kurt = m4 / (m.var * m.var);
    return m;
}

enum { SAMPLES = 200000 };
static double sample[SAMPLES];

Test(rng, uniform_has_its_moments_and_bounds)
{
    struct rng r = rng_stream(1, 0, 0, RNG_TEST);

    for (size_t i = 0; i < SAMPLES; i++) {
        sample[i] = rng_uniform(&r);
        cr_assert(sample[i] >= 0 && sample[i] < 1);
    }
    struct moments m = moments_of(sample, SAMPLES);
    cr_assert_float_eq(m.mean, 0.5, 5 * sqrt(1.0 / 12 / SAMPLES));
    cr_assert_float_eq(m.var, 1.0 / 12, 5 * sqrt(1.0 / 180 / SAMPLES));
}

Test(rng, normal_has_its_moments)
{
    struct rng r = rng_stream(2, 0, 0, RNG_TEST);
    double correlation = 0;

    for (size_t i = 0; i < SAMPLES; i++)
        sample[i] = rng_normal(&r);
    struct moments m = moments_of(sample, SAMPLES);
    cr_assert_float_eq(m.mean, 0, 5 * sqrt(1.0 / SAMPLES));
    cr_assert_float_eq(m.var, 1, 5 * sqrt(2.0 / SAMPLES));
    cr_assert_float_eq(m.skew, 0, 5 * sqrt(6.0 / SAMPLES));
    cr_assert_float_eq(m.kurt, 3, 5 * sqrt(24.0 / SAMPLES));
    for (size_t i = 1; i < SAMPLES; i++)
        correlation += sample[i] * sample[i - 1] / SAMPLES;
    cr_assert_float_eq(correlation, 0, 5 * sqrt(1.0 / SAMPLES));
}

/* Gamma(k): mean k, variance k, fourth central moment 3k^2 + 6k, E log = digamma(k). */
Test(rng, gamma_has_its_moments)
{
    static const struct {
        double shape, digamma, trigamma;
    } kase[] = {
        {0.05, -20.49784500, 401.5323},
        {0.5, -1.963510026, 4.934802},
        {1, -0.5772156649, 1.644934},
        {5, 1.506117668, 0.2213230},
    };

    for (size_t c = 0; c < sizeof kase / sizeof *kase; c++) {
        struct rng r = rng_stream(3, (uint32_t)c, 0, RNG_TEST);
        double k = kase[c].shape, log_mean = 0;

        for (size_t i = 0; i < SAMPLES; i++) {
            sample[i] = rng_gamma(&r, k);
            log_mean += log(sample[i]) / SAMPLES;
        }
        struct moments m = moments_of(sample, SAMPLES);
        cr_assert_float_eq(m.mean, k, 5 * sqrt(k / SAMPLES), "shape %g: mean %g", k, m.mean);
        cr_assert_float_eq(m.var, k, 5 * sqrt((2 * k * k + 6 * k) / SAMPLES),
                           "shape %g: variance %g", k, m.var);
        cr_assert_float_eq(log_mean, kase[c].digamma, 5 * sqrt(kase[c].trigamma / SAMPLES),
                           "shape %g: mean log %g", k, log_mean);
    }
}

/* Chi-square with n - 1 degrees of freedom: mean n - 1, deviation sqrt(2 (n - 1)). */
static void check_flat(const uint32_t *count, uint32_t n, uint32_t draws)
{
    double expected = (double)draws / n, chi2 = 0;

    for (uint32_t i = 0; i < n; i++)
        chi2 += (count[i] - expected) * (count[i] - expected) / expected;
    cr_assert_float_eq(chi2, n - 1.0, 6 * sqrt(2.0 * n), "n %u: chi-square %g", n, chi2);
}

Test(rng, below_is_flat)
{
    static const uint32_t n[] = {2, 3, 7, 100, 257};

    for (size_t c = 0; c < sizeof n / sizeof *n; c++) {
        struct rng r = rng_stream(4, (uint32_t)c, 0, RNG_TEST);
        uint32_t count[257] = {0};

        for (int i = 0; i < SAMPLES; i++) {
            uint32_t v = rng_below(&r, n[c]);

            cr_assert_lt(v, n[c]);
            count[v]++;
        }
        check_flat(count, n[c], SAMPLES);
    }
    struct rng r = rng_stream(4, 99, 0, RNG_TEST);
    cr_assert_eq(rng_below(&r, 1), 0);
}

/* Taking the high word alone would give every third value twice as often: 3 * 2^30 does not divide
 * 2^32. */
Test(rng, below_is_unbiased_for_large_n)
{
    const uint32_t n = 3u << 30;
    struct rng r = rng_stream(5, 0, 0, RNG_TEST);
    uint32_t count[3] = {0};

    for (int i = 0; i < SAMPLES; i++)
        count[rng_below(&r, n) % 3]++;
    check_flat(count, 3, SAMPLES);
}

Test(rng, shuffle_gives_every_order_equally_often)
{
    struct rng r = rng_stream(6, 0, 0, RNG_TEST);
    uint32_t count[24] = {0};

    for (int i = 0; i < 48000; i++) {
        uint32_t p[4] = {0, 1, 2, 3}, rank = 0;

        rng_shuffle(&r, p, 4);
        for (int a = 0; a < 4; a++) {
            uint32_t smaller = 0;

            for (int b = a + 1; b < 4; b++)
                smaller += p[b] < p[a];
            rank = rank * (uint32_t)(4 - a) + smaller;
        }
        count[rank]++;
    }
    check_flat(count, 24, 48000);
    rng_shuffle(&r, NULL, 0);
}
