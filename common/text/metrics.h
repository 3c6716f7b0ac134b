/* Metrics of a classifier or regressor over an evaluation set, accumulated example by example. */
#ifndef TEXT_METRICS_H
#define TEXT_METRICS_H

#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum metric { METRIC_ACCURACY, METRIC_F1, METRIC_MSE };
bool metric_parse(const char *name, enum metric *out);
const char *metric_name(enum metric m);

/* Confusion counts and sums; zero-initialise. */
struct score {
    uint64_t n, correct;
    uint64_t true_pos, false_pos, false_neg; /* of class 1, for binary F1 (van Rijsbergen 1979) */
    double loss_sum, squared_error_sum;
};
/* One example of class `label`, predicted as `predicted`. Regression: label -1, and the loss is
 * the squared error. */
void score_add(struct score *s, int32_t label, int32_t predicted, double loss);
/* 0 when n is 0, and for F1 without positives. */
double score_value(const struct score *s, enum metric m);

#endif
