/* The metrics that clients report with their updates ("accuracy" of the parameters they were sent,
 * on data they hold back), averaged over a round. Kept by client and added in client order, so that
 * the mean too does not depend on who came first. */
#ifndef SERVER_TALLY_H
#define SERVER_TALLY_H

#include "proto/msg.h"

enum { TALLY_NAME = 48 };

/* Names seen in a round. */
struct tally {
    size_t n;
    char name[MSG_MAX_METRICS][TALLY_NAME];
};
/* What one client reported, by the number of the name; weight 0: nothing. */
struct tally_row {
    double value[MSG_MAX_METRICS];
    uint64_t weight[MSG_MAX_METRICS];
};

/* Enters a client's metrics; row was zero. Names of TALLY_NAME bytes and more, and names after the
 * first MSG_MAX_METRICS of a round, are left out. */
void tally_enter(struct tally *t, struct tally_row *row, const struct msg_metric *metric, size_t n);
/* Means over the rows, weighted by the examples behind each value, sorted by name. Returns their
 * number; the names point into t. */
size_t tally_means(const struct tally *t, const struct tally_row *row, size_t rows,
                   struct msg_metric out[MSG_MAX_METRICS]);

#endif
