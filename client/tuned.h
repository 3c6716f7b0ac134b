/* A base model with an adapter on it: what evaluates and predicts. */
#ifndef CLIENT_TUNED_H
#define CLIENT_TUNED_H

#include "base/arena.h"
#include "client/backbone.h"
#include "peft/peft.h"

struct tuned {
    struct backbone backbone;
    struct arena mem; /* owns info's strings */
    struct peft_spec spec;
    struct adapter_info info;
    struct peft *peft;
    float *theta;
    uint32_t max_length; /* of an example: the adapter's, else the model's */
};

/* `adapter`: a Hugging Face PEFT folder. Errors of backbone_open, peft_read_config, peft_open and
 * peft_load. On failure nothing stays open. */
int tuned_open(struct tuned *t, const char *model, const char *adapter, struct err *e) MUST_CHECK;
void tuned_close(struct tuned *t);

/* The name of a class: the adapter's label, or the number, in `text`. */
const char *tuned_label(const struct tuned *t, uint32_t label, char text[16]);

#endif
