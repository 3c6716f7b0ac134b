#include "text/source.h"

#include "base/file.h"
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static bool is_folder(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* The file STEM.ENDING of a folder into out->path. */
static int find(struct source *out, const char *folder, const char *stem,
                const char *const *endings, bool *found, struct err *e)
{
    char name[32];

    *found = false;
    for (size_t i = 0; endings[i] && !*found; i++) {
        snprintf(name, sizeof name, "%s.%s", stem, endings[i]);
        int rc = file_join(out->path, sizeof out->path, folder, name, e);
        if (rc)
            return rc;
        *found = file_exists(out->path);
    }
    return 0;
}

static int not_found(const char *folder, enum split split, const char *const *endings,
                     struct err *e)
{
    static const char *const stems[] = {
        [SPLIT_TRAIN] = "train", [SPLIT_VALID] = "valid", [SPLIT_DEV] = "dev or test"};
    char known[64];
    size_t len = 0;

    for (size_t i = 0; endings[i]; i++)
        len += (size_t)snprintf(known + len, sizeof known - len, "%s.%s",
                                i == 0           ? ""
                                : endings[i + 1] ? ", "
                                                 : " or ",
                                endings[i]);
    return err_set(e, ERR_DATA, "%s: no file %s of kind %s%s", folder, stems[split], known,
                   split == SPLIT_VALID ? ", and task.splits is official" : "");
}

static int find_in_folder(struct source *out, const struct task_spec *task, enum split split,
                          const char *const *endings, struct err *e)
{
    const char *folder = task->data;
    bool found = false, paper = task->splits == SPLITS_PAPER && split != SPLIT_DEV;
    int rc = 0;

    if (split == SPLIT_DEV)
        rc = find(out, folder, "dev", endings, &found, e);
    if (!rc && split == SPLIT_DEV && !found)
        rc = find(out, folder, "test", endings, &found, e);
    if (split == SPLIT_VALID || paper)
        rc = find(out, folder, "valid", endings, &found, e);
    if (paper && !found)
        out->cut = split == SPLIT_TRAIN ? CUT_TRAIN : CUT_VALID;
    if (!rc && (split == SPLIT_TRAIN || out->cut))
        rc = find(out, folder, "train", endings, &found, e);
    return rc || found ? rc : not_found(folder, split, endings, e);
}

int source_file(struct source *out, const struct task_spec *task, enum split split,
                const char *const *endings, struct err *e)
{
    if (is_folder(task->data))
        return find_in_folder(out, task, split, endings, e);
    if (split == SPLIT_TRAIN)
        return file_join(out->path, sizeof out->path, "", task->data, e);
    return err_set(e, ERR_DATA,
                   "%s: is one file, which has no %s split: give a folder with %s files",
                   task->data, split == SPLIT_DEV ? "dev" : "valid",
                   split == SPLIT_DEV ? "train and dev" : "train and valid");
}

int source_find(const char *task, source_fn *out, struct err *e)
{
    if (task && task_find(task)) {
        *out = strcmp(task, "text") == 0    ? text_source
               : strcmp(task, "conll") == 0 ? conll_source
                                            : glue_source;
        return 0;
    }
    char known[256];
    size_t len = 0;
    for (const struct task_info *t = task_table; t->name && len < sizeof known; t++)
        len += (size_t)snprintf(known + len, sizeof known - len, "%s%s", len ? ", " : "", t->name);
    return err_set(e, ERR_CONFIG, "task.name: \"%s\" is not one of %s", task ? task : "", known);
}
