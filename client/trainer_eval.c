#include "client/sweep.h"
#include "client/train.h"
#include "text/entities.h"
#include <math.h>
#include <stdlib.h>

struct evaluation {
    const struct eval_job *job;
    uint32_t labels;
    size_t n;
    struct rows logits;
};

static uint32_t example_at(const struct evaluation *v, size_t i)
{
    return v->job->index ? v->job->index[i] : (uint32_t)i;
}

/* The i-th of the list. */
static const struct example *example(const struct evaluation *v, size_t i)
{
    return &v->job->data->example[example_at(v, i)];
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
    const float *logit = v->logits.x + row * v->labels;
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
        guess[n++] = best_class(v->logits.x + (row + (size_t)i) * v->labels, v->labels);
        add_class(v, row + (size_t)i, example_tag(x, i), score);
    }
    entities_score(entities, tag, guess, n, score);
}

static int add_sentences(const struct evaluation *v, struct score *score, struct err *e)
{
    struct entities entities;
    int rc = entities_open(&entities, v->job->data->label_name, v->labels, e);
    if (rc)
        return rc;
    int32_t *tag = malloc((2 * v->logits.n + 1) * sizeof *tag);
    if (!tag)
        rc = err_set(e, ERR_NOMEM, "out of memory for %zu tags", v->logits.n);
    for (size_t i = 0; !rc && i < v->n; i++)
        add_sentence(v, example(v, i), v->logits.first[example_at(v, i)], &entities, tag, score);
    free(tag);
    entities_close(&entities);
    return rc;
}

static int add_values(const struct evaluation *v, struct score *score, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < v->n; i++)
        rc = score_add_value(score, example(v, i)->target, v->logits.x[i], e);
    return rc;
}

static int tally(const struct evaluation *v, struct score *out, struct err *e)
{
    struct score score;
    int rc = score_open(&score, v->labels, e);
    if (rc)
        return rc;
    if (v->job->data->head == HEAD_TOKENS)
        rc = add_sentences(v, &score, e);
    else if (v->labels == 1)
        rc = add_values(v, &score, e);
    else
        for (size_t i = 0; i < v->n; i++)
            add_class(v, i, example(v, i)->label, &score);
    if (!rc)
        *out = score;
    else
        score_close(&score);
    return rc;
}

/* Once for all evaluations of the same examples, where that is possible. */
static int keep_features(struct trainer *t, const struct eval_job *job, struct err *e)
{
    if (!job->features || job->features->x || !sweep_keeps_features(job, false))
        return 0;
    return sweep_features(t, job, job->features, e);
}

int trainer_eval(struct trainer *t, const struct eval_job *job, struct score *score,
                 int32_t *predicted, float *logits, struct err *e)
{
    struct evaluation v = {.job = job,
                           .labels = peft_labels(job->peft),
                           .n = job->index ? job->n : job->data->n,
                           .logits.x = logits};
    if (v.n == 0)
        return err_set(e, ERR_DATA, "no examples to evaluate");
    int rc = keep_features(t, job, e);
    if (!rc)
        rc = sweep_logits(t, job, &v.logits, e);
    for (size_t i = 0; !rc && predicted && i < v.logits.n; i++)
        predicted[i] = guess_of(&v, v.logits.x + i * v.labels);
    if (!rc && score)
        rc = tally(&v, score, e);
    if (logits)
        v.logits.x = NULL; /* the caller's */
    sweep_release(&v.logits);
    return rc;
}
