#include "server/fedopt.h"
#include <math.h>

/* FedAdagrad (Reddi et al. 2021, algorithm 2). No correction of the moments' bias: the paper has
 * none. */
static double step(const struct federation_spec *f, double delta, double *m, double *v)
{
    *m = f->server_beta1 * *m + (1 - f->server_beta1) * delta;
    *v += delta * delta;
    return f->server_lr * *m / (sqrt(*v) + f->server_tau);
}

const struct fedopt fedopt_fedadagrad = {
    .name = "fedadagrad",
    .what = "per-parameter rates by the sum of squares (Reddi et al. 2021)",
    .vectors = 2,
    .lr = 0.01,
    .step = step,
};
