#include "model/names.h"
#include <stdio.h>

enum { OUTSIDE = 7, PER_LAYER = 2 * LIN_SITES + 4 }; /* most tensors */

bool model_is_pooler(const struct base_tensor *t)
{
    return t->layer < 0 && (t->role == ROLE_WEIGHT || t->role == ROLE_BIAS);
}

/* Lists tensors one by one; `failed` once memory is short. */
struct list {
    const struct model_config *cfg;
    const struct family_names *names;
    struct arena *mem;
    struct base_tensor *tensor;
    size_t n;
    bool failed;
};

/* Appends PREFIX PARENT MODULE.PART: [rows, cols], or [rows] when cols is 0. */
static void append(struct list *l, const char *parent, const char *module, const char *part,
                   struct base_tensor t, int rows, int cols)
{
    t.name = arena_printf(l->mem, "%s%s%s.%s", l->names->prefix, parent, module, part);
    t.ndim = cols > 0 ? 2 : 1;
    t.dim[0] = rows;
    t.dim[1] = cols;
    l->failed |= t.name == NULL;
    l->tensor[l->n++] = t;
}

static void append_table(struct list *l, const char *module, int rows, struct stored x)
{
    append(l, "", module, "weight",
           (struct base_tensor){.role = ROLE_EMBEDDING, .layer = -1, .site = -1, .x = x}, rows,
           l->cfg->hidden);
}

static void append_linear(struct list *l, const char *parent, const char *module, int layer,
                          int site, struct linear_weights w)
{
    struct base_tensor t = {.role = ROLE_WEIGHT, .layer = layer, .site = site, .x = w.W};
    append(l, parent, module, "weight", t, w.out, w.in);
    t.role = ROLE_BIAS;
    t.x = stored_reals(w.b);
    append(l, parent, module, "bias", t, w.out, 0);
}

static void append_norm(struct list *l, const char *parent, const char *module, int layer,
                        struct norm_weights w)
{
    struct base_tensor t = {
        .role = ROLE_NORM_GAIN, .layer = layer, .site = -1, .x = stored_reals(w.gain)};
    append(l, parent, module, "weight", t, l->cfg->hidden, 0);
    t.role = ROLE_NORM_BIAS;
    t.x = stored_reals(w.bias);
    append(l, parent, module, "bias", t, l->cfg->hidden, 0);
}

/* weights: NULL when the model has none. */
static void append_layer(struct list *l, int layer, const struct layer_weights *weights)
{
    const struct layer_weights none = {0}, *w = weights != NULL ? weights : &none;
    char parent[64];
    snprintf(parent, sizeof parent, "%s%d.", l->names->layer, layer);
    for (int s = 0; s < LIN_SITES; s++) {
        struct linear_weights lin = w->lin[s];
        linear_site_dims(l->cfg, (enum linear_site)s, &lin.out, &lin.in);
        append_linear(l, parent, l->names->lin[s], layer, s, lin);
        if (s == LIN_ATTN_OUTPUT)
            append_norm(l, parent, l->names->attn_norm, layer, w->attn_norm);
    }
    append_norm(l, parent, l->names->ffn_norm, layer, w->ffn_norm);
}

int model_tensors(const struct model *m, struct arena *mem, struct base_tensor **out, size_t *n,
                  struct err *e)
{
    const struct model_config *c = &m->cfg;
    struct list l = {.cfg = c, .names = &family_names[c->family], .mem = mem};
    bool bound = m->layer != NULL;
    l.tensor = arena_calloc(mem, OUTSIDE + (size_t)c->layers * PER_LAYER, sizeof *l.tensor);
    if (l.tensor == NULL)
        return err_set(e, ERR_NOMEM, "no memory for the list of the model's tensors");
    append_table(&l, l.names->word, c->vocab, m->word);
    append_table(&l, l.names->position, c->positions, m->position);
    if (c->types > 0)
        append_table(&l, l.names->type, c->types, m->type);
    append_norm(&l, "", l.names->emb_norm, -1, m->emb_norm);
    for (int i = 0; i < c->layers; i++)
        append_layer(&l, i, bound ? &m->layer[i] : NULL);
    if (l.names->pooler != NULL && (!bound || m->pooler.W.x != NULL)) {
        struct linear_weights pooler = {m->pooler.W, m->pooler.b, c->hidden, c->hidden};
        append_linear(&l, "", l.names->pooler, -1, -1, pooler);
    }
    if (l.failed)
        return err_set(e, ERR_NOMEM, "no memory for the names of the model's tensors");
    *out = l.tensor;
    *n = l.n;
    return 0;
}
