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
