/* The tasks known by name. */
#include "text/source.h"

#include <stdio.h>
#include <string.h>

static const char *const sentiment[] = {"negative", "positive"};
static const char *const equivalence[] = {"not_equivalent", "equivalent"};
static const char *const entailment[] = {"entailment", "not_entailment"};
static const char *const acceptability[] = {"unacceptable", "acceptable"};
static const char *const duplicates[] = {"not_duplicate", "duplicate"};
static const char *const inference[] = {"contradiction", "entailment", "neutral"};
static const char *const reference[] = {"not_entailment", "entailment"};

const struct task_info task_table[] = {
    {"sst2", "GLUE SST-2: sentiment of a sentence", "accuracy", sentiment, 2},
    {"mrpc", "GLUE MRPC: is the second sentence a paraphrase of the first", "f1", equivalence, 2},
    {"rte", "GLUE RTE: does the first text entail the second", "accuracy", entailment, 2},
    {"cola", "GLUE CoLA: is the sentence grammatical", "accuracy", acceptability, 2},
    {"stsb", "GLUE STS-B: similarity of two sentences, 0 to 5", "mse", NULL, 1},
    {"qnli", "GLUE QNLI: does the sentence answer the question", "accuracy", entailment, 2},
    {"qqp", "GLUE QQP: do the two questions ask the same", "accuracy", duplicates, 2},
    {"mnli", "GLUE MNLI: entailment, neutral or contradiction (dev: matched)", "accuracy",
     inference, 3},
    {"wnli", "GLUE WNLI: is the pronoun's referent right", "accuracy", reference, 2},
    {"text", "your own CSV, TSV or JSONL, columns named by task.text, text_pair, label", "accuracy",
     NULL, 0},
    {0},
};

const struct task_info *task_find(const char *name)
{
    for (const struct task_info *t = task_table; t->name; t++)
        if (strcmp(t->name, name) == 0)
            return t;
    return NULL;
}

int task_check_labels(const struct task_spec *task, struct err *e)
{
    const struct task_info *info = task->name ? task_find(task->name) : NULL;
    if (task->labels && info && info->n_labels)
        return err_set(e, ERR_CONFIG, "task.labels: %s has its own: leave them out", task->name);
    for (uint32_t i = 1; task->labels && i < task->n_labels; i++)
        for (uint32_t k = 0; k < i; k++)
            if (strcmp(task->labels[i], task->labels[k]) == 0)
                return err_set(e, ERR_CONFIG, "task.labels: \"%s\" is there twice: name it once",
                               task->labels[i]);
    return 0;
}

int task_metric(const struct task_spec *task, uint32_t n_labels, enum metric *out, struct err *e)
{
    const struct task_info *info = task->name ? task_find(task->name) : NULL;
    const char *name = info ? info->metric : NULL;
    enum metric found;
    if (task->metric)
        name = task->metric;
    else if (n_labels == 1)
        name = "mse";
    if (!metric_parse(name ? name : "accuracy", &found))
        return err_set(e, ERR_CONFIG, "task.metric: %s is unknown: use accuracy, f1 or mse", name);
    if ((found == METRIC_MSE) != (n_labels == 1) || (found == METRIC_F1 && n_labels != 2))
        return err_set(e, ERR_CONFIG, "task.metric: %s does not fit a task with %u label%s",
                       metric_name(found), n_labels, n_labels == 1 ? "" : "s");
    *out = found;
    return 0;
}

int source_find(const char *task, source_fn *out, struct err *e)
{
    if (task && task_find(task)) {
        *out = strcmp(task, "text") == 0 ? text_source : glue_source;
        return 0;
    }
    char known[256];
    size_t len = 0;
    for (const struct task_info *t = task_table; t->name && len < sizeof known; t++)
        len += (size_t)snprintf(known + len, sizeof known - len, "%s%s", len ? ", " : "", t->name);
    return err_set(e, ERR_CONFIG, "task.name: \"%s\" is not one of %s", task ? task : "", known);
}
