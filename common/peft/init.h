/* Initial values of one tensor of a peft, from the tensor's own stream: for the files of this
 * folder only. Each is a pure function of seed and tensor. */
#ifndef PEFT_INIT_H
#define PEFT_INIT_H

#include "base/rng.h"
#include "peft/peft.h"

struct rng init_stream(uint64_t seed, size_t tensor);
void init_constant(const struct peft *p, size_t tensor, real value, real *theta);
void init_zero(const struct peft *p, size_t tensor, real *theta);
/* N(0, deviation). */
void init_normal(const struct peft *p, uint64_t seed, size_t tensor, double deviation, real *theta);
/* The same, drawn again beyond two deviations, as TensorFlow's truncated_normal. */
void init_truncated(const struct peft *p, uint64_t seed, size_t tensor, double deviation,
                    real *theta);
/* U(-1/sqrt(fan_in), 1/sqrt(fan_in)): torch's nn.Linear, weight and bias; for a weight the same as
 * kaiming_uniform_(a = sqrt 5). */
void init_uniform(const struct peft *p, uint64_t seed, size_t tensor, int64_t fan_in, real *theta);

#endif
