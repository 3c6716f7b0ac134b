/* Training and evaluation against a plain loop, and the promises of train.h. */
#include "nn/optim.h"
#include "tests/client/toy.h"
#include <criterion/criterion.h>
#include <math.h>

static struct toy toy;

static void fini(void)
{
    toy_close(&toy);
}

TestSuite(trainer, .fini = fini);

static struct trainer *open_trainer(unsigned threads)
{
    struct trainer *t;
    struct err e;
    cr_assert_eq(trainer_open(&t, threads, NULL, &e), 0, "%s", e.text);
    return t;
}

static int score_all(struct trainer *t, const float *theta, struct score *score, struct err *e)
{
    const struct eval_job job = {.peft = toy.peft, .data = &toy.data, .theta = theta};
    return trainer_eval(t, &job, score, NULL, NULL, e);
}

/* --- the reference: one tape, a whole batch at once ----------------------------------------- */

struct reference {
    const struct toy *toy;
    struct batch batch;
    float *theta, *grad;
    float scale, loss;
};

static void reference_step(struct tape *t, void *arg)
{
    struct reference *r = arg;
    struct val *logits = peft_logits(r->toy->peft, t, &r->batch, r->theta, r->grad);
    struct val *loss = peft_loss(r->toy->peft, t, logits, &r->batch, r->scale);
    r->loss = loss->x[0];
    tape_backward(t, loss);
}

/* Examples index[0..n) in one batch; memory of `mem`. */
static struct batch one_batch(const struct toy *t, const uint32_t *index, size_t n,
                              struct arena *mem)
{
    int32_t *off = arena_calloc(mem, n + 1, sizeof *off), total = 0;
    for (size_t s = 0; s < n; s++)
        off[s + 1] = total += t->data.example[index[s]].n_tokens;
    int32_t *id = arena_calloc(mem, (size_t)total, sizeof *id);
    int32_t *type = arena_calloc(mem, (size_t)total, sizeof *type);
    int32_t *pos = arena_calloc(mem, (size_t)total, sizeof *pos);
    int32_t *label = arena_calloc(mem, n, sizeof *label);
    float *target = arena_calloc(mem, n, sizeof *target);
    for (size_t s = 0; s < n; s++) {
        const struct example *x = &t->data.example[index[s]];
        for (int32_t k = 0; k < x->n_tokens; k++) {
            id[off[s] + k] = x->id[k];
            pos[off[s] + k] = k;
        }
        label[s] = x->label;
        target[s] = x->target;
    }
    return (struct batch){.n = (int)n,
                          .tokens = total,
                          .off = off,
                          .id = id,
                          .type = type,
                          .pos = pos,
                          .label = label,
                          .target = target};
}

/* Trains without dropout; the order of examples is the contract of the shuffle stream. */
static float *reference_fit(const struct toy *t, const struct train_job *job, double *loss)
{
    const struct local_spec *l = job->local;
    size_t n = job->index ? job->n : t->data.n;
    size_t batches = (n + l->batch_size - 1) / l->batch_size;
    size_t per_epoch = (batches + l->accumulate - 1) / l->accumulate, step = 0;
    size_t steps = l->steps ? l->steps : per_epoch * l->epochs;
    struct reference r = {.toy = t,
                          .theta = malloc(t->count * sizeof(float)),
                          .grad = malloc(t->count * sizeof(float))};
    struct rng shuffle = rng_stream(job->seed, job->round, job->client, RNG_SHUFFLE);
    struct optim optim;
    struct tape *tape;
    struct err e;
    double sum = 0, seen = 0;
    memcpy(r.theta, t->theta, t->count * sizeof(float));
    cr_assert_eq(optim_open(&optim, peft_schema(t->peft), l, &e), 0);
    cr_assert_eq(tape_open(&tape, 0, &e), 0);
    uint32_t *order = malloc(n * sizeof *order);
    for (uint32_t epoch = 0; step < steps; epoch++) {
        struct rng child = rng_child(&shuffle, epoch);
        for (size_t i = 0; i < n; i++)
            order[i] = job->index ? job->index[i] : (uint32_t)i;
        rng_shuffle(&child, order, n);
        for (size_t g = 0; g < per_epoch && step < steps; g++, step++) {
            size_t first = g * l->accumulate, last = first + l->accumulate;
            last = last < batches ? last : batches;
            memset(r.grad, 0, t->count * sizeof(float));
            for (size_t b = first; b < last; b++) {
                size_t at = b * l->batch_size;
                size_t m = n - at < l->batch_size ? n - at : l->batch_size;
                struct arena mem;
                arena_init(&mem, ARENA_NO_CAP);
                r.batch = one_batch(t, order + at, m, &mem);
                r.scale = 1.0f / (float)((last - first) * m);
                cr_assert_eq(tape_run(tape, true, shuffle, reference_step, &r, &e), 0);
                sum += r.loss / r.scale;
                seen += (double)m;
                arena_release(&mem);
            }
            optim_step(&optim, r.theta, r.grad, (float)lr_at(l, (uint32_t)step, (uint32_t)steps));
        }
    }
    *loss = sum / seen;
    optim_close(&optim);
    tape_close(tape);
    free(order);
    free(r.grad);
    return r.theta;
}

