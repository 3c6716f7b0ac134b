/* Server optimisers (the FedOpt family: Reddi et al. 2021, "Adaptive Federated Optimization"): what
 * the mean of a round's updates does to the global parameters. The mean minus the parameters is
 * taken for a gradient, element by element, in double. One file each, which holds its formula. */
#ifndef SERVER_FEDOPT_H
#define SERVER_FEDOPT_H

#include "base/err.h"
#include "base/spec.h"
#include <stddef.h>

struct fedopt {
    const char *name, *what;
    size_t vectors; /* of state, as long as the parameters: 0; 1: m; 2: m and v */
    double lr;      /* where federation.server_lr is 0 */
    /* What to add to a parameter. delta: the mean of its updates minus it; *m and *v: its state,
     * updated (NULL where there is none). NULL: delta itself, without rounding. */
    double (*step)(const struct federation_spec *f, double delta, double *m, double *v);
};
extern const struct fedopt fedopt_fedavg, fedopt_fedavgm, fedopt_fedadagrad, fedopt_fedadam,
    fedopt_fedyogi;

const struct fedopt *fedopt_find(enum server_optimizer kind);
/* The state before the first round: m = 0, v = tau^2. state: vectors * n values, one vector after
 * the other. */
void fedopt_begin(const struct fedopt *o, const struct federation_spec *f, double *state, size_t n);
/* now: n parameters; mean: n means of their updates, on success replaced by the new parameters.
 * ERR_STATE: a new value is not finite or not below 2^FIXED_RANGE_BITS in magnitude (aggregate.h),
 * so that no update near it could be counted; mean and state are then of no more use. */
int fedopt_step(const struct fedopt *o, const struct federation_spec *f, double *state,
                const float *now, float *mean, size_t n, struct err *e) MUST_CHECK;

#endif
