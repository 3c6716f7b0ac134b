/* Token classification through the trainer: against the plain definition, sentence by sentence, and
 * learning. */
#include "text/entities.h"
#include "text/pack.h"
#include "toy.h"
#include <criterion/criterion.h>
#include <math.h>

enum { TAGS = 3 };
static const char *const tag_name[TAGS] = {"O", "B-X", "I-X"};

/* Sentences of words of one or two tokens; yes-words begin an X, the word after one goes on. */
static void tag_sentences(struct toy *t)
{
    struct arena *mem = &t->data.mem;
    for (size_t i = 0; i < t->data.n; i++) {
        struct example *x = &t->data.example[i];
        int32_t *word = arena_calloc(mem, (size_t)x->n_tokens, sizeof *word);
        int32_t *tag = arena_calloc(mem, (size_t)x->n_tokens, sizeof *tag), n = 0;
        struct sentence *s = arena_calloc(mem, 1, sizeof *s);
        int32_t *id = (int32_t *)(uintptr_t)x->id;
        for (int32_t k = 0; k < x->n_tokens; k++) {
            word[k] = -1;
            if (k == 0 || k == x->n_tokens - 1 || (n > 0 && id[k] % 3 == 0))
                continue;
            bool begins = id[k] % 5 == 0;
            tag[n] = begins ? 1 : n > 0 && tag[n - 1] == 1 ? 2 : 0;
            id[k] = tag[n] == 2 ? TOY_NO : begins ? TOY_YES : id[k];
            word[k] = n++;
        }
        *s = (struct sentence){.tag = tag, .n = n};
        x->sentence = s;
        x->word = word;
        x->label = 0;
    }
    t->data.head = HEAD_TOKENS;
    t->data.n_labels = TAGS;
    t->data.label_name = tag_name;
}

static void tagger_open(struct toy *t, size_t n)
{
    struct err e;
    toy_open(t, n, 2, 0);
    tag_sentences(t);
    peft_close(t->peft);
    free(t->theta);
    toy_check(peft_open(&t->peft, t->model, &t->spec, &t->local, HEAD_TOKENS, TAGS, &e), &e);
    t->count = peft_schema(t->peft)->count;
    t->theta = malloc(t->count * sizeof *t->theta);
    peft_init(t->peft, 5, t->theta);
}

/* The logits of one sentence alone. */
struct single {
    const struct toy *toy;
    struct batch batch;
    float *logits;
};

static void run_single(struct tape *t, void *arg)
{
    const struct single *s = arg;
    struct val *logits = peft_logits(s->toy->peft, t, &s->batch, s->toy->theta, NULL);
    memcpy(s->logits, logits->x, (size_t)s->batch.tokens * TAGS * sizeof *s->logits);
}

static double row_loss(const float *logit, int32_t tag)
{
    double sum = 0;
    for (int c = 0; c < TAGS; c++)
        sum += exp((double)logit[c]);
    return log(sum) - logit[tag];
}

static int32_t largest(const float *logit)
{
    int32_t best = 0;
    for (int32_t c = 1; c < TAGS; c++)
        if (logit[c] > logit[best])
            best = c;
    return best;
}

struct plain {
    double loss;
    size_t words, right;
    struct match entity;
};

/* Adds what one sentence should count, from logits computed alone; compares them with `logits`. */
static void check_sentence(const struct toy *t, struct tape *tape, uint32_t k, const float *logits,
                           struct plain *p)
{
    const struct example *x = &t->data.example[k];
    float alone[TOY_POSITIONS * TAGS];
    struct packing packing;
    struct arena mem;
    struct err e;
    struct score score;
    struct entities entities;
    int32_t guess[TOY_POSITIONS], n = 0;
    arena_init(&mem, ARENA_NO_CAP);
    toy_check(pack_examples(&t->data, &k, 1, &t->model->cfg, &mem, &packing, &e), &e);
    struct single s = {t, packing.batch[0], alone};
    toy_check(tape_run(tape, false, rng_stream(0, 0, 0, RNG_TEST), run_single, &s, &e), &e);
    for (int32_t i = 0; i < x->n_tokens; i++) {
        for (int c = 0; c < TAGS; c++)
            cr_assert_float_eq(logits[i * TAGS + c], alone[i * TAGS + c], 1e-5);
        if (x->word[i] < 0)
            continue;
        guess[n] = largest(alone + (size_t)i * TAGS);
        p->loss += row_loss(alone + (size_t)i * TAGS, x->sentence->tag[n]);
        p->right += guess[n] == x->sentence->tag[n];
        n++;
    }
    cr_assert_eq(n, x->sentence->n);
    p->words += (size_t)n;
    toy_check(score_open(&score, TAGS, &e), &e);
    toy_check(entities_open(&entities, tag_name, TAGS, &e), &e);
    entities_score(&entities, x->sentence->tag, guess, (size_t)n, &score);
    p->entity.truth += score.entity[0].truth;
    p->entity.guess += score.entity[0].guess;
    p->entity.both += score.entity[0].both;
    entities_close(&entities);
    score_close(&score);
    arena_release(&mem);
}

