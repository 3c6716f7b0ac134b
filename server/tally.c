#include "server/tally.h"
#include <stdlib.h>
#include <string.h>

/* The number of a name, entered if it is new; MSG_MAX_METRICS when there is no place for it. */
static size_t number_of(struct tally *t, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < t->n; i++)
        if (strcmp(t->name[i], name) == 0)
            return i;
    if (len >= TALLY_NAME || t->n == MSG_MAX_METRICS)
        return MSG_MAX_METRICS;
    memcpy(t->name[t->n], name, len + 1);
    return t->n++;
}

void tally_enter(struct tally *t, struct tally_row *row, const struct msg_metric *metric, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t at = number_of(t, metric[i].name);
        if (at == MSG_MAX_METRICS)
            continue;
        row->value[at] = metric[i].value;
        row->weight[at] = metric[i].weight;
    }
}

static int by_name(const void *a, const void *b)
{
    const struct msg_metric *x = a, *y = b;
    return strcmp(x->name, y->name);
}

size_t tally_means(const struct tally *t, const struct tally_row *row, size_t rows,
                   struct msg_metric out[MSG_MAX_METRICS])
{
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++) {
        double sum = 0;
        uint64_t weight = 0;
        for (size_t j = 0; j < rows; j++) {
            sum += row[j].value[i] * (double)row[j].weight[i];
            weight += row[j].weight[i];
        }
        if (weight > 0)
            out[n++] = (struct msg_metric){t->name[i], sum / (double)weight, weight};
    }
    qsort(out, n, sizeof *out, by_name);
    return n;
}
