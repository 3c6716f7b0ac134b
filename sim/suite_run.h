/* Runs the cells of a suite: each is one process of fedpet-sim run with one thread, so that a core
 * is busy with one cell, a cell that fails takes no other with it, and the model's pages are mapped
 * once for all. */
#ifndef SIM_SUITE_RUN_H
#define SIM_SUITE_RUN_H

#include "base/err.h"
#include "client/train.h"
#include "sim/results.h"
#include "sim/suite.h"
#include <stdatomic.h>
#include <stdbool.h>

struct suite_run_config {
    const char *dir; /* OUT: the cells live in OUT/cells/ID */
    unsigned jobs;   /* cells at a time */
    /* Bytes of all cells together; 0: none. A cell starts when what it is expected to take fits
     * beside the others: the most that a cell of its method and baseline has taken; the first one
     * runs alone, as does one that takes more than the limit. */
    size_t memory_limit;
    /* What a cell's training keeps to: its mode, and bytes of activations. A limit of 0: its share
     * of memory_limit, which is that over jobs. */
    struct memory memory;
    bool keep_adapters; /* leave each cell's adapter in its folder */
    const char *wire;   /* sim/wire.h, not process */
    const atomic_bool *cancel;
};

/* Runs the cells of a planned suite that are not done yet; those that failed before get another
 * chance. A failing cell is recorded and the others go on; when all have ended: the code of the
 * first that failed. ERR_STATE when cancelled: no process is left, and a later call goes on.
 * ERR_IO; ERR_NOMEM. */
int suite_run(const struct suite *s, struct results *r, const struct suite_run_config *c,
              struct err *e) MUST_CHECK;

/* Prints each cell with its state, and what is left to do: cells, and time where cells that are
 * done tell it. */
int suite_print(const struct suite *s, struct results *r, unsigned jobs, struct err *e) MUST_CHECK;

#endif
