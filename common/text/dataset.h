/* A data set: tokenised examples with labels, in file order or, of a part of train, in that of
 * scikit-learn's train_test_split; immutable after opening.
 *
 * Tasks by name: GLUE in its official files (train.tsv, dev.tsv; "mnli": dev_matched.tsv,
 * "mnli-mm": dev_mismatched.tsv); "text": CSV, TSV or JSONL files with columns named by the
 * configuration; and "conll": words with tags (text/sentences.h). Rows of at most 1 MiB, files of
 * at most 4 GiB, less than 2^31 rows. */
#ifndef TEXT_DATASET_H
#define TEXT_DATASET_H

#include "base/arena.h"
#include "base/err.h"
#include "base/spec.h"
#include "model/model.h"
#include "text/metrics.h"
#include "text/tokenizer.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Validation chooses among rounds and settings; dev is what results are told of. */
enum split { SPLIT_TRAIN, SPLIT_VALID, SPLIT_DEV };

/* The words of an example of token classification, UTF-8, and the class of each one's tag. */
struct sentence {
    const char *const *word;
    const int32_t *tag;
    int32_t n;
};

struct example {
    const int32_t *id, *type; /* n_tokens each */
    int32_t n_tokens;
    int32_t label;                /* class index; -1 for regression and token classification */
    float target;                 /* regression value; else 0 */
    const char *text, *text_pair; /* UTF-8; text_pair NULL for single sentences; both NULL for token
                                     classification */
    const char *owner;            /* value of the partition column; NULL when none was asked for */
    const struct sentence *sentence; /* token classification; else NULL */
    const int32_t *word; /* n_tokens: the word that begins with this token, or -1; as sentence */
};
/* The class that token i is to be scored by: its word's, for the first token of a word; else -1. */
static inline int32_t example_tag(const struct example *x, int32_t i)
{
    return x->word[i] < 0 ? -1 : x->sentence->tag[x->word[i]];
}

struct dataset {
    struct arena mem;
    struct example *example;
    size_t n;
    enum head_kind head;
    uint32_t n_labels;
    const char *const *label_name; /* n_labels; NULL for regression */
};

/* Reads and tokenises one split. task->data is a folder with the task's files (for "text" and
 * "conll": train.*, valid.* if there is one, and dev.* or else test.*, of kind tsv, csv or jsonl,
 * or txt, conll, tsv or jsonl) or, for these two, one file (then SPLIT_TRAIN is the only one).
 * `column`: the owner column, or NULL. `tok` is needed during the call only.
 *
 * With SPLITS_PAPER, and where there is no valid.*, SPLIT_VALID is a part of train, the first
 * ceil(share * n) rows of numpy.random.RandomState(42).permutation(n), and SPLIT_TRAIN the others:
 * what scikit-learn's train_test_split(random_state=42) gives, in its order. The share is 0.01 of
 * SST-2, QNLI, QQP and MNLI, 0.1 of others: FedPETuning's for its six tasks (RTE, MRPC, SST-2,
 * QNLI, QQP, MNLI) and CoLA. Otherwise a task without valid.* has no SPLIT_VALID: ERR_DATA.
 *
 * Labels of "text" are class names of task->labels or their numbers; numbers in 0..n_labels - 1
 * where n_labels > 1 and labels is NULL; real values where n_labels is 1 and labels is NULL
 * (regression); and where n_labels is 0, numbers, the largest of which tells how many classes there
 * are. Tags of "conll" are names of task->labels, or where that is NULL, the names that occur in
 * train: "O" first, the others in byte order.
 *
 * ERR_IO; ERR_CONFIG: unknown task, missing key; ERR_DATA naming file, line and fault: wrong
 * number of columns, unknown label, empty file, invalid UTF-8, missing column, too few rows to cut;
 * ERR_NOMEM. */
int dataset_open(struct dataset **out, const struct task_spec *task, enum split split,
                 const struct tokenizer *tok, size_t max_length, const char *column,
                 struct err *e) MUST_CHECK;
void dataset_close(struct dataset *d);

/* Whether the task has SPLIT_VALID. */
bool dataset_has_valid(const struct task_spec *task);

/* Rows of the logits of examples index[0..n) (NULL: all, n = d->n): one an example, or, of token
 * classification, one a token. */
size_t dataset_rows(const struct dataset *d, const uint32_t *index, size_t n);

/* Writes examples index[0..n) as JSONL {"text","text_pair","label"}, the label by name or, for
 * regression, as a number, or {"tokens","tags"}: what a client process of the simulator reads back
 * with task "text" or "conll".
 * The file appears whole or not at all. ERR_IO, ERR_NOMEM. */
int dataset_write_jsonl(const struct dataset *d, const uint32_t *index, size_t n, const char *path,
                        struct err *e) MUST_CHECK;

/* The tasks known by name. */
struct task_info {
    const char *name, *what, *metric;
    enum head_kind head;
    const char *const *labels; /* NULL: given by the configuration */
    uint32_t n_labels;
};
extern const struct task_info task_table[]; /* ends with name NULL */
/* NULL when there is none. */
const struct task_info *task_find(const char *name);
/* ERR_CONFIG when two of the configured labels have the same name, or the task has its own. */
int task_check_labels(const struct task_spec *task, struct err *e) MUST_CHECK;
/* Whether a metric can score a head of so many labels. */
bool task_metric_fits(enum metric m, enum head_kind head, uint32_t n_labels);
/* The metric that a task is scored by: task->metric, else the task's own, else accuracy, or mse for
 * one label (regression). ERR_CONFIG: unknown, or not one for the task or n_labels. */
int task_metric(const struct task_spec *task, uint32_t n_labels, enum metric *out,
                struct err *e) MUST_CHECK;

#endif
