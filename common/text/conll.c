/* The task "conll": words with tags, in columns or JSON lines. */
#include "text/source.h"

#include <string.h>

int conll_source(struct source *out, const struct task_spec *task, enum split split, struct err *e)
{
    static const char *const endings[] = {"txt", "conll", "tsv", "jsonl", NULL};

    *out = (struct source){
        .head = HEAD_TOKENS,
        .label = (const char *const *)task->labels,
        .n_labels = task->labels ? task->n_labels : 0,
        .valid_share = 0.1,
    };
    int rc = task_check_labels(task, e);
    if (!rc)
        rc = source_file(out, task, split, endings, e);
    if (rc)
        return rc;
    const char *dot = strrchr(out->path, '.');
    out->table = (struct table_spec){
        .path = out->path,
        .format = dot && strcmp(dot, ".jsonl") == 0 ? TABLE_JSONL : TABLE_COLUMNS,
        .wanted = {[COLUMN_TEXT] = task->text, [COLUMN_LABEL] = task->label},
    };
    return 0;
}
