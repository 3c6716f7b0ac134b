/* AdamW, SGD and learning-rate schedules on flat vectors. */
#ifndef NN_OPTIM_H
#define NN_OPTIM_H

#include "base/spec.h"
#include "base/tensorset.h"
#include "nn/real.h"

/* State of one training: moments m, v (schema->count each; NULL for OPTIMIZER_SGD) and the step
 * count. Whoever goes on with an earlier training sets them after optim_open. */
struct optim {
    const struct schema *schema; /* tells which tensors decay */
    const struct local_spec *spec;
    real *m, *v;
    uint32_t step;
};
/* Zero moments. ERR_NOMEM. schema and spec are borrowed. */
int optim_open(struct optim *o, const struct schema *schema, const struct local_spec *spec,
               struct err *e) MUST_CHECK;
void optim_close(struct optim *o);

/* One update of theta by gradient g (both schema->count) at learning rate lr. What is used of g is
 * scaled when its global 2-norm exceeds spec->max_grad_norm, as torch.nn.utils.clip_grad_norm_ does
 * (eps 1e-6). OPTIMIZER_ADAMW: torch.optim.AdamW (Loshchilov and Hutter 2019, decoupled decay
 * before the step); OPTIMIZER_ADAMW_HF: transformers' former AdamW (eps added to the uncorrected
 * sqrt(v), decay after the step); OPTIMIZER_SGD: torch.optim.SGD without momentum (weight_decay *
 * theta added to the gradient, after clipping). Returns the norm before clipping. Summation order
 * is fixed. */
real optim_step(struct optim *o, real *theta, const real *g, real lr);

/* Learning rate of step s (from 0) of `total`, as HF get_linear_schedule_with_warmup /
 * get_constant_schedule_with_warmup; warm-up steps = ceil(warmup * total). */
double lr_at(const struct local_spec *spec, uint64_t s, uint64_t total);

#endif
