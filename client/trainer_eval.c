#include "client/train.h"
#include "client/trainer_state.h"
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
    uint32_t labels;
    size_t n;
    uint32_t *index; /* the examples */
    uint32_t *place; /* of a data set's example among them */
    float *logits;   /* n * labels, in the order of `index` */
    struct packing packing;
    pthread_mutex_t lock;
    struct err error;
    int failed_micro; /* packing.n: none */
};

struct forward {
    struct evaluation *v;
    size_t i;
};

static void forward(struct tape *t, void *arg)
{
    struct forward *w = arg;
    struct evaluation *v = w->v;
    const struct batch *b = &v->packing.batch[w->i];
    struct val *logits = peft_logits(v->peft, t, b, v->theta, NULL);
    for (int s = 0; s < b->n; s++) {
        size_t to = v->place[v->packing.example[w->i][s]];
        memcpy(v->logits + to * v->labels, logits->x + (size_t)s * v->labels,
               v->labels * sizeof *v->logits);
    }
}

static void run_micro(void *ctx, unsigned worker, size_t i)
{
    struct evaluation *v = ctx;
    struct forward w = {v, i};
    struct err e;
    if (!tape_run(v->trainer->tape[worker], false, rng_stream(0, 0, 0, RNG_DROPOUT), forward, &w,
                  &e))
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
    if (!rc) {
        v->failed_micro = v->packing.n;
        crew_run(v->trainer->crew, (size_t)v->packing.n, run_micro, v);
        if (v->failed_micro < v->packing.n) {
            *e = v->error;
            rc = e->code;
        }
    }
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

static int add_example(const struct evaluation *v, size_t i, struct score *score, struct err *e)
{
    const struct example *x = &v->data->example[v->index[i]];
    const float *logit = v->logits + i * v->labels;
    if (v->labels == 1)
        return score_add_value(score, x->target, logit[0], e);
    score_add_class(score, (uint32_t)x->label, (uint32_t)best_class(logit, v->labels),
                    cross_entropy(logit, v->labels, x->label));
    return 0;
}

static int tally(const struct evaluation *v, struct score *out, struct err *e)
{
    struct score score;
    int rc = score_open(&score, v->labels, e);
    for (size_t i = 0; !rc && i < v->n; i++)
        rc = add_example(v, i, &score, e);
    if (!rc)
        *out = score;
    else
        score_close(&score);
    return rc;
}

static int allocate(struct evaluation *v, const uint32_t *index, float *logits, struct err *e)
{
    v->index = malloc(v->n * sizeof *v->index);
    v->place = malloc(v->data->n * sizeof *v->place);
    v->logits = logits ? logits : malloc(v->n * v->labels * sizeof *v->logits);
    if (!v->index || !v->place || !v->logits)
        return err_set(e, ERR_NOMEM, "out of memory for %zu examples", v->n);
    for (size_t i = 0; i < v->n; i++) {
        v->index[i] = index ? index[i] : (uint32_t)i;
        v->place[v->index[i]] = (uint32_t)i;
    }
    return 0;
}

int trainer_eval(struct trainer *t, const struct peft *peft, const struct dataset *data,
                 const uint32_t *index, size_t n, const float *theta, struct score *score,
                 int32_t *predicted, float *logits, struct err *e)
{
    struct evaluation v = {.trainer = t,
                           .peft = peft,
                           .data = data,
                           .theta = theta,
                           .labels = peft_labels(peft),
                           .n = index ? n : data->n};
    if (v.n == 0)
        return err_set(e, ERR_DATA, "no examples to evaluate");
    pthread_mutex_init(&v.lock, NULL);
    int rc = allocate(&v, index, logits, e);
    for (size_t from = 0; !rc && from < v.n; from += CHUNK)
        rc = run_chunk(&v, from, v.n - from < CHUNK ? v.n - from : CHUNK, e);
    for (size_t i = 0; !rc && predicted && i < v.n; i++)
        predicted[i] = guess_of(&v, v.logits + i * v.labels);
    if (!rc && score)
        rc = tally(&v, score, e);
    pthread_mutex_destroy(&v.lock);
    free(v.index);
    free(v.place);
    if (v.logits != logits)
        free(v.logits);
    return rc;
}
