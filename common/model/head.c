#include "model/names.h"
#include "model/site.h"
#include <string.h>

/* Positions in family_names.head and .mlm. */
enum { DENSE, DENSE_BIAS, CLASSIFIER, CLASSIFIER_BIAS, CLASSIFICATION_TENSORS };
enum { MLM_DENSE, MLM_DENSE_BIAS, MLM_GAIN, MLM_NORM_BIAS, MLM_DECODER_BIAS, MLM_TENSORS };

static bool is_bias(int i)
{
    return i == DENSE_BIAS || i == CLASSIFIER_BIAS;
}

/* A pooler of the model file belongs to the encoder and stands in for the dense layer. */
static bool dense_is_base(const struct model *m)
{
    return m->pooler.W.x != NULL;
}

static int first_tensor(const struct model *m, enum head_kind kind)
{
    return kind == HEAD_TOKENS || dense_is_base(m) ? CLASSIFIER : DENSE;
}

/* The values that the file has for a tensor of this name and shape, if any. */
static struct stored pretrained(const struct model *m, const struct head_tensor *h)
{
    for (int i = 0; i < FILE_HEAD_TENSORS; i++) {
        const struct head_tensor *file = &m->file_head[i];
        if (file->name != NULL && strcmp(file->name, h->name) == 0 && file->ndim == h->ndim &&
            file->dim[0] == h->dim[0] && (h->ndim == 1 || file->dim[1] == h->dim[1]))
            return file->pretrained;
    }
    return (struct stored){0};
}

static int mlm_tensors(const struct model *m, struct head_tensor out[HEAD_MAX_TENSORS])
{
    const struct family_names *names = &family_names[m->cfg.family];
    int d = m->cfg.hidden;
    for (int i = 0; i < MLM_TENSORS; i++) {
        out[i] = (struct head_tensor){
            .name = names->mlm[i],
            .module = names->mlm_module,
            .ndim = i == MLM_DENSE ? 2 : 1,
            .dim = {i == MLM_DECODER_BIAS ? m->cfg.vocab : d, i == MLM_DENSE ? d : 0},
            .gain = i == MLM_GAIN};
        out[i].pretrained = pretrained(m, &out[i]);
    }
    return MLM_TENSORS;
}

int head_tensors(const struct model *m, enum head_kind kind, int n_labels,
                 struct head_tensor out[HEAD_MAX_TENSORS])
{
    const struct family_names *names = &family_names[m->cfg.family];
    int n = 0, d = m->cfg.hidden;
    if (kind == HEAD_MLM)
        return mlm_tensors(m, out);
    for (int i = first_tensor(m, kind); i < CLASSIFICATION_TENSORS; i++) {
        struct head_tensor h = {.name = names->head[i],
                                .module = names->head_module[i],
                                .ndim = is_bias(i) ? 1 : 2,
                                .dim = {i < CLASSIFIER ? d : n_labels, is_bias(i) ? 0 : d}};
        if (kind == HEAD_TOKENS) {
            h.name = names_token_head[i - CLASSIFIER];
            h.module = "classifier";
        }
        h.pretrained = pretrained(m, &h);
        out[n++] = h;
    }
    return n;
}

real head_dropout(const struct model_config *c, enum head_kind kind)
{
    bool own = kind == HEAD_SEQUENCE || !family_names[c->family].tokens_drop_as_hidden;
    return own ? c->head_dropout : c->hidden_dropout;
}

/* The layer between first token and classifier. */
static struct val *dense(const struct model *m, struct tape *t, struct val *x,
                         struct val *const *param, real dropout, const struct encoder_hooks *h)
{
    const struct family_names *names = &family_names[m->cfg.family];
    struct val *W = dense_is_base(m) ? site_matrix(h, t, m->pooler.W, m->pooler.out, m->pooler.in)
                                     : param[DENSE];
    struct val *b =
        dense_is_base(m) ? site_vector(h, t, m->pooler.b, m->pooler.out) : param[DENSE_BIAS];
    if (names->head_drops_first)
        x = op_dropout(t, x, dropout);
    return op_act(t, op_linear(t, x, W, b), names->head_act);
}

static struct val *mlm_logits(const struct model *m, struct tape *t, struct val *x,
                              struct val *const *param, const struct encoder_hooks *h)
{
    const struct model_config *c = &m->cfg;
    x = op_linear(t, x, param[MLM_DENSE], param[MLM_DENSE_BIAS]);
    x = op_act(t, x, family_names[c->family].mlm_gelu ? ACT_GELU : c->act);
    x = op_norm(t, x, param[MLM_GAIN], param[MLM_NORM_BIAS], c->norm_eps);
    struct val *decoder = site_matrix(h, t, m->word, c->vocab, c->hidden);
    return op_linear(t, x, decoder, param[MLM_DECODER_BIAS]);
}

struct val *head_logits(const struct model *m, enum head_kind kind, struct tape *t, struct val *x,
                        struct val *const *param, real dropout, const struct encoder_hooks *h)
{
    struct tape_scope s = tape_enter(t);
    if (kind == HEAD_MLM)
        return tape_leave(t, s, mlm_logits(m, t, x, param, h));
    struct val *const *classifier = param + CLASSIFIER - first_tensor(m, kind);
    if (kind == HEAD_SEQUENCE)
        x = dense(m, t, x, param, dropout, h);
    x = op_dropout(t, x, dropout);
    return tape_leave(t, s, op_linear(t, x, classifier[0], classifier[1]));
}
