/* The official files of GLUE (Wang et al. 2019, gluebenchmark.com), one line of the table a
 * task. */
#include "base/file.h"
#include "text/source.h"

#include <string.h>

struct layout {
    const char *task, *dev;             /* dev NULL: dev.tsv */
    const char *text, *pair, *label;    /* column names */
    const char *names[TABLE_MAX_NAMES]; /* of a file without header */
    const char *const *value;           /* how the file writes the classes; NULL: regression */
    double valid_share;                 /* of train, as FedPETuning cuts it; or 0.1 */
    bool skip_short_rows; /* the official file has broken rows, which every reader of GLUE leaves
                             out */
};

static const char *const digits[] = {"0", "1"};
static const char *const entailment[] = {"entailment", "not_entailment"};
static const char *const inference[] = {"contradiction", "entailment", "neutral"};

static const struct layout layouts[] = {
    {"sst2", .text = "sentence", .label = "label", .value = digits, .valid_share = 0.01},
    {"mrpc", .text = "#1 String", .pair = "#2 String", .label = "Quality", .value = digits,
     .valid_share = 0.1},
    {"rte", .text = "sentence1", .pair = "sentence2", .label = "label", .value = entailment,
     .valid_share = 0.1},
    {"cola", .text = "sentence", .label = "label", .names = {"source", "label", "star", "sentence"},
     .value = digits, .valid_share = 0.1},
    {"stsb", .text = "sentence1", .pair = "sentence2", .label = "score", .valid_share = 0.1},
    {"qnli", .text = "question", .pair = "sentence", .label = "label", .value = entailment,
     .valid_share = 0.01},
    {"qqp", .text = "question1", .pair = "question2", .label = "is_duplicate", .value = digits,
     .valid_share = 0.01, .skip_short_rows = true},
    {"mnli", .dev = "dev_matched.tsv", .text = "sentence1", .pair = "sentence2",
     .label = "gold_label", .value = inference, .valid_share = 0.01},
    {"mnli-mm", .dev = "dev_mismatched.tsv", .text = "sentence1", .pair = "sentence2",
     .label = "gold_label", .value = inference, .valid_share = 0.01},
    {"wnli", .text = "sentence1", .pair = "sentence2", .label = "label", .value = digits,
     .valid_share = 0.1},
};

int glue_source(struct source *out, const struct task_spec *task, enum split split, struct err *e)
{
    const struct layout *l = layouts;
    const struct task_info *info = task_find(task->name);
    const char *dev;

    while (strcmp(l->task, task->name) != 0)
        l++;
    dev = l->dev ? l->dev : "dev.tsv";
    *out = (struct source){
        .regression = !l->value,
        .label = l->value,
        .label_name = info->labels,
        .n_labels = info->n_labels,
        .valid_share = l->valid_share,
    };
    out->table = (struct table_spec){
        .path = out->path,
        .format = TABLE_TSV,
        .wanted = {[COLUMN_TEXT] = l->text, [COLUMN_PAIR] = l->pair, [COLUMN_LABEL] = l->label},
        .skip_short_rows = l->skip_short_rows,
    };
    memcpy(out->table.names, l->names, sizeof l->names);
    if (task->splits == SPLITS_PAPER && split != SPLIT_DEV)
        out->cut = split == SPLIT_TRAIN ? CUT_TRAIN : CUT_VALID;
    else if (split == SPLIT_VALID)
        return err_set(e, ERR_DATA,
                       "%s: %s has no validation split of its own: set task.splits to paper",
                       task->data, task->name);
    return file_join(out->path, sizeof out->path, task->data,
                     split == SPLIT_DEV ? dev : "train.tsv", e);
}
