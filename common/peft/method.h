/* What a method sees of a peft: for the files of this folder only. */
#ifndef PEFT_METHOD_H
#define PEFT_METHOD_H

#include "peft/peft.h"

/* A base tensor that is trained. */
struct trained_base {
    struct base_tensor of;
    size_t tensor; /* in the schema */
};

struct peft {
    const struct model *model;
    const struct peft_method *method;
    struct peft_spec spec;
    enum head_kind head_kind;
    uint32_t n_labels;
    real hidden_dropout, attention_dropout, head_dropout; /* of the model, effective */
    struct schema schema; /* the method's own tensors, then trained base tensors, then the head's */
    size_t *site; /* [layers][LIN_SITES]: 1 + index of the method's first tensor there; 0: none */
    struct arena mem;
    struct trained_base *base; /* n_base, sorted by address of the frozen values */
    size_t n_base;
    size_t first_base, head; /* index of the first trained base tensor, of the first head tensor */
    int n_head;
    struct head_tensor head_tensor[HEAD_MAX_TENSORS];
    /* Frozen word embeddings in reals, where they are stored otherwise and decode masked tokens:
     * made once, since for each product they would take as much of each thread's memory. */
    const real *decoder;
};

/* For plan(): appends the tensor PATH-OF-SITE SUFFIX. Tensors of one site are added together.
 * ERR_MODEL, ERR_NOMEM. */
int peft_add(struct peft *p, int layer, enum linear_site site, const char *suffix, int rows,
             int cols, struct err *e) MUST_CHECK;
/* For plan(): appends a tensor of any name; cols 0: a vector of `rows`. Matrices decay. */
int peft_add_named(struct peft *p, const char *name, int rows, int cols, struct err *e) MUST_CHECK;
/* For linear(): is there a tensor at a site, and which is the first? */
bool peft_at(const struct peft *p, int layer, enum linear_site site, size_t *tensor);
/* A tensor as a parameter of the tape: vectors are [1, n]. */
struct val *peft_param(const struct peft *p, struct tape *t, size_t tensor, const real *theta,
                       real *grad);
/* The trained base tensor that replaces the frozen values that lie there; NULL: none. */
const struct trained_base *peft_trained(const struct peft *p, const void *frozen);

/* The activation of bottleneck adapters that takes effect: the placement's own where it is
 * ACTIVATION_DEFAULT. */
enum activation adapter_activation(const struct peft_spec *spec);

/* The registry: for each X(NAME) there is a NAME.c with a const struct peft_method peft_NAME. */

#define PEFT_METHODS(X)                                                                            \
    X(lora) X(adapter) X(prefix) X(prompt) X(bitfit) X(layernorm) X(head) X(full)

#define PEFT_DECLARE(name) extern const struct peft_method peft_##name;
PEFT_METHODS(PEFT_DECLARE)
#undef PEFT_DECLARE

#endif
