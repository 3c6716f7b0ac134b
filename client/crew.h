/* Threads for loops whose iterations are independent. The calling thread is worker 0, so a crew of
 * one thread starts none. */
#ifndef CLIENT_CREW_H
#define CLIENT_CREW_H

#include "base/err.h"
#include <stddef.h>

struct crew;
/* threads >= 1. ERR_NOMEM; ERR_INTERNAL when a thread cannot be started. */
int crew_open(struct crew **out, unsigned threads, struct err *e) MUST_CHECK;
void crew_close(struct crew *c);

/* Calls work(ctx, worker, i) for each i in [0, n), worker in [0, threads), and returns when all are
 * done. Iterations begin in ascending order; a worker has one at a time. Not reentrant. */
typedef void (*crew_work_fn)(void *ctx, unsigned worker, size_t i);
void crew_run(struct crew *c, size_t n, crew_work_fn work, void *ctx);

#endif
