/* Metrics against values worked out by hand (each derivation stands beside it), and their limits.
 */
#include "support.h"
#include "text/metrics.h"
#include <math.h>

static struct score classes(uint32_t n_labels, const int *truth, const int *guess, size_t n)
{
    struct score s;
    struct err e;

    cr_assert_eq(score_open(&s, n_labels, &e), 0);
    for (size_t i = 0; i < n; i++)
        score_add_class(&s, (uint32_t)truth[i], (uint32_t)guess[i], 0.5);
    return s;
}

static struct score values(const double *target, const double *guess, size_t n)
{
    struct score s;
    struct err e;

    cr_assert_eq(score_open(&s, 1, &e), 0);
    for (size_t i = 0; i < n; i++)
        cr_assert_eq(score_add_value(&s, target[i], guess[i], &e), 0);
    return s;
}

static void expect(const struct score *s, enum metric m, double want)
{
    cr_expect_float_eq(score_value(s, m), want, 1e-12, "%s: %.17g, not %.17g", metric_name(m),
                       score_value(s, m), want);
}

/* Of class 1: 3 found, 1 false, 2 missed; of class 0: 2 found, 2 false, 1 missed. */
Test(metrics, two_classes)
{
    static const int truth[] = {1, 1, 1, 1, 1, 0, 0, 0}, guess[] = {1, 1, 1, 0, 0, 1, 0, 0};
    struct score s = classes(2, truth, guess, 8);

    cr_expect_eq(s.n, 8);
    cr_expect_float_eq(s.loss_sum, 4.0, 1e-15);
    expect(&s, METRIC_ACCURACY, 5.0 / 8);
    expect(&s, METRIC_F1, 2 * 0.75 * 0.6 / (0.75 + 0.6));
    expect(&s, METRIC_MACRO_F1, (2 * 0.75 * 0.6 / (0.75 + 0.6) + 4.0 / 7) / 2);
    /* (3*2 - 1*2) / sqrt(4 * 5 * 3 * 4) */
    expect(&s, METRIC_MATTHEWS, 4 / sqrt(240));
    cr_expect_float_eq(score_precision(&s, 1), 3.0 / 4, 1e-15);
    cr_expect_float_eq(score_recall(&s, 1), 3.0 / 5, 1e-15);
    cr_expect_float_eq(score_precision(&s, 0), 2.0 / 4, 1e-15);
    cr_expect_float_eq(score_recall(&s, 0), 2.0 / 3, 1e-15);
    score_close(&s);
}

/* A confusion matrix of three classes, rows the truth: 3 1 0 / 0 2 2 / 1 0 1. */
Test(metrics, three_classes)
{
    static const int truth[] = {0, 0, 0, 0, 1, 1, 1, 1, 2, 2},
                     guess[] = {0, 0, 0, 1, 1, 1, 2, 2, 0, 2};
    struct score s = classes(3, truth, guess, 10);

    expect(&s, METRIC_ACCURACY, 0.6);
    /* F1: 6/(4+4), 4/(4+3), 2/(2+3) */
    expect(&s, METRIC_MACRO_F1, (0.75 + 4.0 / 7 + 0.4) / 3);
    /* truth 4 4 2, guesses 4 3 3: (10*6 - (16+12+6)) / sqrt((100-36) * (100-34)) */
    expect(&s, METRIC_MATTHEWS, 26 / sqrt(64.0 * 66));
    score_close(&s);
}

/* A class that neither is nor was predicted has no part in the mean. */
Test(metrics, macro_f1_leaves_out_absent_classes)
{
    static const int truth[] = {0, 0, 3}, guess[] = {0, 3, 3};
    struct score s = classes(5, truth, guess, 3);

    expect(&s, METRIC_MACRO_F1, (2.0 / 3 + 2.0 / 3) / 2);
    score_close(&s);
}

Test(metrics, zero_denominators_are_zero)
{
    static const int none[] = {0, 0, 0}, all[] = {1, 1, 1}, mixed[] = {0, 1, 0};
    struct score s = classes(2, none, none, 3);

    expect(&s, METRIC_ACCURACY, 1);
    expect(&s, METRIC_F1, 0);
    expect(&s, METRIC_MATTHEWS, 0);
    cr_expect_eq(score_recall(&s, 1), 0);
    cr_expect_eq(score_precision(&s, 1), 0);
    score_close(&s);
    s = classes(2, mixed, all, 3);
    expect(&s, METRIC_MATTHEWS, 0);
    expect(&s, METRIC_F1, 0.5);
    score_close(&s);
    s = classes(2, mixed, mixed, 3);
    expect(&s, METRIC_MATTHEWS, 1);
    score_close(&s);
    s = classes(2, all, none, 3);
    expect(&s, METRIC_ACCURACY, 0);
    expect(&s, METRIC_MATTHEWS, 0);
    score_close(&s);
}

