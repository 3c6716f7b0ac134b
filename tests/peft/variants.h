/* Every method of the registry in its variants, small enough for the golden encoders. */
#ifndef TESTS_PEFT_VARIANTS_H
#define TESTS_PEFT_VARIANTS_H

#include "peft/peft.h"
#include <string.h>

struct variant {
    const char *method, *what;
    struct peft_spec settings; /* without the method's name */
    bool from_base;            /* training starts at the base model's own logits */
};

#define ALL_SITES ((1u << LIN_SITES) - 1)
#define LORA .r = 3, .alpha = 5, .targets = ALL_SITES
#define ADAPTER(where, function)                                                                   \
    .bottleneck = 5, .scaling = 0.7, .placement = PLACEMENT_##where,                               \
    .activation = ACTIVATION_##function

static const struct variant variants[] = {
    {"lora", "plain", {LORA, .dropout = 0.2}, true},
    {"lora", "rank-stabilised", {LORA, .rslora = true}, true},
    {"lora", "and norms", {LORA, .norms = true}, true},
    {"adapter", "opendelta", {ADAPTER(OPENDELTA, DEFAULT)}, false},
    {"adapter", "houlsby", {ADAPTER(HOULSBY, SWISH)}, false},
    {"adapter", "pfeiffer", {ADAPTER(PFEIFFER, GELU)}, false},
    {"adapter", "pfeiffer and norms", {ADAPTER(PFEIFFER, TANH), .norms = true}, false},
    {"adapter", "parallel", {ADAPTER(PARALLEL, TANH)}, true},
    {"adapter", "parallel and norms", {ADAPTER(PARALLEL, GELU_NEW), .norms = true}, true},
    {"prefix", "flat", {.length = 3}, false},
    {"prefix", "flat, shifted", {.length = 4, .shift = true}, false},
    {"prefix", "reparametrised", {.length = 3, .hidden = 6, .shift = true}, false},
    {"prefix", "and norms", {.length = 1, .norms = true}, false},
    {"prompt", "plain", {.length = 3}, false},
    {"bitfit", "all", {.biases = BIASES_ALL}, true},
    {"bitfit", "opendelta", {.biases = BIASES_OPENDELTA}, true},
    {"bitfit", "and norms", {.biases = BIASES_OPENDELTA, .norms = true}, true},
    {"layernorm", "plain", {.norms = false}, true},
    {"head", "plain", {.norms = false}, true},
    {"head", "and norms", {.norms = true}, true},
    {"full", "plain", {.norms = false}, true},
};
enum { VARIANTS = sizeof variants / sizeof *variants };

static inline struct peft_spec variant_spec(const struct variant *v)
{
    struct peft_spec s = v->settings;
    s.method = (char *)(uintptr_t)v->method;
    return s;
}

/* Whether its method draws dropout of its own, besides the model's. */
static inline bool variant_drops(const struct variant *v)
{
    const char *settings = peft_method_find(v->method)->settings;
    return settings != NULL && strstr(settings, "dropout") != NULL;
}

#endif