Test(tagger, evaluates_as_the_plain_definition)
{
    static const uint32_t index[] = {31, 2, 17, 0, 38};
    struct toy t;
    struct trainer *trainer;
    struct tape *tape;
    struct score score;
    struct err e;
    struct plain p = {0};
    tagger_open(&t, 40);
    size_t rows = dataset_rows(&t.data, index, 5), row = 0;
    float *logits = malloc(rows * TAGS * sizeof *logits);
    int32_t *predicted = malloc(rows * sizeof *predicted);
    toy_check(trainer_open(&trainer, 2, NULL, &e), &e);
    toy_check(tape_open(&tape, 0, &e), &e);
    toy_check(
        trainer_eval(trainer,
                     &(struct eval_job){
                         .peft = t.peft, .data = &t.data, .index = index, .n = 5, .theta = t.theta},
                     &score, predicted, logits, &e),
        &e);
    for (size_t i = 0; i < 5; i++) {
        check_sentence(&t, tape, index[i], logits + row * TAGS, &p);
        row += (size_t)t.data.example[index[i]].n_tokens;
    }
    cr_assert_eq(row, rows);
    for (row = 0; row < rows; row++)
        cr_assert_eq(predicted[row], largest(logits + row * TAGS));
    cr_assert_eq(score.n, p.words);
    cr_assert_float_eq(score.loss_sum, p.loss, 1e-4 * (double)p.words);
    cr_assert_float_eq(score_value(&score, METRIC_ACCURACY), (double)p.right / (double)p.words,
                       1e-12);
    cr_assert_eq(score.entity[0].truth, p.entity.truth);
    cr_assert_eq(score.entity[0].guess, p.entity.guess);
    cr_assert_eq(score.entity[0].both, p.entity.both);
    score_close(&score);
    tape_close(tape);
    trainer_close(trainer);
    free(logits);
    free(predicted);
    toy_close(&t);
}

/* The loss of a step is the mean over the tagged tokens of the batch, so that before the first step
 * it is the evaluation's. */
static void expect_loss(const struct train_progress *p, void *ctx)
{
    const double *want = ctx;
    if (p->step == 1)
        cr_assert_float_eq(p->loss, *want, 1e-4, "%g, not %g", p->loss, *want);
}

Test(tagger, learns)
{
    struct toy t;
    struct trainer *trainer;
    struct score before, after;
    struct train_result r;
    struct err e;
    tagger_open(&t, 60);
    t.local.epochs = 60;
    t.local.batch_size = 60;
    t.local.lr = 0.02;
    toy_check(trainer_open(&trainer, 2, NULL, &e), &e);
    toy_check(trainer_eval(trainer,
                           &(struct eval_job){.peft = t.peft, .data = &t.data, .theta = t.theta},
                           &before, NULL, NULL, &e),
              &e);
    double loss = before.loss_sum / (double)before.n;
    struct train_job job = toy_job(&t);
    job.progress = expect_loss;
    job.ctx = &loss;
    toy_check(trainer_fit(trainer, &job, t.theta, &r, &e), &e);
    toy_check(trainer_eval(trainer,
                           &(struct eval_job){.peft = t.peft, .data = &t.data, .theta = t.theta},
                           &after, NULL, NULL, &e),
              &e);
    cr_assert_lt(after.loss_sum, before.loss_sum / 4);
    cr_assert_gt(score_value(&after, METRIC_ENTITY_F1), 0.95, "entity F1 %g",
                 score_value(&after, METRIC_ENTITY_F1));
    cr_assert_lt(score_value(&before, METRIC_ENTITY_F1), 0.6);
    score_close(&before);
    score_close(&after);
    trainer_close(trainer);
    toy_close(&t);
}

/* A sentence of which no word was kept trains nothing and breaks nothing. */
Test(tagger, nothing_to_score)
{
    struct toy t;
    struct trainer *trainer;
    struct score score;
    struct train_result r;
    struct err e;
    tagger_open(&t, 3);
    for (size_t i = 0; i < t.data.n; i++)
        for (int32_t k = 0; k < t.data.example[i].n_tokens; k++)
            ((int32_t *)(uintptr_t)t.data.example[i].word)[k] = -1;
    toy_check(trainer_open(&trainer, 1, NULL, &e), &e);
    struct train_job job = toy_job(&t);
    toy_check(trainer_fit(trainer, &job, t.theta, &r, &e), &e);
    cr_assert_eq(r.loss, 0);
    toy_check(trainer_eval(trainer,
                           &(struct eval_job){.peft = t.peft, .data = &t.data, .theta = t.theta},
                           &score, NULL, NULL, &e),
              &e);
    cr_assert_eq(score.n, 0);
    cr_assert_eq(score_value(&score, METRIC_ENTITY_F1), 0);
    score_close(&score);
    trainer_close(trainer);
    toy_close(&t);
}
