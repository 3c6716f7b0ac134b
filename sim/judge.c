#include "sim/judge.h"
#include <stdlib.h>

static int evaluate(struct judge *j, const struct dataset *d, const float *theta,
                    struct score *score, int32_t *predicted, struct err *e)
{
    const bool dev = d == j->setup->dev;
    const struct eval_job job = {.peft = j->setup->peft,
                                 .data = d,
                                 .theta = theta,
                                 .features = dev ? &j->dev_features : &j->valid_features};
    return trainer_eval(j->trainer, &job, score, predicted, NULL, e);
}

static bool has_classes(const struct dataset *d)
{
    return d->head == HEAD_SEQUENCE && d->n_labels > 1;
}

static void forget(struct judge *j)
{
    score_close(&j->score);
    j->scored = (struct hash){0};
}

/* Has j->score and j->predicted say what theta is worth. */
static int score_dev(struct judge *j, const float *theta, struct err *e)
{
    const struct hash h = hash_of(theta, peft_schema(j->setup->peft)->count * sizeof *theta);
    if (hash_same(&h, &j->scored))
        return 0;
    forget(j);
    int rc = evaluate(j, j->setup->dev, theta, &j->score, j->predicted, e);
    if (!rc)
        j->scored = h;
    return rc;
}

static double loss_of(const struct score *s)
{
    return s->n ? s->loss_sum / (double)s->n : 0;
}

int judge_value(struct judge *j, const float *theta, double *value, double *loss, struct err *e)
{
    int rc = score_dev(j, theta, e);
    if (rc)
        return rc;
    *value = score_value(&j->score, j->setup->metric);
    *loss = loss_of(&j->score);
    return 0;
}

static int score_valid(struct judge *j, const float *theta, double *value, double *loss,
                       struct err *e)
{
    struct score score;
    int rc = evaluate(j, j->setup->valid, theta, &score, NULL, e);
    if (rc)
        return rc;
    *value = score_value(&score, j->setup->metric);
    *loss = loss_of(&score);
    score_close(&score);
    return 0;
}

int judge_open(struct judge *j, const struct setup *s, struct report *r, unsigned threads,
               const struct memory *memory, bool counted, const float *theta, struct err *e)
{
    *j = (struct judge){.setup = s, .report = r, .counted = counted};
    double value, loss;
    int rc = trainer_open(&j->trainer, threads, memory, e);
    if (!rc && has_classes(s->dev) &&
        !(j->predicted = malloc((s->dev->n + 1) * sizeof *j->predicted)))
        rc = err_set(e, ERR_NOMEM, "no memory for %zu predictions", s->dev->n);
    if (!rc && has_classes(s->dev))
        rc = partition_share(&j->shares, s->dev, &s->partition, s->train, s->x.spec.federation.seed,
                             e);
    if (!rc)
        rc = judge_value(j, theta, &value, &loss, e);
    if (rc)
        judge_close(j);
    else
        report_start(r, value);
    return rc;
}

void judge_close(struct judge *j)
{
    partition_close(&j->shares);
    forget(j);
    free(j->predicted);
    j->predicted = NULL;
    trainer_close(j->trainer);
    sweep_release(&j->dev_features);
    sweep_release(&j->valid_features);
    j->trainer = NULL;
}

int judge_record(struct judge *j, struct round_record *record, uint32_t units, const float *theta,
                 struct err *e)
{
    const struct setup *s = j->setup;
    int rc = 0;
    if (record->round % s->x.spec.federation.evaluate_every == 0 || record->round == units) {
        rc = judge_value(j, theta, &record->value, &record->eval_loss, e);
        record->scored = true;
        if (!rc && s->valid) {
            rc = score_valid(j, theta, &record->valid, &record->valid_loss, e);
            record->validated = true;
        }
    }
    if (rc)
        return rc;
    j->rounds = record->round;
    if (record->validated)
        best_enter(&j->best, record->round - 1, record->valid, metric_lower_is_better(s->metric));
    return report_round(j->report, record, e);
}

int judge_round(struct judge *j, const struct core_commit *c, double *score, struct err *e)
{
    double up = 0, down = 0;
    for (size_t i = 0; i < c->n; i++) {
        up += (double)c->contribution[i].bytes_up / (double)c->n;
        down += (double)c->contribution[i].bytes_down / (double)c->n;
    }
    struct round_record record = {.round = c->round + 1,
                                  .selected = c->selected,
                                  .updates = (uint32_t)c->n,
                                  .refused = c->refused,
                                  .samples = c->samples,
                                  .train_loss = c->train_loss,
                                  .counted = j->counted,
                                  .bytes_up = up,
                                  .bytes_down = down,
                                  .hash = c->hash};
    int rc = judge_record(j, &record, j->setup->x.spec.federation.rounds, c->params, e);
    if (!rc && record.validated)
        *score = record.valid;
    return rc;
}

/* --- the result --- */

static int compare_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int score_clients(const struct judge *j, struct client_scores *out, struct err *e)
{
    const struct partition *p = &j->shares;
    double *accuracy = calloc(p->clients, sizeof *accuracy), sum = 0;
    uint32_t n = 0;
    if (!accuracy)
        return err_set(e, ERR_NOMEM, "no memory for the scores of %u clients", p->clients);
    for (uint32_t k = 0; k < p->clients; k++) {
        size_t size = p->off[k + 1] - p->off[k], right = 0;
        for (size_t i = p->off[k]; i < p->off[k + 1]; i++)
            right += j->predicted[p->index[i]] == j->setup->dev->example[p->index[i]].label;
        if (size > 0)
            sum += accuracy[n++] = (double)right / (double)size;
    }
    qsort(accuracy, n, sizeof *accuracy, compare_double);
    if (n > 0)
        *out = (struct client_scores){
            .clients = n, .worst = accuracy[0], .tenth = accuracy[(n - 1) / 10], .mean = sum / n};
    free(accuracy);
    return 0;
}

static int score_result(struct judge *j, const float *theta, struct result_record *out,
                        struct err *e)
{
    const struct dataset *dev = j->setup->dev;
    int rc = judge_value(j, theta, &out->value, &out->loss, e);
    if (rc)
        return rc;
    out->score = j->score.n_labels > 1 ? &j->score : NULL;
    out->label_name = dev->label_name;
    return has_classes(dev) ? score_clients(j, &out->clients, e) : 0;
}

int judge_result(struct judge *j, const float *theta, bool best, bool json, struct err *e)
{
    double loss;
    struct result_record result = {
        .round = best && j->best.any ? j->best.round + 1 : j->rounds,
        .hash = tensorset_hash(peft_schema(j->setup->peft), theta),
    };
    int rc = score_result(j, theta, &result, e);
    if (!rc && j->setup->valid) {
        rc = score_valid(j, theta, &result.valid, &loss, e);
        result.validated = true;
    }
    if (!rc)
        rc = report_finish(j->report, &result, json, e);
    return rc;
}