static void compare_with_reference(const struct train_job *job, unsigned threads)
{
    struct train_result r;
    double loss, worst = 0;
    float *expected = reference_fit(&toy, job, &loss), *theta = toy_fit(&toy, job, threads, &r);
    for (size_t i = 0; i < toy.count; i++) {
        double d = fabs((double)theta[i] - expected[i]);
        worst = d > worst ? d : worst;
    }

    cr_assert_lt(worst, 1e-5, "%u threads: parameters differ by %g", threads, worst);
    cr_assert_float_eq(r.loss, loss, 1e-4, "loss %g, reference %g", r.loss, loss);
    free(expected);
    free(theta);
}

Test(trainer, follows_a_plain_loop)
{
    toy_open(&toy, 75, 2, 0);
    struct train_job job = toy_job(&toy);
    compare_with_reference(&job, 1);
    compare_with_reference(&job, 2);
}

Test(trainer, follows_a_plain_loop_with_accumulation_and_odd_ends)
{
    toy_open(&toy, 75, 2, 0);
    struct train_job job = toy_job(&toy);
    toy.local.batch_size = 8;
    toy.local.accumulate = 3;
    toy.local.weight_decay = 0.1;
    compare_with_reference(&job, 2);
}

Test(trainer, follows_a_plain_loop_on_a_share_of_the_data)
{
    static const uint32_t index[] = {3, 50, 7, 7, 20, 61, 33, 18, 4, 9};
    toy_open(&toy, 75, 2, 0);
    struct train_job job = toy_job(&toy);
    job.index = index;
    job.n = sizeof index / sizeof *index;
    toy.local.batch_size = 4;
    toy.local.steps = 7;
    compare_with_reference(&job, 2);
}

Test(trainer, follows_a_plain_loop_in_regression)
{
    toy_open(&toy, 40, 1, 0);
    struct train_job job = toy_job(&toy);
    compare_with_reference(&job, 2);
}

/* --- promises ------------------------------------------------------------------------------- */

Test(trainer, same_bits_for_any_number_of_threads)
{
    toy_open(&toy, 101, 2, 0.1);
    toy.local.batch_size = 50;
    toy.local.accumulate = 2;
    struct train_job job = toy_job(&toy);
    struct train_result one, r;
    float *theta = toy_fit(&toy, &job, 1, &one);
    for (unsigned threads = 2; threads <= 5; threads++) {
        float *other = toy_fit(&toy, &job, threads, &r);
        cr_assert_arr_eq(other, theta, toy.count * sizeof *theta, "%u threads", threads);
        cr_assert_eq(r.loss, one.loss);
        cr_assert_eq(r.tokens, one.tokens);
        free(other);
    }
    free(theta);
}

