/* What a server runs: the base model, the method on it, the initial values; and the identity of all
 * that. */
#ifndef SERVER_RUN_H
#define SERVER_RUN_H

#include "peft/peft.h"
#include "server/run_config.h"
#include "text/metrics.h"

struct run {
    struct run_spec
        spec; /* the configuration's, with n_labels settled; strings are the configuration's */
    struct model *model;
    struct peft *peft;
    struct adapter_info info; /* for export */
    enum metric metric;       /* what clients score by, and rounds are scored by */
    float *params;            /* schema->count: initial */
    struct hash identity;
};

/* ERR_MODEL, ERR_CONFIG, ERR_IO, ERR_NOMEM: of the model, the method, the adapter to begin with, or
 * the task. c is borrowed. */
int run_open(struct run *r, const struct run_config *c, struct err *e) MUST_CHECK;
void run_close(struct run *r);

/* A hash of everything that a client's result depends on. Left out, so that they can be changed
 * between two starts of a server: how many rounds (but not with local.decay_over_run), how long to
 * wait for them and for a better one, with how few clients to be content, and which round is the
 * result; names of metrics, and what is only simulated. */
struct hash run_identity(const struct run_spec *s, const struct hash *model,
                         const struct hash *schema, const struct hash *params);

#endif
