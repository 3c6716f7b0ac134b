#include "client/backbone.h"
#include "base/file.h"
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
