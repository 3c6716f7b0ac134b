#include "peft/init.h"
#include "peft/method.h"
#include <math.h>

struct rng init_stream(uint64_t seed, size_t tensor)
{
    struct rng all = rng_stream(seed, 0, 0, RNG_INIT);
    return rng_child(&all, (uint32_t)tensor);
}

void init_constant(const struct peft *p, size_t tensor, real value, real *theta)
{
    const struct tensor_spec *s = &p->schema.tensor[tensor];
    for (size_t k = 0; k < s->count; k++)
        theta[s->offset + k] = value;
}

void init_zero(const struct peft *p, size_t tensor, real *theta)
{
    init_constant(p, tensor, 0, theta);
}

void init_normal(const struct peft *p, uint64_t seed, size_t tensor, double deviation, real *theta)
{
    const struct tensor_spec *s = &p->schema.tensor[tensor];
    struct rng r = init_stream(seed, tensor);
    for (size_t k = 0; k < s->count; k++)
        theta[s->offset + k] = (real)(deviation * rng_normal(&r));
}

void init_truncated(const struct peft *p, uint64_t seed, size_t tensor, double deviation,
                    real *theta)
{
    const struct tensor_spec *s = &p->schema.tensor[tensor];
    struct rng r = init_stream(seed, tensor);
    for (size_t k = 0; k < s->count; k++) {
        double x = rng_normal(&r);
        while (fabs(x) > 2)
            x = rng_normal(&r);
        theta[s->offset + k] = (real)(deviation * x);
    }
}

void init_uniform(const struct peft *p, uint64_t seed, size_t tensor, int64_t fan_in, real *theta)
{
    const struct tensor_spec *s = &p->schema.tensor[tensor];
    double bound = 1 / sqrt((double)fan_in);
    struct rng r = init_stream(seed, tensor);
    for (size_t k = 0; k < s->count; k++)
        theta[s->offset + k] = (real)((2 * rng_uniform(&r) - 1) * bound);
}
