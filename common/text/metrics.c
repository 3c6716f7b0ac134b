#include "text/metrics.h"

#include <string.h>

static const char *const names[] = {
    [METRIC_ACCURACY] = "accuracy", [METRIC_F1] = "f1", [METRIC_MSE] = "mse"};

bool metric_parse(const char *name, enum metric *out)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (enum metric)i;
            return true;
        }
    return false;
}

const char *metric_name(enum metric m)
{
    return names[m];
}

void score_add(struct score *s, int32_t label, int32_t predicted, double loss)
{
    s->n++;
    s->loss_sum += loss;
    if (label < 0) {
        s->squared_error_sum += loss;
        return;
    }
    s->correct += predicted == label;
    s->true_pos += label == 1 && predicted == 1;
    s->false_pos += label != 1 && predicted == 1;
    s->false_neg += label == 1 && predicted != 1;
}

static double f1(const struct score *s)
{
    uint64_t either = 2 * s->true_pos + s->false_pos + s->false_neg;

    return either ? 2.0 * (double)s->true_pos / (double)either : 0;
}

double score_value(const struct score *s, enum metric m)
{
    if (s->n == 0)
        return 0;
    switch (m) {
    case METRIC_ACCURACY:
        return (double)s->correct / (double)s->n;
    case METRIC_F1:
        return f1(s);
    case METRIC_MSE:
        return s->squared_error_sum / (double)s->n;
    }
    return 0;
}
