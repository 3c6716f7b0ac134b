/* The exact weighted mean: the sum in fixed point of every sum-type aggregator (the members of
 * struct aggregator of the same names, server/aggregate.h). */
#ifndef SERVER_FEDAVG_H
#define SERVER_FEDAVG_H

#include "server/aggregate.h"

size_t fedavg_size(size_t n);
void fedavg_reset(void *state, size_t n);
int fedavg_add(void *state, const float *x, size_t n, uint64_t weight, struct err *e);
void fedavg_finish(void *state, float *out, size_t n);

#endif
