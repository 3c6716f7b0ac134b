/* Local training and evaluation: the only place where a data set meets a peft. Threads over
 * micro-batches, BLAS single-threaded inside each; gradients are added in micro-batch order, so the
 * result has the same bits for any number of threads. */
#ifndef CLIENT_TRAIN_H
#define CLIENT_TRAIN_H

#include "base/err.h"
#include "base/spec.h"
#include "client/local_state.h"
#include "peft/peft.h"
#include "text/dataset.h"
#include "text/metrics.h"
#include <stdatomic.h>
#include <stdbool.h>

/* Memory for activations: the same bits in every mode but MEMORY_HALF, and within any limit. */
struct memory {
    enum memory_mode {
        MEMORY_AUTO, /* all kept for backward; where the limit does not bear that for all threads,
                        layers are recomputed from their inputs, or fewer threads work, or both:
                        whatever is the least loss of time */
        MEMORY_MIN,  /* layers are always recomputed, where that saves memory */
        MEMORY_FAST, /* never: only the number of threads gives way to the limit */
        MEMORY_HALF, /* as MEMORY_FAST, but what is kept is kept in half precision, which rounds
                        gradients (tape_halve) */
    } mode;
    size_t limit; /* bytes of all threads' tapes together; 0: none */
};

/* A crew of workers, each with its own tape. One trainer runs one job at a time. */
struct trainer;
/* threads >= 1; memory NULL: MEMORY_AUTO, no limit. Sets OpenBLAS to one thread. ERR_NOMEM. */
int trainer_open(struct trainer **out, unsigned threads, const struct memory *memory,
                 struct err *e) MUST_CHECK;
void trainer_close(struct trainer *t);
/* Between jobs: gives memory back that the next job will take again. */
void trainer_trim(struct trainer *t);

struct train_progress {
    uint32_t step, steps; /* steps done, of so many */
    uint32_t epoch;       /* of the step, from 0 */
    bool epoch_end;       /* it was the last of its epoch, or of the job */
    const float *theta;   /* the parameters after it */
    uint64_t tokens;      /* since the start of the job */
    double loss, lr;
};
struct savepoint;
struct rows; /* client/sweep.h */

struct train_job {
    const struct peft *peft;
    const struct dataset *data;
    const uint32_t *index; /* the client's examples, n of them; NULL: all of data, n = data->n */
    size_t n;
    const struct local_spec *local;
    uint64_t seed;
    uint32_t round, client; /* name the random streams */
    /* Rounds of the federation; 0: there is none, this job is a training of its own, and neither
     * local->proximal nor local->decay_over_run means anything. */
    uint32_t rounds;
    /* What the client keeps between rounds, in and out; NULL, or without moments: a fresh
     * optimiser. */
    struct local_state *state;
    /* SCAFFOLD: the server's control variate c, and where the change of the client's goes
     * (schema->count each; client/drift.h). state->control is then there too. NULL: no SCAFFOLD. */
    const float *control;
    float *control_change;
    /* After each step, on the calling thread, which may evaluate with this trainer. May be NULL. */
    void (*progress)(const struct train_progress *p, void *ctx);
    void *ctx;
    const atomic_bool *cancel; /* checked at each step boundary; may be NULL */
    /* Goes on from there, and keeps it up to date, when cancelled too (client/savepoint.h). NULL:
     * none. */
    struct savepoint *savepoint;
    /* As of an eval_job, from one training to the next. */
    struct rows *features;
};
struct train_result {
    uint32_t steps;
    double loss; /* mean over the examples seen */
    uint64_t tokens;
    double seconds; /* without those of progress(); with those before a savepoint */
};
/* Trains theta (schema->count) in place. Steps: ceil(batches / accumulate)
 * an epoch, or local->steps; the last batch and the last step of an epoch may be smaller, and
 * average over what they have, as Hugging Face's Trainer does. The loss that is reported is the
 * task's, without FedProx's term. The learning rate restarts with each job, or with
 * local->decay_over_run is that of step round * steps + s of rounds * steps. ERR_NOMEM, before the
 * first step if it is for the limit, whose least possible value the text then tells; ERR_STATE when
 * cancelled; ERR_DATA when n is 0; ERR_CONFIG when the loss is not finite (with a hint to lower
 * lr). theta, *job->state and *job->control_change are untouched on error.
 * Where the head alone is trained, without dropout in the encoder, for a pass over the examples at
 * least, these go through the encoder once (sweep_features), and not in each step; the result's
 * bits depend on the job alone then, too. */
int trainer_fit(struct trainer *t, const struct train_job *job, float *theta,
                struct train_result *r, struct err *e) MUST_CHECK;

struct eval_job {
    const struct peft *peft; /* its head is of the data's kind and number of labels */
    const struct dataset *data;
    const uint32_t *index; /* the examples, n of them, without repeats; NULL: all of data */
    size_t n;
    const float *theta;        /* schema->count */
    const atomic_bool *cancel; /* checked at each micro-batch; may be NULL */
    /* What the encoder makes of the examples, where nothing of it is trained: zeroed before the
     * first job over this list, computed by it, read by all others, released by its owner. NULL: it
     * is not kept. */
    struct rows *features;
};
/* Scores theta. The same bits for any number of threads. `score`, when not NULL, is opened, to be
 * closed by score_close; `predicted`, when not NULL, gets a class (or rounded value, for
 * regression) for each of dataset_rows; `logits`, when not NULL, n_labels values for each.
 * ERR_DATA: no examples; ERR_NOMEM; ERR_STATE when cancelled. */
int trainer_eval(struct trainer *t, const struct eval_job *job, struct score *score,
                 int32_t *predicted, float *logits, struct err *e) MUST_CHECK;
size_t trainer_peak_bytes(const struct trainer *t);

#endif
