#include "client/backbone.h"
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int backbone_open(struct backbone *b, const char *dir, struct err *e)
{
    struct backbone found = {0};
    int rc = model_open(&found.model, dir, e);
    if (!rc)
        rc = tokenizer_open(&found.tokenizer, dir, e);
    if (!rc && tokenizer_vocab_size(found.tokenizer) > (size_t)found.model->cfg.vocab)
        rc = err_set(e, ERR_MODEL, "%s: the tokenizer has %zu tokens, the model %d: they differ",
                     dir, tokenizer_vocab_size(found.tokenizer), found.model->cfg.vocab);
    if (rc) {
        backbone_close(&found);
        return rc;
    }
    *b = found;
    return 0;
}

void backbone_close(struct backbone *b)
{
    tokenizer_close(b->tokenizer);
    model_close(b->model);
    *b = (struct backbone){0};
}

bool backbone_one_file(const struct task_spec *task)
{
    struct stat st;
    return stat(task->data, &st) == 0 && S_ISREG(st.st_mode);
}

/* Sets *pair when the first row of a file, or its heading, has a second text. */
static int has_pair(const char *path, bool *pair, struct err *e)
{
    FILE *f = fopen(path, "r");
    char *line = NULL;
    size_t cap = 0;
    if (!f)
        return err_sys(e, ERR_IO, errno, "%s", path);
    if (getline(&line, &cap, f) > 0) {
        json_t *row = json_loads(line, 0, NULL);
        *pair = row ? json_is_string(json_object_get(row, "text_pair"))
                    : strstr(line, "text_pair") != NULL;
        json_decref(row);
    }
    free(line);
    fclose(f);
    return 0;
}

/* A named task whose data is one file: the same labels, in the columns of our own JSONL. */
static int as_text(struct task_spec *task, struct err *e)
{
    static char text[] = "text", text_pair[] = "text_pair", label[] = "label";
    const struct task_info *info = task_find(task->name);
    bool pair = false;
    if (!info || strcmp(task->name, text) == 0)
        return 0;
    int rc = has_pair(task->data, &pair, e);
    if (rc)
        return rc;
    task->name = text;
    task->text = text;
    task->text_pair = pair ? text_pair : NULL;
    task->label = label;
    task->labels = (char **)(uintptr_t)info->labels;
    task->n_labels = info->labels ? info->n_labels : 1;
    return 0;
}

int backbone_read(const struct backbone *b, const struct task_spec *task, enum split split,
                  uint32_t max_length, struct dataset **out, struct err *e)
{
    struct task_spec own = *task;
    int most = model_max_tokens(&b->model->cfg);
    if (max_length > (uint32_t)most)
        return err_set(e, ERR_CONFIG, "local.max_length: %u is more than the model's %d tokens",
                       max_length, most);
    if (backbone_one_file(task)) {
        int rc = as_text(&own, e);
        if (rc)
            return rc;
        split = SPLIT_TRAIN;
    }
    return dataset_open(out, &own, split, b->tokenizer, max_length, NULL, e);
}
