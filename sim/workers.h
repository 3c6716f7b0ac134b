/* Worker threads that train virtual clients: each has its own single-threaded trainer, so that a
 * core is busy with one client at a time and results do not depend on the number of threads. Every
 * work has a virtual time at which it is done: works are taken in that order, and begun in it, too,
 * so that what may be dropped before its time has come is begun last. */
#ifndef SIM_WORKERS_H
#define SIM_WORKERS_H

#include "base/err.h"
#include "client/agent.h"
#include "client/train.h"
#include "peft/peft.h"
#include <stdatomic.h>

/* One client's round. Owned by the pool from push to the next pop. */
struct work {
    uint32_t client;             /* its number: names the random streams */
    const struct agent_job *job; /* borrowed until popped or dropped, as the next two */
    struct local_state *state;   /* what it keeps between rounds; NULL: nothing */
    const uint32_t *index;       /* its examples, n of them */
    size_t n;
    unsigned char *update; /* when done: `len` bytes in `coding` */
    size_t len;
    uint32_t coding;
    /* SCAFFOLD, else NULL: the change of the client's control variate, packed; freed with update */
    unsigned char *control;
    struct train_result result;
    struct err error; /* code 0: trained */
    double due;       /* virtual milliseconds */
    enum progress { WORK_WAITING, WORK_RUNNING, WORK_DONE } progress;
    struct work *next;
};

struct workers_config {
    const struct peft *peft; /* borrowed, as all below */
    const struct dataset *data;
    const struct run_spec *spec;
    const float *initial; /* values of tensors that do not travel; schema->count */
    unsigned threads;
    struct memory memory;      /* of all threads together */
    const atomic_bool *cancel; /* may be NULL */
};

struct workers;
/* ERR_NOMEM, ERR_INTERNAL (no thread). */
int workers_open(struct workers **out, const struct workers_config *c, struct err *e) MUST_CHECK;
/* Waits for running work; drops what is queued. */
void workers_close(struct workers *w);
/* Queues the job of a client that keeps `state` and has examples index[0..n), done at `due`.
 * ERR_NOMEM. */
int workers_push(struct workers *w, const struct agent_job *job, double due,
                 struct local_state *state, const uint32_t *index, size_t n,
                 struct err *e) MUST_CHECK;
/* When the next work is done: the least of `due`, and of equal ones that of the least client;
 * INFINITY: there is none. */
double workers_due(const struct workers *w);
/* Waits for that work; it stays valid until the next pop or close. Call only when there is one. */
const struct work *workers_pop(struct workers *w);
/* Forgets the work of a client, if it has one; when this returns nobody works on it. */
void workers_drop(struct workers *w, uint32_t client);

#endif
