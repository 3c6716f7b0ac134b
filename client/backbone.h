/* A base model with its tokenizer, and the reading of data for it. */
#ifndef CLIENT_BACKBONE_H
#define CLIENT_BACKBONE_H

#include "base/err.h"
#include "base/spec.h"
#include "model/model.h"
#include "text/dataset.h"
#include "text/tokenizer.h"

struct backbone {
    struct model *model;
    struct tokenizer *tokenizer; /* NULL after backbone_rest */
    struct hash tokens;          /* what its ids depend on */
};

/* From a Hugging Face directory. Errors of model_open and tokenizer_open; ERR_MODEL when the
 * tokenizer knows more tokens than the model. On failure nothing stays open. */
int backbone_open(struct backbone *b, const char *dir, struct err *e) MUST_CHECK;
void backbone_close(struct backbone *b);
/* Gives back what only work needs: the tokenizer, which backbone_read opens again, and the pages of
 * the model. */
void backbone_rest(struct backbone *b);

/* Reads a split of a task. As dataset_open, and more: columns of task "text" that are not named are
 * text, text_pair (if the file has it) and label; and for every task, task->data may be one file
 * (JSONL, CSV or TSV) with those columns, which then is the split that is asked for. `column`: as
 * for dataset_open. ERR_CONFIG: max_length is more than the model can take. After backbone_rest,
 * the tokenizer's errors of backbone_open, too; ERR_MODEL: it is another one now. */
int backbone_read(struct backbone *b, const struct task_spec *task, enum split split,
                  uint32_t max_length, const char *column, struct dataset **out,
                  struct err *e) MUST_CHECK;

/* Whether the task's data is one file, so that it has no dev split of its own. */
bool backbone_one_file(const struct task_spec *task);

#endif
