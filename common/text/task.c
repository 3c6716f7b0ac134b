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

#define GLUE(name, what, metric, labels)                                                           \
    {                                                                                              \
        name, "GLUE " what, metric, HEAD_SEQUENCE, labels, sizeof labels / sizeof *labels          \
    }

const struct task_info task_table[] = {
    GLUE("sst2", "SST-2: sentiment of a sentence", "accuracy", sentiment),
    GLUE("mrpc", "MRPC: is the second sentence a paraphrase of the first", "f1", equivalence),
    GLUE("rte", "RTE: does the first text entail the second", "accuracy", entailment),
    GLUE("cola", "CoLA: is the sentence grammatical", "matthews", acceptability),
    {"stsb", "GLUE STS-B: similarity of two sentences, 0 to 5", "correlation", HEAD_SEQUENCE, NULL,
     1},
    GLUE("qnli", "QNLI: does the sentence answer the question", "accuracy", entailment),
    GLUE("qqp", "QQP: do the two questions ask the same", "accuracy", duplicates),
    GLUE("mnli", "MNLI: entailment, neutral or contradiction (dev: matched)", "accuracy",
         inference),
    GLUE("mnli-mm", "MNLI with its mismatched dev set", "accuracy", inference),
    GLUE("wnli", "WNLI: is the pronoun's referent right", "accuracy", reference),
    {"text", "your own CSV, TSV or JSONL, columns named by task.text, text_pair, label", "accuracy",
     HEAD_SEQUENCE, NULL, 0},
    {"conll", "named entities and the like: a tag for each word, in columns or JSONL", "entity_f1",
     HEAD_TOKENS, NULL, 0},
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

bool task_metric_fits(enum metric m, enum head_kind head, uint32_t n_labels)
{
    if (m == METRIC_ENTITY_F1)
        return head == HEAD_TOKENS;
    if (m == METRIC_F1)
        return head == HEAD_SEQUENCE && n_labels == 2;
    return metric_of_values(m) == (n_labels == 1);
}

static int unknown_metric(const char *name, struct err *e)
{
    char known[128];
    size_t len = 0;
    for (int m = 0; m < METRIC_COUNT; m++)
        len += (size_t)snprintf(known + len, sizeof known - len, "%s%s", m ? ", " : "",
                                metric_name((enum metric)m));
    return err_set(e, ERR_CONFIG, "task.metric: %s is unknown: use one of %s", name, known);
}

int task_metric(const struct task_spec *task, uint32_t n_labels, enum metric *out, struct err *e)
{
    const struct task_info *info = task->name ? task_find(task->name) : NULL;
    const char *name = info ? info->metric : "accuracy";
    enum metric found;
    if (task->metric)
        name = task->metric;
    else if (n_labels == 1 && !(info && info->n_labels))
        name = "mse";
    if (!metric_parse(name, &found))
        return unknown_metric(name, e);
    if (!task_metric_fits(found, info ? info->head : HEAD_SEQUENCE, n_labels))
        return err_set(e, ERR_CONFIG, "task.metric: %s does not fit a task with %u label%s",
                       metric_name(found), n_labels, n_labels == 1 ? "" : "s");
    *out = found;
    return 0;
}
