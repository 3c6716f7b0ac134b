/* Threads for loops whose iterations are independent. The calling thread is worker 0, so a pool of
 * one thread starts none. */
#ifndef CLIENT_POOL_H
#define CLIENT_POOL_H

#include "base/err.h"
#include <stddef.h>

struct pool;
/* threads >= 1. ERR_NOMEM; ERR_INTERNAL when a thread cannot be started. */
int pool_open(struct pool **out, unsigned threads, struct err *e) MUST_CHECK;
void pool_close(struct pool *p);

/* Calls work(ctx, worker, i) for each i in [0, n), worker in [0, threads), and returns when all are
 * done. Iterations begin in ascending order; a worker has one at a time. Not reentrant. */
typedef void (*pool_work_fn)(void *ctx, unsigned worker, size_t i);
void pool_run(struct pool *p, size_t n, pool_work_fn work, void *ctx);

#endif
