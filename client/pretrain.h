/* Pretraining: masked language modelling of a peft whose head is HEAD_MLM, on the sequences of a
 * corpus. As in client/train.h the result has the same bits for any number of threads; and for any
 * number of interruptions: whatever is random is a function of seed, epoch and place, and the rest
 * is in the checkpoint. */
#ifndef CLIENT_PRETRAIN_H
#define CLIENT_PRETRAIN_H

#include "client/train.h"
#include "text/masking.h"
#include "text/pack.h"
#include "text/sequences.h"
#include <jansson.h>

/* Micro-batches are larger than those of small adapters: the gradient of a whole model, which each
 * has to clear and add, costs as much as many tokens. */
enum { PRETRAIN_MICRO_TOKENS = 1024 };

/* What was known after a step at which the model was evaluated. Losses are means over masked
 * tokens, in nats. */
struct pretrain_point {
    uint64_t step, tokens; /* since the beginning */
    double train_loss;     /* since the point before */
    double loss, accuracy; /* of the held-out sequences; 0 where there are none */
};

struct pretrain_progress {
    uint32_t step, steps;               /* done, of so many */
    uint32_t done_before;               /* steps of earlier calls */
    uint64_t tokens;                    /* of this call */
    double seconds;                     /* spent on them, without evaluations and checkpoints */
    double loss, lr;                    /* of the step */
    const struct pretrain_point *point; /* when the model was just evaluated; else NULL */
};

struct pretrain_job {
    const struct peft *peft;
    const struct sequences *text;
    const struct masking *masking;
    /* epochs or steps, batch_size * accumulate sequences a step, optimiser and schedule */
    const struct local_spec *local;
    uint64_t seed;
    uint32_t evaluate_every; /* steps; the last one always counts; 0: only that */
    const char *checkpoint;  /* file */
    const json_t *settings;  /* what the checkpoint is good for, besides the schema */
    double checkpoint_every; /* seconds */
    /* After each step, on the calling thread. False: save and stop. */
    bool (*progress)(const struct pretrain_progress *p, void *ctx);
    void *ctx;
};

struct pretrain_result {
    uint32_t steps;
    uint64_t tokens;              /* since the beginning, special ones included */
    uint64_t call_tokens;         /* of this call */
    double seconds;               /* as in pretrain_progress */
    struct pretrain_point *point; /* n_points; the caller frees it */
    size_t n_points;
};

/* Trains theta (schema->count, initial values) in place, from the checkpoint on if there is one,
 * and leaves a checkpoint of the last step. ERR_STATE: a checkpoint of other settings; stopped by
 * progress, after saving; ERR_CONFIG: the loss is not finite; ERR_NOMEM; ERR_IO: the checkpoint
 * cannot be written or read. On error theta is of no use. */
int pretrain_run(struct trainer *t, const struct pretrain_job *job, float *theta,
                 struct pretrain_result *r, struct err *e) MUST_CHECK;

/* Loss and accuracy of theta on the held-out sequences, masked always alike. n_held_out > 0.
 * ERR_NOMEM. */
int pretrain_evaluate(struct trainer *t, const struct pretrain_job *job, const float *theta,
                      double *loss, double *accuracy, struct err *e) MUST_CHECK;

/* Masks the sequences text[index[0..n)] by the streams (seed, epoch, index), and packs them into
 * micro-batches whose tags are the tokens to guess. Memory from `mem`. ERR_NOMEM. */
int pretrain_pack(const struct sequence *text, const uint32_t *index, size_t n,
                  const struct masking *m, uint64_t seed, uint32_t epoch,
                  const struct model_config *c, struct arena *mem, struct packing *out,
                  struct err *e) MUST_CHECK;

#endif
