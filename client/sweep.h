/* Sweep: the forward pass over a list of examples, in micro-batches that depend on the list alone,
 * so that what comes out has the same bits whoever asks for it, and with however many threads. */
#ifndef CLIENT_SWEEP_H
#define CLIENT_SWEEP_H

#include "client/train.h"

/* Numbers by example: dataset_rows rows of `width` each, in the order of the list. */
struct rows {
    float *x; /* [n, width] */
    size_t n, width;
    size_t *first; /* of each of the data set's examples that is in the list: its first row */
};
void sweep_release(struct rows *r);
/* The rows of a micro-batch, one sequence after the other, as a constant of the step; `example`
 * names its sequences. */
struct val *sweep_gather(const struct rows *r, struct tape *t, const struct batch *b,
                         const uint32_t *example, bool tokens);

/* Logits, from job->features where they are there. out->x may be the caller's memory, for
 * dataset_rows * n_labels numbers; NULL: it is allocated. ERR_NOMEM; ERR_STATE when cancelled. */
int sweep_logits(struct trainer *t, const struct eval_job *job, struct rows *out,
                 struct err *e) MUST_CHECK;

/* What the encoder makes of the examples, for the head to read. */
int sweep_features(struct trainer *t, const struct eval_job *job, struct rows *out,
                   struct err *e) MUST_CHECK;
/* Is that always the same, and small enough to be kept? `training`: in training, too. */
bool sweep_keeps_features(const struct eval_job *job, bool training);
enum { SWEEP_MOST_FEATURES = 256 << 20 /* bytes */ };

#endif
