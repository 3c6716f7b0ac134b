#include "client/pretrain.h"
#include "client/checkpoint.h"
#include "client/fold.h"
#include "client/trainer_state.h"
#include "nn/optim.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* What the checkpoint holds besides parameters, moments and points. */
struct position {
    uint64_t step, tokens, n_points;
    double loss_sum; /* over masked tokens, since the last point */
    uint64_t masked;
};
enum { PARTS = 5 };

struct pretraining {
    struct trainer *trainer;
    const struct pretrain_job *job;
    const struct schema *schema;
    real *theta;
    struct optim optim;
    struct fold grad;
    struct gauge gauge; /* of all steps so far */
    struct position at;
    struct pretrain_point *point; /* room for all of the job */
    size_t max_points;
    uint32_t *order;      /* of the sequences in the present epoch */
    uint64_t epoch_steps; /* an epoch */
    uint32_t steps, before;
    uint64_t tokens; /* of this call */
    double seconds, saved;

    /* The step under way. */
    struct arena mem;
    struct packing packing;
    real scale; /* of the loss of a masked token */
    double *loss;
    struct err *error; /* of each micro-batch */
    struct rng dropout;
};

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* --- a step --------------------------------------------------------------------------------- */

struct forward {
    struct pretraining *p;
    size_t i;
    real *grad;
};

static void forward_backward(struct tape *t, void *arg)
{
    struct forward *f = arg;
    struct pretraining *p = f->p;
    const struct peft *peft = p->job->peft;
    const struct batch *b = &p->packing.batch[f->i];
    struct val *loss = peft_loss(peft, t, peft_logits(peft, t, b, p->theta, f->grad), b, p->scale);
    p->loss[f->i] = (double)loss->x[0];
    tape_backward(t, loss);
}

static void run_micro(void *ctx, unsigned worker, size_t i)
{
    struct pretraining *p = ctx;
    struct forward f = {p, i, fold_begin(&p->grad, i)};
    struct rng dropout = rng_child(&p->dropout, (uint32_t)i);
    if (tape_run(p->trainer->tape[worker], true, dropout, forward_backward, &f, &p->error[i]))
        p->loss[i] = 0;
    fold_end(&p->grad, i);
}

static uint64_t sequences_a_step(const struct pretrain_job *job)
{
    return (uint64_t)job->local->batch_size * job->local->accumulate;
}

static uint32_t epoch_of(const struct pretraining *p, uint64_t step)
{
    return (uint32_t)(step / p->epoch_steps);
}

static void begin_epoch(struct pretraining *p, uint32_t epoch)
{
    struct rng r = rng_stream(p->job->seed, epoch, 0, RNG_SHUFFLE);
    for (size_t i = 0; i < p->job->text->n_train; i++)
        p->order[i] = (uint32_t)i;
    rng_shuffle(&r, p->order, p->job->text->n_train);
}

/* The sequences of a step, masked, as micro-batches. */
static int gather(struct pretraining *p, uint64_t step, struct err *e)
{
    const struct pretrain_job *job = p->job;
    uint64_t most = sequences_a_step(job), at = step % p->epoch_steps * most;
    uint64_t left = job->text->n_train - at;
    int rc = pretrain_pack(job->text->train, p->order + at, left < most ? left : most, job->masking,
                           job->seed, epoch_of(p, step), &peft_model(job->peft)->cfg, &p->mem,
                           &p->packing, e);
    if (rc)
        return rc;
    size_t n = (size_t)p->packing.n;
    p->loss = arena_calloc(&p->mem, n, sizeof *p->loss);
    p->error = arena_calloc(&p->mem, n, sizeof *p->error);
    return p->loss && p->error ? 0 : err_set(e, ERR_NOMEM, "no memory for a batch");
}

/* Memory for this step's micro-batches, and for those before: workers do not come and go. */
static int plan(struct pretraining *p, struct err *e)
{
    int rc = 0;
    if (!trainer_gauges(p->trainer))
        return trainer_plan(p->trainer, NULL, e);
    for (size_t i = 0; !rc && i < (size_t)p->packing.n; i++) {
        struct forward f = {p, i, p->grad.sum};
        rc = trainer_gauge_add(&p->gauge, true, forward_backward, &f, e);
    }
    return rc ? rc : trainer_plan(p->trainer, &p->gauge, e);
}

