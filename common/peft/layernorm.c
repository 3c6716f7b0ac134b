/* Gains and biases of all layer norms, the embeddings' too (as HF PEFT's LN_TUNING on "LayerNorm"):
 * LN-tuning, Qi et al. 2022. */
#include "peft/method.h"

static bool layernorm_trains(const struct peft_spec *spec, const struct base_tensor *t)
{
    (void)spec;
    return t->role == ROLE_NORM_GAIN || t->role == ROLE_NORM_BIAS;
}

const struct peft_method peft_layernorm = {
    .name = "layernorm",
    .what = "gains and biases of the layer norms (Qi et al. 2022)",
    .trains = layernorm_trains,
};
