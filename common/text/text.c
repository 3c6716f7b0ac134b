/* The task "text": CSV, TSV or JSONL with columns named by the configuration. */
#include "base/file.h"
#include "text/source.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char *const endings[] = {
    [TABLE_TSV] = "tsv", [TABLE_CSV] = "csv", [TABLE_JSONL] = "jsonl"};
enum { N_FORMATS = sizeof endings / sizeof *endings };

/* By the file name's ending. */
static bool format_of(const char *path, enum table_format *format)
{
    const char *dot = strrchr(path, '.');

    for (int f = 0; dot && f < N_FORMATS; f++)
        if (strcmp(dot + 1, endings[f]) == 0) {
            *format = (enum table_format)f;
            return true;
        }
    return false;
}

/* The file STEM.csv, .tsv or .jsonl of a folder into out->path. */
static int find_file(struct source *out, const char *dir, const char *stem, bool *found,
                     struct err *e)
{
    char name[32];

    for (int f = 0; f < N_FORMATS; f++) {
        snprintf(name, sizeof name, "%s.%s", stem, endings[f]);
        int rc = file_join(out->path, sizeof out->path, dir, name, e);
        if (rc)
            return rc;
        *found = file_exists(out->path);
        if (*found)
            return 0;
    }
    return 0;
}

static int find_in_folder(struct source *out, const char *dir, enum split split, struct err *e)
{
    static const char *const stems[][2] = {
        [SPLIT_TRAIN] = {"train", NULL}, [SPLIT_DEV] = {"dev", "test"}};
    bool found = false;

    for (int i = 0; i < 2 && stems[split][i] && !found; i++) {
        int rc = find_file(out, dir, stems[split][i], &found, e);
        if (rc)
            return rc;
    }
    if (found)
        return 0;
    return err_set(e, ERR_DATA, "%s: no file %s of kind .tsv, .csv or .jsonl", dir,
                   split == SPLIT_TRAIN ? "train" : "dev or test");
}

static int find_path(struct source *out, const char *data, enum split split, struct err *e)
{
    struct stat st;

    if (stat(data, &st) == 0 && S_ISDIR(st.st_mode))
        return find_in_folder(out, data, split, e);
    if (split == SPLIT_DEV)
        return err_set(
            e, ERR_DATA,
            "%s: is one file, which has no dev split: give a folder with train and dev files",
            data);
    return file_join(out->path, sizeof out->path, "", data, e);
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
    bool mse = task->metric && strcmp(task->metric, "mse") == 0;
    bool regression = !task->labels && (task->n_labels == 1 || (task->n_labels == 0 && mse));

    *out = (struct source){
        .regression = regression,
        .label = (const char *const *)task->labels,
        .n_labels = regression ? 1 : task->n_labels,
    };
    out->table = (struct table_spec){
        .path = out->path,
        .wanted = {[COLUMN_TEXT] = task->text,
                   [COLUMN_PAIR] = task->text_pair,
                   [COLUMN_LABEL] = task->label},
    };
    int rc = check_keys(task, e);
    if (!rc)
        rc = find_path(out, task->data, split, e);
    if (!rc && !format_of(out->path, &out->table.format))
        rc =
            err_set(e, ERR_DATA, "%s: the file name ends in none of .tsv, .csv, .jsonl", out->path);
    return rc;
}
