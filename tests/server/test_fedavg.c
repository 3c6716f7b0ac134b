#include "base/rng.h"
#include "server/aggregate.h"
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct aggregator *const avg = &aggregator_fedavg;

static void *fresh(size_t n)
{
    void *s = malloc(avg->state_size(n));
    cr_assert_not_null(s);
    avg->reset(s, n);
    return s;
}

static void add(void *s, const float *x, size_t n, uint64_t weight)
{
    struct err e = {0};
    cr_assert_eq(avg->add(s, x, n, weight, &e), 0, "%s", e.text);
}

/* The mean of two values with weights. */
static float mean2(float a, uint64_t wa, float b, uint64_t wb)
{
    void *s = fresh(1);
    float out;
    add(s, &a, 1, wa);
    add(s, &b, 1, wb);
    avg->finish(s, &out, 1);
    free(s);
    return out;
}

static void permute(const float x[][4], const uint64_t *weight, int *order, int k, int n,
                    const float *want, int *seen)
{
    if (k == n) {
        void *s = fresh(4);
        float out[4];
        for (int i = 0; i < n; i++)
            add(s, x[order[i]], 4, weight[order[i]]);
        avg->finish(s, out, 4);
        cr_assert_arr_eq(out, want, sizeof out);
        free(s);
        ++*seen;
        return;
    }
    for (int i = k; i < n; i++) {
        int t = order[k];
        order[k] = order[i];
        order[i] = t;
        permute(x, weight, order, k + 1, n, want, seen);
        order[i] = order[k];
        order[k] = t;
    }
}

Test(fedavg, every_order_of_arrival_gives_the_same_bits)
{
    enum { N = 6 };
    float x[N][4], want[4];
    uint64_t weight[N];
    int order[N], seen = 0;
    struct rng r = rng_stream(1, 0, 0, RNG_TEST);
    void *s = fresh(4);
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < 4; j++)
            x[i][j] = (float)(rng_normal(&r) * pow(10, j - 3));
        weight[i] = 1 + rng_below(&r, 1000);
        order[i] = i;
        add(s, x[i], 4, weight[i]);
    }
    avg->finish(s, want, 4);
    free(s);
    permute(x, weight, order, 0, N, want, &seen);
    cr_assert_eq(seen, 720);
}

Test(fedavg, the_mean_of_one_update_is_the_update)
{
    const float x[] = {0.0F,
                       1.0F,
                       -1.0F,
                       0.1F,
                       -3.14159265F,
                       1048575.9F,
                       -1048575.9F,
                       0x1p-36F,
                       -0x1.fffffep-36F,
                       0x1.fffffep-37F,
                       123456.789F};
    size_t n = sizeof x / sizeof *x;
    float out[sizeof x / sizeof *x];
    const uint64_t weights[] = {1, 3, 1000003, (uint64_t)1 << 32, (uint64_t)1 << 40};
    for (size_t k = 0; k < sizeof weights / sizeof *weights; k++) {
        void *s = fresh(n);
        add(s, x, n, weights[k]);
        avg->finish(s, out, n);
        cr_assert_arr_eq(out, x, sizeof x);
        free(s);
    }
}

Test(fedavg, ties_go_to_the_even_significand)
{
    const float ulp = 0x1p-23F;
    cr_assert_eq(mean2(1, 1, 1 + ulp, 1), 1.0F);
    cr_assert_eq(mean2(1 + ulp, 1, 1 + 2 * ulp, 1), 1 + 2 * ulp);
    cr_assert_eq(mean2(-1, 1, -1 - ulp, 1), -1.0F);
    cr_assert_eq(mean2(-1 - ulp, 1, -1 - 2 * ulp, 1), -1 - 2 * ulp);
    /* No tie: a hair above and below the middle. */
    cr_assert_eq(mean2(1, 499, 1 + ulp, 501), 1 + ulp);
    cr_assert_eq(mean2(1, 501, 1 + ulp, 499), 1.0F);
    /* Rounding carries into the next power of two. */
    cr_assert_eq(mean2(0x1.fffffep0F, 1, 2, 1), 2.0F);
}

Test(fedavg, digits_below_the_unit_are_rounded_to_even)
{
    void *s = fresh(4);
    const float x[] = {0x1p-61F, 0x1.8p-60F, 0x1p-62F, FLT_TRUE_MIN};
    float out[4];
    add(s, x, 4, 1);
    avg->finish(s, out, 4);
    cr_assert_eq(out[0], 0.0F);     /* half a unit: to even, zero */
    cr_assert_eq(out[1], 0x1p-59F); /* one and a half: to even, two */
    cr_assert_eq(out[2], 0.0F);
    cr_assert_eq(out[3], 0.0F);
    free(s);
}

