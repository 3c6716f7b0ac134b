#include "sim/judge.h"

static int score_theta(struct judge *j, const float *theta, struct score *score, struct err *e)
{
    *score = (struct score){0};
    return trainer_eval(j->trainer, j->setup->peft, j->setup->dev, NULL, j->setup->dev->n, theta,
                        score, NULL, NULL, e);
}

int judge_open(struct judge *j, const struct setup *s, struct report *r, unsigned threads,
               size_t memory_limit, bool counted, const float *theta, struct err *e)
{
    *j = (struct judge){.setup = s, .report = r, .counted = counted};
    struct score score;
    int rc = trainer_open(&j->trainer, threads, memory_limit, e);
    if (!rc)
        rc = score_theta(j, theta, &score, e);
    if (rc)
        judge_close(j);
    else
        report_start(r, score_value(&score, s->metric));
    return rc;
}

void judge_close(struct judge *j)
{
    trainer_close(j->trainer);
    j->trainer = NULL;
}

int judge_round(struct judge *j, const struct core_commit *c, struct err *e)
{
    struct score score;
    int rc = score_theta(j, c->params, &score, e);
    if (rc)
        return rc;
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
                                  .value = score_value(&score, j->setup->metric),
                                  .eval_loss = score.n ? score.loss_sum / (double)score.n : 0,
                                  .counted = j->counted,
                                  .bytes_up = up,
                                  .bytes_down = down,
                                  .hash = c->hash};
    return report_round(j->report, &record, e);
}
