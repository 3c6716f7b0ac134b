/* Adds the gradients of micro-batches in their order while they are computed in any order, in
 * memory that does not grow with their number. */
#ifndef CLIENT_FOLD_H
#define CLIENT_FOLD_H

#include "base/err.h"
#include "nn/real.h"
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct fold {
    real *sum; /* width values: of the items up to `next` */
    size_t width;
    pthread_mutex_t lock;
    pthread_cond_t moved;
    size_t next;   /* the item to be added next */
    bool adding;   /* a thread is adding it */
    size_t slots;  /* items next .. next + slots - 1 have a place */
    bool *ready;   /* of each slot */
    real **slot;   /* width values each */
    real *storage; /* of sum and all slots */
};

/* For up to `threads` threads. ERR_NOMEM. */
int fold_open(struct fold *f, size_t width, unsigned threads, struct err *e) MUST_CHECK;
void fold_close(struct fold *f);

/* Begins a new sum, of one item or more. */
void fold_reset(struct fold *f);
/* Where item i is to be accumulated: zeroed. Items must be begun in ascending order, over all
 * threads; waits while i is too far ahead of the items still being computed. */
real *fold_begin(struct fold *f, size_t i);
/* Item i is complete: adds it and its successors as far as they are complete too. */
void fold_end(struct fold *f, size_t i);

#endif
