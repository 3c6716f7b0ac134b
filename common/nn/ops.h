/* The operations of the tape: few, coarse, fused. Shapes: T tokens of a packed micro-batch, d
 * features. Each op computes its result at once and knows its own backward. `W` of a linear is
 * [out, in] (torch layout). Arrays of ids, offsets, labels and targets are copied where backward
 * needs them. */
#ifndef NN_OPS_H
#define NN_OPS_H

#include "nn/tape.h"
#include <stdint.h>

/* x [T,in], W [out,in], b [1,out] or NULL -> x W^T + b [T,out]. A frozen W (no gradient) keeps
 * neither x nor the result. W may be stored (tape_stored): its reals are then made for each product
 * and take out * in of the tape's memory meanwhile; the bits are those of a W in reals. */
struct val *op_linear(struct tape *t, struct val *x, struct val *W, struct val *b);

/* y += scale * u W^T in place: a branch beside a linear; u [T,r], W [out,r]. y [T,out] must not be
 * used by any op yet (several branches may follow one another). A frozen W does not keep u. */
void op_linear_add(struct tape *t, struct val *y, struct val *u, struct val *W, real scale);

/* Inverted dropout with probability p; returns x itself when p == 0 or not training. */
struct val *op_dropout(struct tape *t, struct val *x, real p);

/* gain * (x - mean) / sqrt(var + eps) + bias over each row (Ba et al. 2016): gain, bias [1,d]. */
struct val *op_norm(struct tape *t, struct val *x, struct val *gain, struct val *bias, real eps);
/* norm(x + dropout(h, p)): the residual block end of a post-LN transformer, fused. h [T,d]; NULL:
 * as op_norm. */
struct val *op_add_norm(struct tape *t, struct val *x, struct val *h, real p, struct val *gain,
                        struct val *bias, real eps);

enum act { ACT_GELU, ACT_GELU_TANH, ACT_RELU, ACT_TANH, ACT_SILU, ACT_COUNT };
/* "gelu", "gelu_new"/"gelu_pytorch_tanh", "relu", "tanh", "silu"/"swish" (HF names); false when
 * unknown. */
bool act_parse(const char *name, enum act *out);
struct val *op_act(struct tape *t, struct val *x, enum act kind);

/* Sum of `n` table rows per token: out[i] = sum_k table[k][id[k][i]], tables [vocab_k, d], T ids
 * each. Ids were checked by the caller. Tables may be stored: only the rows in use are made reals.
 */
struct val *op_embed(struct tape *t, int T, int n, struct val *const *table,
                     const int32_t *const *id);

/* Rows `index[0..n)` of x -> [n, cols]. */
struct val *op_rows(struct tape *t, struct val *x, const int32_t *index, int n);

/* Columns [first, first + n) of x -> [rows, n]. */
struct val *op_columns(struct tape *t, struct val *x, int first, int n);

/* Puts the same rows in front of each sequence: front [P,d], x [T,d] with sequence s in rows
 * [off[s], off[s+1]) -> [T + n_seq * P, d]: front, sequence 0, front, sequence 1, ... */
struct val *op_prepend(struct tape *t, struct val *front, struct val *x, const int32_t *off,
                       int n_seq);

/* x + y; shapes alike. */
struct val *op_add(struct tape *t, struct val *x, struct val *y);

/* Multi-head scaled dot-product attention (Vaswani et al. 2017) on packed sequences: sequence s has
 * query rows [q_off[s], q_off[s+1]) and key rows [k_off[s], k_off[s+1]); q [Tq,d], k and v [Tk,d],
 * d = heads * dh. Offsets begin with 0 and end with Tq or Tk. p: dropout of the probabilities.
 * -> [Tq,d]; zeros where a sequence has no keys. */
struct attention_shape {
    int n_seq, heads;
    const int32_t *q_off, *k_off; /* n_seq + 1 each */
};
struct val *op_attention(struct tape *t, struct val *q, struct val *k, struct val *v,
                         const struct attention_shape *s, real p);

/* scale * sum_i -log softmax(logits_i)[label_i]; logits [n,C] -> [1,1]. Rows with label -1 are left
 * out. */
struct val *op_cross_entropy(struct tape *t, struct val *logits, const int32_t *label, real scale);
/* scale * sum_i (x_i - target_i)^2; x [n,1] -> [1,1]. */
struct val *op_squared_error(struct tape *t, struct val *x, const real *target, real scale);

/* The table that the gradient-check test iterates over: one entry an op, in ops_registry.c. `build`
 * makes a [1,1] val from `n_in` inputs. */
struct op_case {
    const char *name;
    int n_in;
    struct {
        int rows, cols;
    } in[6];
    struct val *(*build)(struct tape *t, struct val *const *in);
};
extern const struct op_case op_cases[]; /* ends with name NULL */

#endif
