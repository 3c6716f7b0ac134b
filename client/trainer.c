#include "base/vector.h"
#include "client/drift.h"
#include "client/fold.h"
#include "client/savepoint.h"
#include "client/sweep.h"
#include "client/train.h"
#include "client/trainer_state.h"
#include "nn/optim.h"
#include "text/pack.h"
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct micro {
    const struct batch *batch;
    const uint32_t *example;
    real scale;
};

/* One job. */
struct fit {
    struct trainer *trainer;
    const struct train_job *job;
    const struct schema *schema;
    size_t n;
    real *theta; /* a copy: the caller's stays as it is if the job fails */
    struct optim optim;
    struct drift drift;
    struct fold grad;
    struct rng shuffle, dropout;
    uint32_t *order;      /* the epoch's permutation of the client's examples */
    uint64_t batches;     /* an epoch */
    uint64_t epoch_steps; /* an epoch */
    uint32_t steps;
    double loss_sum; /* over what was seen: examples, or tagged tokens */
    uint64_t seen, tokens;
    const struct rows *features; /* what the encoder makes of the examples; NULL: it may change */
    struct rows own_features;    /* of this job alone */
    double began;                /* seconds of the monotonic clock */
    double aside;                /* seconds spent in the caller's progress() */

    /* The step under way. */
    struct arena mem;
    struct micro *micro;
    size_t n_micro;
    real *loss; /* n_micro */
    struct rng step_dropout;
    pthread_mutex_t lock;
    struct err error;    /* of the first micro-batch that failed */
    size_t failed_micro; /* n_micro: none */
};

/* --- a micro-batch -------------------------------------------------------------------------- */

struct forward {
    struct fit *fit;
    size_t i;
    real *grad;
};

static void forward_backward(struct tape *t, void *arg)
{
    struct forward *w = arg;
    struct fit *f = w->fit;
    const struct peft *p = f->job->peft;
    const struct micro *m = &f->micro[w->i];
    struct val *logits;
    if (f->features) {
        bool tokens = f->job->data->head == HEAD_TOKENS;
        struct val *x = sweep_gather(f->features, t, m->batch, m->example, tokens);
        logits = peft_head_logits(p, t, x, f->theta, w->grad);
    } else {
        logits = peft_logits(p, t, m->batch, f->theta, w->grad);
    }
    struct val *loss = peft_loss(p, t, logits, m->batch, m->scale);
    f->loss[w->i] = loss->x[0];
    tape_backward(t, loss);
}

static void note_failure(struct fit *f, size_t i, const struct err *e)
{
    pthread_mutex_lock(&f->lock);
    if (i < f->failed_micro) {
        f->failed_micro = i;
        f->error = *e;
    }
    pthread_mutex_unlock(&f->lock);
}

static void run_micro(void *ctx, unsigned worker, size_t i)
{
    struct fit *f = ctx;
    struct forward w = {f, i, fold_begin(&f->grad, i)};
    struct rng dropout = rng_child(&f->step_dropout, (uint32_t)i);
    struct err e;
    if (tape_run(f->trainer->tape[worker], true, dropout, forward_backward, &w, &e))
        note_failure(f, i, &e);
    fold_end(&f->grad, i);
}

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* --- a step --------------------------------------------------------------------------------- */

/* The batches of step s of the epoch, as micro-batches. A step is `accumulate` batches, fewer at
 * the end of an epoch; the loss is the mean over them of the mean over each one's examples, or
 * tagged tokens. */
