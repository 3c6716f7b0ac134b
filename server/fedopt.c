#include "server/fedopt.h"
#include "server/aggregate.h"
#include <math.h>

const struct fedopt fedopt_fedavg = {
    .name = "fedavg",
    .what = "the mean itself (McMahan et al. 2017)",
};

const struct fedopt *fedopt_find(enum server_optimizer kind)
{
    static const struct fedopt *const table[] = {
        [SERVER_FEDAVG] = &fedopt_fedavg,         [SERVER_FEDAVGM] = &fedopt_fedavgm,
        [SERVER_FEDADAGRAD] = &fedopt_fedadagrad, [SERVER_FEDADAM] = &fedopt_fedadam,
        [SERVER_FEDYOGI] = &fedopt_fedyogi,
    };
    return table[kind];
}

void fedopt_begin(const struct fedopt *o, const struct federation_spec *f, double *state, size_t n)
{
    for (size_t i = 0; i < o->vectors * n; i++)
        state[i] = i < n ? 0 : f->server_tau * f->server_tau;
}

int fedopt_step(const struct fedopt *o, const struct federation_spec *f, double *state,
                const float *now, float *mean, size_t n, struct err *e)
{
    if (o->step == NULL)
        return 0;
    const double end = ldexp(1, FIXED_RANGE_BITS);
    struct federation_spec with = *f;
    if (with.server_lr == 0)
        with.server_lr = o->lr;
    double *m = state, *v = o->vectors > 1 ? state + n : NULL;
    for (size_t i = 0; i < n; i++) {
        double delta = (double)mean[i] - (double)now[i];
        mean[i] = (float)((double)now[i] + o->step(&with, delta, &m[i], v != NULL ? &v[i] : NULL));
        if (!(fabs((double)mean[i]) < end)) /* NaN is not below */
            return err_set(e, ERR_STATE,
                           "federation.optimizer %s has driven a parameter out of range (%g; the "
                           "limit is 2^%d): start a new run with a federation.server_lr below %g",
                           o->name, (double)mean[i], FIXED_RANGE_BITS, with.server_lr);
    }
    return 0;
}
