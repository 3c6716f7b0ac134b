#include "client/backbone.h"
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_tokenizer(struct backbone *b, struct err *e)
{
    const char *dir = b->model->dir;
    struct hash_state h;
    int rc = tokenizer_open(&b->tokenizer, dir, e);
    if (rc)
        return rc;
    size_t n = tokenizer_vocab_size(b->tokenizer);
    if (n > (size_t)b->model->cfg.vocab)
        rc = err_set(e, ERR_MODEL, "%s: the tokenizer has %zu tokens, the model %d: they differ",
                     dir, n, b->model->cfg.vocab);
    hash_begin(&h);
    if (!rc)
        rc = tokenizer_feed(&h, dir, e);
    b->tokens = hash_end(&h);
    if (rc)
        backbone_rest(b);
    return rc;
}

int backbone_open(struct backbone *b, const char *dir, struct err *e)
{
    struct backbone found = {0};
    int rc = model_open(&found.model, dir, e);
    if (!rc)
        rc = open_tokenizer(&found, e);
    if (rc) {
        backbone_close(&found);
        return rc;
    }
    *b = found;
    return 0;
}

/* After a rest. With a model that was replaced comes its own tokenizer, but the weights that are
 * mapped are still those of the old one. */
static int reopen_tokenizer(struct backbone *b, struct err *e)
{
    struct hash was = b->tokens;
    int rc = open_tokenizer(b, e);
    bool same = hash_same(&b->tokens, &was);
    b->tokens = was;
    if (rc || same)
        return rc;
    backbone_rest(b);
    return err_set(e, ERR_MODEL,
                   "%s: the tokenizer is not the one that this program started with: restore it, "
                   "or start the program anew",
                   b->model->dir);
}

void backbone_rest(struct backbone *b)
{
    tokenizer_close(b->tokenizer);
    b->tokenizer = NULL;
    if (b->model)
        model_rest(b->model);
}

void backbone_close(struct backbone *b)
{
    backbone_rest(b);
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

/* The columns of our own JSONL, where the task does not name its own; a named task of texts whose
 * data is one file is read by them too, with its own labels. */
static int fill_columns(struct task_spec *task, bool one_file, struct err *e)
{
    static char text[] = "text", text_pair[] = "text_pair", label[] = "label";
    const struct task_info *info = task_find(task->name);
    bool pair = false, named = strcmp(task->name, text) != 0;
    if (!info || info->head == HEAD_TOKENS || (named && !one_file))
        return 0;
    if (named) {
        task->name = text;
        task->labels = (char **)(uintptr_t)info->labels;
        task->n_labels = info->labels ? info->n_labels : 1;
    }
    if (!task->text) {
        int rc = one_file ? has_pair(task->data, &pair, e) : 0;
        if (rc)
            return rc;
        task->text = text;
        task->text_pair = pair ? text_pair : NULL;
    }
    if (!task->label)
        task->label = label;
    return 0;
}

int backbone_read(struct backbone *b, const struct task_spec *task, enum split split,
                  uint32_t max_length, const char *column, struct dataset **out, struct err *e)
{
    struct task_spec own = *task;
    bool one_file = backbone_one_file(task);
    int most = model_max_tokens(&b->model->cfg);
    if (max_length > (uint32_t)most)
        return err_set(e, ERR_CONFIG,
                       "local.max_length: %u is more than the model's %d tokens: use at most %d",
                       max_length, most, most);
    if (access(task->data, R_OK))
        return err_sys(e, ERR_IO, errno, "%s", task->data);
    int rc = fill_columns(&own, one_file, e);
    if (!rc && !b->tokenizer)
        rc = reopen_tokenizer(b, e);
    return rc ? rc
              : dataset_open(out, &own, one_file ? SPLIT_TRAIN : split, b->tokenizer, max_length,
                             column, e);
}
