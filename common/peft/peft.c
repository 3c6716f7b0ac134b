#include "peft/init.h"
#include "peft/method.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double head_init_std = 0.02; /* initializer_range of BERT and its heirs */

static int find_method(const struct peft_spec *spec, const struct peft_method **out, struct err *e)
{
    char known[128] = "";
    *out = spec->method != NULL ? peft_method_find(spec->method) : NULL;
    if (*out != NULL)
        return 0;
    for (const struct peft_method *const *m = peft_methods; *m != NULL; m++) {
        size_t n = strlen(known);
        snprintf(known + n, sizeof known - n, "%s%s", n > 0 ? ", " : "", (*m)->name);
    }
    return err_set(e, ERR_CONFIG, "peft.method \"%.60s\" is unknown: use one of %s",
                   spec->method != NULL ? spec->method : "", known);
}

static void set_dropouts(struct peft *p, const struct local_spec *local)
{
    const struct model_config *c = &p->model->cfg;
    bool given = local != NULL && local->model_dropout >= 0;
    p->hidden_dropout = given ? (real)local->model_dropout : c->hidden_dropout;
    p->attention_dropout = given ? (real)local->model_dropout : c->attention_dropout;
    p->head_dropout = given ? (real)local->model_dropout : head_dropout(c, p->head_kind);
}

/* --- the plan --- */

static bool is_trained(const struct peft *p, const struct base_tensor *t)
{
    bool norm = t->role == ROLE_NORM_GAIN || t->role == ROLE_NORM_BIAS;
    /* Only a head over sequences has it; one that the file lacks is the head's own. */
    if (model_is_pooler(t) && (p->head_kind != HEAD_SEQUENCE || p->model->pooler.W.x == NULL))
        return false;
    return (norm && p->spec.norms) || (p->method->trains != NULL && p->method->trains(&p->spec, t));
}

static int add_base(struct peft *p, const struct base_tensor *t, struct err *e)
{
    bool decay = t->role == ROLE_EMBEDDING || t->role == ROLE_WEIGHT;
    p->base[p->n_base++] = (struct trained_base){.of = *t, .tensor = p->schema.n};
    return schema_add(&p->schema, t->name, SCOPE_GLOBAL, decay, t->ndim, t->dim, e);
}

static int by_address(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t)((const struct trained_base *)a)->of.x.x;
    uintptr_t y = (uintptr_t)((const struct trained_base *)b)->of.x.x;
    return (x > y) - (x < y);
}

static int plan_base(struct peft *p, struct err *e)
{
    struct base_tensor *all;
    size_t n;
    p->first_base = p->schema.n;
    if (p->method->trains == NULL && !p->spec.norms)
        return 0;
    int rc = model_tensors(p->model, &p->mem, &all, &n, e);
    if (rc != 0)
        return rc;
    p->base = arena_calloc(&p->mem, n, sizeof *p->base);
    if (p->base == NULL)
        return err_set(e, ERR_NOMEM, "no memory for the list of trained tensors");
    for (size_t i = 0; i < n && rc == 0; i++)
        if (is_trained(p, &all[i]))
            rc = add_base(p, &all[i], e);
    if (rc == 0)
        qsort(p->base, p->n_base, sizeof *p->base, by_address);
    return rc;
}