/* x as an integer multiple of 2^-60. */
static __int128 units(float x)
{
    int exponent;
    float fraction = frexpf(x, &exponent);
    return (__int128)(int64_t)ldexpf(fraction, 24) << (60 + exponent - 24);
}

/* Positive values around 1, where all of this fits: the distance to the true mean, times the
 * weight. */
static __int128 distance(float candidate, __int128 sum, uint64_t weight)
{
    __int128 d = units(candidate) * weight - sum;
    return d < 0 ? -d : d;
}

Test(fedavg, no_other_float_is_nearer_to_the_mean)
{
    struct rng r = rng_stream(2, 0, 0, RNG_TEST);
    for (int trial = 0; trial < 3000; trial++) {
        void *s = fresh(1);
        __int128 sum = 0;
        uint64_t total = 0;
        int n = 1 + (int)rng_below(&r, 7);
        for (int i = 0; i < n; i++) {
            float x = (float)ldexp(rng_uniform(&r) + 0.001, (int)rng_below(&r, 8) - 6);
            uint64_t weight = 1 + rng_below(&r, 100000);
            add(s, &x, 1, weight);
            sum += units(x) * weight;
            total += weight;
        }
        float got;
        avg->finish(s, &got, 1);
        __int128 off = distance(got, sum, total),
                 above = distance(nextafterf(got, INFINITY), sum, total),
                 below = distance(nextafterf(got, 0), sum, total);
        cr_assert(off <= above && off <= below, "trial %d: %a is not nearest", trial, got);
        free(s);
    }
}

Test(fedavg, agrees_with_a_long_double_sum)
{
    enum { N = 500, CLIENTS = 40 };
    static float x[CLIENTS][N], out[N];
    uint64_t weight[CLIENTS], total = 0;
    struct rng r = rng_stream(3, 0, 0, RNG_TEST);
    void *s = fresh(N);
    for (int k = 0; k < CLIENTS; k++) {
        weight[k] = 1 + rng_below(&r, 5000);
        total += weight[k];
        for (int i = 0; i < N; i++)
            x[k][i] = (float)rng_normal(&r);
        add(s, x[k], N, weight[k]);
    }
    avg->finish(s, out, N);
    for (int i = 0; i < N; i++) {
        long double sum = 0;
        for (int k = 0; k < CLIENTS; k++)
            sum += (long double)x[k][i] * (long double)weight[k];
        cr_assert_float_eq((double)out[i], (double)(sum / (long double)total),
                           1e-7 * fabs((double)out[i]) + 1e-12);
    }
    free(s);
}

Test(fedavg, a_cancelled_sum_keeps_its_last_digit)
{
    /* A float sum in this order loses the small value altogether. */
    void *s = fresh(1);
    const float x[] = {1000000.0F, 0x1p-30F, -1000000.0F};
    float out;
    for (int i = 0; i < 3; i++)
        add(s, &x[i], 1, 1);
    avg->finish(s, &out, 1);
    cr_assert_eq(out, (float)(0x1p-30 / 3));
    free(s);
}

Test(fedavg, what_is_out_of_range_changes_nothing)
{
    const float bad[] = {NAN, INFINITY, -INFINITY, 1048576.0F, -1048576.0F, FLT_MAX};
    size_t size = avg->state_size(2);
    unsigned char *s = fresh(2), *before = malloc(size);
    add(s, (float[]){1, 2}, 2, 7);
    memcpy(before, s, size);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err e = {0};
        cr_assert_eq(avg->add(s, (float[]){3, bad[i]}, 2, 1, &e), ERR_PROTO);
        cr_assert_neq(e.text[0], '\0');
        cr_assert_arr_eq(s, before, size);
    }
    const uint64_t weights[] = {0, ((uint64_t)1 << 40) - 6, UINT64_MAX};
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++) {
        cr_assert_eq(avg->add(s, (float[]){3, 4}, 2, weights[i], NULL), ERR_PROTO);
        cr_assert_arr_eq(s, before, size);
    }
    cr_assert_eq(avg->add(s, (float[]){3, 4}, 2, ((uint64_t)1 << 40) - 7, NULL), 0);
    free(s);
    free(before);
}

Test(fedavg, the_largest_sums_do_not_overflow)
{
    void *s = fresh(2);
    const float x[] = {0x1.fffffep19F, -0x1.fffffep19F};
    float out[2];
    for (int i = 0; i < 256; i++)
        add(s, x, 2, (uint64_t)1 << 32);
    avg->finish(s, out, 2);
    cr_assert_arr_eq(out, x, sizeof x);
    free(s);
}