Test(trainer, seed_round_and_client_name_the_randomness)
{
    toy_open(&toy, 40, 2, 0.1);
    toy.local.batch_size = 8;
    const struct train_job same = toy_job(&toy);
    struct train_job other[3] = {same, same, same};
    struct train_result r;
    other[0].seed++;
    other[1].round++;
    other[2].client++;
    float *theta = toy_fit(&toy, &same, 2, &r), *again = toy_fit(&toy, &same, 2, &r);
    cr_assert_arr_eq(again, theta, toy.count * sizeof *theta);
    for (int i = 0; i < 3; i++) {
        float *x = toy_fit(&toy, &other[i], 2, &r);
        cr_assert_arr_neq(x, theta, toy.count * sizeof *theta, "stream %d", i);
        free(x);
    }
    free(theta);
    free(again);
}

Test(trainer, counts_steps_as_hugging_face_does)
{
    static const struct {
        size_t n;
        uint32_t batch, accumulate, epochs, fixed, steps;
    } row[] = {{37, 8, 1, 1, 0, 5},  {37, 8, 2, 1, 0, 3}, {37, 8, 2, 3, 0, 9}, {37, 64, 1, 2, 0, 2},
               {37, 64, 4, 2, 0, 2}, {32, 8, 4, 1, 0, 1}, {37, 8, 1, 9, 3, 3}, {5, 8, 1, 1, 7, 7}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        toy_open(&toy, row[i].n, 2, 0);
        toy.local.batch_size = row[i].batch;
        toy.local.accumulate = row[i].accumulate;
        toy.local.epochs = row[i].epochs;
        toy.local.steps = row[i].fixed;
        struct train_job job = toy_job(&toy);
        struct train_result r;
        free(toy_fit(&toy, &job, 1, &r));
        cr_assert_eq(r.steps, row[i].steps, "row %zu: %u steps", i, r.steps);
        if (i + 1 < sizeof row / sizeof *row)
            toy_close(&toy);
    }
}

Test(trainer, learns)
{
    toy_open(&toy, 200, 2, 0);
    toy.local.epochs = 12;
    toy.local.eps = 1e-8;
    struct train_job job = toy_job(&toy);
    struct train_result r;
    struct score before, after;
    struct err e;
    struct trainer *t = open_trainer(2);
    float *theta = toy_fit(&toy, &job, 2, &r);
    cr_assert_eq(score_all(t, toy.theta, &before, &e), 0);
    cr_assert_eq(score_all(t, theta, &after, &e), 0);
    cr_assert_lt(score_value(&before, METRIC_ACCURACY), 0.8);
    cr_assert_gt(score_value(&after, METRIC_ACCURACY), 0.97, "accuracy %g",
                 score_value(&after, METRIC_ACCURACY));
    cr_assert_lt(after.loss_sum, before.loss_sum / 4);
    score_close(&before);
    score_close(&after);
    trainer_close(t);
    free(theta);
}

/* --- progress and the end before the end ---------------------------------------------------- */

struct watch {
    uint32_t steps, epoch_ends, last_epoch;
    atomic_bool *cancel;     /* set after two steps */
    struct trainer *trainer; /* evaluates after each step */
};

static void on_step(const struct train_progress *p, void *ctx)
{
    struct watch *w = ctx;
    cr_assert_eq(p->step, ++w->steps);
    cr_assert(isfinite(p->loss));
    cr_assert_not_null(p->theta);
    w->epoch_ends += p->epoch_end;
    w->last_epoch = p->epoch;
    if (w->cancel && p->step == 2)
        atomic_store(w->cancel, true);
    if (w->trainer) {
        struct score score;
        struct err e;
        cr_assert_eq(score_all(w->trainer, p->theta, &score, &e), 0);
        cr_assert_eq(score.n, toy.data.n);
        score_close(&score);
    }
}

