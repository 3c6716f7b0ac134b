#include "client/train.h"
#include "client/trainer_state.h"
#include "text/entities.h"
#include "text/pack.h"
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 2048 }; /* examples packed at a time */

struct evaluation {
    struct trainer *trainer;
    const struct peft *peft;
    const struct dataset *data;
    const float *theta;
    const atomic_bool *cancel;
    uint32_t labels;
    size_t n, rows;
    uint32_t *index; /* the examples */
    size_t *row;     /* of a data set's example: the first of its rows of logits */
    float *logits;   /* rows * labels, in the order of `index` */
    struct packing packing;
    pthread_mutex_t lock;
    struct err error;
    int failed_micro; /* packing.n: none */
};

static void forward(struct tape *t, void *arg)
{
    const struct micro_batch *m = arg;
    struct evaluation *v = m->of;
    const struct batch *b = &v->packing.batch[m->i];
    struct val *logits = peft_logits(v->peft, t, b, v->theta, NULL);
    bool tokens = v->data->head == HEAD_TOKENS;
    for (int s = 0; s < b->n; s++) {
        size_t from = (size_t)(tokens ? b->off[s] : s);
        size_t n = tokens ? (size_t)(b->off[s + 1] - b->off[s]) : 1;
        size_t to = v->row[v->packing.example[m->i][s]];
        memcpy(v->logits + to * v->labels, logits->x + from * v->labels,
               n * v->labels * sizeof *v->logits);
    }
}

static bool cancelled(const struct evaluation *v)
{
    return v->cancel && atomic_load(v->cancel);
}

static void run_micro(void *ctx, unsigned worker, size_t i)
{
    struct evaluation *v = ctx;
    struct micro_batch m = {v, i};
    struct err e;
    if (cancelled(v) || !tape_run(v->trainer->tape[worker], false, rng_stream(0, 0, 0, RNG_DROPOUT),
                                  forward, &m, &e))
        return;
    pthread_mutex_lock(&v->lock);
    if ((int)i < v->failed_micro) {
        v->failed_micro = (int)i;
        v->error = e;
    }
    pthread_mutex_unlock(&v->lock);
}

static int run_chunk(struct evaluation *v, size_t from, size_t n, struct err *e)
{
    struct arena mem;
    arena_init(&mem, ARENA_NO_CAP);
    int rc =
        pack_examples(v->data, v->index + from, n, &peft_model(v->peft)->cfg, &mem, &v->packing, e);
    if (!rc && v->trainer->memory.limit)
        rc = trainer_plan_forward(v->trainer, forward, v, (size_t)v->packing.n, e);
    if (!rc) {
        v->failed_micro = v->packing.n;
        crew_run(v->trainer->crew, (size_t)v->packing.n, run_micro, v);
        if (v->failed_micro < v->packing.n) {
            *e = v->error;
            rc = e->code;
        }
    }
    if (!rc && cancelled(v))
        rc = err_set(e, ERR_STATE, "evaluation cancelled");
    arena_release(&mem);
    return rc;
}

static int32_t best_class(const float *logit, uint32_t labels)
{
    uint32_t best = 0;
    for (uint32_t c = 1; c < labels; c++)
        if (logit[c] > logit[best])
            best = c;
    return (int32_t)best;
}

static double cross_entropy(const float *logit, uint32_t labels, int32_t label)
{
    double top = logit[best_class(logit, labels)], sum = 0;
    for (uint32_t c = 0; c < labels; c++)
        sum += exp(logit[c] - top);
    return top + log(sum) - logit[label];
}

/* What the logits of one example say. */
static int32_t guess_of(const struct evaluation *v, const float *logit)
{
    return v->labels == 1 ? (int32_t)lrintf(logit[0]) : best_class(logit, v->labels);
}

static void add_class(const struct evaluation *v, size_t row, int32_t label, struct score *score)
{
    const float *logit = v->logits + row * v->labels;
    score_add_class(score, (uint32_t)label, (uint32_t)best_class(logit, v->labels),
                    cross_entropy(logit, v->labels, label));
}

