/* Aggregators: updates in, new global parameters out. Sum-type aggregators take updates one at a
 * time in any order and give the same bits: they add in fixed point. One file each. */
#ifndef SERVER_AGGREGATE_H
#define SERVER_AGGREGATE_H

#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

/* Fixed point: |x| < 2^20, resolution 2^-60, in 128-bit integers: exact for every float of
 * magnitude >= 2^-36, room for 2^40 samples. */
enum { FIXED_FRACTION_BITS = 60, FIXED_RANGE_BITS = 20, FIXED_WEIGHT_BITS = 40 };

struct aggregator {
    const char *name, *what;
    size_t (*state_size)(size_t n);
    void (*reset)(void *state, size_t n);
    /* x: n values, all finite; weight >= 1. ERR_PROTO when a value or the total weight is out of
     * range; state then untouched. */
    int (*add)(void *state, const float *x, size_t n, uint64_t weight, struct err *e);
    /* out: n values; correctly rounded weighted mean. At least one update was added. */
    void (*finish)(void *state, float *out, size_t n);
};
extern const struct aggregator aggregator_fedavg;

#endif