/* Forward and backward through all micro-batches; the loss is the mean over masked tokens. */
static int differentiate(struct pretraining *p, double *loss, struct err *e)
{
    size_t n = (size_t)p->packing.n, masked = 0;
    for (size_t i = 0; i < n; i++) {
        masked += pack_scored(&p->packing.batch[i]);
        p->tokens += (uint64_t)p->packing.batch[i].tokens;
        p->at.tokens += (uint64_t)p->packing.batch[i].tokens;
    }
    p->scale = (real)(1 / (double)masked);
    fold_reset(&p->grad);
    crew_run(p->trainer->crew, n, run_micro, p);
    *loss = 0;
    for (size_t i = 0; i < n; i++) {
        if (p->error[i].code) {
            *e = p->error[i];
            return e->code;
        }
        *loss += p->loss[i];
    }
    p->at.loss_sum += *loss * (double)masked;
    p->at.masked += masked;
    return 0;
}

static int run_step(struct pretraining *p, struct pretrain_progress *done, struct err *e)
{
    uint64_t step = p->at.step;
    double began = seconds_now();
    struct rng dropout = rng_stream(p->job->seed, 0, 0, RNG_DROPOUT);
    p->dropout = rng_child(&dropout, (uint32_t)step);
    if (step % p->epoch_steps == 0)
        begin_epoch(p, epoch_of(p, step));
    int rc = gather(p, step, e);
    if (!rc)
        rc = plan(p, e);
    if (!rc)
        rc = differentiate(p, &done->loss, e);
    arena_release(&p->mem);
    if (rc)
        return err_wrap(e, "step %llu of %u", (unsigned long long)step + 1, p->steps);
    done->lr = lr_at(p->job->local, step, p->steps);
    real norm = optim_step(&p->optim, p->theta, p->grad.sum, (real)done->lr);
    if (!isfinite(done->loss) || !isfinite(norm))
        return err_set(e, ERR_CONFIG, "step %llu of %u: the loss is not finite: lower local.lr",
                       (unsigned long long)step + 1, p->steps);
    p->at.step++;
    p->seconds += seconds_now() - began;
    return 0;
}

/* --- between steps --------------------------------------------------------------------------- */

static bool is_point(const struct pretraining *p)
{
    uint32_t every = p->job->evaluate_every;
    return p->at.step == p->steps || (every > 0 && p->at.step % every == 0);
}

static int add_point(struct pretraining *p, struct err *e)
{
    struct position *at = &p->at;
    struct pretrain_point found = {
        .step = at->step, .tokens = at->tokens, .train_loss = at->loss_sum / (double)at->masked};
    int rc = 0;
    if (p->job->text->n_held_out > 0)
        rc = pretrain_evaluate(p->trainer, p->job, p->theta, &found.loss, &found.accuracy, e);
    if (rc)
        return rc;
    p->point[at->n_points++] = found;
    at->loss_sum = 0;
    at->masked = 0;
    return 0;
}

/* In the order of the file; returns how many. */
static size_t list_parts(struct pretraining *p, struct checkpoint_part part[PARTS])
{
    size_t bytes = p->schema->count * sizeof *p->theta;
    part[0] = (struct checkpoint_part){&p->at, sizeof p->at};
    part[1] = (struct checkpoint_part){p->point, p->max_points * sizeof *p->point};
    part[2] = (struct checkpoint_part){p->theta, bytes};
    part[3] = (struct checkpoint_part){p->optim.m, bytes};
    part[4] = (struct checkpoint_part){p->optim.v, bytes};
    return p->optim.m ? PARTS : 3;
}

static int save(struct pretraining *p, struct err *e)
{
    struct checkpoint_part part[PARTS];
    size_t n = list_parts(p, part);
    p->saved = seconds_now();
    return checkpoint_write(p->job->checkpoint, p->job->settings, part, n, e);
}

