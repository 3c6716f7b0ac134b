#include "server/fedavg.h"
#include <math.h>

/* Norm clipping (Sun et al. 2019, "Can You Really Backdoor Federated Learning?"): an
 * update that lies further from what it began with than the bound is moved towards it, to the
 * bound; then the mean as in FedAvg, weights included. One of K equal clients then moves the mean
 * by bound / K at most; without federation.weighted, also one that lies about its samples. */

static void clip(const struct federation_spec *f, const float *base, float *x, size_t n)
{
    double norm = sqrt(aggregate_distance2(x, base, n));
    if (norm <= f->clip_norm)
        return;
    double scale = f->clip_norm / norm;
    for (size_t i = 0; i < n; i++)
        x[i] = (float)((double)base[i] + scale * ((double)x[i] - (double)base[i]));
}

const struct aggregator aggregator_clipped_mean = {
    .name = "clipped_mean",
    .what = "weighted mean of updates of bounded norm (Sun et al. 2019)",
    .state_size = fedavg_size,
    .reset = fedavg_reset,
    .prepare = clip,
    .add = fedavg_add,
    .finish = fedavg_finish,
};
