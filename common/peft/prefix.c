/* Prefix tuning (Li and Liang 2021; P-tuning v2, Liu et al. 2022): in every layer P trained key and
 * value rows stand before those of the text. The rows [P, 2 * layers * d] are trained themselves,
 * or come from one network for all layers, as in OpenDelta 0.2.4 and so in FedPETuning:
 * tanh(E W1^T + b1) W2^T + b2 with E [P, hidden]. */
#include "peft/init.h"
#include "peft/method.h"

enum { PREFIX_MAX_LENGTH = 1024, PREFIX_MAX_HIDDEN = 4096 };
/* Tensors of the network; the flat prefix has one. */
enum { EMBEDDING, DOWN, DOWN_BIAS, UP, UP_BIAS };
enum { ROWS = 0 };

/* Of flat rows. N(0, 1), as PEFT and AdapterHub begin, makes scores of the keys that drown the
 * text's: an attention logit then has the deviation |q| / sqrt(dh). */
static const double flat_deviation = 0.02;

static int plan_network(struct peft *p, int length, int hidden, int width, struct err *e)
{
    int rc = peft_add_named(p, "prefix.embedding.weight", length, hidden, e);
    if (rc == 0)
        rc = peft_add_named(p, "prefix.transform.0.weight", hidden, hidden, e);
    if (rc == 0)
        rc = peft_add_named(p, "prefix.transform.0.bias", hidden, 0, e);
    if (rc == 0)
        rc = peft_add_named(p, "prefix.transform.2.weight", width, hidden, e);
    return rc == 0 ? peft_add_named(p, "prefix.transform.2.bias", width, 0, e) : rc;
}

static int prefix_plan(struct peft *p, struct err *e)
{
    const struct peft_spec *s = &p->spec;
    int width = 2 * p->model->cfg.layers * p->model->cfg.hidden;
    if (s->length < 1 || s->length > PREFIX_MAX_LENGTH)
        return err_set(e, ERR_CONFIG, "peft.length is %u: must be from 1 to %d", s->length,
                       PREFIX_MAX_LENGTH);
    if (s->hidden > PREFIX_MAX_HIDDEN)
        return err_set(e, ERR_CONFIG, "peft.hidden is %u: must be from 0 to %d", s->hidden,
                       PREFIX_MAX_HIDDEN);
    return s->hidden > 0 ? plan_network(p, (int)s->length, (int)s->hidden, width, e)
                         : peft_add_named(p, "prompt_embeddings", (int)s->length, width, e);
}

/* The network as torch begins it. */
static void prefix_init(const struct peft *p, uint64_t seed, real *theta)
{
    int64_t hidden = p->spec.hidden;
    if (hidden == 0) {
        init_normal(p, seed, ROWS, flat_deviation, theta);
        return;
    }
    init_normal(p, seed, EMBEDDING, 1, theta);
    for (size_t tensor = DOWN; tensor <= UP_BIAS; tensor++)
        init_uniform(p, seed, tensor, hidden, theta);
}

static struct val *prefix_begin(const struct peft *p, struct tape *t, const real *theta, real *grad)
{
    if (p->spec.hidden == 0)
        return peft_param(p, t, ROWS, theta, grad);
    struct tape_scope s = tape_enter(t);
    struct val *param[UP_BIAS + 1];
    for (size_t i = 0; i <= UP_BIAS; i++)
        param[i] = peft_param(p, t, i, theta, grad);
    struct val *x = op_linear(t, param[EMBEDDING], param[DOWN], param[DOWN_BIAS]);
    x = op_act(t, x, ACT_TANH);
    return tape_leave(t, s, op_linear(t, x, param[UP], param[UP_BIAS]));
}

static void prefix_rows(const struct peft *p, struct tape *t, struct val *begun, int layer,
                        struct val **key, struct val **value)
{
    int d = p->model->cfg.hidden;
    *key = op_columns(t, begun, 2 * layer * d, d);
    *value = op_columns(t, begun, (2 * layer + 1) * d, d);
}

static int prefix_shift(const struct peft_spec *spec)
{
    return spec->shift ? (int)spec->length : 0;
}

const struct peft_method peft_prefix = {
    .name = "prefix",
    .what = "key and value rows before the text in every layer (Li and Liang 2021)",
    .settings = "length hidden shift",
    .plan = prefix_plan,
    .init = prefix_init,
    .begin = prefix_begin,
    .prefix = prefix_rows,
    .shift = prefix_shift,
};