static int gather(struct fit *f, uint64_t s, struct err *e)
{
    const struct local_spec *local = f->job->local;
    const struct model_config *cfg = &peft_model(f->job->peft)->cfg;
    uint64_t first = s * local->accumulate;
    uint64_t count = f->batches - first;
    if (count > local->accumulate)
        count = local->accumulate;
    struct packing *packing = arena_calloc(&f->mem, count, sizeof *packing);
    if (!packing)
        return err_set(e, ERR_NOMEM, "out of memory for a batch");
    f->n_micro = 0;
    for (uint64_t b = 0; b < count; b++) {
        size_t at = (size_t)(first + b) * local->batch_size;
        size_t n = f->n - at < local->batch_size ? f->n - at : local->batch_size;
        int rc = pack_examples(f->job->data, f->order + at, n, cfg, &f->mem, &packing[b], e);
        if (rc)
            return rc;
        f->n_micro += (size_t)packing[b].n;
    }
    f->micro = arena_calloc(&f->mem, f->n_micro, sizeof *f->micro);
    f->loss = arena_calloc(&f->mem, f->n_micro, sizeof *f->loss);
    if (!f->micro || !f->loss)
        return err_set(e, ERR_NOMEM, "out of memory for a batch");
    struct micro *m = f->micro;
    for (uint64_t b = 0; b < count; b++) {
        size_t scored = 0;
        for (int k = 0; k < packing[b].n; k++)
            scored += pack_scored(&packing[b].batch[k]);
        real scale = scored ? (real)(1.0 / ((double)count * (double)scored)) : 1;
        for (int k = 0; k < packing[b].n; k++)
            *m++ = (struct micro){&packing[b].batch[k], packing[b].example[k], scale};
    }
    return 0;
}

/* Sums up the micro-batches' losses in order; returns the step's. */
static double count_step(struct fit *f)
{
    double loss = 0;
    for (size_t i = 0; i < f->n_micro; i++) {
        loss += f->loss[i];
        f->loss_sum += f->loss[i] / f->micro[i].scale;
        f->seen += pack_scored(f->micro[i].batch);
        f->tokens += (uint64_t)f->micro[i].batch->tokens;
    }
    return loss;
}

static void begin_epoch(struct fit *f, uint32_t epoch)
{
    const struct train_job *job = f->job;
    for (size_t i = 0; i < f->n; i++)
        f->order[i] = job->index ? job->index[i] : (uint32_t)i;
    struct rng r = rng_child(&f->shuffle, epoch);
    rng_shuffle(&r, f->order, f->n);
}

static double learning_rate(const struct fit *f, uint32_t s)
{
    const struct train_job *job = f->job;
    if (!job->local->decay_over_run || job->rounds == 0)
        return lr_at(job->local, s, f->steps);
    return lr_at(job->local, (uint64_t)job->round * f->steps + s, (uint64_t)job->rounds * f->steps);
}

static int run_step(struct fit *f, uint32_t s, struct err *e)
{
    const struct train_job *job = f->job;
    uint32_t epoch = (uint32_t)(s / f->epoch_steps);
    if (s % f->epoch_steps == 0)
        begin_epoch(f, epoch);
    int rc = gather(f, s % f->epoch_steps, e);
    if (rc)
        return rc;
    f->step_dropout = rng_child(&f->dropout, s);
    f->failed_micro = f->n_micro;
    fold_reset(&f->grad);
    crew_run(f->trainer->crew, f->n_micro, run_micro, f);
    if (f->failed_micro < f->n_micro) {
        *e = f->error;
        return err_wrap(e, "step %u of %u", s + 1, f->steps);
    }
    double loss = count_step(f);
    double lr = learning_rate(f, s);
    drift_correct(&f->drift, f->theta, f->grad.sum, lr);
    real norm = optim_step(&f->optim, f->theta, f->grad.sum, (real)lr);
    if (!isfinite(loss) || !isfinite(norm))
        return err_set(e, ERR_CONFIG, "step %u of %u: the loss is not finite: lower local.lr",
                       s + 1, f->steps);
    if (job->progress) {
        bool last = (s + 1) % f->epoch_steps == 0 || s + 1 == f->steps;
        struct train_progress p = {s + 1, f->steps, epoch, last, f->theta, f->tokens, loss, lr};
        double called = seconds_now();
        job->progress(&p, job->ctx);
        f->aside += seconds_now() - called;
    }
    return 0;
}

/* --- savepoints --------------------------------------------------------------------------------
 */

/* Where a job stands at a step boundary, beside the vectors. */
struct place {
    uint64_t step, optim_step, seen, tokens;
    double loss_sum, drift_weight, seconds;
};
enum { PARTS = 5 };

static size_t list_parts(struct fit *f, struct place *at, struct checkpoint_part part[PARTS])
{
    size_t n = 0, bytes = f->schema->count * sizeof(real);
    real *const vector[] = {f->theta, f->optim.m, f->optim.v, f->drift.mean};
    part[n++] = (struct checkpoint_part){at, sizeof *at};
    for (size_t i = 0; i < sizeof vector / sizeof *vector; i++)
        if (vector[i])
            part[n++] = (struct checkpoint_part){vector[i], bytes};
    return n;
}

