/* Aggregators: updates in, new global parameters out. One file each.
 *
 * A sum-type aggregator takes updates one at a time and forgets them: it adds in fixed point, so
 * that any order of arrival gives the same bits. A rank-type one compares updates with each other:
 * those of a round wait in a file (server/spool.h), in the places of their clients, and are
 * combined block by block when the round is closed. Neither depends on when updates came. */
#ifndef SERVER_AGGREGATE_H
#define SERVER_AGGREGATE_H

#include "base/err.h"
#include "base/spec.h"
#include "server/spool.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Fixed point: |x| < 2^20, resolution 2^-60, in 128-bit integers: exact for every float of
 * magnitude >= 2^-36, room for 2^40 samples. */
enum { FIXED_FRACTION_BITS = 60, FIXED_RANGE_BITS = 20, FIXED_WEIGHT_BITS = 40 };

/* Either the first five are there (`prepare` may be NULL), or the last two. */
struct aggregator {
    const char *name, *what;

    /* Sum-type. */
    size_t (*state_size)(size_t n);
    void (*reset)(void *state, size_t n);
    /* What of an update is added: changes x, n values, with regard to what it began with. NULL: all
     * of it. The result is as finite and as small as its two arguments. */
    void (*prepare)(const struct federation_spec *f, const float *base, float *x, size_t n);
    /* x: n values, all finite; weight >= 1. ERR_PROTO when a value or the total weight is out of
     * range; state then untouched. */
    int (*add)(void *state, const float *x, size_t n, uint64_t weight, struct err *e);
    /* out: n values; correctly rounded weighted mean. At least one update was added. */
    void (*finish)(void *state, float *out, size_t n);

    /* Rank-type. */
    size_t (*work_size)(size_t rows); /* doubles that combine needs for as many updates */
    /* Reads the spooled updates, as many as federation.quorum at least; each counts once, however
     * many samples its client says it has: that number is not to be trusted either. out: n values.
     * ERR_IO. */
    int (*combine)(const struct federation_spec *f, struct spool *s, double *work, float *out,
                   struct err *e);
};
extern const struct aggregator aggregator_fedavg, aggregator_clipped_mean, aggregator_median,
    aggregator_trimmed_mean, aggregator_krum;

const struct aggregator *aggregator_find(enum aggregation kind);

/* The updates of one round on their way into an aggregator. */
struct aggregate {
    const struct aggregator *how;
    const struct federation_spec *spec; /* borrowed */
    size_t n;
    void *state;         /* sum-type */
    struct spool *spool; /* rank-type, with a place for every selected client */
    double *work;
    struct err failure; /* of the spool, since the round began; code 0: none */
};

/* For updates of n values. ERR_NOMEM; ERR_IO: no room for the spool. */
int aggregate_open(struct aggregate *a, const struct federation_spec *f, size_t n,
                   struct err *e) MUST_CHECK;
void aggregate_close(struct aggregate *a);
/* Forgets what was added. */
void aggregate_reset(struct aggregate *a);
/* Leaves of an update, x, what the aggregator takes of it (clip_norm); base: what it began with. */
void aggregate_prepare(const struct aggregate *a, const float *base, float *x);
/* Adds the prepared update of the row-th client of the round, row < spec_selected(f), once, and of
 * per_round clients at most. ERR_PROTO: see `add`; trouble with the spool is told by
 * aggregate_finish. */
int aggregate_add(struct aggregate *a, size_t row, const float *x, uint64_t weight,
                  struct err *e) MUST_CHECK;
/* out: n values. At least one update was added. ERR_IO: the spool has failed. */
int aggregate_finish(struct aggregate *a, float *out, struct err *e) MUST_CHECK;

/* Whether n values are small enough for the fixed point. */
bool aggregate_in_range(const float *x, size_t n);
/* |a - b|^2 over n values, in double, in the order of the values. */
double aggregate_distance2(const float *a, const float *b, size_t n);
/* Sorts n numbers, none of them NaN, ascending. */
void aggregate_sort(double *x, size_t n);

#endif
