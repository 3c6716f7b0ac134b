#include "sim/baseline.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"federated", "centralized", "local"};

bool baseline_parse(const char *name, enum baseline_kind *out)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i], name) == 0) {
            *out = (enum baseline_kind)i;
            return true;
        }
    }
    return false;
}

const char *baseline_name(enum baseline_kind kind)
{
    return names[kind];
}

uint32_t baseline_epochs(const struct baseline *b, const struct run_spec *spec)
{
    const struct federation_spec *f = &spec->federation;
    double passes = (double)f->rounds * f->per_round / f->clients * spec->local.epochs;
    return b->epochs ? b->epochs : (uint32_t)fmax(1, round(passes));
}

/* The local training of a baseline: its own length, and nothing that only a federation has. */
static struct local_spec baseline_local(const struct baseline *b, const struct run_spec *spec)
{
    const struct federation_spec *f = &spec->federation;
    struct local_spec local = spec->local;
    local.epochs = baseline_epochs(b, spec);
    if (b->epochs)
        local.steps = 0;
    if (local.steps) {
        double trainings = (double)f->rounds * f->per_round;
        if (b->kind == BASELINE_LOCAL)
            trainings /= f->clients;
        local.steps = (uint32_t)fmin(fmax(1, round(trainings * local.steps)), 1e9);
    }
    return local;
}

uint32_t baseline_units(const struct baseline *b, const struct setup *s)
{
    const struct local_spec local = baseline_local(b, &s->x.spec);
    if (b->kind == BASELINE_CENTRALIZED)
        return local.steps ? 1 : local.epochs;
    return b->clients && b->clients < s->partition.clients ? b->clients : s->partition.clients;
}

/* --- centralised --- */

struct central {
    struct judge *judge;
    uint32_t epochs;
    float *best; /* parameters of the best epoch; NULL: the last one's are the result */
    struct err error;
    atomic_bool stop;
    const atomic_bool *cancel;
};

static void on_step(const struct train_progress *p, void *ctx)
{
    struct central *c = ctx;
    const struct setup *s = c->judge->setup;
    const struct schema *schema = peft_schema(s->peft);
    if (c->cancel && atomic_load(c->cancel))
        atomic_store(&c->stop, true);
    uint32_t each = p->steps / c->epochs; /* steps of an epoch */
    report_progress(c->judge->report, p->epoch, p->step - p->epoch * each, each);
    if (!p->epoch_end || atomic_load(&c->stop))
        return;
    struct round_record record = {.round = p->epoch + 1,
                                  .samples = s->train->n,
                                  .train_loss = p->loss,
                                  .hash = tensorset_hash(schema, p->theta)};
    if (judge_record(c->judge, &record, c->epochs, p->theta, &c->error)) {
        atomic_store(&c->stop, true);
        return;
    }
    if (c->best && record.validated && c->judge->best.round + 1 == record.round)
        memcpy(c->best, p->theta, schema->count * sizeof *c->best);
    if (best_stale(&c->judge->best, s->x.spec.federation.patience))
        atomic_store(&c->stop, true);
}

/* A fit that was stopped leaves theta untouched: with patience the best parameters stand in. */
static int settle(const struct central *c, int rc, float *theta, size_t count, struct err *e)
{
    if (c->error.code) {
        *e = c->error;
        return e->code;
    }
    if (c->cancel && atomic_load(c->cancel))
        return err_set(e, ERR_STATE, "interrupted");
    if (rc && !atomic_load(&c->stop))
        return rc;
    if (c->best && c->judge->best.any)
        memcpy(theta, c->best, count * sizeof *theta);
    return 0;
}