static void save(struct fit *f, uint32_t step)
{
    struct checkpoint_part part[PARTS];
    struct place at = {.step = step,
                       .optim_step = f->optim.step,
                       .seen = f->seen,
                       .tokens = f->tokens,
                       .loss_sum = f->loss_sum,
                       .drift_weight = f->drift.weight,
                       .seconds = seconds_now() - f->began - f->aside};
    savepoint_write(f->job->savepoint, part, list_parts(f, &at, part));
}

/* Returns the step to go on with. */
static uint32_t restore(struct fit *f)
{
    struct checkpoint_part part[PARTS];
    struct place at = {0};
    if (!savepoint_take(f->job->savepoint, part, list_parts(f, &at, part)))
        return 0;
    f->optim.step = (uint32_t)at.optim_step;
    f->seen = at.seen;
    f->tokens = at.tokens;
    f->loss_sum = at.loss_sum;
    f->drift.weight = at.drift_weight;
    f->began -= at.seconds;
    if (at.step % f->epoch_steps != 0)
        begin_epoch(f, (uint32_t)(at.step / f->epoch_steps));
    return (uint32_t)at.step;
}

/* --- a job ---------------------------------------------------------------------------------- */

static int count_steps(struct fit *f, struct err *e)
{
    const struct local_spec *local = f->job->local;
    f->batches = (f->n + local->batch_size - 1) / local->batch_size;
    f->epoch_steps = (f->batches + local->accumulate - 1) / local->accumulate;
    uint64_t steps = local->steps ? local->steps : f->epoch_steps * local->epochs;
    if (steps > UINT32_MAX)
        return err_set(e, ERR_CONFIG, "local.epochs: %u epochs are too many steps", local->epochs);
    f->steps = (uint32_t)steps;
    return 0;
}

/* Goes on where the client's last round ended. */
static void take_up(struct fit *f, const struct local_state *s)
{
    size_t n = f->schema->count;
    if (!s || !s->m || !f->optim.m)
        return;
    memcpy(f->optim.m, s->m, n * sizeof *s->m);
    memcpy(f->optim.v, s->v, n * sizeof *s->v);
    f->optim.step = s->step;
}

static void leave(const struct fit *f, struct local_state *s)
{
    size_t n = f->schema->count;
    if (f->job->control)
        drift_finish(&f->drift, s->control, f->job->control_change);
    if (!s || !s->m || !f->optim.m)
        return;
    memcpy(s->m, f->optim.m, n * sizeof *s->m);
    memcpy(s->v, f->optim.v, n * sizeof *s->v);
    s->step = f->optim.step;
}

static int open_optimiser(struct fit *f, const float *theta, struct err *e)
{
    const struct train_job *job = f->job;
    const float *own = job->control ? job->state->control : NULL;
    int rc = optim_open(&f->optim, f->schema, job->local, e);
    if (rc)
        return rc;
    take_up(f, job->state);
    return drift_open(&f->drift, f->schema, job->rounds ? job->local->proximal : 0, theta,
                      job->control, own, e);
}

static int fit_open(struct fit *f, struct trainer *t, const struct train_job *job,
                    const float *theta, struct err *e)
{
    *f = (struct fit){.trainer = t, .job = job, .schema = peft_schema(job->peft)};
    f->n = job->index ? job->n : job->data->n;
    arena_init(&f->mem, ARENA_NO_CAP);
    pthread_mutex_init(&f->lock, NULL);
    if (f->n == 0)
        return err_set(e, ERR_DATA, "no training examples");
    int rc = count_steps(f, e);
    if (!rc)
        rc = open_optimiser(f, theta, e);
    if (!rc)
        rc = fold_open(&f->grad, f->schema->count, t->most, e);
    if (rc)
        return rc;
    f->theta = vector_alloc(f->schema->count, sizeof *f->theta);
    f->order = malloc(f->n * sizeof *f->order);
    if (!f->theta || !f->order)
        return err_set(e, ERR_NOMEM, "out of memory for training");
    memcpy(f->theta, theta, f->schema->count * sizeof *f->theta);
    f->shuffle = rng_stream(job->seed, job->round, job->client, RNG_SHUFFLE);
    f->dropout = rng_stream(job->seed, job->round, job->client, RNG_DROPOUT);
    return 0;
}

