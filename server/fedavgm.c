#include "server/fedopt.h"

/* FedAvgM (Hsu et al. 2019, section 4.3), with a learning rate as in Reddi et al. 2021: 1 is the
 * paper's. A constant delta moves the parameters by lr / (1 - beta1) of it a round in the end. */
static double step(const struct federation_spec *f, double delta, double *m, double *v)
{
    (void)v;
    *m = f->server_beta1 * *m + delta;
    return f->server_lr * *m;
}

const struct fedopt fedopt_fedavgm = {
    .name = "fedavgm",
    .what = "momentum over rounds (Hsu et al. 2019)",
    .vectors = 1,
    .lr = 1,
    .step = step,
};
