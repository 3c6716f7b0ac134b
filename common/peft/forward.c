#include "peft/method.h"

/* What the encoder's hooks need besides the site. */
struct call {
    const struct peft *p;
    const real *theta;
    real *grad;
    struct val *begun;
};

static struct val *at_tensor(void *self, struct tape *t, const void *frozen, int rows, int cols)
{
    const struct call *c = self;
    const struct trained_base *b = peft_trained(c->p, frozen);
    if (b == NULL && c->p->decoder != NULL && frozen == c->p->model->word.x)
        return tape_const(t, c->p->decoder, rows, cols);
    return b != NULL ? peft_param(c->p, t, b->tensor, c->theta, c->grad) : NULL;
}

static void at_linear(void *self, struct tape *t, int layer, enum linear_site site, struct val *x,
                      struct val *y)
{
    const struct call *c = self;
    c->p->method->linear(c->p, t, c->theta, c->grad, layer, site, x, y);
}

static struct val *at_block(void *self, struct tape *t, int layer, enum block_site site,
                            struct val *x, struct val *h, const struct block_norm *n)
{
    const struct call *c = self;
    return c->p->method->block(c->p, t, c->theta, c->grad, layer, site, x, h, n);
}

static void at_prefix(void *self, struct tape *t, int layer, struct val **key, struct val **value)
{
    const struct call *c = self;
    c->p->method->prefix(c->p, t, c->begun, layer, key, value);
}

static struct val *at_prompt(void *self, struct tape *t)
{
    const struct call *c = self;
    return c->p->method->prompt(c->p, t, c->begun);
}

bool peft_encodes_alike(const struct peft *p, bool training)
{
    const struct peft_method *m = p->method;
    bool dropped = training && (p->hidden_dropout > 0 || p->attention_dropout > 0);
    if (m->linear != NULL || m->block != NULL || m->prefix != NULL || m->prompt != NULL || dropped)
        return false;
    for (size_t i = 0; i < p->n_base; i++)
        if (!model_is_pooler(&p->base[i].of)) /* the head's */
            return false;
    return p->head_kind != HEAD_MLM; /* whose masks move */
}

/* A forward pass's hooks; they live as long as the step. */
static struct encoder_hooks hooks_of(const struct peft *p, struct tape *t, const real *theta,
                                     real *grad)
{
    const struct peft_method *m = p->method;
    struct call *call = tape_alloc(t, sizeof *call);
    *call = (struct call){.p = p, .theta = theta, .grad = grad};
    return (struct encoder_hooks){.self = call,
                                  .tensor = p->n_base > 0 || p->decoder != NULL ? at_tensor : NULL,
                                  .block = m->block != NULL ? at_block : NULL,
                                  .prefix = m->prefix != NULL ? at_prefix : NULL,
                                  .prompt = m->prompt != NULL ? at_prompt : NULL,
                                  .shift = m->shift != NULL ? m->shift(&p->spec) : 0,
                                  .linear = m->linear != NULL ? at_linear : NULL,
                                  .hidden_dropout = p->hidden_dropout,
                                  .attention_dropout = p->attention_dropout};
}

struct val *peft_features(const struct peft *p, struct tape *t, const struct batch *b,
                          const real *theta, real *grad)
{
    static const enum encoder_output read_by[] = {[HEAD_SEQUENCE] = ENCODER_FIRST,
                                                  [HEAD_TOKENS] = ENCODER_TOKENS,
                                                  [HEAD_MLM] = ENCODER_TAGGED};
    struct encoder_hooks hooks = hooks_of(p, t, theta, grad);
    if (p->method->begin != NULL)
        ((struct call *)hooks.self)->begun = p->method->begin(p, t, theta, grad);
    return encoder_hidden(p->model, t, b, &hooks, read_by[p->head_kind]);
}

struct val *peft_head_logits(const struct peft *p, struct tape *t, struct val *x, const real *theta,
                             real *grad)
{
    struct encoder_hooks hooks = hooks_of(p, t, theta, grad);
    struct val *head[HEAD_MAX_TENSORS];
    for (int i = 0; i < p->n_head; i++)
        head[i] = peft_param(p, t, p->head + (size_t)i, theta, grad);
    return head_logits(p->model, p->head_kind, t, x, head, p->head_dropout, &hooks);
}

struct val *peft_logits(const struct peft *p, struct tape *t, const struct batch *b,
                        const real *theta, real *grad)
{
    return peft_head_logits(p, t, peft_features(p, t, b, theta, grad), theta, grad);
}

/* The label of each row of the logits. */
static const int32_t *labels(const struct peft *p, struct tape *t, const struct batch *b)
{
    if (p->head_kind != HEAD_MLM)
        return p->head_kind == HEAD_TOKENS ? b->tag : b->label;
    int32_t *tag = tape_alloc(t, (size_t)b->tokens * sizeof *tag);
    for (int i = 0, n = 0; i < b->tokens; i++)
        if (b->tag[i] >= 0)
            tag[n++] = b->tag[i];
    return tag;
}

struct val *peft_loss(const struct peft *p, struct tape *t, struct val *logits,
                      const struct batch *b, real scale)
{
    if (p->n_labels == 1)
        return op_squared_error(t, logits, b->target, scale);
    return op_cross_entropy(t, logits, labels(p, t, b), scale);
}
