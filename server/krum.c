#include "server/aggregate.h"
#include <string.h>

/* Krum and Multi-Krum (Blanchard et al. 2017, "Machine Learning with Adversaries: Byzantine
 * Tolerant Gradient Descent"). Of n updates, f of them possibly hostile, each is
 * scored by the sum of the squared distances to the n - f - 2 nearest others; the result is the
 * mean of the federation.krum_keep with the least scores: 1 is Krum, more is Multi-Krum. Of equal
 * scores, the first by name of client counts as less. */

static size_t distances_and_scores(size_t rows)
{
    return rows * (rows + 2);
}

/* distance: rows x rows, symmetric; added up block by block. */
static int measure(struct spool *s, double *distance, struct err *e)
{
    struct spool_block b = {0};
    int rc;
    memset(distance, 0, spool_rows(s) * spool_rows(s) * sizeof *distance);
    while ((rc = spool_next(s, &b, e)) == 0 && b.n > 0) {
        for (size_t j = 0; j < b.rows; j++) {
            for (size_t k = 0; k < j; k++) {
                distance[j * b.rows + k] +=
                    aggregate_distance2(b.value + j * b.n, b.value + k * b.n, b.n);
                distance[k * b.rows + j] = distance[j * b.rows + k];
            }
        }
    }
    return rc;
}

/* others: room for rows numbers. */
static void rate(const double *distance, size_t rows, size_t nearest, double *score, double *others)
{
    for (size_t j = 0; j < rows; j++) {
        size_t n = 0;
        for (size_t k = 0; k < rows; k++)
            if (k != j)
                others[n++] = distance[j * rows + k];
        aggregate_sort(others, n);
        score[j] = 0;
        for (size_t k = 0; k < nearest; k++)
            score[j] += others[k];
    }
}

/* Chosen rows get a score that no other has. */
static void choose(double *score, size_t rows, size_t keep)
{
    for (; keep > 0; keep--) {
        size_t best = rows;
        for (size_t k = 0; k < rows; k++)
            if (score[k] >= 0 && (best == rows || score[k] < score[best]))
                best = k;
        score[best] = -1;
    }
}

static int average(struct spool *s, const double *score, size_t keep, float *out, struct err *e)
{
    struct spool_block b = {0};
    int rc;
    while ((rc = spool_next(s, &b, e)) == 0 && b.n > 0) {
        for (size_t i = 0; i < b.n; i++) {
            double sum = 0;
            for (size_t k = 0; k < b.rows; k++)
                if (score[k] < 0)
                    sum += (double)b.value[k * b.n + i];
            out[b.first + i] = (float)(sum / (double)keep);
        }
    }
    return rc;
}

static int combine(const struct federation_spec *f, struct spool *s, double *work, float *out,
                   struct err *e)
{
    size_t rows = spool_rows(s);
    double *score = work + rows * rows, *others = score + rows;
    int rc = measure(s, work, e);
    if (rc != 0)
        return rc;
    rate(work, rows, rows - f->byzantine - 2, score, others);
    choose(score, rows, f->krum_keep);
    return average(s, score, f->krum_keep, out, e);
}

const struct aggregator aggregator_krum = {
    .name = "krum",
    .what = "mean of the updates that lie closest to the others (Blanchard et al. 2017)",
    .work_size = distances_and_scores,
    .combine = combine,
};
