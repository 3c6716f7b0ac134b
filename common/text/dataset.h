/* A data set: tokenised examples with labels, in file order, immutable after opening.
 * Readers, one file each, are listed in task.c: GLUE layouts (sst2, mrpc, rte) and "text" (CSV,
 * TSV, JSONL with named columns). */
#ifndef TEXT_DATASET_H
#define TEXT_DATASET_H

#include "base/arena.h"
#include "base/err.h"
#include "base/spec.h"
#include "text/tokenizer.h"
#include <stddef.h>
#include <stdint.h>

enum split { SPLIT_TRAIN, SPLIT_DEV };

struct example {
    const int32_t *id, *type; /* n_tokens each */
    int32_t n_tokens;
    int32_t label;                /* class index; -1 for regression */
    float target;                 /* regression value; else 0 */
    const char *text, *text_pair; /* UTF-8; text_pair NULL for single sentences */
    const char *owner;            /* value of the partition column; NULL when none was asked for */
};

struct dataset {
    struct arena mem;
    struct example *example;
    size_t n;
    uint32_t n_labels;
    const char *const *label_name; /* n_labels; NULL for regression */
};

/* Reads and tokenises one split. task->data is a folder with the task's files (train.tsv/dev.tsv;
 * for "text": train.* and dev.* or test.* of kind csv, tsv, jsonl) or, for "text", one file (then
 * SPLIT_DEV is ERR_DATA). `column`: the owner column, or NULL. ERR_IO; ERR_DATA naming file, line
 * and fault: too few columns, unknown label, empty file, invalid UTF-8, missing column. */
int dataset_open(struct dataset **out, const struct task_spec *task, enum split split,
                 const struct tokenizer *tok, size_t max_length, const char *column,
                 struct err *e) MUST_CHECK;
void dataset_close(struct dataset *d);

/* Writes examples index[0..n) as JSONL {"text","text_pair","label"}: what a client process of the
 * simulator reads back with task "text". */
int dataset_write_jsonl(const struct dataset *d, const uint32_t *index, size_t n, const char *path,
                        struct err *e) MUST_CHECK;

/* The tasks known by name, for --help: fills names (static strings), returns how many. */
struct task_info {
    const char *name, *what, *metric;
    const char *const *labels; /* NULL: given by the configuration */
    uint32_t n_labels;
};
extern const struct task_info task_table[]; /* ends with name NULL */
const struct task_info *task_find(const char *name);

#endif
