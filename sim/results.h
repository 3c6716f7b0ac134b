/* The results of a suite: DIR/results.sqlite. A cell is entered when it is planned, and filled in
 * one transaction when its process has ended, so that a crash at any moment leaves only whole
 * cells. Cells that a changed suite no longer has keep their results, unlisted. */
#ifndef SIM_RESULTS_H
#define SIM_RESULTS_H

#include "base/err.h"
#include "sim/suite.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct results;

/* Opens the database of a folder. `write`: makes it if need be, and locks the folder against
 * another suite until close. ERR_IO; ERR_STATE: another suite works in the folder. */
int results_open(struct results **out, const char *dir, bool write, struct err *e) MUST_CHECK;
void results_close(struct results *r);

enum cell_state { CELL_WAITING, CELL_DONE, CELL_FAILED };

/* Lists the cells of a suite, in their order, and unlists all others. */
int results_plan(struct results *r, const struct suite *s, struct err *e) MUST_CHECK;
/* state[i], and seconds[i] of cells that are done, for each cell of a planned suite. */
int results_states(struct results *r, const struct suite *s, enum cell_state *state,
                   double *seconds, struct err *e) MUST_CHECK;
/* The most memory that a cell of this method and baseline has taken; 0: none is done. */
int results_memory(struct results *r, const char *method, enum baseline_kind baseline,
                   double *bytes, struct err *e) MUST_CHECK;
/* Fills a cell with what `fedpet-sim run` has left in a folder. ERR_IO, ERR_DATA: the folder lacks
 * a whole result. */
int results_done(struct results *r, const char *id, const char *dir, struct err *e) MUST_CHECK;
int results_failed(struct results *r, const char *id, const struct err *why,
                   struct err *e) MUST_CHECK;

/* One listed cell. Strings and summary are borrowed for the time of the call. */
struct result_cell {
    const char *id, *title, *task, *method, *variant, *error;
    enum baseline_kind baseline;
    enum cell_state state;
    double alpha;
    uint32_t epochs, clients, per_round, rounds;
    uint64_t seed;
    const json_t *summary; /* NULL unless done */
};
struct result_round {
    uint32_t round; /* from 1 */
    bool scored, validated;
    double value, valid; /* of the metric, on the test and the validation set */
    uint32_t updates;
    double bytes_up, bytes_down; /* mean of a client; below 0: not counted */
};

/* Calls each in the order of the suite until one returns non-zero, which is then returned. */
int results_cells(struct results *r, int (*each)(void *ctx, const struct result_cell *c), void *ctx,
                  struct err *e) MUST_CHECK;
int results_rounds(struct results *r, const char *id,
                   int (*each)(void *ctx, const struct result_round *round), void *ctx,
                   struct err *e) MUST_CHECK;

#endif
