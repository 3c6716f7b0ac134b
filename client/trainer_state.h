/* The inside of a trainer, shared by trainer*.c and pretrain*.c. Nobody else includes it. */
#ifndef CLIENT_TRAINER_STATE_H
#define CLIENT_TRAINER_STATE_H

#include "client/crew.h"
#include "client/train.h"
#include "nn/tape.h"

struct trainer {
    struct memory memory;
    unsigned most;    /* threads it was opened for */
    unsigned threads; /* that work: as many as the limit bears */
    struct crew *crew;
    struct tape **tape; /* one a worker */
    bool recompute;     /* all tapes do */
    size_t peak;        /* of tapes that are closed */
};

/* What micro-batches need of the tape that runs them: measured, not computed (tape_measure). */
struct gauge {
    struct tape *kept, *recomputed; /* their peaks are the answers */
};
/* For t's mode of memory. ERR_NOMEM. */
int trainer_gauge_open(struct gauge *g, const struct trainer *t, struct err *e) MUST_CHECK;
void trainer_gauge_close(struct gauge *g);
/* Measures one more, as tape_run would do it. ERR_NOMEM. */
int trainer_gauge_add(struct gauge *g, bool training, void (*step)(struct tape *t, void *arg),
                      void *arg, struct err *e) MUST_CHECK;

/* Whether the trainer wants to know before it trains. */
bool trainer_gauges(const struct trainer *t);
/* Between steps, before a training whose micro-batches g has measured (NULL where trainer_gauges
 * says no): layers are recomputed if memory asks for it, and as many workers made as then fit. Of
 * tapes nothing is left. ERR_NOMEM: not one does; the text says what is needed. */
int trainer_plan(struct trainer *t, const struct gauge *g, struct err *e) MUST_CHECK;
/* The argument of a step that is one of a job's micro-batches. */
struct micro_batch {
    void *of; /* the job */
    size_t i;
};
/* Measures a job's n micro-batches, which `step` computes forward. ERR_NOMEM. */
int trainer_gauge_forward(struct gauge *g, void (*step)(struct tape *t, void *arg), void *job,
                          size_t n, struct err *e) MUST_CHECK;
/* As trainer_plan, before micro-batches that are only computed forward: `measure` has all of them
 * measured. They never have more workers. */
int trainer_plan_forward(struct trainer *t,
                         int (*measure)(void *job, struct gauge *g, struct err *e), void *job,
                         struct err *e) MUST_CHECK;

#endif
