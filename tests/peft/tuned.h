/* A golden encoder with a method on it, and what a step of it computes. In both precisions; dropout
 * of the model is off unless asked for. */
#ifndef TESTS_PEFT_TUNED_H
#define TESTS_PEFT_TUNED_H

#include "peft/peft.h"
#include "tests/model/golden.h"

/* By family: what the golden labels are. */
static const uint32_t tuned_labels[GOLDEN_FAMILIES] = {2, 3, 1};

struct tuned {
    struct golden golden;
    struct peft_spec spec;
    struct adapter_info info;
    enum head_kind head;
    struct local_spec local;
    struct peft *peft;
    struct tape *tape;
    size_t count;
    real *theta;
    uint64_t stream;    /* names the dropout masks */
    struct batch batch; /* the golden sequences that leave the method its positions */
};

/* The longest is the last, and has all positions. */
static inline struct batch tuned_batch(struct tuned *t)
{
    int n = t->golden.batch.n;
    bool all = peft_max_tokens(t->peft) == model_max_tokens(&t->golden.model->cfg);
    return all ? t->golden.batch : golden_part(&t->golden, 0, n - 1);
}

/* A class, or a token to guess, for three tokens of four. */
static inline const int32_t *tuned_tags(struct tuned *t, int n_labels)
{
    int32_t *tag = arena_calloc(&t->golden.mem, (size_t)t->batch.tokens, sizeof *tag);
    cr_assert_not_null(tag);
    for (int i = 0; i < t->batch.tokens; i++)
        tag[i] = i % 4 == 3 ? -1 : (t->batch.id[i] + i) % n_labels;
    return tag;
}

/* With a given spec and head: theta is the method's start. */
static inline void tuned_start_head(struct tuned *t, const char *family,
                                    const struct peft_spec *spec, enum head_kind head,
                                    uint32_t n_labels, double dropout)
{
    struct err e = {0};
    *t = (struct tuned){.spec = *spec, .head = head, .local = {.model_dropout = dropout}};
    golden_open(&t->golden, family);
    cr_assert_eq(peft_open(&t->peft, t->golden.model, spec, &t->local, head, n_labels, &e), 0, "%s",
                 e.text);
    cr_assert_eq(tape_open(&t->tape, 0, &e), 0, "%s", e.text);
    t->count = peft_schema(t->peft)->count;
    t->theta = arena_calloc(&t->golden.mem, t->count, sizeof *t->theta);
    cr_assert_not_null(t->theta);
    peft_init(t->peft, 7, t->theta);
    t->batch = tuned_batch(t);
    if (head != HEAD_SEQUENCE)
        t->batch.tag = tuned_tags(t, (int)peft_labels(t->peft));
}

static inline void tuned_start(struct tuned *t, const char *family, const struct peft_spec *spec,
                               uint32_t n_labels, double dropout)
{
    tuned_start_head(t, family, spec, HEAD_SEQUENCE, n_labels, dropout);
}

/* With the adapter that peft saved for the family. */
static inline void tuned_open(struct tuned *t, const char *family)
{
    struct err e = {0};
    struct arena mem;
    struct peft_spec spec;
    struct adapter_info info;
    char adapter[GOLDEN_PATH];
    snprintf(adapter, sizeof adapter, GOLDEN_DIR "%s/adapter", family);
    arena_init(&mem, ARENA_NO_CAP);
    cr_assert_eq(peft_read_config(adapter, &mem, &spec, &info, &e), 0, "%s", e.text);
    tuned_start(t, family, &spec, info.n_labels, 0);
    t->spec.method = NULL;
    t->info = (struct adapter_info){.n_labels = info.n_labels};
    arena_release(&mem);
    cr_assert_eq(peft_load(t->peft, adapter, t->theta, &e), 0, "%s", e.text);
}

/* Rows of its logits. */
static inline int tuned_rows(const struct tuned *t, const struct batch *b)
{
    int tagged = 0;
    if (b->tag == NULL)
        return b->n;
    for (int i = 0; i < b->tokens; i++)
        tagged += b->tag[i] >= 0;
    return t->head == HEAD_MLM ? tagged : b->tokens;
}

static inline void tuned_close(struct tuned *t)
{
    tape_close(t->tape);
    peft_close(t->peft);
    golden_close(&t->golden);
}

struct tuned_step {
    const struct tuned *tuned;
    const struct batch *batch;
    const real *theta;
    real *grad, *logits;
    double loss;
};

static inline void tuned_do(struct tape *tape, void *arg)
{
    struct tuned_step *s = arg;
    const struct peft *p = s->tuned->peft;
    struct val *logits = peft_logits(p, tape, s->batch, s->theta, s->grad);
    int rows = tuned_rows(s->tuned, s->batch);
    cr_assert(logits->rows == rows && logits->cols == (int)peft_labels(p));
    if (s->logits != NULL)
        memcpy(s->logits, logits->x, (size_t)(logits->rows * logits->cols) * sizeof *s->logits);
    struct val *loss = peft_loss(p, tape, logits, s->batch, (real)1 / (real)rows);
    s->loss = (double)loss->x[0];
    if (s->grad != NULL)
        tape_backward(tape, loss);
}

/* The mean loss over b; dropout acts (from t->stream) where it was asked for. grad, when not
 * NULL, is set; so are logits. */
static inline double tuned_loss(const struct tuned *t, const struct batch *b, const real *theta,
                                real *grad, real *logits)
{
    struct err e = {0};
    struct tuned_step s = {.tuned = t, .batch = b, .theta = theta, .grad = grad, .logits = logits};
    if (grad != NULL)
        memset(grad, 0, t->count * sizeof *grad);
    struct rng dropout = rng_stream(t->stream, 0, 0, RNG_DROPOUT);
    cr_assert_eq(tape_run(t->tape, true, dropout, tuned_do, &s, &e), 0, "%s", e.text);
    return s.loss;
}

#endif
