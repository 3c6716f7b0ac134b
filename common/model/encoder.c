#include "model/site.h"

/* What one forward pass works with. */
struct pass {
    const struct model *m;
    struct tape *t;
    const struct encoder_hooks *hooks;
    const struct batch *text; /* as the caller gave it */
    int virtual;              /* tokens in front of every sequence */
    struct batch all;         /* with them; of their ids only the text's are there */
    /* The rows of `all` that the last layer computes, and their offsets by sequence. NULL: every
     * row. */
    const int32_t *out;
    const int32_t *out_off;
};

/* --- rows ------------------------------------------------------------------------------------ */

/* Offsets once every sequence has `more` further rows. */
static int32_t *widen(struct tape *t, const int32_t *off, int n, int more)
{
    int32_t *wide = tape_alloc(t, ((size_t)n + 1) * sizeof *wide);
    for (int s = 0; s <= n; s++)
        wide[s] = off[s] + s * more;
    return wide;
}

/* Positions and types of virtual and moved tokens. */
static void place_tokens(struct pass *p)
{
    const struct batch *text = p->text;
    struct batch *all = &p->all;
    bool typed = p->m->cfg.types > 0;
    int first = model_first_position(&p->m->cfg);

    all->tokens = text->tokens + text->n * p->virtual;
    all->off = widen(p->t, text->off, text->n, p->virtual);
    int32_t *pos = tape_alloc(p->t, (size_t)all->tokens * sizeof *pos);
    int32_t *type = tape_alloc(p->t, (size_t)all->tokens * sizeof *type);
    for (int s = 0, to = 0; s < text->n; s++) {
        for (int i = 0; i < p->virtual; i++, to++) {
            pos[to] = first + i;
            type[to] = 0;
        }
        for (int from = text->off[s]; from < text->off[s + 1]; from++, to++) {
            pos[to] = text->pos[from] + p->hooks->shift;
            type[to] = typed ? text->type[from] : 0;
        }
    }
    all->pos = pos;
    all->type = type;
}

/* 0, 1, ... n */
static int32_t *count_up(struct tape *t, int n)
{
    int32_t *i = tape_alloc(t, ((size_t)n + 1) * sizeof *i);
    for (int32_t k = 0; k <= n; k++)
        i[k] = k;
    return i;
}

/* Where the text's tokens are among all. */
static int32_t *text_rows(const struct pass *p)
{
    int32_t *row = tape_alloc(p->t, (size_t)p->text->tokens * sizeof *row);
    for (int s = 0; s < p->text->n; s++)
        for (int i = p->text->off[s]; i < p->text->off[s + 1]; i++)
            row[i] = i + (s + 1) * p->virtual;
    return row;
}

/* Where the tagged ones are, and how many each sequence has. */
static int32_t *tagged_rows(const struct pass *p, int32_t *off)
{
    int32_t *row = tape_alloc(p->t, (size_t)p->text->tokens * sizeof *row);
    int n = 0;
    off[0] = 0;
    for (int s = 0; s < p->text->n; s++) {
        for (int i = p->text->off[s]; i < p->text->off[s + 1]; i++)
            if (p->text->tag[i] >= 0)
                row[n++] = i + (s + 1) * p->virtual;
        off[s + 1] = n;
    }
    return row;
}

static void choose_output(struct pass *p, enum encoder_output output)
{
    p->out_off = p->text->off;
    if (output == ENCODER_FIRST) {
        p->out = p->all.off;
        p->out_off = count_up(p->t, p->text->n);
    } else if (output == ENCODER_TAGGED) {
        int32_t *off = tape_alloc(p->t, ((size_t)p->text->n + 1) * sizeof *off);
        p->out = tagged_rows(p, off);
        p->out_off = off;
    } else if (p->virtual > 0) {
        p->out = text_rows(p);
    }
}

/* --- layers ---------------------------------------------------------------------------------- */

static struct val *embed(const struct pass *p, struct val *prompt)
{
    const struct model *m = p->m;
    const struct model_config *c = &m->cfg;
    const struct encoder_hooks *h = p->hooks;
    struct tape_scope s = tape_enter(p->t);
    struct val *word = site_matrix(h, p->t, m->word, c->vocab, c->hidden);
    struct val *table[3];
    const int32_t *id[3];
    int n = 0;
    if (prompt == NULL) {
        table[n] = word;
        id[n++] = p->text->id;
    }
    table[n] = site_matrix(h, p->t, m->position, c->positions, c->hidden);
    id[n++] = p->all.pos;
    if (c->types > 0) {
        table[n] = site_matrix(h, p->t, m->type, c->types, c->hidden);
        id[n++] = p->all.type;
    }
    struct val *x = op_embed(p->t, p->all.tokens, n, table, id);
    if (prompt != NULL) {
        struct val *words = op_embed(p->t, p->text->tokens, 1, &word, &p->text->id);
        x = op_add(p->t, op_prepend(p->t, prompt, words, p->text->off, p->text->n), x);
    }
    x = op_norm(p->t, x, site_vector(h, p->t, m->emb_norm.gain, c->hidden),
                site_vector(h, p->t, m->emb_norm.bias, c->hidden), c->norm_eps);
    return tape_leave(p->t, s, op_dropout(p->t, x, h->hidden_dropout));
}