static int plan_head(struct peft *p, struct err *e)
{
    p->head = p->schema.n;
    p->n_head = head_tensors(p->model, p->head_kind, (int)p->n_labels, p->head_tensor);
    for (int i = 0; i < p->n_head; i++) {
        const struct head_tensor *h = &p->head_tensor[i];
        int rc = schema_add(&p->schema, h->name, SCOPE_GLOBAL, h->ndim > 1, h->ndim, h->dim, e);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int plan_decoder(struct peft *p, struct err *e)
{
    const struct stored word = p->model->word;
    const size_t n = (size_t)p->model->cfg.vocab * (size_t)p->model->cfg.hidden;
    if (p->head_kind != HEAD_MLM || word.as == STORED_REAL || peft_trained(p, word.x) != NULL)
        return 0;
    real *x = arena_alloc(&p->mem, n * sizeof *x);
    if (x == NULL)
        return err_set(e, ERR_NOMEM, "no memory for the decoder of masked tokens");
    stored_read(word, 0, n, x);
    p->decoder = x;
    return 0;
}

static int plan(struct peft *p, struct err *e)
{
    p->site = arena_calloc(&p->mem, (size_t)p->model->cfg.layers * LIN_SITES, sizeof *p->site);
    if (p->site == NULL)
        return err_set(e, ERR_NOMEM, "no memory for the adapter's layout");
    int rc = p->method->plan != NULL ? p->method->plan(p, e) : 0;
    if (rc == 0)
        rc = plan_base(p, e);
    if (rc == 0)
        rc = plan_decoder(p, e);
    if (rc == 0)
        rc = plan_head(p, e);
    if (rc == 0)
        schema_seal(&p->schema);
    return rc;
}

static int shift(const struct peft *p)
{
    return p->method->shift != NULL ? p->method->shift(&p->spec) : 0;
}

int peft_max_tokens(const struct peft *p)
{
    return model_max_tokens(&p->model->cfg) - shift(p);
}

static int check_positions(const struct peft *p, const struct local_spec *local, struct err *e)
{
    int all = model_max_tokens(&p->model->cfg), left = peft_max_tokens(p);
    if (left < 1)
        return err_set(e, ERR_CONFIG,
                       "peft.length: %d virtual tokens leave none of the model's %d positions to "
                       "the text: use fewer",
                       shift(p), all);
    if (local == NULL || local->max_length <= (uint32_t)left)
        return 0;
    if (left == all)
        return err_set(e, ERR_CONFIG,
                       "local.max_length: %u is more than the model's %d tokens: use at most %d",
                       local->max_length, all, all);
    return err_set(e, ERR_CONFIG,
                   "local.max_length: %u tokens and the %d of peft.length are more than the "
                   "model's %d: use a max_length of at most %d",
                   local->max_length, shift(p), all, left);
}

static int check_labels(const struct model *m, enum head_kind head, uint32_t n, struct err *e)
{
    uint32_t least = head == HEAD_TOKENS ? 2 : 1;
    if (head == HEAD_MLM && !m->cfg.tied)
        return err_set(e, ERR_MODEL,
                       "%s: tie_word_embeddings is false: masked language modelling needs the word "
                       "embeddings as decoder",
                       m->dir);
    if (head == HEAD_MLM)
        return 0;
    return n >= least && n <= 1u << 16
               ? 0
               : err_set(e, ERR_CONFIG, "number of labels is %u: must be from %u to 65536", n,
                         least);
}

int peft_open(struct peft **out, const struct model *m, const struct peft_spec *spec,
              const struct local_spec *local, enum head_kind head, uint32_t n_labels, struct err *e)
{
    const struct peft_method *method;
    int rc = find_method(spec, &method, e);
    if (rc != 0)
        return rc;
    rc = check_labels(m, head, n_labels, e);
    if (rc != 0)
        return rc;
    struct peft *p = calloc(1, sizeof *p);
    if (p == NULL)
        return err_set(e, ERR_NOMEM, "no memory for an adapter");
    *p = (struct peft){
        .model = m, .method = method, .spec = *spec, .head_kind = head, .n_labels = n_labels};
    if (head == HEAD_MLM)
        p->n_labels = (uint32_t)m->cfg.vocab;
    p->spec.method = NULL; /* borrowed for this call only */
    set_dropouts(p, local);
    arena_init(&p->mem, ARENA_NO_CAP);
    schema_init(&p->schema);
    rc = plan(p, e);
    if (rc == 0)
        rc = check_positions(p, local, e);
    if (rc == 0)
        *out = p;
    else
        peft_close(p);
    return rc;
}

void peft_close(struct peft *p)
{
    if (p == NULL)
        return;
    schema_release(&p->schema);
    arena_release(&p->mem);
    free(p);
}

const struct schema *peft_schema(const struct peft *p)
{
    return &p->schema;
}

const struct model *peft_model(const struct peft *p)
{
    return p->model;
}

uint32_t peft_labels(const struct peft *p)
{
    return p->n_labels;
}

/* --- for methods --- */

int peft_add(struct peft *p, int layer, enum linear_site site, const char *suffix, int rows,
             int cols, struct err *e)
{
    char path[LINEAR_PATH_MAX], name[2 * LINEAR_PATH_MAX];
    size_t *first = &p->site[layer * LIN_SITES + (int)site];
    linear_site_path(p->model->cfg.family, layer, site, path);
    snprintf(name, sizeof name, "%s%s", path, suffix);
    if (*first == 0)
        *first = p->schema.n + 1;
    return schema_add(&p->schema, name, SCOPE_GLOBAL, true, 2, (int64_t[]){rows, cols}, e);
}

int peft_add_named(struct peft *p, const char *name, int rows, int cols, struct err *e)
{
    bool matrix = cols > 0;
    return schema_add(&p->schema, name, SCOPE_GLOBAL, matrix, matrix ? 2 : 1,
                      (int64_t[]){rows, cols}, e);
}

bool peft_at(const struct peft *p, int layer, enum linear_site site, size_t *tensor)
{
    size_t first = p->site[layer * LIN_SITES + (int)site];
    *tensor = first - 1;
    return first != 0;
}

struct val *peft_param(const struct peft *p, struct tape *t, size_t tensor, const real *theta,
                       real *grad)
{
    const struct tensor_spec *s = &p->schema.tensor[tensor];
    bool matrix = s->ndim > 1;
    return tape_param(t, theta + s->offset, grad != NULL ? grad + s->offset : NULL,
                      matrix ? (int)s->dim[0] : 1, (int)s->dim[matrix ? 1 : 0]);
}

const struct trained_base *peft_trained(const struct peft *p, const void *frozen)
{
    struct trained_base key = {.of.x.x = frozen};
    return p->n_base > 0 ? bsearch(&key, p->base, p->n_base, sizeof key, by_address) : NULL;
}

/* --- values --- */

static void init_head(const struct peft *p, uint64_t seed, real *theta)
{
    for (int i = 0; i < p->n_head; i++) {
        const struct head_tensor *h = &p->head_tensor[i];
        size_t tensor = p->head + (size_t)i;
        const struct tensor_spec *s = &p->schema.tensor[tensor];
        if (h->pretrained.x != NULL)
            stored_read(h->pretrained, 0, s->count, theta + s->offset);
        else if (h->ndim > 1)
            init_normal(p, seed, tensor, head_init_std, theta);
        else
            init_constant(p, tensor, h->gain ? 1 : 0, theta);
    }
}

void peft_init(const struct peft *p, uint64_t seed, real *theta)
{
    if (p->method->init != NULL)
        p->method->init(p, seed, theta);
    for (size_t i = 0; i < p->n_base; i++) {
        const struct tensor_spec *s = &p->schema.tensor[p->base[i].tensor];
        stored_read(p->base[i].of.x, 0, s->count, theta + s->offset);
    }
    init_head(p, seed, theta);
}
