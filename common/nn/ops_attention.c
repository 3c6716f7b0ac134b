#include "nn/blas.h"
#include "nn/dropout.h"
#include "nn/ops.h"
#include "nn/record.h"
#include "nn/vecmath.h"

#include <assert.h>
#include <math.h>

/* Attention of one head of one sequence at a time: the two products run on head slices of the
 * packed rows. Backward does not keep the probabilities but each row's log-sum-exp, and makes them
 * again from q and k (Dao et al. 2022, section 3.1, without the tiling): a fifth of the products of
 * backward, which are few beside the linears', against heads * length numbers a token. */
struct attention {
    struct record r;
    struct val *q, *k, *v;
    struct val *lse; /* [heads,Tq] */
    struct attention_shape shape;
    bool dropped;
    struct dropout
        mask; /* element numbers: sequences in order, in them heads, query rows, key rows */
};

/* One head of one sequence. */
struct head {
    int nq, nk, dh, ld;  /* ld: elements from token to token */
    size_t q_at, k_at;   /* first element in q, ctx and in k, v */
    size_t lse_at;       /* in lse */
    uint64_t first_draw; /* element number of its first probability */
};

/* Calls visit for every head of every sequence, in the order of the draws. */
static void each_head(const struct attention *a, void *arg,
                      void (*visit)(const struct attention *a, const struct head *h, void *arg))
{
    const struct attention_shape *s = &a->shape;
    struct head h = {.ld = a->q->cols, .dh = a->q->cols / s->heads};

    for (int n = 0; n < s->n_seq; n++) {
        h.nq = s->q_off[n + 1] - s->q_off[n];
        h.nk = s->k_off[n + 1] - s->k_off[n];
        for (int i = 0; i < s->heads; i++) {
            h.q_at = (size_t)s->q_off[n] * (size_t)h.ld + (size_t)(i * h.dh);
            h.k_at = (size_t)s->k_off[n] * (size_t)h.ld + (size_t)(i * h.dh);
            h.lse_at = (size_t)i * (size_t)a->q->rows + (size_t)s->q_off[n];
            visit(a, &h, arg);
            h.first_draw += (uint64_t)h.nq * (uint64_t)h.nk;
        }
    }
}

/* Numbers in the largest score matrix of one head. */
static size_t most_scores(const struct attention_shape *s)
{
    size_t most = 0;

    for (int n = 0; n < s->n_seq; n++) {
        size_t scores =
            (size_t)(s->q_off[n + 1] - s->q_off[n]) * (size_t)(s->k_off[n + 1] - s->k_off[n]);
        most = scores > most ? scores : most;
    }
    return most;
}

/* S = q k^T / sqrt(dh) */
static void scores(const struct attention *a, const struct head *h, real *S)
{
    blas_gemm(BLAS_AS_IS, BLAS_TRANSPOSED, h->nq, h->nk, h->dh, 1 / (real)sqrt(h->dh),
              a->q->x + h->q_at, h->ld, a->k->x + h->k_at, h->ld, 0, S, h->nk);
}

/* --- forward --------------------------------------------------------------------------------- */

/* Rows of S to probabilities in place, and their log-sum-exp. */
HOT static void softmax(size_t rows, size_t n, real *restrict S, real *restrict lse)
{
    if (n == 0)
        return;
    for (size_t i = 0; i < rows; i++, S += n) {
        const real top = row_max(S, n);
        for (size_t j = 0; j < n; j++)
            S[j] = vec_exp(S[j] - top);
        const real sum = row_sum(S, n), inverse = 1 / sum;
        for (size_t j = 0; j < n; j++)
            S[j] *= inverse;
        lse[i] = top + (real)log(sum);
    }
}

HOT static void multiply(size_t n, const real *restrict x, real *restrict y)
{
    for (size_t i = 0; i < n; i++)
        y[i] *= x[i];
}

struct forward {
    real *S, *factor, *ctx;
};

static void head_forward(const struct attention *a, const struct head *h, void *arg)
{
    const struct forward *f = arg;
    const size_t n = (size_t)h->nq * (size_t)h->nk;

    scores(a, h, f->S);
    softmax((size_t)h->nq, (size_t)h->nk, f->S, val_data(a->lse) + h->lse_at);
    if (a->dropped) {
        dropout_factors(&a->mask, h->first_draw, n, f->factor);
        multiply(n, f->factor, f->S);
    }
    blas_gemm(BLAS_AS_IS, BLAS_AS_IS, h->nq, h->dh, h->nk, 1, f->S, h->nk, a->v->x + h->k_at, h->ld,
              0, f->ctx + h->q_at, h->ld);
}

/* --- backward -------------------------------------------------------------------------------- */

/* S to probabilities P, by the rows' log-sum-exp. */
HOT static void probabilities(size_t rows, size_t n, const real *restrict lse, real *restrict S)
{
    for (size_t i = 0; i < rows; i++, S += n)
        for (size_t j = 0; j < n; j++)
            S[j] = vec_exp(S[j] - lse[i]);
}

/* gP to gS in place: P * (gP - sum_j P_j gP_j) a row. */
HOT static void softmax_backward(size_t rows, size_t n, const real *restrict P, real *restrict gP)
{
    for (size_t i = 0; i < rows; i++, P += n, gP += n) {
        const real along = row_dot(P, gP, n);
        for (size_t j = 0; j < n; j++)
            gP[j] = P[j] * (gP[j] - along);
    }
}