static void fit_close(struct fit *f)
{
    optim_close(&f->optim);
    drift_close(&f->drift);
    fold_close(&f->grad);
    free(f->theta);
    free(f->order);
    sweep_release(&f->own_features);
    arena_release(&f->mem);
    pthread_mutex_destroy(&f->lock);
}

static bool cancelled(const struct fit *f)
{
    return f->job->cancel && atomic_load(f->job->cancel);
}

/* What the steps from `first` on will need, before any of them is done: nobody waits for hours to
 * learn that the limit does not bear the longest texts. */
static int measure_steps(struct fit *f, uint32_t first, struct gauge *g, struct err *e)
{
    int rc = 0;
    for (uint32_t s = first; !rc && s < f->steps && !cancelled(f); s++) {
        if (s % f->epoch_steps == 0)
            begin_epoch(f, (uint32_t)(s / f->epoch_steps));
        rc = gather(f, s % f->epoch_steps, e);
        for (size_t i = 0; !rc && i < f->n_micro; i++) {
            struct forward w = {f, i, f->grad.sum};
            rc = trainer_gauge_add(g, true, forward_backward, &w, e);
        }
        arena_release(&f->mem);
    }
    if (first % f->epoch_steps != 0)
        begin_epoch(f, (uint32_t)(first / f->epoch_steps));
    return rc;
}

static int plan(struct fit *f, uint32_t first, struct err *e)
{
    struct gauge g;
    if (!trainer_gauges(f->trainer))
        return trainer_plan(f->trainer, NULL, e);
    int rc = trainer_gauge_open(&g, f->trainer, e);
    if (rc)
        return rc;
    rc = measure_steps(f, first, &g, e);
    if (!rc)
        rc = trainer_plan(f->trainer, &g, e);
    trainer_gauge_close(&g);
    return rc;
}

/* What the encoder makes of the examples, once, where it makes the same of them in every step; but
 * not for a training that sees few of them. In batches that do not depend on the steps', so that a
 * training that goes on from a savepoint has the same. */
static int make_features(struct fit *f, struct err *e)
{
    const struct train_job *job = f->job;
    const struct eval_job encoded = {.peft = job->peft,
                                     .data = job->data,
                                     .index = job->index,
                                     .n = job->n,
                                     .theta = f->theta,
                                     .cancel = job->cancel};
    struct rows *features = job->features ? job->features : &f->own_features;
    if (f->steps < f->epoch_steps || !sweep_keeps_features(&encoded, true))
        return 0;
    int rc = features->x ? 0 : sweep_features(f->trainer, &encoded, features, e);
    f->features = rc ? NULL : features;
    return rc;
}

/* All steps from the first that is not done. */
static int run_steps(struct fit *f, struct err *e)
{
    const struct train_job *job = f->job;
    const uint32_t first = job->savepoint ? restore(f) : 0;
    int rc = make_features(f, e);
    if (!rc)
        rc = plan(f, first, e);
    for (uint32_t s = first; !rc && s < f->steps; s++) {
        bool stop = cancelled(f);
        if (job->savepoint && s > first && (stop || savepoint_due(job->savepoint)))
            save(f, s);
        if (stop)
            rc = err_set(e, ERR_STATE, "cancelled after %u of %u steps", s, f->steps);
        else
            rc = run_step(f, s, e);
        arena_release(&f->mem);
    }
    return rc;
}

int trainer_fit(struct trainer *t, const struct train_job *job, float *theta,
                struct train_result *r, struct err *e)
{
    struct fit f;
    double began = seconds_now();
    int rc = fit_open(&f, t, job, theta, e);
    f.began = began;
    if (!rc)
        rc = run_steps(&f, e);
    if (!rc) {
        leave(&f, job->state);
        memcpy(theta, f.theta, f.schema->count * sizeof *theta);
        *r = (struct train_result){.steps = f.steps,
                                   .loss = f.seen ? f.loss_sum / (double)f.seen : 0,
                                   .tokens = f.tokens,
                                   .seconds = seconds_now() - f.began - f.aside};
    }
    fit_close(&f);
    return rc;
}
