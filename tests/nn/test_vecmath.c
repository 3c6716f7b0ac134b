/* The polynomial kernels against long double libm over dense grids: the bounds that nn/vecmath.h
 * states. */
#include "nn/vecmath.h"
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdbool.h>

/* Spacing of floats at a value. */
static long double ulp(long double value)
{
    int exponent;

    frexpl(value, &exponent);
    return ldexpl(1, exponent - FLT_MANT_DIG);
}

Test(vecmath, exp_within_2_ulp)
{
    long double worst = 0;

    for (double x = -87.3; x <= 88.3; x += 1.7e-5) {
        long double want = expl((float)x);
        worst = fmaxl(worst, fabsl(vec_exp((float)x) - want) / ulp(want));
    }
    cr_expect_leq((double)worst, 2, "%.2f ulp", (double)worst);
    cr_expect_eq(vec_exp(0), 1);
}

Test(vecmath, exp_ends)
{
    cr_expect_leq(vec_exp(-1000), 1.3e-38F);
    cr_expect_geq(vec_exp(-1000), 0);
    cr_expect_eq(vec_exp(-INFINITY), vec_exp(-1000));
    cr_expect(isfinite(vec_exp(1000)));
    cr_expect_gt(vec_exp(1000), 2e38F);
    cr_expect(isnan(vec_exp(NAN)));
}

Test(vecmath, tanh_within_3_ulp)
{
    long double worst = 0;
    bool odd = true;

    for (double x = 1e-6; x <= 12; x += 1.1e-6) {
        long double want = tanhl((float)x);
        worst = fmaxl(worst, fabsl(vec_tanh((float)x) - want) / ulp(want));
        odd = odd && vec_tanh((float)-x) == -vec_tanh((float)x);
    }
    cr_expect(odd);
    cr_expect_leq((double)worst, 3, "%.2f ulp", (double)worst);
    cr_expect_eq(vec_tanh(0), 0);
    cr_expect_eq(vec_tanh(100), 1);
    cr_expect_eq(vec_tanh(-100), -1);
    cr_expect_float_eq(vec_tanh(1e-20F), 1e-20F, 1e-26F);
    cr_expect(isnan(vec_tanh(NAN)));
}

Test(vecmath, normal_cdf)
{
    long double worst = 0, worst_density = 0, worst_tail = 0;

    for (double d = -13; d <= 13; d += 3e-6) {
        float x = (float)d, density, cdf = vec_normal_cdf(x, &density);
        long double want = erfcl(-x * sqrtl(0.5L)) / 2;
        worst = fmaxl(worst, fabsl(cdf - want));
        worst_density =
            fmaxl(worst_density, fabsl(density - expl(-0.5L * x * x) / sqrtl(2 * acosl(-1.0L))));
        if (x > -9)
            worst_tail = fmaxl(worst_tail, fabsl(cdf - want) / want);
    }
    cr_expect_leq((double)worst, 2.5e-7, "%.2e", (double)worst);
    cr_expect_leq((double)worst_density, 1e-7, "%.2e", (double)worst_density);
    cr_expect_leq((double)worst_tail, 1e-5, "%.2e", (double)worst_tail);
    float density;
    cr_expect(isnan(vec_normal_cdf(NAN, &density)));
}

Test(vecmath, sigmoid)
{
    long double worst = 0;

    for (double x = -80; x <= 80; x += 1.3e-5) {
        long double want = 1 / (1 + expl(-(float)x));
        worst = fmaxl(worst, fabsl(vec_sigmoid((float)x) - want) / ulp(want));
    }
    cr_expect_leq((double)worst, 4, "%.2f ulp", (double)worst);
    cr_expect_leq(vec_sigmoid(-1000), 1e-38F);
    cr_expect_eq(vec_sigmoid(1000), 1);
}

Test(vecmath, sums_do_not_depend_on_the_vector_width)
{
    float x[77], lane[LANES] = {0};

    for (int i = 0; i < 77; i++) {
        x[i] = 1 / (float)(i + 3);
        lane[i % LANES] += x[i];
    }
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++)
            lane[l] += lane[l + half];
    cr_expect_eq(row_sum(x, 77), lane[0]);
    cr_expect_eq(row_max(x, 77), x[0]);
    cr_expect_eq(row_max(x + 5, 1), x[5]);
    x[76] = 9;
    cr_expect_eq(row_max(x, 77), 9);
}
