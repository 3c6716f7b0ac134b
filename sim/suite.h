/* A suite: a grid of experiments in one YAML file.
 *
 *   base: experiment.yaml            # or the experiment itself; paths relative to this file
 *   grid:
 *     task:                          # a named group of settings for each choice
 *       rte: {task: {name: rte, data: data/glue/RTE}}
 *       mrpc: {task.name: mrpc, task.data: data/glue/MRPC}
 *     peft:
 *       lora: {peft.method: lora, peft.r: 8, local.lr: 0.005}
 *       bitfit: {peft.method: bitfit, local.lr: 0.001}
 *     federation.alpha: [0.1, 1, 10] # or a setting and its values
 *     baseline: [federated, centralized]
 *     federation.seed: [1, 2, 3]
 *   adjust:                          # settings that depend on more than one choice
 *     - {when: {task: mrpc, peft: [lora, bitfit]}, set: {local.lr: 0.001}}
 *   exclude:                         # cells that are left out; `only` keeps what it names
 *     - {baseline: centralized, federation.alpha: [0.1, 10]}
 *
 * The axes `task` and `peft` name the columns and rows of the report. In the map form of
 * `baseline`, a group may hold `epochs` and `clients` (sim/baseline.h) beside settings. */
#ifndef SIM_SUITE_H
#define SIM_SUITE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/spec.h"
#include "sim/baseline.h"
#include <stddef.h>

enum { SUITE_MAX_AXES = 16, SUITE_MAX_CELLS = 20000 };

/* One value of an axis: what it sets. */
struct suite_choice {
    const char *label;
    char **set; /* "key=value", n of them */
    size_t n;
    struct baseline baseline;
};
struct suite_axis {
    const char *name;
    struct suite_choice *choice; /* n of them */
    size_t n;
};

/* Which cells a rule is about: for each axis, a bit mask of choices by number in an array; NULL:
 * any. */
struct suite_match {
    const bool *chosen[SUITE_MAX_AXES];
};
struct suite_rule {
    struct suite_match when;
    char **set;
    size_t n;
};
struct suite_rules {
    struct suite_rule *rule;
    size_t n;
};

/* One experiment of the grid. */
struct suite_cell {
    const char *title;      /* "task=rte peft=lora alpha=1 seed=2" */
    char id[HASH_HEX];      /* of everything that its result depends on */
    const char *experiment; /* YAML of every setting, paths absolute */
    struct baseline baseline;
    const char *task, *method; /* as the axes `task` and `peft` call them, or the settings */
    const char *variant;       /* choices of the axes without a place of their own in a report */
    struct run_spec spec;      /* numbers; its strings are NULL */
    double work;               /* bytes of training data that pass through a trainer */
};

struct suite {
    struct arena mem;
    const char *path;
    const char *base, *base_path; /* YAML text of the base experiment, and where it comes from */
    struct suite_axis axis[SUITE_MAX_AXES];
    size_t n_axes;
    struct suite_rules only, exclude, adjust;
    struct suite_cell *cell;
    size_t n_cells;
    size_t same; /* cells that are another cell again, and therefore not there */
};

/* Reads a suite and works out its cells, checking every cell's settings. Two cells of one identity
 * are one: a centralised run, say, does not depend on the partition. ERR_CONFIG naming file, line
 * or cell; ERR_IO: no such file, model or data; ERR_NOMEM. On failure nothing stays open. */
int suite_open(struct suite *s, const char *path, struct err *e) MUST_CHECK;
void suite_close(struct suite *s);

/* For suite_open alone: expands the grid into cells (sim/suite_cells.c). */
int suite_expand(struct suite *s, struct err *e) MUST_CHECK;

#endif
