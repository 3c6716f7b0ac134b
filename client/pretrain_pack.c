#include "client/pretrain.h"

/* A masked sequence is an example whose every token is a word of its own, tagged with the token to
 * guess. */
struct masked {
    struct dataset data;
    struct sentence *sentence;
    int32_t *type, *word; /* of every sequence: 0, 0, ... and 0, 1, ... */
};

static bool masked_open(struct masked *m, const struct sequence *text, const uint32_t *index,
                        size_t n, struct arena *mem)
{
    size_t longest = 1;
    for (size_t i = 0; i < n; i++)
        if ((size_t)text[index[i]].n > longest)
            longest = (size_t)text[index[i]].n;
    *m = (struct masked){
        .data = {.n = n, .head = HEAD_MLM, .example = arena_calloc(mem, n, sizeof(struct example))},
        .sentence = arena_calloc(mem, n, sizeof *m->sentence),
        .type = arena_calloc(mem, longest, sizeof *m->type),
        .word = arena_calloc(mem, longest, sizeof *m->word)};
    if (!m->data.example || !m->sentence || !m->type || !m->word)
        return false;
    for (size_t i = 0; i < longest; i++)
        m->word[i] = (int32_t)i;
    return true;
}

static bool masked_set(struct masked *m, size_t i, const struct sequence *s,
                       const struct masking *masking, struct rng r, struct arena *mem)
{
    int32_t *in = arena_calloc(mem, (size_t)s->n, sizeof *in);
    int32_t *tag = arena_calloc(mem, (size_t)s->n, sizeof *tag);
    if (!in || !tag)
        return false;
    masking_apply(masking, &r, s->id, s->n, in, tag);
    m->sentence[i] = (struct sentence){.tag = tag, .n = s->n};
    m->data.example[i] = (struct example){
        .id = in, .type = m->type, .n_tokens = s->n, .sentence = &m->sentence[i], .word = m->word};
    return true;
}

int pretrain_pack(const struct sequence *text, const uint32_t *index, size_t n,
                  const struct masking *m, uint64_t seed, uint32_t epoch,
                  const struct model_config *c, struct arena *mem, struct packing *out,
                  struct err *e)
{
    struct masked masked;
    uint32_t *all = arena_calloc(mem, n, sizeof *all);
    bool room = all && masked_open(&masked, text, index, n, mem);
    for (size_t i = 0; i < n && room; i++) {
        all[i] = (uint32_t)i;
        room = masked_set(&masked, i, &text[index[i]], m,
                          rng_stream(seed, epoch, index[i], RNG_MASK), mem);
    }
    if (!room)
        return err_set(e, ERR_NOMEM, "no memory for a batch of %zu sequences", n);
    return pack_about(&masked.data, all, n, c, PRETRAIN_MICRO_TOKENS, mem, out, e);
}