Test(metrics, an_empty_score_is_zero)
{
    for (uint32_t labels = 1; labels <= 2; labels++) {
        struct score s;
        struct err e;
        cr_assert_eq(score_open(&s, labels, &e), 0);
        for (int m = 0; m < METRIC_COUNT; m++)
            cr_expect_eq(score_value(&s, (enum metric)m), 0);
        score_close(&s);
        score_close(&s);
    }
}

/* Deviations -1.5 -.5 .5 1.5 and -2 0 -1 3 from the means 2.5 and 4. */
Test(metrics, correlation_of_values)
{
    static const double target[] = {1, 2, 3, 4}, guess[] = {2, 4, 3, 7};
    struct score s = values(target, guess, 4);

    expect(&s, METRIC_MSE, (1 + 4 + 0 + 9) / 4.0);
    expect(&s, METRIC_PEARSON, 7 / sqrt(5.0 * 14));
    /* ranks 1 2 3 4 and 1 3 2 4: 1 - 6 * 2 / (4 * 15) */
    expect(&s, METRIC_SPEARMAN, 0.8);
    expect(&s, METRIC_CORRELATION, (7 / sqrt(70.0) + 0.8) / 2);
    expect(&s, METRIC_PEARSON, 7 / sqrt(5.0 * 14));
    score_close(&s);
}

/* Ranks 1.5 1.5 3 4.5 4.5 and 2 2 2 4 5, deviations -1.5 -1.5 0 1.5 1.5 and -1 -1 -1 1 2. */
Test(metrics, tied_values_share_their_mean_rank)
{
    static const double target[] = {0, 0, 1, 7, 7}, guess[] = {-3, -3, -3, 0, 9};
    struct score s = values(target, guess, 5);

    expect(&s, METRIC_SPEARMAN, 7.5 / sqrt(9.0 * 8));
    score_close(&s);
}

Test(metrics, a_constant_side_has_no_correlation)
{
    static const double target[] = {1, 2, 3}, guess[] = {5, 5, 5};
    struct score s = values(target, guess, 3);

    expect(&s, METRIC_PEARSON, 0);
    expect(&s, METRIC_SPEARMAN, 0);
    expect(&s, METRIC_CORRELATION, 0);
    score_close(&s);
}

/* The definition, quadratic: the rank of a value is the number of smaller ones and half of the
 * equal ones. */
static double spearman_plain(const double *x, const double *y, size_t n)
{
    double xx = 0, yy = 0, xy = 0, mean = (double)(n - 1) / 2;

    for (size_t i = 0; i < n; i++) {
        double rx = -0.5, ry = -0.5;
        for (size_t k = 0; k < n; k++) {
            rx += x[k] < x[i] ? 1 : x[k] == x[i] ? 0.5 : 0;
            ry += y[k] < y[i] ? 1 : y[k] == y[i] ? 0.5 : 0;
        }
        xx += (rx - mean) * (rx - mean);
        yy += (ry - mean) * (ry - mean);
        xy += (rx - mean) * (ry - mean);
    }
    return xy / sqrt(xx * yy);
}

/* Beyond the first allocation, with many ties; and in another order, to the last bit. */
Test(metrics, many_values_as_the_plain_definition)
{
    enum { N = 1500 };
    static double x[N], y[N], back_x[N], back_y[N];

    for (size_t i = 0; i < N; i++) {
        x[i] = (double)(i * i % 97) / 8;
        y[i] = (double)(i * 31 % 211) + 3 * x[i];
        back_x[N - 1 - i] = x[i];
        back_y[N - 1 - i] = y[i];
    }
    struct score s = values(x, y, N), back = values(back_x, back_y, N);
    expect(&s, METRIC_SPEARMAN, spearman_plain(x, y, N));
    cr_expect_eq(score_value(&s, METRIC_PEARSON), score_value(&back, METRIC_PEARSON));
    cr_expect_eq(score_value(&s, METRIC_SPEARMAN), score_value(&back, METRIC_SPEARMAN));
    score_close(&s);
    score_close(&back);
}

Test(metrics, names_go_both_ways)
{
    enum metric m;

    for (int k = 0; k < METRIC_COUNT; k++) {
        cr_assert(metric_parse(metric_name((enum metric)k), &m));
        cr_expect_eq((int)m, k);
        cr_expect_eq(metric_lower_is_better(m), m == METRIC_MSE);
    }
    cr_expect_not(metric_parse("accurate", &m));
}