/* The words that the model saw, as classes and as entities; `tag` has room for two of each. */
static void add_sentence(const struct evaluation *v, const struct example *x, size_t row,
                         const struct entities *entities, int32_t *tag, struct score *score)
{
    int32_t *guess = tag + x->n_tokens;
    size_t n = 0;
    for (int32_t i = 0; i < x->n_tokens; i++) {
        if (x->word[i] < 0)
            continue;
        tag[n] = example_tag(x, i);
        guess[n++] = best_class(v->logits + (row + (size_t)i) * v->labels, v->labels);
        add_class(v, row + (size_t)i, example_tag(x, i), score);
    }
    entities_score(entities, tag, guess, n, score);
}

static int add_sentences(const struct evaluation *v, struct score *score, struct err *e)
{
    struct entities entities;
    int rc = entities_open(&entities, v->data->label_name, v->labels, e);
    if (rc)
        return rc;
    int32_t *tag = malloc((2 * v->rows + 1) * sizeof *tag);
    if (!tag)
        rc = err_set(e, ERR_NOMEM, "out of memory for %zu tags", v->rows);
    for (size_t i = 0; !rc && i < v->n; i++)
        add_sentence(v, &v->data->example[v->index[i]], v->row[v->index[i]], &entities, tag, score);
    free(tag);
    entities_close(&entities);
    return rc;
}

static int add_values(const struct evaluation *v, struct score *score, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < v->n; i++)
        rc = score_add_value(score, v->data->example[v->index[i]].target, v->logits[i], e);
    return rc;
}

static int tally(const struct evaluation *v, struct score *out, struct err *e)
{
    struct score score;
    int rc = score_open(&score, v->labels, e);
    if (rc)
        return rc;
    if (v->data->head == HEAD_TOKENS)
        rc = add_sentences(v, &score, e);
    else if (v->labels == 1)
        rc = add_values(v, &score, e);
    else
        for (size_t i = 0; i < v->n; i++)
            add_class(v, i, v->data->example[v->index[i]].label, &score);
    if (!rc)
        *out = score;
    else
        score_close(&score);
    return rc;
}

static int allocate(struct evaluation *v, const uint32_t *index, float *logits, struct err *e)
{
    v->rows = dataset_rows(v->data, index, v->n);
    v->index = malloc(v->n * sizeof *v->index);
    v->row = malloc(v->data->n * sizeof *v->row);
    v->logits = logits ? logits : malloc(v->rows * v->labels * sizeof *v->logits);
    if (!v->index || !v->row || !v->logits)
        return err_set(e, ERR_NOMEM, "out of memory for %zu examples", v->n);
    size_t row = 0;
    for (size_t i = 0; i < v->n; i++) {
        v->index[i] = index ? index[i] : (uint32_t)i;
        v->row[v->index[i]] = row;
        row += dataset_rows(v->data, &v->index[i], 1);
    }
    return 0;
}

int trainer_eval(struct trainer *t, const struct eval_job *job, struct score *score,
                 int32_t *predicted, float *logits, struct err *e)
{
    struct evaluation v = {.trainer = t,
                           .peft = job->peft,
                           .data = job->data,
                           .theta = job->theta,
                           .cancel = job->cancel,
                           .labels = peft_labels(job->peft),
                           .n = job->index ? job->n : job->data->n};
    if (v.n == 0)
        return err_set(e, ERR_DATA, "no examples to evaluate");
    pthread_mutex_init(&v.lock, NULL);
    int rc = allocate(&v, job->index, logits, e);
    for (size_t from = 0; !rc && from < v.n; from += CHUNK)
        rc = run_chunk(&v, from, v.n - from < CHUNK ? v.n - from : CHUNK, e);
    for (size_t i = 0; !rc && predicted && i < v.rows; i++)
        predicted[i] = guess_of(&v, v.logits + i * v.labels);
    if (!rc && score)
        rc = tally(&v, score, e);
    pthread_mutex_destroy(&v.lock);
    free(v.index);
    free(v.row);
    if (v.logits != logits)
        free(v.logits);
    return rc;
}