/* A base linear with what a method adds to it. */
static struct val *linear(const struct pass *p, int layer, enum linear_site site, struct val *x)
{
    const struct linear_weights *w = &p->m->layer[layer].lin[site];
    struct val *y = op_linear(p->t, x, site_matrix(p->hooks, p->t, w->W, w->out, w->in),
                              site_vector(p->hooks, p->t, w->b, w->out));
    if (p->hooks->linear != NULL)
        p->hooks->linear(p->hooks->self, p->t, layer, site, x, y);
    return y;
}

static struct val *end_block(const struct pass *p, int layer, enum block_site site, struct val *x,
                             struct val *branch)
{
    const struct encoder_hooks *h = p->hooks;
    const struct layer_weights *l = &p->m->layer[layer];
    const struct norm_weights *w = site == BLOCK_ATTENTION ? &l->attn_norm : &l->ffn_norm;
    struct block_norm n = {.gain = site_vector(h, p->t, w->gain, p->m->cfg.hidden),
                           .bias = site_vector(h, p->t, w->bias, p->m->cfg.hidden),
                           .eps = p->m->cfg.norm_eps,
                           .dropout = h->hidden_dropout};
    return h->block != NULL ? h->block(h->self, p->t, layer, site, x, branch, &n)
                            : block_norm(p->t, x, branch, &n);
}

/* Puts a method's rows before every sequence's keys and values. Returns the offsets of these. */
static const int32_t *prefixed(const struct pass *p, int layer, struct val **k, struct val **v)
{
    const struct encoder_hooks *h = p->hooks;
    struct val *key = NULL, *value = NULL;
    if (h->prefix != NULL)
        h->prefix(h->self, p->t, layer, &key, &value);
    if (key == NULL)
        return p->all.off;
    *k = op_prepend(p->t, key, *k, p->all.off, p->all.n);
    *v = op_prepend(p->t, value, *v, p->all.off, p->all.n);
    return widen(p->t, p->all.off, p->all.n, key->rows);
}

/* In the last layer only the rows that are wanted ask. Every token still answers. */
static struct val *attention(const struct pass *p, int layer, struct val *x)
{
    bool last = layer == p->m->cfg.layers - 1;
    struct attention_shape shape = {
        .n_seq = p->all.n, .heads = p->m->cfg.heads, .q_off = last ? p->out_off : p->all.off};
    struct tape_scope s = tape_enter(p->t);
    struct val *asking =
        last && p->out != NULL ? op_rows(p->t, x, p->out, p->out_off[p->all.n]) : x;
    struct val *q = linear(p, layer, LIN_QUERY, asking);
    struct val *k = linear(p, layer, LIN_KEY, x);
    struct val *v = linear(p, layer, LIN_VALUE, x);
    shape.k_off = prefixed(p, layer, &k, &v);
    struct val *a = op_attention(p->t, q, k, v, &shape, p->hooks->attention_dropout);
    struct val *o = linear(p, layer, LIN_ATTN_OUTPUT, a);
    return tape_leave(p->t, s, end_block(p, layer, BLOCK_ATTENTION, asking, o));
}

static struct val *feed_forward(const struct pass *p, int layer, struct val *x)
{
    struct tape_scope s = tape_enter(p->t);
    struct val *h = op_act(p->t, linear(p, layer, LIN_INTERMEDIATE, x), p->m->cfg.act);
    struct val *o = linear(p, layer, LIN_OUTPUT, h);
    return tape_leave(p->t, s, end_block(p, layer, BLOCK_FFN, x, o));
}

/* One layer: what a checkpoint makes again. */
struct layer {
    const struct pass *p;
    int number;
};

static struct val *run_layer(struct tape *t, void *arg, struct val *x)
{
    const struct layer *l = arg;
    (void)t;
    return feed_forward(l->p, l->number, attention(l->p, l->number, x));
}

struct val *encoder_hidden(const struct model *m, struct tape *t, const struct batch *b,
                           const struct encoder_hooks *h, enum encoder_output output)
{
    /* Backward may call the layers once more. */
    struct pass *p = tape_alloc(t, sizeof *p);
    struct encoder_hooks *hooks = tape_alloc(t, sizeof *hooks);
    struct layer *layer = tape_alloc(t, (size_t)m->cfg.layers * sizeof *layer);
    struct tape_scope s = tape_enter(t);
    *hooks = *h;
    *p = (struct pass){.m = m, .t = t, .hooks = hooks, .text = b, .all = *b};
    struct val *prompt = h->prompt != NULL ? h->prompt(h->self, t) : NULL;
    p->virtual = prompt != NULL ? prompt->rows : 0;
    if (p->virtual > 0 || h->shift != 0)
        place_tokens(p);
    choose_output(p, output);

    struct val *x = embed(p, prompt);
    /* One scope, left after every layer: what goes is the layer's input with the rest. */
    for (int i = 0; i < m->cfg.layers; i++) {
        layer[i] = (struct layer){p, i};
        x = tape_leave(t, s, tape_checkpoint(t, x, run_layer, &layer[i]));
    }
    return x;
}
