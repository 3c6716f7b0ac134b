/* Elementary functions that the compiler can vectorise: no calls, no branches, no tables. In the
 * double build they are libm's, so that gradient checks test formulae and not approximations.
 * Errors were measured over dense grids against long double (tests/nn/test_vecmath.c holds them).
 * Polynomials: Remez exchange. NaN in, NaN out. */
#ifndef NN_VECMATH_H
#define NN_VECMATH_H

#include "nn/hot.h"
#include <math.h>
#include <stdint.h>

#ifdef FEDPET_DOUBLE

INLINE real vec_exp(real x)
{
    return exp(x);
}

INLINE real vec_tanh(real x)
{
    return tanh(x);
}

INLINE real vec_normal_cdf(real x, real *density)
{
    *density = 0.39894228040143267794 * exp(-0.5 * x * x);
    return 0.5 * erfc(-0.70710678118654752440 * x);
}

#else

/* e^x within 2 ulp for x in [-87.3, 88.3]; beyond, the value at the nearer end (1.2e-38
 * and 2.2e38). */
INLINE real vec_exp(real x)
{
    const float low = -87.3F, high = 88.3F;
    x = low > x ? low : x;
    x = high < x ? high : x;

    /* x = n ln 2 + r, |r| <= ln 2 / 2. Adding 1.5 * 2^23 leaves n in the low bits of the sum. */
    const float shift = 0x1.8p23F;
    union {
        float f;
        uint32_t bits;
    } sum = {.f = x * 1.44269504F + shift}, power;
    float n = sum.f - shift;
    float r = x - n * 0.693359375F;
    r -= n * -2.12194440e-4F;

    float p = 1.383681615e-3F;
    p = p * r + 8.374839612e-3F;
    p = p * r + 4.166822736e-2F;
    p = p * r + 0.1666641989F;
    p = p * r + 0.4999999207F;
    p = p * r + 1.000000036F;
    p = p * r + 1;
    power.bits = (sum.bits + 127) << 23;
    return p * power.f;
}

/* tanh x within 3 ulp. */
INLINE real vec_tanh(real x)
{
    float a = x < 0 ? -x : x;
    float t = x * x;

    float p =
        -5.659988941e-3F; /* tanh x = x p(x^2) for |x| < 0.625, where 1 - 2/(e^2x + 1) cancels */
    p = p * t + 2.059098827e-2F;
    p = p * t + -5.372106801e-2F;
    p = p * t + 0.1333112754F;
    p = p * t + -0.3333326053F;
    p = p * t + 1;

    float far = 1 - 2 / (vec_exp(2 * a) + 1);
    far = x < 0 ? -far : far;
    return a < 0.625F ? x * p : far;
}

/* The standard normal distribution function, within 2.5e-7; *density = e^(-x^2/2) / sqrt(2 pi). The
 * tail below zero keeps its relative precision (1e-5 at -9), because it is computed as density
 * times a polynomial in 1/(1 + 0.3 |x|), the form of Abramowitz and Stegun 7.1.26. */
INLINE real vec_normal_cdf(real x, real *density)
{
    float a = x < 0 ? -x : x;
    float t = 1 / (1 + 0.3F * a);
    float e = vec_exp(-0.5F * x * x);

    float q = 3.827097783e-2F;
    q = q * t + -0.1686434022F;
    q = q * t + 0.2275777057F;
    q = q * t + -7.526516006e-2F;
    q = q * t + 0.1416754297F;
    q = q * t + 9.505123985e-2F;
    q = q * t + 0.1218258531F;
    q = q * t + 0.1195010015F;
    q = q * t + 6.382871632e-6F;

    float tail = e * q;
    *density = e * 0.398942280F;
    return x < 0 ? tail : 1 - tail;
}

#endif

/* 1 / (1 + e^-x) */
INLINE real vec_sigmoid(real x)
{
    return 1 / (1 + vec_exp(-x));
}

#endif
