/* How far a suite is, and when it will be done. A cell's time is taken to be proportional to its
 * work (suite_cell.work), with a factor of its own for each method, learnt from cells that are
 * done. */
#ifndef SIM_ETA_H
#define SIM_ETA_H

#include "base/err.h"
#include "sim/results.h"
#include "sim/suite.h"
#include <stdbool.h>
#include <stddef.h>

struct eta {
    const struct suite *suite;
    const enum cell_state *state; /* borrowed, of each cell */
    double *seconds;              /* borrowed: of the cells that are done */
    double *began;                /* of the cells that run; 0: does not run */
    unsigned jobs;
    bool terminal;
    double drawn;
};

/* ERR_NOMEM. */
int eta_init(struct eta *t, const struct suite *s, const enum cell_state *state, double *seconds,
             unsigned jobs, struct err *e) MUST_CHECK;
void eta_release(struct eta *t);

void eta_start(struct eta *t, size_t cell);
/* The seconds that it took. */
double eta_finish(struct eta *t, size_t cell);
void eta_fail(struct eta *t, size_t cell);

/* The time left, as "2 h 05 min"; false while nothing is known. */
bool eta_text(const struct eta *t, char *out, size_t size);
/* Redraws the progress line on a terminal, once a second. */
void eta_draw(struct eta *t, size_t busy);
void eta_clear(const struct eta *t);

#endif
