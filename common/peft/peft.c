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

static int plan(struct peft *p, struct err *e)
{
    p->site = calloc((size_t)p->model->cfg.layers * LIN_SITES, sizeof *p->site);
    if (p->site == NULL)
        return err_set(e, ERR_NOMEM, "no memory for the adapter's layout");
    int rc = p->method->plan(p, e);
    if (rc == 0)
        rc = plan_head(p, e);
    if (rc == 0)
        schema_seal(&p->schema);
    return rc;
}

int peft_open(struct peft **out, const struct model *m, const struct peft_spec *spec,
              const struct local_spec *local, enum head_kind head, uint32_t n_labels, struct err *e)
{
    const struct peft_method *method;
    int rc = find_method(spec, &method, e);
    if (rc != 0)
        return rc;
    if (n_labels < 1 || n_labels > 1u << 16)
        return err_set(e, ERR_CONFIG, "number of labels is %u: must be from 1 to 65536", n_labels);
    struct peft *p = calloc(1, sizeof *p);
    if (p == NULL)
        return err_set(e, ERR_NOMEM, "no memory for an adapter");
    *p = (struct peft){
        .model = m, .method = method, .spec = *spec, .head_kind = head, .n_labels = n_labels};
    p->spec.method = NULL; /* borrowed for this call only */
    set_dropouts(p, local);
    schema_init(&p->schema);
    rc = plan(p, e);
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
    free(p->site);
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

struct rng peft_init_stream(uint64_t seed, size_t tensor)
{
    struct rng all = rng_stream(seed, 0, 0, RNG_INIT);
    return rng_child(&all, (uint32_t)tensor);
}

/* --- values and forward pass --- */

void peft_init(const struct peft *p, uint64_t seed, real *theta)
{
    p->method->init(p, seed, theta);
    for (int i = 0; i < p->n_head; i++) {
        size_t tensor = p->head + (size_t)i;
        const struct tensor_spec *s = &p->schema.tensor[tensor];
        const struct head_tensor *h = &p->head_tensor[i];
        struct rng r = peft_init_stream(seed, tensor);
        for (size_t k = 0; k < s->count; k++)
            if (h->pretrained != NULL)
                theta[s->offset + k] = h->pretrained[k];
            else
                theta[s->offset + k] = h->ndim > 1 ? (real)(head_init_std * rng_normal(&r)) : 0;
    }
}

/* What the encoder's hooks need besides the site. */
struct call {
    const struct peft *p;
    const real *theta;
    real *grad;
};

static void at_linear(void *self, struct tape *t, int layer, enum linear_site site, struct val *x,
                      struct val *y)
{
    const struct call *c = self;
    c->p->method->linear(c->p, t, c->theta, c->grad, layer, site, x, y);
}

struct val *peft_logits(const struct peft *p, struct tape *t, const struct batch *b,
                        const real *theta, real *grad)
{
    struct call call = {.p = p, .theta = theta, .grad = grad};
    struct encoder_hooks hooks = {.self = &call,
                                  .linear = p->method->linear != NULL ? at_linear : NULL,
                                  .hidden_dropout = p->hidden_dropout,
                                  .attention_dropout = p->attention_dropout};
    struct val *head[HEAD_MAX_TENSORS];
    struct val *x = encoder_hidden(p->model, t, b, &hooks,
                                   p->head_kind == HEAD_TOKENS ? ENCODER_TOKENS : ENCODER_FIRST);
    for (int i = 0; i < p->n_head; i++)
        head[i] = peft_param(p, t, p->head + (size_t)i, theta, grad);
    return head_logits(p->model, p->head_kind, t, x, head, p->head_dropout, &hooks);
}

struct val *peft_loss(const struct peft *p, struct tape *t, struct val *logits,
                      const struct batch *b, real scale)
{
    return p->n_labels == 1 ? op_squared_error(t, logits, b->target, scale)
                            : op_cross_entropy(t, logits, b->label, scale);
}
