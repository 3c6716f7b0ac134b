/* The official files of GLUE (Wang et al. 2019, gluebenchmark.com), one line of the table a
 * task. */
#include "base/file.h"
#include "text/source.h"

#include <string.h>

struct layout {
    const char *task, *dev;
    const char *text, *pair, *label;    /* column names */
    const char *names[TABLE_MAX_NAMES]; /* of a file without header */
    const char *const *value; /* how the file writes the classes; NULL: by their numbers */
    uint32_t n_values;        /* 0: regression */
    bool skip_short_rows; /* the official file has broken rows, which every reader of GLUE leaves
                             out */
};

static const char *const digits[] = {"0", "1"};
static const char *const entailment[] = {"entailment", "not_entailment"};
static const char *const inference[] = {"contradiction", "entailment", "neutral"};

static const struct layout layouts[] = {
    {"sst2", "dev.tsv", "sentence", NULL, "label", {NULL}, digits, 2, false},
    {"mrpc", "dev.tsv", "#1 String", "#2 String", "Quality", {NULL}, digits, 2, false},
    {"rte", "dev.tsv", "sentence1", "sentence2", "label", {NULL}, entailment, 2, false},
    {"cola",
     "dev.tsv",
     "sentence",
     NULL,
     "label",
     {"source", "label", "star", "sentence", NULL},
     digits,
     2,
     false},
    {"stsb", "dev.tsv", "sentence1", "sentence2", "score", {NULL}, NULL, 0, false},
    {"qnli", "dev.tsv", "question", "sentence", "label", {NULL}, entailment, 2, false},
    {"qqp", "dev.tsv", "question1", "question2", "is_duplicate", {NULL}, digits, 2, true},
    {"mnli",
     "dev_matched.tsv",
     "sentence1",
     "sentence2",
     "gold_label",
     {NULL},
     inference,
     3,
     false},
    {"wnli", "dev.tsv", "sentence1", "sentence2", "label", {NULL}, digits, 2, false},
};

int glue_source(struct source *out, const struct task_spec *task, enum split split, struct err *e)
{
    const struct layout *l = layouts;
    const struct task_info *info = task_find(task->name);

    while (strcmp(l->task, task->name) != 0)
        l++;
    *out = (struct source){
        .regression = l->n_values == 0,
        .label = l->value,
        .label_name = info->labels,
        .n_labels = info->n_labels,
    };
    out->table = (struct table_spec){
        .path = out->path,
        .format = TABLE_TSV,
        .wanted = {[COLUMN_TEXT] = l->text, [COLUMN_PAIR] = l->pair, [COLUMN_LABEL] = l->label},
        .skip_short_rows = l->skip_short_rows,
    };
    memcpy(out->table.names, l->names, sizeof l->names);
    return file_join(out->path, sizeof out->path, task->data,
                     split == SPLIT_TRAIN ? "train.tsv" : l->dev, e);
}
