#include "client/sweep.h"
#include "client/trainer_state.h"
#include "nn/record.h"
#include "text/pack.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 2048 }; /* examples packed at a time */

struct sweep {
    struct trainer *trainer;
    const struct eval_job *job;
    struct rows *out;
    bool encode; /* features, not logits */
    struct packing packing;
    pthread_mutex_t lock;
    struct err error;
    int failed_micro; /* packing.n: none */
};

/* --- rows ------------------------------------------------------------------------------------ */

static size_t listed(const struct eval_job *job)
{
    return job->index ? job->n : job->data->n;
}

static uint32_t at(const struct eval_job *job, size_t i)
{
    return job->index ? job->index[i] : (uint32_t)i;
}

static int rows_open(struct rows *r, const struct eval_job *job, size_t width, struct err *e)
{
    const size_t n = listed(job);
    r->n = dataset_rows(job->data, job->index, n);
    r->width = width;
    r->first = malloc(job->data->n * sizeof *r->first);
    if (!r->x)
        r->x = malloc(r->n * width * sizeof *r->x);
    if (!r->first || !r->x)
        return err_set(e, ERR_NOMEM, "out of memory for %zu examples", n);
    size_t row = 0;
    for (size_t i = 0; i < n; i++) {
        const uint32_t example = at(job, i);
        r->first[example] = row;
        row += dataset_rows(job->data, &example, 1);
    }
    return 0;
}

void sweep_release(struct rows *r)
{
    free(r->x);
    free(r->first);
    *r = (struct rows){0};
}

/* Of sequence s. */
static size_t rows_of(const struct batch *b, int s, bool tokens)
{
    return tokens ? (size_t)(b->off[s + 1] - b->off[s]) : 1;
}

struct val *sweep_gather(const struct rows *r, struct tape *t, const struct batch *b,
                         const uint32_t *example, bool tokens)
{
    const size_t n = (size_t)(tokens ? b->tokens : b->n);
    float *x = tape_alloc(t, n * r->width * sizeof *x), *to = x;
    for (int s = 0; tape_computes(t) && s < b->n; s++) {
        const size_t numbers = rows_of(b, s, tokens) * r->width;
        memcpy(to, r->x + r->first[example[s]] * r->width, numbers * sizeof *x);
        to += numbers;
    }
    return tape_const(t, x, (int)n, (int)r->width);
}

static void rows_scatter(struct rows *r, const float *x, const struct batch *b,
                         const uint32_t *example, bool tokens)
{
    for (int s = 0; s < b->n; s++) {
        const size_t numbers = rows_of(b, s, tokens) * r->width;
        memcpy(r->x + r->first[example[s]] * r->width, x, numbers * sizeof *x);
        x += numbers;
    }
}

/* --- forward --------------------------------------------------------------------------------- */

static void forward(struct tape *t, void *arg)
{
    const struct micro_batch *m = arg;
    const struct sweep *s = m->of;
    const struct eval_job *job = s->job;
    const struct batch *b = &s->packing.batch[m->i];
    const uint32_t *example = s->packing.example[m->i];
    const bool tokens = job->data->head == HEAD_TOKENS;
    struct val *x;
    if (s->encode)
        x = peft_features(job->peft, t, b, job->theta, NULL);
    else if (job->features && job->features->x)
        x = peft_head_logits(job->peft, t, sweep_gather(job->features, t, b, example, tokens),
                             job->theta, NULL);
    else
        x = peft_logits(job->peft, t, b, job->theta, NULL);
    if (tape_computes(t))
        rows_scatter(s->out, x->x, b, example, tokens);
}

static bool cancelled(const struct sweep *s)
{
    return s->job->cancel && atomic_load(s->job->cancel);
}

static void run_micro(void *ctx, unsigned worker, size_t i)
{
    struct sweep *s = ctx;
    struct micro_batch m = {s, i};
    struct err e;
    if (cancelled(s) || !tape_run(s->trainer->tape[worker], false, rng_stream(0, 0, 0, RNG_DROPOUT),
                                  forward, &m, &e))
        return;
    pthread_mutex_lock(&s->lock);
    if ((int)i < s->failed_micro) {
        s->failed_micro = (int)i;
        s->error = e;
    }
    pthread_mutex_unlock(&s->lock);
}

static int run_packed(struct sweep *s, struct err *e)
{
    s->failed_micro = s->packing.n;
    crew_run(s->trainer->crew, (size_t)s->packing.n, run_micro, s);
    if (s->failed_micro == s->packing.n)
        return 0;
    *e = s->error;
    return e->code;
}

/* Computes the list, packed piece by piece; or has g measure it. */
static int run_list(struct sweep *s, struct gauge *g, struct err *e)
{
    const struct eval_job *job = s->job;
    const struct model_config *cfg = &peft_model(job->peft)->cfg;
    const size_t n = listed(job);
    struct arena mem;
    int rc = 0;
    arena_init(&mem, ARENA_NO_CAP);
    for (size_t from = 0; !rc && from < n; from += CHUNK) {
        uint32_t index[CHUNK];
        const size_t some = n - from < CHUNK ? n - from : CHUNK;
        for (size_t i = 0; i < some; i++)
            index[i] = at(job, from + i);
        rc = pack_examples(job->data, index, some, cfg, &mem, &s->packing, e);
        if (!rc)
            rc = g ? trainer_gauge_forward(g, forward, s, (size_t)s->packing.n, e)
                   : run_packed(s, e);
        if (!rc && cancelled(s))
            rc = err_set(e, ERR_STATE, "cancelled before all of %zu examples were computed", n);
        arena_release(&mem);
    }
    return rc;
}

static int measure(void *sweep, struct gauge *g, struct err *e)
{
    return run_list(sweep, g, e);
}

/* All of the list is measured before any of it is computed: nobody waits for the first thousands
 * to learn that the limit does not bear the last. */
static int run(struct sweep *s, size_t width, struct err *e)
{
    int rc = rows_open(s->out, s->job, width, e);
    pthread_mutex_init(&s->lock, NULL);
    if (!rc && s->trainer->memory.limit)
        rc = trainer_plan_forward(s->trainer, measure, s, e);
    if (!rc)
        rc = run_list(s, NULL, e);
    pthread_mutex_destroy(&s->lock);
    return rc;
}

int sweep_logits(struct trainer *t, const struct eval_job *job, struct rows *out, struct err *e)
{
    struct sweep s = {.trainer = t, .job = job, .out = out};
    return run(&s, peft_labels(job->peft), e);
}

/* --- features -------------------------------------------------------------------------------- */

static size_t hidden(const struct eval_job *job)
{
    return (size_t)peft_model(job->peft)->cfg.hidden;
}

int sweep_features(struct trainer *t, const struct eval_job *job, struct rows *out, struct err *e)
{
    struct sweep s = {.trainer = t, .job = job, .out = out, .encode = true};
    int rc = run(&s, hidden(job), e);
    if (rc)
        sweep_release(out);
    return rc;
}

bool sweep_keeps_features(const struct eval_job *job, bool training)
{
    const size_t row = hidden(job) * sizeof(float);
    return peft_encodes_alike(job->peft, training) &&
           dataset_rows(job->data, job->index, listed(job)) <= SWEEP_MOST_FEATURES / row;
}
