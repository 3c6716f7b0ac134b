/* AdamW and learning-rate schedules on flat vectors. */
#ifndef NN_OPTIM_H
#define NN_OPTIM_H

#include "base/spec.h"
#include "base/tensorset.h"
#include "nn/real.h"

/* State of one training: moments m, v (schema->count each) and the step count. */
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

/* One update of theta by gradient g (both schema->count) at learning rate lr. g is scaled in place
 * when its global 2-norm exceeds spec->max_grad_norm, as torch.nn.utils.clip_grad_norm_ does (eps
 * 1e-6). OPTIMIZER_ADAMW: torch.optim.AdamW (Loshchilov and Hutter 2019, decoupled decay before the
 * step); OPTIMIZER_ADAMW_HF: transformers' former AdamW (eps added to the uncorrected sqrt(v),
 * decay after the step). Returns the norm before clipping. Summation order is fixed. */
real optim_step(struct optim *o, real *theta, real *g, real lr);

/* Learning rate of step s (from 0) of `total`, as HF get_linear_schedule_with_warmup /
 * get_constant_schedule_with_warmup; warm-up steps = ceil(warmup * total). */
double lr_at(const struct local_spec *spec, uint32_t s, uint32_t total);

#endif
