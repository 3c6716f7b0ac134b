#include "client/tuned.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INFO_LIMIT = 16 << 20 }; /* bytes of an adapter's names */

static int open_all(struct tuned *t, const char *model, const char *adapter, struct err *e)
{
    const struct local_spec local = {.model_dropout = -1};
    int rc = peft_read_config(adapter, &t->mem, &t->spec, &t->info, e);
    if (!rc)
        rc = backbone_open(&t->backbone, model, e);
    if (!rc)
        rc = peft_open(&t->peft, t->backbone.model, &t->spec, &local, t->info.head,
                       t->info.n_labels, e);
    if (rc)
        return rc;
    t->theta = malloc(peft_schema(t->peft)->count * sizeof *t->theta);
    if (!t->theta)
        return err_set(e, ERR_NOMEM, "out of memory for %zu parameters",
                       peft_schema(t->peft)->count);
    uint32_t most = (uint32_t)peft_max_tokens(t->peft);
    t->max_length = t->info.max_length && t->info.max_length < most ? t->info.max_length : most;
    return peft_load(t->peft, adapter, t->theta, e);
}

int tuned_open(struct tuned *t, const char *model, const char *adapter, struct err *e)
{
    memset(t, 0, sizeof *t);
    arena_init(&t->mem, INFO_LIMIT);
    int rc = open_all(t, model, adapter, e);
    if (rc)
        tuned_close(t);
    return rc;
}

void tuned_close(struct tuned *t)
{
    free(t->theta);
    peft_close(t->peft);
    backbone_close(&t->backbone);
    arena_release(&t->mem);
}

const char *tuned_label(const struct tuned *t, uint32_t label, char text[16])
{
    if (t->info.labels)
        return t->info.labels[label];
    snprintf(text, 16, "%u", label);
    return text;
}
