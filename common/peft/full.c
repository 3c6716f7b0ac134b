/* Full fine-tuning: every tensor of the base model. What FedPETuning (Zhang et al. 2023) calls
 * FedFT. */
#include "peft/method.h"

static bool full_trains(const struct peft_spec *spec, const struct base_tensor *t)
{
    (void)spec;
    (void)t;
    return true;
}

const struct peft_method peft_full = {
    .name = "full",
    .what = "full fine-tuning of every tensor",
    .trains = full_trains,
};
