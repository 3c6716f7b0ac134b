/* BitFit (Ben Zaken et al. 2022): the biases alone. OpenDelta 0.2.4 leaves some of them frozen, and
 * adds vectors of its own behind the layer norms where we train the norms' biases: the same
 * functions. */
#include "peft/method.h"

static bool bitfit_trains(const struct peft_spec *spec, const struct base_tensor *t)
{
    bool bias = t->role == ROLE_BIAS || t->role == ROLE_NORM_BIAS;
    if (spec->biases == BIASES_ALL)
        return bias;
    /* OpenDelta looks into the layers only; its name for the feed-forward part finds the second
     * linear and not the first. */
    return bias && t->layer >= 0 && t->site != LIN_INTERMEDIATE;
}

const struct peft_method peft_bitfit = {
    .name = "bitfit",
    .what = "biases of linear layers and layer norms (Ben Zaken et al. 2022)",
    .settings = "biases",
    .trains = bitfit_trains,
};
