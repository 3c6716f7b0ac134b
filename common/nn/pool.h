/* Pool: blocks of memory that live within one step, from one range of addresses that is kept
 * between steps. A block that is given back serves the next request of the same size (a step asks
 * for few different sizes, each many times); else the top of the range rises. The same requests in
 * the same order give the same addresses. */
#ifndef NN_POOL_H
#define NN_POOL_H

#include "base/err.h"
#include <stddef.h>

struct pool {
    char *base;
    size_t reserved; /* addresses; they cost nothing until committed */
    size_t committed;
    size_t top;  /* bytes of [base, base + top) have been handed out in this step */
    size_t peak; /* highest top since pool_open */
    struct pool_class *classes;
};

/* cap: most bytes to hold; 0: as much as the machine has. ERR_NOMEM. */
int pool_open(struct pool *p, size_t cap, struct err *e) MUST_CHECK;
void pool_close(struct pool *p);

/* Takes all blocks back; keeps the memory. */
void pool_reset(struct pool *p);

/* The same, and gives the memory back to the system until it is needed again. */
void pool_trim(struct pool *p);

/* For who writes to few of its blocks, if any: only the pages written to take memory. */
void pool_leave_untouched(struct pool *p);

/* `bytes` > 0, aligned to 64, not cleared. NULL over the cap or when the machine has no more. */
void *pool_get(struct pool *p, size_t bytes);
/* bytes: as requested. */
void pool_put(struct pool *p, void *block, size_t bytes);

#endif
