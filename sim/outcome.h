/* What the cells of a suite came to, all in memory, and statistics of them. */
#ifndef SIM_OUTCOME_H
#define SIM_OUTCOME_H

#include "base/arena.h"
#include "base/err.h"
#include "sim/results.h"
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct point {
    uint32_t round;   /* 0: before the first */
    double value;     /* on the test set */
    double megabytes; /* all clients, both directions, since the beginning */
};

/* One cell. Values are in points: 100 times the metric, but for mean squared errors. */
struct outcome {
    const char *title, *task, *method, *variant, *error;
    enum baseline_kind baseline;
    enum cell_state state;
    double alpha;
    uint32_t epochs, clients, per_round, rounds;
    uint64_t seed;
    /* Unless done: NULL, and numbers are NAN. */
    const json_t *summary;
    const char *task_name, *method_name; /* as the experiment file has them */
    const char *metric;
    double value;
    double worst, tenth, mean;  /* clients' accuracy, or the metric of their own models */
    double trainable, up, down; /* parameters; measured bytes a client and round */
    double seconds, rss;        /* wall clock; bytes */
    const struct point *curve;  /* scored rounds */
    size_t n_curve;
};

/* Distinct names, in order of appearance. */
struct names {
    const char **name;
    size_t n;
};

struct outcomes {
    struct arena mem;
    struct outcome *cell;
    size_t n, cap;
    struct names tasks, methods, variants;
    double *alpha; /* distinct ones of federated cells, ascending */
    size_t n_alpha;
    uint32_t *epochs;
    size_t n_epochs;
};

/* Reads the listed cells of DIR/results.sqlite. Errors of results_open; ERR_NOMEM; ERR_DATA when
 * there is no cell. */
int outcomes_open(struct outcomes *o, const char *dir, struct err *e) MUST_CHECK;
void outcomes_close(struct outcomes *o);

/* Which cells: those with the same names and numbers; a centralised cell has no alpha. */
struct pick {
    const char *variant, *task, *method; /* NULL: any */
    enum baseline_kind baseline;
    double alpha;    /* NAN: any */
    uint32_t epochs; /* 0: any; asked of federated cells alone */
};
bool outcome_matches(const struct pick *p, const struct outcome *c);

/* Of the cells that are picked and done, and for which `measure` is a number. */
struct stat {
    size_t n;
    double mean, sd; /* sd: of the sample, n - 1 in the denominator; 0 for one */
};
struct stat outcomes_stat(const struct outcomes *o, const struct pick *p,
                          double (*measure)(const struct outcome *c));
/* The first cell that is picked and done; NULL. */
const struct outcome *outcomes_first(const struct outcomes *o, const struct pick *p);

double outcome_value(const struct outcome *c);
/* Bytes of a client's values in a round, one way: 4 for each trainable parameter, twice as many
 * with SCAFFOLD. */
double outcome_payload(const struct outcome *c);

/* alpha and epochs of the main table: 1 if there, else the first. */
double outcomes_main_alpha(const struct outcomes *o);
uint32_t outcomes_main_epochs(const struct outcomes *o);

#endif
