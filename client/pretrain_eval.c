#include "client/pretrain.h"
#include "client/trainer_state.h"

enum { AT_ONCE = 64 };   /* sequences packed together */
#define EPOCH UINT32_MAX /* of the masks' streams: no epoch of a training has this number */

/* Some held-out sequences, being scored. */
struct scoring {
    struct trainer *trainer;
    const struct peft *peft;
    const real *theta;
    struct packing packing;
    struct micro_score {
        double loss;
        uint64_t masked, right;
        struct err error;
    } * of; /* each micro-batch */
};

static int best(const real *logits, int n)
{
    int top = 0;
    for (int c = 1; c < n; c++)
        if (logits[c] > logits[top])
            top = c;
    return top;
}

static void score(struct tape *t, void *arg)
{
    const struct micro_batch *m = arg;
    const struct scoring *s = m->of;
    const struct batch *b = &s->packing.batch[m->i];
    struct micro_score *out = &s->of[m->i];
    struct val *logits = peft_logits(s->peft, t, b, s->theta, NULL);
    struct val *loss = peft_loss(s->peft, t, logits, b, 1);
    out->loss = (double)loss->x[0];
    out->masked = out->right = 0;
    for (int i = 0; i < b->tokens; i++) {
        if (b->tag[i] < 0)
            continue;
        const real *row = logits->x + out->masked++ * (size_t)logits->cols;
        out->right += best(row, logits->cols) == b->tag[i];
    }
}

static void score_micro(void *ctx, unsigned worker, size_t i)
{
    struct scoring *s = ctx;
    struct micro_batch m = {s, i};
    struct rng none = rng_stream(0, 0, 0, RNG_DROPOUT);
    if (tape_run(s->trainer->tape[worker], false, none, score, &m, &s->of[i].error))
        s->of[i].masked = 0;
}

static int measure(void *scoring, struct gauge *g, struct err *e)
{
    struct scoring *s = scoring;
    return trainer_gauge_forward(g, score, s, (size_t)s->packing.n, e);
}

static int score_some(struct scoring *s, const struct pretrain_job *job, const uint32_t *index,
                      size_t n, struct micro_score *sum, struct arena *mem, struct err *e)
{
    int rc = pretrain_pack(job->text->held_out, index, n, job->masking, 0, EPOCH,
                           &peft_model(s->peft)->cfg, mem, &s->packing, e);
    if (rc)
        return rc;
    size_t n_micro = (size_t)s->packing.n;
    s->of = arena_calloc(mem, n_micro, sizeof *s->of);
    if (!s->of)
        return err_set(e, ERR_NOMEM, "no memory to score a batch");
    if (s->trainer->memory.limit)
        rc = trainer_plan_forward(s->trainer, measure, s, e);
    if (rc)
        return rc;
    crew_run(s->trainer->crew, n_micro, score_micro, s);
    for (size_t i = 0; i < n_micro; i++) {
        if (s->of[i].error.code) {
            *e = s->of[i].error;
            return e->code;
        }
        sum->loss += s->of[i].loss;
        sum->masked += s->of[i].masked;
        sum->right += s->of[i].right;
    }
    return 0;
}

int pretrain_evaluate(struct trainer *t, const struct pretrain_job *job, const float *theta,
                      double *loss, double *accuracy, struct err *e)
{
    struct scoring s = {.trainer = t, .peft = job->peft, .theta = theta};
    struct micro_score sum = {0};
    struct arena mem;
    size_t all = job->text->n_held_out;
    int rc = 0;
    arena_init(&mem, ARENA_NO_CAP);
    for (size_t at = 0; at < all && !rc; at += AT_ONCE) {
        uint32_t index[AT_ONCE];
        size_t n = all - at < AT_ONCE ? all - at : AT_ONCE;
        for (size_t i = 0; i < n; i++)
            index[i] = (uint32_t)(at + i);
        rc = score_some(&s, job, index, n, &sum, &mem, e);
        arena_release(&mem);
    }
    if (rc)
        return rc;
    *loss = sum.loss / (double)sum.masked;
    *accuracy = (double)sum.right / (double)sum.masked;
    return 0;
}