Test(trainer, evaluating_between_steps_changes_nothing)
{
    toy_open(&toy, 40, 2, 0.1);
    toy.local.batch_size = 16;
    struct train_job job = toy_job(&toy);
    struct train_result r;
    struct err e;
    struct trainer *t = open_trainer(2);
    float *expected = toy_fit(&toy, &job, 2, &r);
    float *theta = malloc(toy.count * sizeof *theta);
    memcpy(theta, toy.theta, toy.count * sizeof *theta);
    struct watch w = {.trainer = t};
    job.progress = on_step;
    job.ctx = &w;
    cr_assert_eq(trainer_fit(t, &job, theta, &r, &e), 0, "%s", e.text);
    cr_assert_arr_eq(theta, expected, toy.count * sizeof *theta);
    cr_assert_eq(w.steps, 6);
    cr_assert_eq(w.epoch_ends, 2);
    cr_assert_eq(w.last_epoch, 1);
    trainer_close(t);
    free(theta);
    free(expected);
}

Test(trainer, a_cancelled_evaluation_has_no_score)
{
    toy_open(&toy, 40, 2, 0);
    atomic_bool cancel = true;
    struct eval_job job = {
        .peft = toy.peft, .data = &toy.data, .theta = toy.theta, .cancel = &cancel};
    struct score score = {0};
    struct err e;
    struct trainer *t = open_trainer(2);
    cr_assert_eq(trainer_eval(t, &job, &score, NULL, NULL, &e), ERR_STATE);
    cr_assert_eq(score.n, 0);
    cancel = false;
    toy_check(trainer_eval(t, &job, &score, NULL, NULL, &e), &e);
    cr_assert_eq(score.n, 40);
    score_close(&score);
    trainer_close(t);
}

Test(trainer, cancelling_leaves_the_parameters_untouched)
{
    toy_open(&toy, 40, 2, 0);
    toy.local.batch_size = 8;
    atomic_bool cancel = false;
    struct watch w = {.cancel = &cancel};
    struct train_job job = toy_job(&toy);
    struct train_result r;
    struct err e;
    struct trainer *t = open_trainer(2);
    float *theta = malloc(toy.count * sizeof *theta);
    memcpy(theta, toy.theta, toy.count * sizeof *theta);
    job.progress = on_step;
    job.ctx = &w;
    job.cancel = &cancel;
    cr_assert_eq(trainer_fit(t, &job, theta, &r, &e), ERR_STATE);
    cr_assert_eq(w.steps, 2);
    cr_assert_arr_eq(theta, toy.theta, toy.count * sizeof *theta);
    trainer_close(t);
    free(theta);
}

Test(trainer, refuses_no_data)
{
    static const uint32_t none[1];
    toy_open(&toy, 4, 2, 0);
    struct train_job job = toy_job(&toy);
    struct train_result r;
    struct score score;
    struct err e;
    struct trainer *t = open_trainer(1);
    job.index = none;
    job.n = 0;
    cr_assert_eq(trainer_fit(t, &job, toy.theta, &r, &e), ERR_DATA);
    cr_assert_eq(
        trainer_eval(
            t,
            &(struct eval_job){
                .peft = toy.peft, .data = &toy.data, .index = none, .n = 0, .theta = toy.theta},
            &score, NULL, NULL, &e),
        ERR_DATA);
    trainer_close(t);
}

Test(trainer, says_when_the_loss_explodes)
{
    toy_open(&toy, 40, 2, 0);
    toy.local.lr = 1e30;
    toy.local.epochs = 5;
    struct train_job job = toy_job(&toy);
    struct train_result r;
    struct err e;
    struct trainer *t = open_trainer(2);
    float *theta = malloc(toy.count * sizeof *theta);
    memcpy(theta, toy.theta, toy.count * sizeof *theta);
    cr_assert_eq(trainer_fit(t, &job, theta, &r, &e), ERR_CONFIG);
    cr_assert_not_null(strstr(e.text, "lr"), "%s", e.text);
    cr_assert_arr_eq(theta, toy.theta, toy.count * sizeof *theta);
    trainer_close(t);
    free(theta);
}

/* --- evaluation ----------------------------------------------------------------------------- */

