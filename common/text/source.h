/* Where a task's rows come from: the file of a split, its columns, and what its labels mean. One
 * function a family of tasks fills it. */
#ifndef TEXT_SOURCE_H
#define TEXT_SOURCE_H

#include "base/err.h"
#include "text/dataset.h"
#include "text/table.h"
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

/* The place of each column in table_spec.wanted. */
enum source_column { COLUMN_TEXT, COLUMN_LABEL, COLUMN_PAIR, COLUMN_OWNER };

struct source {
    char path[PATH_MAX];
    struct table_spec table; /* table.path is `path` */
    enum head_kind head;     /* HEAD_TOKENS: the table holds sentences (text/sentences.h) */
    bool regression;
    /* How the file writes the classes, in index order. NULL: as integers from 0; of tags, as train
     * has them. */
    const char *const *label;
    const char *const *label_name; /* what people call them; NULL: as in the file */
    uint32_t n_labels;             /* 0: as many as the largest integer says, or the tags */
    enum { CUT_NONE, CUT_TRAIN, CUT_VALID } cut; /* which part of the file is the split */
    double valid_share;                          /* of the rows go to CUT_VALID */
};

/* ERR_CONFIG naming the key, ERR_DATA, ERR_IO. `out` points into itself and into `task`: do not
 * copy it. */
typedef int (*source_fn)(struct source *out, const struct task_spec *task, enum split split,
                         struct err *e);
int glue_source(struct source *out, const struct task_spec *task, enum split split,
                struct err *e) MUST_CHECK;
int text_source(struct source *out, const struct task_spec *task, enum split split,
                struct err *e) MUST_CHECK;
int conll_source(struct source *out, const struct task_spec *task, enum split split,
                 struct err *e) MUST_CHECK;

/* The reader of a task by name: "text", "conll" or a GLUE layout. ERR_CONFIG listing the known
 * names. */
int source_find(const char *task, source_fn *out, struct err *e) MUST_CHECK;

/* Finds the file of a split for tasks whose data is any folder with train.*, valid.*, and dev.* or
 * else test.* files of one of the endings (ends with NULL), or one file of training data: fills
 * out->path, and out->cut where SPLITS_PAPER asks for a validation split that has no file.
 * ERR_DATA: no such file. */
int source_file(struct source *out, const struct task_spec *task, enum split split,
                const char *const *endings, struct err *e) MUST_CHECK;

#endif
