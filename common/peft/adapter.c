/* Bottleneck adapters: A(x) = act(x D^T + d) U^T + u beside or behind the sub-layers of post-LN
 * transformers. The four placements stand in base/spec.h; each begins as its source does:
 *
 *  opendelta  gelu_new  N(0, 0.01)                           OpenDelta 0.2.4, FedPETuning
 *  houlsby    gelu_new  N(0, 0.001), none beyond 0.002       Houlsby et al. 2019, their code
 *  pfeiffer   relu      N(0, 0.02)                           Pfeiffer et al. 2020 in AdapterHub
 *  parallel   relu      D uniform as torch's linears, U 0    He et al. 2022, their code
 *
 * All biases begin at 0, so only the parallel adapter starts at the base model. */
#include "peft/init.h"
#include "peft/method.h"
#include <stdio.h>
#include <string.h>

enum { ADAPTER_MAX_BOTTLENECK = 4096 };
static const double adapter_max_scaling = 1e6;
/* Tensors of an adapter. */
enum { DOWN, DOWN_BIAS, UP, UP_BIAS, TENSORS };

static bool in_both_blocks(const struct peft_spec *s)
{
    return s->placement == PLACEMENT_OPENDELTA || s->placement == PLACEMENT_HOULSBY;
}

/* --- the plan --- */

/* The module that AdapterHub puts the adapter into. */
static void module_path(const struct model_config *c, int layer, enum block_site site,
                        char out[LINEAR_PATH_MAX])
{
    static const char *const modules[2][2] = {
        {[BLOCK_ATTENTION] = "attention.output", [BLOCK_FFN] = "output"},
        {[BLOCK_ATTENTION] = "attention_adapters", [BLOCK_FFN] = "output_adapters"}};
    linear_site_path(c->family, layer, LIN_QUERY, out);
    size_t below = strlen(out) - strlen(linear_site_name(c->family, LIN_QUERY));
    snprintf(out + below, LINEAR_PATH_MAX - below, "%s",
             modules[c->family == FAMILY_DISTILBERT][site]);
}

static int add_adapter(struct peft *p, int layer, enum block_site site, struct err *e)
{
    int d = p->model->cfg.hidden, b = (int)p->spec.bottleneck, rc = 0;
    const struct {
        const char *part;
        int rows, cols;
    } tensor[TENSORS] = {[DOWN] = {"adapter_down.0.weight", b, d},
                         [DOWN_BIAS] = {"adapter_down.0.bias", b, 0},
                         [UP] = {"adapter_up.weight", d, b},
                         [UP_BIAS] = {"adapter_up.bias", d, 0}};
    char module[LINEAR_PATH_MAX], name[2 * LINEAR_PATH_MAX];
    module_path(&p->model->cfg, layer, site, module);
    for (int i = 0; i < TENSORS && rc == 0; i++) {
        snprintf(name, sizeof name, "%s.adapters.%s", module, tensor[i].part);
        rc = peft_add_named(p, name, tensor[i].rows, tensor[i].cols, e);
    }
    return rc;
}

static int adapter_plan(struct peft *p, struct err *e)
{
    const struct peft_spec *s = &p->spec;
    int rc = 0;
    if (s->bottleneck < 1 || s->bottleneck > ADAPTER_MAX_BOTTLENECK)
        return err_set(e, ERR_CONFIG, "peft.bottleneck is %u: must be from 1 to %d", s->bottleneck,
                       ADAPTER_MAX_BOTTLENECK);
    if (s->placement == PLACEMENT_PARALLEL &&
        !(s->scaling > 0 && s->scaling <= adapter_max_scaling))
        return err_set(e, ERR_CONFIG, "peft.scaling is %g: must be above 0, at most %g", s->scaling,
                       adapter_max_scaling);
    for (int layer = 0; layer < p->model->cfg.layers && rc == 0; layer++) {
        if (in_both_blocks(s))
            rc = add_adapter(p, layer, BLOCK_ATTENTION, e);
        if (rc == 0)
            rc = add_adapter(p, layer, BLOCK_FFN, e);
    }
    return rc;
}

static void init_weight(const struct peft *p, uint64_t seed, size_t tensor, bool up, real *theta)
{
    switch (p->spec.placement) {
    case PLACEMENT_OPENDELTA:
        init_normal(p, seed, tensor, 0.01, theta);
        break;
    case PLACEMENT_HOULSBY:
        init_truncated(p, seed, tensor, 1e-3, theta);
        break;
    case PLACEMENT_PFEIFFER:
        init_normal(p, seed, tensor, 0.02, theta);
        break;
    case PLACEMENT_PARALLEL:
        if (up)
            init_zero(p, tensor, theta);
        else
            init_uniform(p, seed, tensor, p->schema.tensor[tensor].dim[1], theta);
        break;
    }
}

