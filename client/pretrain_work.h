/* What a pretraining keeps beside its output until it is done, in the folder OUT.work: the model
 * that it begins from when that is new, the tokens of the corpus, the checkpoint. */
#ifndef CLIENT_PRETRAIN_WORK_H
#define CLIENT_PRETRAIN_WORK_H

#include "text/sequences.h"
#include <limits.h>

struct pretrain_work {
    char dir[PATH_MAX], start[PATH_MAX], tokens[PATH_MAX], checkpoint[PATH_MAX];
};

/* Makes the folder unless it is there. ERR_IO: `out` exists, so it is done already; ... */
int pretrain_work_open(struct pretrain_work *w, const char *out, struct err *e) MUST_CHECK;
/* Makes the model that training begins from, w->start, always anew: another configuration must not
 * meet an old model. Errors of model_create. */
int pretrain_work_create(const struct pretrain_work *w, const char *config,
                         const char *tokenizer_dir, uint64_t seed, struct err *e) MUST_CHECK;
/* Tokenises the corpus into w->tokens, unless that was done before with the same bytes of text and
 * tokenizer and the same settings, which *identity stands for. Errors of sequences_write. */
int pretrain_work_tokenise(const struct pretrain_work *w, const struct corpus_spec *corpus,
                           const struct tokenizer *t, const char *tokenizer_dir, size_t length,
                           sequences_progress_fn progress, void *ctx, struct hash *identity,
                           struct err *e) MUST_CHECK;
/* Removes its files, and the folder if nothing else is in it. */
void pretrain_work_remove(const struct pretrain_work *w);

#endif
