#include "text/masking.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const double masked_share = 0.15, replaced_share = 0.8, random_share = 0.1;

static bool is_special(const char *token)
{
    static const char *const special[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]",
                                          "<s>",   "<pad>", "</s>",  "<unk>", "<mask>"};
    for (size_t i = 0; i < sizeof special / sizeof *special; i++)
        if (strcmp(token, special[i]) == 0)
            return true;
    return false;
}

static bool is_mask(const char *token)
{
    return strcmp(token, "[MASK]") == 0 || strcmp(token, "<mask>") == 0;
}

int masking_open(struct masking *m, const struct tokenizer *t, struct err *e)
{
    size_t size = tokenizer_vocab_size(t);
    struct masking found = {.mask = -1, .ordinary = malloc((size + 1) * sizeof *found.ordinary)};
    if (!found.ordinary)
        return err_set(e, ERR_NOMEM, "no memory for a list of %zu tokens", size);
    for (int32_t id = 0; (size_t)id < size; id++) {
        const char *token = tokenizer_token(t, id);
        if (token && is_mask(token))
            found.mask = id;
        else if (token && !is_special(token))
            found.ordinary[found.n++] = id;
    }
    if (found.mask < 0 || found.n == 0) {
        masking_close(&found);
        return err_set(e, ERR_MODEL,
                       "the tokenizer has no %s: it is not one of a masked language model",
                       found.mask < 0 ? "[MASK] or <mask>" : "ordinary tokens");
    }
    *m = found;
    return 0;
}

void masking_close(struct masking *m)
{
    free(m->ordinary);
    m->ordinary = NULL;
    m->n = 0;
}

static int32_t replacement(const struct masking *m, struct rng *r, int32_t id)
{
    double u = rng_uniform(r);
    if (u < replaced_share)
        return m->mask;
    return u < replaced_share + random_share ? m->ordinary[rng_below(r, m->n)] : id;
}

/* Selection sampling (Knuth, TAOCP 3.4.2, algorithm S). */
void masking_apply(const struct masking *m, struct rng *r, const int32_t *id, int32_t n,
                   int32_t *in, int32_t *tag)
{
    uint32_t left = (uint32_t)n - 2;
    uint32_t wanted = (uint32_t)(masked_share * left + rng_uniform(r));
    if (wanted == 0)
        wanted = 1;
    memcpy(in, id, (size_t)n * sizeof *in);
    tag[0] = tag[n - 1] = -1;
    for (int32_t i = 1; i < n - 1; i++, left--) {
        bool chosen = rng_below(r, left) < wanted;
        tag[i] = chosen ? id[i] : -1;
        if (!chosen)
            continue;
        in[i] = replacement(m, r, id[i]);
        wanted--;
    }
}
