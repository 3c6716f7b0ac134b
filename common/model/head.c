#include "model/names.h"

/* Positions in family_names.head. */
enum { DENSE, DENSE_BIAS, CLASSIFIER, CLASSIFIER_BIAS };

static bool is_bias(int i)
{
    return i == DENSE_BIAS || i == CLASSIFIER_BIAS;
}

/* A pooler of the model file stays frozen and stands in for the dense layer. */
static bool dense_is_frozen(const struct model *m)
{
    return m->pooler.W != NULL;
}

int head_tensors(const struct model *m, int n_labels, struct head_tensor out[HEAD_MAX_TENSORS])
{
    int n = 0, d = m->cfg.hidden;
    for (int i = dense_is_frozen(m) ? CLASSIFIER : DENSE; i < HEAD_MAX_TENSORS; i++) {
        const struct head_tensor *file = &m->file_head[i];
        struct head_tensor h = {.name = family_names[m->cfg.family].head[i],
                                .module = family_names[m->cfg.family].head_module[i],
                                .ndim = is_bias(i) ? 1 : 2,
                                .dim = {i < CLASSIFIER ? d : n_labels, is_bias(i) ? 0 : d}};
        bool same = file->pretrained != NULL && file->ndim == h.ndim && file->dim[0] == h.dim[0] &&
                    (is_bias(i) || file->dim[1] == h.dim[1]);
        h.pretrained = same ? file->pretrained : NULL;
        out[n++] = h;
    }
    return n;
}

struct val *head_logits(const struct model *m, struct tape *t, struct val *first,
                        struct val *const *param, real dropout)
{
    const struct family_names *names = &family_names[m->cfg.family];
    int d = m->cfg.hidden;
    struct tape_scope s = tape_enter(t);
    struct val *W, *b, *x = first;
    if (dense_is_frozen(m)) {
        W = tape_const(t, m->pooler.W, d, d);
        b = tape_const(t, m->pooler.b, 1, d);
    } else {
        W = *param++;
        b = *param++;
    }
    if (names->head_drops_first)
        x = op_dropout(t, x, dropout);
    x = op_act(t, op_linear(t, x, W, b), names->head_act);
    x = op_dropout(t, x, dropout);
    return tape_leave(t, s, op_linear(t, x, param[0], param[1]));
}