static void adapter_init(const struct peft *p, uint64_t seed, real *theta)
{
    for (size_t i = 0; i < p->first_base; i += TENSORS) {
        init_weight(p, seed, i + DOWN, false, theta);
        init_zero(p, i + DOWN_BIAS, theta);
        init_weight(p, seed, i + UP, true, theta);
        init_zero(p, i + UP_BIAS, theta);
    }
}

/* --- the forward pass --- */

/* One adapter on the tape. */
struct bottleneck {
    struct tape *t;
    enum act act;
    struct val *tensor[TENSORS];
};

enum activation adapter_activation(const struct peft_spec *s)
{
    if (s->activation != ACTIVATION_DEFAULT)
        return s->activation;
    return in_both_blocks(s) ? ACTIVATION_GELU_NEW : ACTIVATION_RELU;
}

static enum act act_of(const struct peft_spec *s)
{
    static const enum act named[] = {[ACTIVATION_GELU] = ACT_GELU,
                                     [ACTIVATION_GELU_NEW] = ACT_GELU_TANH,
                                     [ACTIVATION_RELU] = ACT_RELU,
                                     [ACTIVATION_TANH] = ACT_TANH,
                                     [ACTIVATION_SWISH] = ACT_SILU};
    return named[adapter_activation(s)];
}

static struct val *squeeze(const struct bottleneck *b, struct val *x)
{
    return op_act(b->t, op_linear(b->t, x, b->tensor[DOWN], b->tensor[DOWN_BIAS]), b->act);
}

static struct val *apply(const struct bottleneck *b, struct val *x)
{
    return op_linear(b->t, squeeze(b, x), b->tensor[UP], b->tensor[UP_BIAS]);
}

/* h += s A(x). The bias, here [d, 1], is scaled too: it is the weight of a feature that is 1. */
static void add_scaled(const struct bottleneck *b, struct val *h, struct val *x, struct val *bias,
                       double s)
{
    real *ones = tape_alloc(b->t, (size_t)h->rows * sizeof *ones);
    for (int i = 0; i < h->rows; i++)
        ones[i] = 1;
    op_linear_add(b->t, h, squeeze(b, x), b->tensor[UP], (real)s);
    op_linear_add(b->t, h, tape_const(b->t, ones, h->rows, 1), bias, (real)s);
}

static struct val *column(const struct peft *p, struct tape *t, size_t tensor, const real *theta,
                          real *grad)
{
    const struct tensor_spec *s = &p->schema.tensor[tensor];
    return tape_param(t, theta + s->offset, grad != NULL ? grad + s->offset : NULL, (int)s->count,
                      1);
}

static struct val *adapter_block(const struct peft *p, struct tape *t, const real *theta,
                                 real *grad, int layer, enum block_site site, struct val *x,
                                 struct val *h, const struct block_norm *n)
{
    int per_layer = in_both_blocks(&p->spec) ? 2 : 1;
    if (site == BLOCK_ATTENTION && per_layer == 1)
        return block_norm(t, x, h, n);

    int adapter = per_layer * layer + (site == BLOCK_FFN ? per_layer - 1 : 0);
    size_t first = (size_t)adapter * TENSORS;
    struct bottleneck b = {.t = t, .act = act_of(&p->spec)};
    for (size_t i = 0; i < TENSORS; i++)
        b.tensor[i] = peft_param(p, t, first + i, theta, grad);

    if (p->spec.placement == PLACEMENT_OPENDELTA) {
        struct val *y = block_norm(t, x, h, n);
        return op_add(t, y, apply(&b, y));
    }
    /* The others see what dropout leaves of h. */
    struct block_norm dropped = *n;
    dropped.dropout = 0;
    h = op_dropout(t, h, n->dropout);
    if (p->spec.placement == PLACEMENT_HOULSBY)
        h = op_add(t, h, apply(&b, h));
    else if (p->spec.placement == PLACEMENT_PFEIFFER)
        h = op_add(t, h, apply(&b, block_norm(t, x, h, &dropped)));
    else
        add_scaled(&b, h, x, column(p, t, first + UP_BIAS, theta, grad), p->spec.scaling);
    return block_norm(t, x, h, &dropped);
}

const struct peft_method peft_adapter = {
    .name = "adapter",
    .what = "bottleneck adapters behind or beside the sub-layers (Houlsby et al. 2019)",
    .settings = "bottleneck placement activation scaling",
    .plan = adapter_plan,
    .init = adapter_init,
    .block = adapter_block,
};
