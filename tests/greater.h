/* What a test says of many values, by the worst of them. */
#ifndef TESTS_GREATER_H
#define TESTS_GREATER_H

#include <math.h>

/* NaN when either is: fmax would lose it, and a test that asks for little error would pass. */
static inline double greater(double a, double b)
{
    return isnan(a) || a > b ? a : b;
}

#endif
