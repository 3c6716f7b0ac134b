#include "client/pretrain_work.h"
#include "base/file.h"
#include "model/create.h"
#include "model/model_dir.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int pretrain_work_open(struct pretrain_work *w, const char *out, struct err *e)
{
    size_t len = strlen(out);
    while (len > 1 && out[len - 1] == '/')
        len--;
    if (file_exists(out))
        return err_set(e, ERR_IO, "%s: exists already: choose another --out", out);
    if (snprintf(w->dir, sizeof w->dir, "%.*s.work", (int)len, out) >= (int)sizeof w->dir)
        return err_set(e, ERR_IO, "%.60s...: the path is too long", out);
    int rc = file_join(w->start, sizeof w->start, w->dir, "start", e);
    if (!rc)
        rc = file_join(w->tokens, sizeof w->tokens, w->dir, "tokens", e);
    if (!rc)
        rc = file_join(w->checkpoint, sizeof w->checkpoint, w->dir, "checkpoint", e);
    return rc ? rc : file_mkdirs(w->dir, 0755, e);
}

int pretrain_work_create(const struct pretrain_work *w, const char *config,
                         const char *tokenizer_dir, uint64_t seed, struct err *e)
{
    model_dir_remove(w->start);
    return model_create(config, tokenizer_dir, seed, w->start, e);
}

static int identify(const struct corpus_spec *corpus, const char *tokenizer_dir, size_t length,
                    struct hash *out, struct err *e)
{
    struct hash_state state, *h = hash_begin(&state);
    const uint64_t settings[] = {length, corpus->unit, corpus->n};
    const char *field = corpus->field ? corpus->field : "text";
    hash_feed(h, settings, sizeof settings);
    hash_feed(h, field, strlen(field) + 1);
    int rc = tokenizer_feed(h, tokenizer_dir, e);
    for (size_t i = 0; i < corpus->n && !rc; i++)
        rc = file_feed(h, corpus->path[i], NULL, e);
    *out = hash_end(h);
    return rc;
}

int pretrain_work_tokenise(const struct pretrain_work *w, const struct corpus_spec *corpus,
                           const struct tokenizer *t, const char *tokenizer_dir, size_t length,
                           sequences_progress_fn progress, void *ctx, struct hash *identity,
                           struct err *e)
{
    struct hash found;
    int rc = identify(corpus, tokenizer_dir, length, &found, e);
    if (!rc && !sequences_exist(w->tokens, &found))
        rc = sequences_write(w->tokens, corpus, t, length, &found, progress, ctx, e);
    if (!rc)
        *identity = found;
    return rc;
}

void pretrain_work_remove(const struct pretrain_work *w)
{
    model_dir_remove(w->start);
    unlink(w->tokens);
    unlink(w->checkpoint);
    rmdir(w->dir);
}
