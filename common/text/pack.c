#include "text/pack.h"

#include <stdlib.h>
#include <string.h>

/* A sequence and the micro-batch that it goes to. */
struct item {
    uint32_t example;
    size_t place; /* in index[], to break ties */
    int32_t tokens;
    size_t bin;
};

/* A micro-batch being filled. */
struct bin {
    size_t sequences, tokens;
};

static int longest_first(const void *a, const void *b)
{
    const struct item *x = a, *y = b;

    if (x->tokens != y->tokens)
        return x->tokens > y->tokens ? -1 : 1;
    return (x->place > y->place) - (x->place < y->place);
}

/* How many micro-batches: about `aim` tokens each, an even number so that two threads share alike,
 * unless the halves of a small batch would keep BLAS busy with packing; never an empty one. */
static size_t count_bins(size_t tokens, size_t sequences, size_t aim)
{
    size_t bins = (tokens + aim - 1) / aim;

    if (tokens >= aim / 2)
        bins += bins & 1;
    if (bins > sequences)
        bins = sequences > 1 ? sequences & ~(size_t)1 : sequences;
    return bins ? bins : sequences > 0;
}

static size_t emptiest(const struct bin *bin, size_t bins)
{
    size_t best = 0;

    for (size_t b = 1; b < bins; b++)
        if (bin[b].tokens < bin[best].tokens)
            best = b;
    return best;
}

/* Longest first into the emptiest (Graham 1969: at most 4/3 of the best maximum). */
static void distribute(struct item *item, size_t n, struct bin *bin, size_t bins)
{
    qsort(item, n, sizeof *item, longest_first);
    for (size_t i = 0; i < n; i++) {
        struct bin *b = &bin[item[i].bin = emptiest(bin, bins)];
        b->sequences++;
        b->tokens += (size_t)item[i].tokens;
    }
}

/* A micro-batch while it is written. */
struct draft {
    int n; /* sequences so far */
    uint32_t *example;
    int32_t *off, *id, *type, *pos, *label;
    int32_t *tag; /* of token classification */
    real *target;
};

static bool draft_init(struct draft *f, const struct bin *b, enum head_kind head, struct arena *mem)
{
    size_t n = b->sequences, t = b->tokens;

    *f = (struct draft){
        .example = arena_calloc(mem, n, sizeof *f->example),
        .off = arena_calloc(mem, n + 1, sizeof *f->off),
        .id = arena_calloc(mem, t, sizeof *f->id),
        .type = arena_calloc(mem, t, sizeof *f->type),
        .pos = arena_calloc(mem, t, sizeof *f->pos),
        .label = arena_calloc(mem, n, sizeof *f->label),
        .target = arena_calloc(mem, n, sizeof *f->target),
        .tag = head != HEAD_SEQUENCE ? arena_calloc(mem, t, sizeof *f->tag) : NULL,
    };
    return f->example && f->off && f->id && f->type && f->pos && f->label && f->target &&
           (f->tag || head == HEAD_SEQUENCE);
}

static void draft_add(struct draft *f, const struct item *item, const struct example *x,
                      const struct model_config *c)
{
    int s = f->n++, at = f->off[s], first = model_first_position(c);

    memcpy(f->id + at, x->id, (size_t)x->n_tokens * sizeof *f->id);
    for (int i = 0; i < x->n_tokens; i++) {
        f->type[at + i] = c->types > 1 ? x->type[i] : 0;
        f->pos[at + i] = first + i;
        if (f->tag)
            f->tag[at + i] = example_tag(x, i);
    }
    f->example[s] = item->example;
    f->label[s] = x->label;
    f->target[s] = (real)x->target;
    f->off[s + 1] = at + x->n_tokens;
}

static struct batch finish(const struct draft *f, const struct dataset *d)
{
    bool regression = !d->label_name;

    return (struct batch){
        .n = f->n,
        .tokens = f->off[f->n],
        .off = f->off,
        .id = f->id,
        .type = f->type,
        .pos = f->pos,
        .label = regression || f->tag ? NULL : f->label,
        .tag = f->tag,
        .target = regression ? f->target : NULL,
    };
}

/* Writes the items into `bins` micro-batches; false without memory. */
static bool write_batches(const struct dataset *d, const struct item *item, size_t n,
                          const struct bin *bin, size_t bins, const struct model_config *c,
                          struct arena *mem, struct packing *out)
{
    struct draft *draft = arena_calloc(mem, bins, sizeof *draft);
    struct packing p = {
        .batch = arena_calloc(mem, bins, sizeof *p.batch),
        .n = (int)bins,
        .example = arena_calloc(mem, bins, sizeof *p.example),
    };

    if (!draft || !p.batch || !p.example)
        return false;
    for (size_t m = 0; m < bins; m++)
        if (!draft_init(&draft[m], &bin[m], d->head, mem))
            return false;
    for (size_t i = 0; i < n; i++)
        draft_add(&draft[item[i].bin], &item[i], &d->example[item[i].example], c);
    for (size_t m = 0; m < bins; m++) {
        p.batch[m] = finish(&draft[m], d);
        p.example[m] = draft[m].example;
    }
    *out = p;
    return true;
}

int pack_about(const struct dataset *d, const uint32_t *index, size_t n,
               const struct model_config *c, size_t aim, struct arena *mem, struct packing *out,
               struct err *e)
{
    struct item *item = arena_calloc(mem, n, sizeof *item);
    size_t tokens = 0;

    for (size_t i = 0; item && i < n; i++) {
        item[i] = (struct item){index[i], i, d->example[index[i]].n_tokens, 0};
        tokens += (size_t)item[i].tokens;
    }
    size_t bins = count_bins(tokens, n, aim);
    struct bin *bin = arena_calloc(mem, bins, sizeof *bin);
    if (!item || !bin)
        return err_set(e, ERR_NOMEM, "no memory to pack %zu examples", n);
    distribute(item, n, bin, bins);
    if (!write_batches(d, item, n, bin, bins, c, mem, out))
        return err_set(e, ERR_NOMEM, "no memory to pack %zu examples of %zu tokens", n, tokens);
    return 0;
}

int pack_examples(const struct dataset *d, const uint32_t *index, size_t n,
                  const struct model_config *c, struct arena *mem, struct packing *out,
                  struct err *e)
{
    return pack_about(d, index, n, c, PACK_TOKENS, mem, out, e);
}

size_t pack_scored(const struct batch *b)
{
    size_t n = 0;

    if (!b->tag)
        return (size_t)b->n;
    for (int i = 0; i < b->tokens; i++)
        n += b->tag[i] >= 0;
    return n;
}
