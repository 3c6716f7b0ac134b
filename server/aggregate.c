#include "server/aggregate.h"
#include <math.h>
#include <stdlib.h>

const struct aggregator *aggregator_find(enum aggregation kind)
{
    static const struct aggregator *const table[] = {
        [AGGREGATION_FEDAVG] = &aggregator_fedavg,
        [AGGREGATION_CLIPPED_MEAN] = &aggregator_clipped_mean,
        [AGGREGATION_MEDIAN] = &aggregator_median,
        [AGGREGATION_TRIMMED_MEAN] = &aggregator_trimmed_mean,
        [AGGREGATION_KRUM] = &aggregator_krum,
    };
    return table[kind];
}

int aggregate_open(struct aggregate *a, const struct federation_spec *f, size_t n, struct err *e)
{
    *a = (struct aggregate){.how = aggregator_find(f->aggregator), .spec = f, .n = n};
    int rc = 0;
    if (a->how->combine != NULL) {
        rc = spool_open(&a->spool, spec_selected(f), n, e);
        a->work = calloc(a->how->work_size(f->per_round), sizeof *a->work);
    } else {
        a->state = calloc(1, a->how->state_size(n));
    }
    if (rc == 0 && a->work == NULL && a->state == NULL)
        rc = err_set(e, ERR_NOMEM, "no memory to aggregate %u updates of %zu values by %s",
                     f->per_round, n, a->how->name);
    if (rc != 0)
        aggregate_close(a);
    return rc;
}

void aggregate_close(struct aggregate *a)
{
    spool_close(a->spool);
    free(a->work);
    free(a->state);
    *a = (struct aggregate){0};
}

void aggregate_reset(struct aggregate *a)
{
    a->failure = (struct err){0};
    if (a->spool != NULL)
        spool_clear(a->spool);
    else
        a->how->reset(a->state, a->n);
}

void aggregate_prepare(const struct aggregate *a, const float *base, float *x)
{
    if (a->how->prepare != NULL)
        a->how->prepare(a->spec, base, x, a->n);
}

int aggregate_add(struct aggregate *a, size_t row, const float *x, uint64_t weight, struct err *e)
{
    struct err why;
    if (a->spool == NULL)
        return a->how->add(a->state, x, a->n, weight, e);
    if (spool_put(a->spool, row, x, &why) != 0 && a->failure.code == 0)
        a->failure = why;
    return 0;
}

int aggregate_finish(struct aggregate *a, float *out, struct err *e)
{
    if (a->spool == NULL) {
        a->how->finish(a->state, out, a->n);
        return 0;
    }
    if (a->failure.code != 0)
        return err_set(e, a->failure.code, "%s", a->failure.text);
    return a->how->combine(a->spec, a->spool, a->work, out, e);
}

bool aggregate_in_range(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(x[i]) < (float)(1 << FIXED_RANGE_BITS)))
            return false;
    return true;
}

double aggregate_distance2(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)a[i] - (double)b[i];
        sum += d * d;
    }
    return sum;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void aggregate_sort(double *x, size_t n)
{
    qsort(x, n, sizeof *x, compare);
}
