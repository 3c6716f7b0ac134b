/* The task "text": CSV, TSV or JSONL with columns named by the configuration. */
#include "text/source.h"

#include <string.h>

static const char *const endings[] = {
    [TABLE_TSV] = "tsv", [TABLE_CSV] = "csv", [TABLE_JSONL] = "jsonl", NULL};

/* By the file name's ending. */
static bool format_of(const char *path, enum table_format *format)
{
    const char *dot = strrchr(path, '.');

    for (int f = 0; dot && endings[f]; f++)
        if (strcmp(dot + 1, endings[f]) == 0) {
            *format = (enum table_format)f;
            return true;
        }
    return false;
}

static int check_keys(const struct task_spec *task, struct err *e)
{
    if (!task->text)
        return err_set(e, ERR_CONFIG, "task.text: name the column that holds the text");
    if (!task->label)
        return err_set(e, ERR_CONFIG, "task.label: name the column that holds the label");
    return task_check_labels(task, e);
}

int text_source(struct source *out, const struct task_spec *task, enum split split, struct err *e)
{
    enum metric metric;
    bool values = task->metric && metric_parse(task->metric, &metric) && metric_of_values(metric);
    bool regression = !task->labels && (task->n_labels == 1 || (task->n_labels == 0 && values));

    *out = (struct source){
        .regression = regression,
        .label = (const char *const *)task->labels,
        .n_labels = regression ? 1 : task->n_labels,
        .valid_share = 0.1,
    };
    out->table = (struct table_spec){
        .path = out->path,
        .wanted = {[COLUMN_TEXT] = task->text,
                   [COLUMN_PAIR] = task->text_pair,
                   [COLUMN_LABEL] = task->label},
    };
    int rc = check_keys(task, e);
    if (!rc)
        rc = source_file(out, task, split, endings, e);
    if (!rc && !format_of(out->path, &out->table.format))
        rc =
            err_set(e, ERR_DATA, "%s: the file name ends in none of .tsv, .csv, .jsonl", out->path);
    return rc;
}