struct backward {
    const real *gctx;
    real *gq, *gk, *gv; /* NULL where none is wanted */
    bool add_q, add_k, add_v;
    real *P, *gP, *A; /* A: P after dropout; P itself without */
    bool halved;      /* q and k have been rounded since: their sums are others */
};

static void head_backward(const struct attention *a, const struct head *h, void *arg)
{
    const struct backward *b = arg;
    const size_t n = (size_t)h->nq * (size_t)h->nk;
    const real scale = 1 / (real)sqrt(h->dh), *gctx = b->gctx + h->q_at;

    scores(a, h, b->P);
    if (b->halved)
        softmax((size_t)h->nq, (size_t)h->nk, b->P, val_data(a->lse) + h->lse_at);
    else
        probabilities((size_t)h->nq, (size_t)h->nk, a->lse->x + h->lse_at, b->P);
    if (a->dropped)
        dropout_factors(&a->mask, h->first_draw, n, b->A);

    if (b->gq || b->gk) {
        blas_gemm(BLAS_AS_IS, BLAS_TRANSPOSED, h->nq, h->nk, h->dh, 1, gctx, h->ld,
                  a->v->x + h->k_at, h->ld, 0, b->gP, h->nk);
        if (a->dropped)
            multiply(n, b->A, b->gP);
        softmax_backward((size_t)h->nq, (size_t)h->nk, b->P, b->gP);
    }
    if (a->dropped)
        multiply(n, b->P, b->A);

    if (b->gq)
        blas_gemm(BLAS_AS_IS, BLAS_AS_IS, h->nq, h->dh, h->nk, scale, b->gP, h->nk,
                  a->k->x + h->k_at, h->ld, b->add_q, b->gq + h->q_at, h->ld);
    if (b->gk)
        blas_gemm(BLAS_TRANSPOSED, BLAS_AS_IS, h->nk, h->dh, h->nq, scale, b->gP, h->nk,
                  a->q->x + h->q_at, h->ld, b->add_k, b->gk + h->k_at, h->ld);
    if (b->gv)
        blas_gemm(BLAS_TRANSPOSED, BLAS_AS_IS, h->nk, h->dh, h->nq, 1, b->A, h->nk, gctx, h->ld,
                  b->add_v, b->gv + h->k_at, h->ld);
}

/* The gradient of an input, NULL when it wants none. An input in two roles gets contributions out
 * of order: it is cleared. */
static real *role_grad(struct tape *t, struct val *v, bool twice, bool *add)
{
    if (!v->wants_grad)
        return NULL;
    if (!twice)
        return tape_grad(t, v, add);
    *add = true;
    return tape_grad_add(t, v);
}

static void attention_backward(struct tape *t, struct record *r)
{
    const struct attention *a = (const struct attention *)r;
    const size_t n = most_scores(&a->shape), size = (a->dropped ? 3 : 2) * n;
    struct backward b = {.gctx = r->out->g, .P = tape_scratch(t, size), .halved = tape_halves(t)};

    b.gP = b.P + n;
    b.A = a->dropped ? b.gP + n : b.P;
    b.gq = role_grad(t, a->q, a->q == a->k || a->q == a->v, &b.add_q);
    b.gk = role_grad(t, a->k, a->k == a->q || a->k == a->v, &b.add_k);
    b.gv = role_grad(t, a->v, a->v == a->q || a->v == a->k, &b.add_v);
    if (tape_computes(t))
        each_head(a, &b, head_backward);
    tape_unscratch(t, b.P, size);
}

/* --- the op ---------------------------------------------------------------------------------- */

static void record(struct tape *t, const struct attention *a, struct val *ctx)
{
    struct attention *kept = tape_record(t, sizeof *kept, attention_backward, ctx);
    const size_t offsets = ((size_t)a->shape.n_seq + 1) * sizeof(int32_t);
    struct record r = kept->r;

    *kept = *a;
    kept->r = r;
    kept->shape.q_off = tape_copy(t, a->shape.q_off, offsets);
    kept->shape.k_off = tape_copy(t, a->shape.k_off, offsets);
    record_keep(&kept->r, a->q);
    record_keep(&kept->r, a->k);
    record_keep(&kept->r, a->v);
    record_keep_exact(&kept->r, a->lse);
}

struct val *op_attention(struct tape *t, struct val *q, struct val *k, struct val *v,
                         const struct attention_shape *s, real p)
{
    struct tape_scope scope = tape_enter(t);
    struct attention a = {.q = q, .k = k, .v = v, .shape = *s};

    assert(q->cols % s->heads == 0 && k->cols == q->cols && v->cols == q->cols);
    assert(s->q_off[0] == 0 && s->q_off[s->n_seq] == q->rows);
    assert(s->k_off[0] == 0 && s->k_off[s->n_seq] == k->rows && k->rows == v->rows);
    if (p > 0 && tape_training(t)) {
        struct rng stream = tape_draw(t);
        a.mask = dropout_make(&stream, p);
        a.dropped = true;
    }
    a.lse = tape_new(t, s->heads, q->rows);
    struct val *ctx = tape_new(t, q->rows, q->cols);

    const size_t n = most_scores(s), size = (a.dropped ? 2 : 1) * n;
    struct forward f = {.S = tape_scratch(t, size), .ctx = val_data(ctx)};
    f.factor = f.S + n;
    if (tape_computes(t))
        each_head(&a, &f, head_forward);
    tape_unscratch(t, f.S, size);

    if (q->wants_grad || k->wants_grad || v->wants_grad)
        record(t, &a, ctx);
    return tape_leave(t, scope, ctx);
}
