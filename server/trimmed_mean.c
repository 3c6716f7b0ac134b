#include "server/aggregate.h"

/* Coordinate-wise trimmed mean and median (Yin et al. 2018, "Byzantine-Robust Distributed Learning:
 * Towards Optimal Statistical Rates", definitions 1 and 2). The trimmed mean leaves out the
 * federation.byzantine least and as many greatest values of each coordinate; the median is the
 * trimmed mean that leaves out all but the middle one, or two. */

static size_t column(size_t rows)
{
    return rows;
}

/* The mean of x, n numbers, without the `drop` least and greatest. */
static float middle(double *x, size_t n, size_t drop)
{
    double sum = 0; /* which takes the sign from -0: sorting leaves it and 0 in any order */
    aggregate_sort(x, n);
    for (size_t k = drop; k < n - drop; k++)
        sum += x[k];
    return (float)(sum / (double)(n - 2 * drop));
}

static int trim(struct spool *s, size_t drop, double *work, float *out, struct err *e)
{
    struct spool_block b = {0};
    int rc;
    while ((rc = spool_next(s, &b, e)) == 0 && b.n > 0) {
        for (size_t i = 0; i < b.n; i++) {
            for (size_t k = 0; k < b.rows; k++)
                work[k] = (double)b.value[k * b.n + i];
            out[b.first + i] = middle(work, b.rows, drop);
        }
    }
    return rc;
}

static int combine_trimmed(const struct federation_spec *f, struct spool *s, double *work,
                           float *out, struct err *e)
{
    return trim(s, f->byzantine, work, out, e);
}

static int combine_median(const struct federation_spec *f, struct spool *s, double *work,
                          float *out, struct err *e)
{
    (void)f;
    return trim(s, (spool_rows(s) - 1) / 2, work, out, e);
}

const struct aggregator aggregator_trimmed_mean = {
    .name = "trimmed_mean",
    .what = "mean of each coordinate without its extremes (Yin et al. 2018)",
    .work_size = column,
    .combine = combine_trimmed,
};
const struct aggregator aggregator_median = {
    .name = "median",
    .what = "median of each coordinate (Yin et al. 2018)",
    .work_size = column,
    .combine = combine_median,
};
