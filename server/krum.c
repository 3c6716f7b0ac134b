#include "nn/hot.h"
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

/* Rows that stay in the processor's cache while all others are compared with them. */
enum { TILE = 32 };

/* |a - b|^2 over n values. */
INLINE double distance2(const float *a, const float *b, size_t n)
{
    double sum[LANES] = {0}, all = 0;
    size_t whole = n / LANES * LANES;
    for (size_t i = 0; i < whole; i += LANES) {
        for (size_t l = 0; l < LANES; l++) {
            double d = (double)a[i + l] - (double)b[i + l];
            sum[l] += d * d;
        }
    }
    for (size_t l = 0; l < LANES; l++)
        all += sum[l];
    return all + aggregate_distance2(a + whole, b + whole, n - whole);
}

/* Adds the distances of rows `first` to `last` to all rows before them. */
HOT static void compare_tile(const struct spool_block *b, size_t first, size_t last,
                             double *distance)
{
    for (size_t k = 0; k < last; k++)
        for (size_t j = k < first ? first : k + 1; j < last; j++)
            distance[j * b->rows + k] += distance2(b->value + j * b->n, b->value + k * b->n, b->n);
}

/* distance: rows x rows, symmetric; added up block by block. */
static int measure(struct spool *s, double *distance, struct err *e)
{
    struct spool_block b = {0};
    size_t rows = spool_rows(s);
    int rc;
    memset(distance, 0, rows * rows * sizeof *distance);
    while ((rc = spool_next(s, &b, e)) == 0 && b.n > 0)
        for (size_t first = 0; first < rows; first += TILE)
            compare_tile(&b, first, first + TILE < rows ? first + TILE : rows, distance);
    for (size_t j = 0; j < rows; j++)
        for (size_t k = 0; k < j; k++)
            distance[k * rows + j] = distance[j * rows + k];
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
