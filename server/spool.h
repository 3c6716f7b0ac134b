/* The updates of a round, set aside until it is closed: a file without a name that takes the place
 * of memory, and goes with its process. What a restart needs is in the journal, not here.
 *
 * The file lies in $TMPDIR, or else /var/tmp, has 4 bytes for each value of every row, and gets
 * them when it is opened: a disk that is too small is noticed before a run begins. */
#ifndef SERVER_SPOOL_H
#define SERVER_SPOOL_H

#include "base/err.h"
#include <stddef.h>

struct spool;

/* The same values of all rows. */
struct spool_block {
    size_t first, n;    /* which values of a row; n is 0 behind the last block */
    size_t rows;        /* spool_rows */
    const float *value; /* rows x n; until the next call */
};

/* Room for `rows` rows of n values, both at least 1. Memory: a block, which is 4 MiB or 4 KiB a
 * row, whichever is more. ERR_IO: no room or no folder; ERR_NOMEM. */
int spool_open(struct spool **out, size_t rows, size_t n, struct err *e) MUST_CHECK;
void spool_close(struct spool *s); /* NULL is allowed */

/* Forgets all rows. */
void spool_clear(struct spool *s);
/* Sets row `row` < rows, not yet there, to n values. ERR_IO: it is still not there. */
int spool_put(struct spool *s, size_t row, const float *x, struct err *e) MUST_CHECK;
/* How many rows are there. */
size_t spool_rows(const struct spool *s);
/* The block after *b; the first after {0}. Rows that are there come in the order of their numbers,
 * whenever they were put. Blocks have the same bounds in every round. ERR_IO. */
int spool_next(struct spool *s, struct spool_block *b, struct err *e) MUST_CHECK;

#endif