static int resume(struct pretraining *p, struct err *e)
{
    struct checkpoint_part part[PARTS];
    bool found = false;
    size_t n = list_parts(p, part);
    int rc = checkpoint_read(p->job->checkpoint, p->job->settings, part, n, &found, e);
    if (rc)
        return rc;
    p->optim.step = (uint32_t)p->at.step;
    p->before = p->optim.step;
    if (p->at.step % p->epoch_steps != 0)
        begin_epoch(p, epoch_of(p, p->at.step));
    return 0;
}

/* One step, and what is due after it. */
static int advance(struct pretraining *p, struct err *e)
{
    struct pretrain_progress done = {.steps = p->steps, .done_before = p->before};
    int rc = run_step(p, &done, e);
    if (!rc && is_point(p)) {
        rc = add_point(p, e);
        done.point = &p->point[p->at.n_points - 1];
    }
    if (rc)
        return rc;
    done.step = (uint32_t)p->at.step;
    done.tokens = p->tokens;
    done.seconds = p->seconds;
    bool stop = p->job->progress && !p->job->progress(&done, p->job->ctx);
    bool last = p->at.step == p->steps;
    if (stop || last || seconds_now() - p->saved >= p->job->checkpoint_every)
        rc = save(p, e);
    if (!rc && stop && !last)
        rc = err_set(e, ERR_STATE,
                     "stopped after step %u of %u: the same command goes on from there", done.step,
                     p->steps);
    return rc;
}

/* --- a job ----------------------------------------------------------------------------------- */

static int count_steps(struct pretraining *p, struct err *e)
{
    const struct local_spec *local = p->job->local;
    uint64_t a_step = sequences_a_step(p->job);
    p->epoch_steps = (p->job->text->n_train + a_step - 1) / a_step;
    uint64_t steps = local->steps ? local->steps : p->epoch_steps * local->epochs;
    if (steps > UINT32_MAX)
        return err_set(e, ERR_CONFIG, "local.epochs: %u epochs are too many steps", local->epochs);
    p->steps = (uint32_t)steps;
    p->max_points = 1 + (p->job->evaluate_every ? steps / p->job->evaluate_every : 0);
    return 0;
}

static int pretraining_open(struct pretraining *p, struct err *e)
{
    arena_init(&p->mem, ARENA_NO_CAP);
    int rc = count_steps(p, e);
    if (!rc)
        rc = optim_open(&p->optim, p->schema, p->job->local, e);
    if (!rc)
        rc = trainer_gauges(p->trainer) ? trainer_gauge_open(&p->gauge, p->trainer, e) : 0;
    if (!rc)
        rc = fold_open(&p->grad, p->schema->count, p->trainer->most, e);
    if (rc)
        return rc;
    p->order = malloc(p->job->text->n_train * sizeof *p->order);
    p->point = calloc(p->max_points, sizeof *p->point);
    if (!p->order || !p->point)
        return err_set(e, ERR_NOMEM, "no memory for the order of %zu sequences",
                       p->job->text->n_train);
    p->saved = seconds_now();
    return resume(p, e);
}

static void pretraining_close(struct pretraining *p)
{
    optim_close(&p->optim);
    fold_close(&p->grad);
    trainer_gauge_close(&p->gauge);
    free(p->order);
    free(p->point);
    arena_release(&p->mem);
}

int pretrain_run(struct trainer *t, const struct pretrain_job *job, float *theta,
                 struct pretrain_result *r, struct err *e)
{
    struct pretraining p = {
        .trainer = t, .job = job, .schema = peft_schema(job->peft), .theta = theta};
    int rc = pretraining_open(&p, e);
    while (!rc && p.at.step < p.steps)
        rc = advance(&p, e);
    if (!rc) {
        *r = (struct pretrain_result){.steps = p.steps,
                                      .tokens = p.at.tokens,
                                      .call_tokens = p.tokens,
                                      .seconds = p.seconds,
                                      .point = p.point,
                                      .n_points = p.at.n_points};
        p.point = NULL;
    }
    pretraining_close(&p);
    return rc;
}