static int run_centralized(const struct baseline_config *b, struct judge *judge, float *theta,
                           struct err *e)
{
    const struct setup *s = b->setup;
    const struct federation_spec *f = &s->x.spec.federation;
    const struct local_spec local = baseline_local(b->baseline, &s->x.spec);
    size_t count = peft_schema(s->peft)->count;
    struct central c = {.judge = judge,
                        .epochs = baseline_units(b->baseline, s),
                        .best = f->best || f->patience ? malloc(count * sizeof *c.best) : NULL,
                        .cancel = b->cancel};
    const struct train_job job = {.peft = s->peft,
                                  .data = s->train,
                                  .n = s->train->n,
                                  .local = &local,
                                  .seed = f->seed,
                                  .progress = on_step,
                                  .ctx = &c,
                                  .cancel = &c.stop};
    struct train_result r;
    if ((f->best || f->patience) && !c.best)
        return err_set(e, ERR_NOMEM, "no memory for %zu parameters", count);
    int rc = settle(&c, trainer_fit(judge->trainer, &job, theta, &r, e), theta, count, e);
    free(c.best);
    return rc;
}

/* --- each client alone --- */

struct local_score {
    double value, loss; /* of a client's model on the test set */
};

static int run_client(const struct baseline_config *b, struct judge *judge, uint32_t k,
                      const float *initial, float *theta, struct local_score *score, struct err *e)
{
    const struct setup *s = b->setup;
    const struct schema *schema = peft_schema(s->peft);
    const struct partition *p = &s->partition;
    const struct local_spec local = baseline_local(b->baseline, &s->x.spec);
    const struct train_job job = {.peft = s->peft,
                                  .data = s->train,
                                  .index = p->index + p->off[k],
                                  .n = p->off[k + 1] - p->off[k],
                                  .local = &local,
                                  .seed = s->x.spec.federation.seed,
                                  .client = k,
                                  .cancel = b->cancel};
    struct train_result r;
    memcpy(theta, initial, schema->count * sizeof *theta);
    int rc = trainer_fit(judge->trainer, &job, theta, &r, e);
    if (!rc)
        rc = judge_value(judge, theta, &score->value, &score->loss, e);
    if (rc)
        return err_wrap(e, "client %u", k);
    struct round_record record = {.round = k + 1,
                                  .samples = job.n,
                                  .train_loss = r.loss,
                                  .scored = true,
                                  .value = score->value,
                                  .eval_loss = score->loss,
                                  .hash = tensorset_hash(schema, theta)};
    return report_round(judge->report, &record, e);
}

static int compare_score(const void *a, const void *b)
{
    double x = ((const struct local_score *)a)->value, y = ((const struct local_score *)b)->value;
    return (x > y) - (x < y);
}

static void summarise(struct local_score *score, uint32_t n, bool low, struct result_record *out)
{
    qsort(score, n, sizeof *score, compare_score);
    uint32_t tenth = (n - 1) / 10;
    out->models = (struct client_scores){.clients = n,
                                         .worst = score[low ? n - 1 : 0].value,
                                         .tenth = score[low ? n - 1 - tenth : tenth].value};
    for (uint32_t k = 0; k < n; k++) {
        out->models.mean += score[k].value / n;
        out->loss += score[k].loss / n;
    }
    out->value = out->models.mean;
}

static int run_local(const struct baseline_config *b, struct judge *judge, const float *initial,
                     bool json, struct err *e)
{
    const struct setup *s = b->setup;
    uint32_t n = baseline_units(b->baseline, s);
    float *theta = malloc(peft_schema(s->peft)->count * sizeof *theta);
    struct local_score *score = calloc(n, sizeof *score);
    struct result_record result = {.round = n,
                                   .hash = tensorset_hash(peft_schema(s->peft), initial)};
    int rc = theta && score ? 0 : err_set(e, ERR_NOMEM, "no memory for %u clients' scores", n);
    for (uint32_t k = 0; !rc && k < n; k++) {
        rc = run_client(b, judge, k, initial, theta, &score[k], e);
        report_progress(judge->report, k, 1, 1);
    }
    if (!rc) {
        summarise(score, n, metric_lower_is_better(s->metric), &result);
        rc = report_finish(judge->report, &result, json, e);
    }
    free(score);
    free(theta);
    return rc;
}

int baseline_run(const struct baseline_config *b, struct judge *judge, float *theta, bool json,
                 struct err *e)
{
    const struct federation_spec *f = &b->setup->x.spec.federation;
    if (b->baseline->kind == BASELINE_LOCAL)
        return run_local(b, judge, theta, json, e);
    int rc = run_centralized(b, judge, theta, e);
    return rc ? rc : judge_result(judge, theta, f->best || f->patience, json, e);
}
