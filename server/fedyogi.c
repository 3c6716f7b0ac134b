#include "server/fedopt.h"
#include <math.h>

/* FedYogi (Reddi et al. 2021, algorithm 2). No correction of the moments' bias: the paper has none.
 */
static double step(const struct federation_spec *f, double delta, double *m, double *v)
{
    double square = delta * delta, rest = *v - square;
    *m = f->server_beta1 * *m + (1 - f->server_beta1) * delta;
    *v -= (1 - f->server_beta2) * square * (double)((rest > 0) - (rest < 0));
    return f->server_lr * *m / (sqrt(*v) + f->server_tau);
}

const struct fedopt fedopt_fedyogi = {
    .name = "fedyogi",
    .what = "FedAdam whose rates change slowly (Reddi et al. 2021)",
    .vectors = 2,
    .lr = 0.01,
    .step = step,
};
