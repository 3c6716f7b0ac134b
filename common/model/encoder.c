#include "model/site.h"

/* What one forward pass works with. */
struct pass {
    const struct model *m;
    struct tape *t;
    const struct batch *b;
    const struct encoder_hooks *hooks;
    enum encoder_output output;
    const int32_t *one_each; /* 0, 1, ... n: row offsets of one query a sequence */
};

static struct val *row(struct tape *t, const real *x, int n)
{
    return tape_const(t, x, 1, n);
}

/* A frozen linear with what a method adds to it. */
static struct val *linear(const struct pass *p, int layer, enum linear_site site, struct val *x)
{
    const struct linear_weights *w = &p->m->layer[layer].lin[site];
    struct val *y =
        op_linear(p->t, x, tape_const(p->t, w->W, w->out, w->in), row(p->t, w->b, w->out));
    if (p->hooks->linear != NULL)
        p->hooks->linear(p->hooks->self, p->t, layer, site, x, y);
    return y;
}

static struct val *residual(const struct pass *p, struct val *x, struct val *branch,
                            const struct norm_weights *n)
{
    int d = p->m->cfg.hidden;
    return op_add_norm(p->t, x, branch, p->hooks->hidden_dropout, row(p->t, n->gain, d),
                       row(p->t, n->bias, d), p->m->cfg.norm_eps);
}

static struct val *embed(const struct pass *p)
{
    const struct model *m = p->m;
    const struct model_config *c = &m->cfg;
    struct tape_scope s = tape_enter(p->t);
    struct val *table[3] = {tape_const(p->t, m->word, c->vocab, c->hidden),
                            tape_const(p->t, m->position, c->positions, c->hidden)};
    const int32_t *id[3] = {p->b->id, p->b->pos, p->b->type};
    int n = 2;
    if (c->types > 0)
        table[n++] = tape_const(p->t, m->type, c->types, c->hidden);
    struct val *x = op_embed(p->t, p->b->tokens, n, table, id);
    x = op_norm(p->t, x, row(p->t, m->emb_norm.gain, c->hidden),
                row(p->t, m->emb_norm.bias, c->hidden), c->norm_eps);
    return tape_leave(p->t, s, op_dropout(p->t, x, p->hooks->hidden_dropout));
}

/* In the last layer only first tokens ask: they are all that the head reads. Every token still
 * answers. */
static struct val *attention(const struct pass *p, int layer, struct val *x)
{
    const struct model *m = p->m;
    bool last = p->output == ENCODER_FIRST && layer == m->cfg.layers - 1;
    struct attention_shape shape = {.n_seq = p->b->n,
                                    .heads = m->cfg.heads,
                                    .q_off = last ? p->one_each : p->b->off,
                                    .k_off = p->b->off};
    struct tape_scope s = tape_enter(p->t);
    struct val *asking = last ? op_rows(p->t, x, p->b->off, p->b->n) : x;
    struct val *q = linear(p, layer, LIN_QUERY, asking);
    struct val *k = linear(p, layer, LIN_KEY, x);
    struct val *v = linear(p, layer, LIN_VALUE, x);
    struct val *a = op_attention(p->t, q, k, v, &shape, p->hooks->attention_dropout);
    struct val *o = linear(p, layer, LIN_ATTN_OUTPUT, a);
    return tape_leave(p->t, s, residual(p, asking, o, &m->layer[layer].attn_norm));
}

static struct val *feed_forward(const struct pass *p, int layer, struct val *x)
{
    struct tape_scope s = tape_enter(p->t);
    struct val *h = op_act(p->t, linear(p, layer, LIN_INTERMEDIATE, x), p->m->cfg.act);
    struct val *o = linear(p, layer, LIN_OUTPUT, h);
    return tape_leave(p->t, s, residual(p, x, o, &p->m->layer[layer].ffn_norm));
}

static const int32_t *count_up(struct tape *t, int n)
{
    int32_t *i = tape_alloc(t, ((size_t)n + 1) * sizeof *i);
    for (int32_t k = 0; k <= n; k++)
        i[k] = k;
    return i;
}

struct val *encoder_hidden(const struct model *m, struct tape *t, const struct batch *b,
                           const struct encoder_hooks *h, enum encoder_output output)
{
    struct pass p = {
        .m = m, .t = t, .b = b, .hooks = h, .one_each = count_up(t, b->n), .output = output};
    struct tape_scope s = tape_enter(t);
    struct val *x = embed(&p);
    /* One scope, left after every layer: what goes is the layer's input with the rest. */
    for (int layer = 0; layer < m->cfg.layers; layer++)
        x = tape_leave(t, s, feed_forward(&p, layer, attention(&p, layer, x)));
    return x;
}