static void reference_forward(struct tape *t, void *arg)
{
    struct reference *r = arg;
    struct val *logits = peft_logits(r->toy->peft, t, &r->batch, r->theta, NULL);
    memcpy(r->grad, logits->x, peft_labels(r->toy->peft) * sizeof *r->grad);
}

/* Example by example, by the plain definition of everything. */
static void check_evaluation(const uint32_t *index, size_t n)
{
    uint32_t labels = toy.data.n_labels;
    float *logits = malloc(n * labels * sizeof *logits), one[4];
    int32_t *predicted = malloc(n * sizeof *predicted);
    double loss = 0;
    uint64_t right = 0;
    struct score score;
    struct err e;
    struct tape *tape;
    struct trainer *t = open_trainer(3);
    cr_assert_eq(
        trainer_eval(
            t,
            &(struct eval_job){
                .peft = toy.peft, .data = &toy.data, .index = index, .n = n, .theta = toy.theta},
            &score, predicted, logits, &e),
        0, "%s", e.text);
    cr_assert_eq(tape_open(&tape, 0, &e), 0);
    for (size_t i = 0; i < n; i++) {
        uint32_t k = index ? index[i] : (uint32_t)i;
        const struct example *x = &toy.data.example[k];
        struct arena mem;
        arena_init(&mem, ARENA_NO_CAP);
        struct reference r = {
            .toy = &toy, .batch = one_batch(&toy, &k, 1, &mem), .theta = toy.theta, .grad = one};
        cr_assert_eq(
            tape_run(tape, false, rng_stream(0, 0, 0, RNG_TEST), reference_forward, &r, &e), 0);
        for (uint32_t c = 0; c < labels; c++)
            cr_assert_float_eq(logits[i * labels + c], one[c], 1e-5, "example %zu", i);
        if (labels == 1) {
            loss += pow((double)one[0] - x->target, 2);
            cr_assert_eq(predicted[i], (int32_t)lrintf(logits[i]));
        } else {
            loss -= log(exp(one[x->label]) / (exp(one[0]) + exp(one[1])));
            cr_assert_eq(predicted[i], one[1] > one[0]);
            right += predicted[i] == x->label;
        }
        arena_release(&mem);
    }
    cr_assert_eq(score.n, n);
    cr_assert_float_eq(score.loss_sum, loss, 1e-4 * (double)n);
    if (labels == 1)
        cr_assert_float_eq(score_value(&score, METRIC_MSE), loss / (double)n, 1e-4);
    else
        cr_assert_float_eq(score_value(&score, METRIC_ACCURACY), (double)right / (double)n, 1e-12);
    score_close(&score);
    tape_close(tape);
    trainer_close(t);
    free(logits);
    free(predicted);
}

Test(trainer, evaluates_as_the_plain_definition)
{
    toy_open(&toy, 90, 2, 0.1);
    check_evaluation(NULL, toy.data.n);
}

Test(trainer, evaluates_a_share_of_the_data)
{
    static const uint32_t index[] = {80, 3, 44, 0, 89};
    toy_open(&toy, 90, 2, 0.1);
    check_evaluation(index, 5);
}

Test(trainer, evaluates_regression)
{
    toy_open(&toy, 30, 1, 0);
    check_evaluation(NULL, toy.data.n);
}

Test(trainer, evaluates_more_than_one_chunk)
{
    toy_open(&toy, 2100, 2, 0);
    struct score score, other;
    struct err e;
    struct trainer *one = open_trainer(1), *three = open_trainer(3);
    cr_assert_eq(score_all(one, toy.theta, &score, &e), 0);
    cr_assert_eq(score_all(three, toy.theta, &other, &e), 0);
    cr_assert_eq(score.n, 2100);
    cr_assert_eq(score.loss_sum, other.loss_sum);
    cr_assert_eq(memcmp(score.label, other.label, score.n_labels * sizeof *score.label), 0);
    score_close(&score);
    score_close(&other);
    trainer_close(one);
    trainer_close(three);
}
