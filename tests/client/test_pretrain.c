/* Pretraining: it learns, it scores as the plain definition does, and neither threads nor
 * interruptions change a bit of the result. */
#include "base/file.h"
#include "client/pretrain.h"
#include "toy.h"
#include <criterion/criterion.h>
#include <math.h>

enum { MASK = 4, TRAIN = 120, HELD_OUT = 30, ORDINARY = TOY_VOCAB - TOY_FIRST_WORD };

/* Sequences that count upwards from one of three beginnings, so that its place, and its neighbours,
 * tell what a masked token was. */
struct language {
    struct toy toy;
    struct arena mem;
    struct sequences text;
    struct masking masking;
    int32_t ordinary[ORDINARY];
    json_t *settings;
    char checkpoint[128];
    struct pretrain_job job;
    uint32_t stop_after; /* steps in one call; 0: never */
};

static void make_sequences(struct language *l, struct sequence *s, size_t n, uint32_t name)
{
    struct rng r = rng_stream(name, 0, 0, RNG_TEST);
    for (size_t i = 0; i < n; i++) {
        int32_t len = 5 + (int32_t)rng_below(&r, 30), first = 10 * (int32_t)rng_below(&r, 3);
        int32_t *id = arena_calloc(&l->mem, (size_t)len, sizeof *id);
        for (int32_t k = 1; k < len - 1; k++)
            id[k] = TOY_FIRST_WORD + (first + k) % ORDINARY;
        id[0] = 2;
        id[len - 1] = 3;
        s[i] = (struct sequence){id, len};
    }
}

static void language_open(struct language *l, char *method, double dropout)
{
    struct err e;
    memset(l, 0, sizeof *l);
    toy_open(&l->toy, 1, 2, dropout);
    peft_close(l->toy.peft);
    l->toy.spec.method = method;
    toy_check(peft_open(&l->toy.peft, l->toy.model, &l->toy.spec, &l->toy.local, HEAD_MLM, 0, &e),
              &e);
    l->toy.count = peft_schema(l->toy.peft)->count;
    l->toy.theta = realloc(l->toy.theta, l->toy.count * sizeof(float));
    peft_init(l->toy.peft, 5, l->toy.theta);
    arena_init(&l->mem, ARENA_NO_CAP);
    l->text.train = arena_calloc(&l->mem, TRAIN, sizeof *l->text.train);
    l->text.held_out = arena_calloc(&l->mem, HELD_OUT, sizeof *l->text.held_out);
    l->text.n_train = TRAIN;
    l->text.n_held_out = HELD_OUT;
    make_sequences(l, l->text.train, TRAIN, 1);
    make_sequences(l, l->text.held_out, HELD_OUT, 2);
    for (int i = 0; i < ORDINARY; i++)
        l->ordinary[i] = TOY_FIRST_WORD + i;
    l->masking = (struct masking){.mask = MASK, .ordinary = l->ordinary, .n = ORDINARY};
    l->settings = json_pack("{s:f, s:s}", "local.lr", 0.01, "text", "counting");
    snprintf(l->checkpoint, sizeof l->checkpoint, "%s/checkpoint", l->toy.dir);
    l->job = (struct pretrain_job){.peft = l->toy.peft,
                                   .text = &l->text,
                                   .masking = &l->masking,
                                   .local = &l->toy.local,
                                   .seed = 3,
                                   .evaluate_every = 4,
                                   .checkpoint = l->checkpoint,
                                   .settings = l->settings,
                                   .checkpoint_every = 1e9};
}

static void language_close(struct language *l)
{
    unlink(l->checkpoint);
    json_decref(l->settings);
    arena_release(&l->mem);
    toy_close(&l->toy);
}

static bool stop(const struct pretrain_progress *p, void *ctx)
{
    const struct language *l = ctx;
    return l->stop_after == 0 || p->step - p->done_before < l->stop_after;
}

/* From the initial values, or the checkpoint; the caller frees them. */
static int run_within(struct language *l, unsigned threads, const struct memory *memory,
                      size_t *peak, float **theta, struct pretrain_result *r, struct err *e)
{
    struct trainer *trainer;
    toy_check(trainer_open(&trainer, threads, memory, e), e);
    *theta = malloc(l->toy.count * sizeof **theta);
    memcpy(*theta, l->toy.theta, l->toy.count * sizeof **theta);
    l->job.progress = stop;
    l->job.ctx = l;
    int rc = pretrain_run(trainer, &l->job, *theta, r, e);
    *peak = trainer_peak_bytes(trainer);
    trainer_close(trainer);
    return rc;
}

static int run(struct language *l, unsigned threads, float **theta, struct pretrain_result *r,
               struct err *e)
{
    size_t peak;
    return run_within(l, threads, NULL, &peak, theta, r, e);
}

static char full[] = "full", lora[] = "lora";

Test(pretrain, it_learns)
{
    struct language l;
    struct pretrain_result r;
    struct err e;
    float *theta;
    language_open(&l, full, 0);
    l.toy.local.epochs = 30;
    l.toy.local.warmup = 0.1;
    l.job.evaluate_every = 10;
    cr_assert_eq(run(&l, 2, &theta, &r, &e), 0, "%s", e.text);
    cr_expect_eq(r.steps, 120);
    cr_assert_eq(r.n_points, 12, "every ten steps, and the last is such a step");
    const struct pretrain_point *last = &r.point[r.n_points - 1];
    cr_expect_gt(r.point[0].loss, 2.0, "%g", r.point[0].loss);
    cr_expect_lt(last->loss, 0.5 * r.point[0].loss, "%g", last->loss);
    cr_expect_lt(last->train_loss, 0.6 * r.point[0].train_loss);
    cr_expect_gt(last->accuracy, 0.5, "%g", last->accuracy);
    free(r.point);
    free(theta);
    language_close(&l);
}

/* Three runs: one thread; three threads; killed after every few steps, here within an epoch of
 * four steps, there at its end, and each part with another number of threads. */
Test(pretrain, neither_threads_nor_interruptions_change_a_bit)
{
    float *theta[4];
    struct pretrain_result r[4];
    for (int k = 0; k < 4; k++) {
        struct language l;
        struct err e;
        language_open(&l, full, 0.1);
        l.toy.local.epochs = 3;
        l.stop_after = (uint32_t[]){0, 0, 3, 4}[k];
        int rc, parts = 0;
        while ((rc = run(&l, (unsigned[]){1, 3, 2, 1}[(k + parts) % 4], &theta[k], &r[k], &e)) ==
               ERR_STATE) {
            free(theta[k]);
            parts++;
        }
        cr_assert_eq(rc, 0, "%s", e.text);
        cr_expect_eq(parts, ((int[]){0, 0, 3, 2}[k]), "run %d stopped %d times", k, parts);
        cr_expect_eq(r[k].steps, 12);
        if (k > 0) {
            cr_expect_arr_eq(theta[k], theta[0], l.toy.count * sizeof(float), "run %d differs", k);
            cr_assert_eq(r[k].n_points, r[0].n_points);
            cr_expect_arr_eq(r[k].point, r[0].point, r[0].n_points * sizeof *r[0].point);
            cr_expect_eq(r[k].tokens, r[0].tokens);
        } else {
            cr_expect_arr_neq(theta[0], l.toy.theta, l.toy.count * sizeof(float));
        }
        language_close(&l);
    }
    for (int k = 0; k < 4; k++) {
        free(theta[k]);
        free(r[k].point);
    }
}

/* --- scores ---------------------------------------------------------------------------------- */

struct single {
    const struct language *l;
    struct batch batch;
    double loss;
    int masked, right;
};

static void score_one(struct tape *t, void *arg)
{
    struct single *s = arg;
    struct val *x = peft_logits(s->l->toy.peft, t, &s->batch, s->l->toy.theta, NULL);
    for (int i = 0, row = 0; i < s->batch.tokens; i++) {
        if (s->batch.tag[i] < 0)
            continue;
        const float *z = x->x + row++ * TOY_VOCAB;
        double sum = 0;
        int top = 0;
        for (int c = 0; c < TOY_VOCAB; c++) {
            sum += exp((double)z[c]);
            top = z[c] > z[top] ? c : top;
        }
        s->loss += log(sum) - (double)z[s->batch.tag[i]];
        s->right += top == s->batch.tag[i];
        s->masked++;
    }
}

/* One sequence after the other, by the definition of the loss. */
/* Its result in theta, which the caller frees; the peak. */
static size_t pretrain_with(const struct memory *memory, unsigned threads, float **theta,
                            size_t *count)
{
    struct language l;
    struct pretrain_result r;
    struct err e;
    size_t peak;
    language_open(&l, lora, 0.1);
    cr_assert_eq(run_within(&l, threads, memory, &peak, theta, &r, &e), 0, "%s", e.text);
    *count = l.toy.count;
    free(r.point);
    language_close(&l);
    return peak;
}

Test(pretrain, neither_memory_modes_nor_limits_change_a_bit)
{
    const struct memory fast = {MEMORY_FAST, 0}, min = {MEMORY_MIN, 0};
    float *theta, *other;
    size_t n, kept = pretrain_with(&fast, 1, &theta, &n);
    size_t least = pretrain_with(&min, 1, &other, &n);
    cr_expect_arr_eq(other, theta, n * sizeof *theta);
    cr_expect_leq(least, kept);
    free(other);
    for (unsigned threads = 1; threads <= 3; threads += 2) {
        const struct memory within = {MEMORY_AUTO, least};
        size_t peak = pretrain_with(&within, threads, &other, &n);
        cr_expect_arr_eq(other, theta, n * sizeof *theta, "%u threads", threads);
        cr_expect_leq(peak, least);
        free(other);
    }
    free(theta);
}

Test(pretrain, held_out_scores_are_those_of_single_sequences)
{
    struct language l;
    struct err e;
    struct tape *t;
    struct trainer *trainer;
    double loss, accuracy;
    language_open(&l, full, 0.1);
    struct single s = {.l = &l};
    cr_assert_eq(tape_open(&t, 0, &e), 0);
    for (uint32_t i = 0; i < HELD_OUT; i++) {
        const struct sequence *q = &l.text.held_out[i];
        int32_t in[64], tag[64], pos[64], type[64] = {0}, off[2] = {0, q->n};
        struct rng r = rng_stream(0, UINT32_MAX, i, RNG_MASK);
        masking_apply(&l.masking, &r, q->id, q->n, in, tag);
        for (int k = 0; k < q->n; k++)
            pos[k] = k;
        s.batch = (struct batch){
            .n = 1, .tokens = q->n, .off = off, .id = in, .type = type, .pos = pos, .tag = tag};
        cr_assert_eq(tape_run(t, false, r, score_one, &s, &e), 0, "%s", e.text);
    }
    tape_close(t);
    toy_check(trainer_open(&trainer, 2, NULL, &e), &e);
    cr_assert_eq(pretrain_evaluate(trainer, &l.job, l.toy.theta, &loss, &accuracy, &e), 0);
    trainer_close(trainer);
    cr_expect_float_eq(loss, s.loss / s.masked, 1e-5, "%g, not %g", loss, s.loss / s.masked);
    cr_expect_float_eq(accuracy, (double)s.right / s.masked, 1e-12);
    language_close(&l);
}

/* --- packing --------------------------------------------------------------------------------- */

Test(pretrain, every_sequence_is_masked_anew_in_each_epoch)
{
    struct language l;
    struct err e;
    struct arena mem;
    struct packing p[2];
    uint32_t index[TRAIN];
    language_open(&l, full, 0);
    arena_init(&mem, ARENA_NO_CAP);
    for (uint32_t i = 0; i < TRAIN; i++)
        index[i] = i;
    size_t tokens = 0, differ = 0, masked = 0;
    for (uint32_t epoch = 0; epoch < 2; epoch++)
        cr_assert_eq(pretrain_pack(l.text.train, index, TRAIN, &l.masking, 3, epoch,
                                   &l.toy.model->cfg, &mem, &p[epoch], &e),
                     0);
    cr_assert_eq(p[0].n, p[1].n);
    cr_expect_gt(p[0].n, 1);
    for (int k = 0; k < p[0].n; k++) {
        const struct batch *a = &p[0].batch[k], *b = &p[1].batch[k];
        cr_assert_eq(a->tokens, b->tokens);
        tokens += (size_t)a->tokens;
        for (int i = 0; i < a->tokens; i++) {
            masked += a->tag[i] >= 0;
            differ += a->tag[i] != b->tag[i];
            cr_assert(a->tag[i] < 0 || b->tag[i] < 0 || a->tag[i] == b->tag[i]);
        }
        for (int s = 0; s < a->n; s++) {
            int n = 0;
            for (int i = a->off[s]; i < a->off[s + 1]; i++)
                n += a->tag[i] >= 0;
            cr_assert_geq(n, 1, "each has a token to guess");
        }
    }
    size_t all = 0;
    for (size_t i = 0; i < TRAIN; i++)
        all += (size_t)l.text.train[i].n;
    cr_expect_eq(tokens, all);
    cr_expect_gt(differ, masked);
    arena_release(&mem);
    language_close(&l);
}

/* --- adapters -------------------------------------------------------------------------------- */

Test(pretrain, with_lora_the_tables_stay)
{
    struct language l;
    struct err e;
    struct pretrain_result r;
    float *theta;
    language_open(&l, lora, 0);
    const struct schema *s = peft_schema(l.toy.peft);
    cr_expect_null(schema_find(s, "bert.embeddings.word_embeddings.weight"));
    cr_expect_not_null(schema_find(s, "cls.predictions.bias"));
    cr_assert_eq(run(&l, 2, &theta, &r, &e), 0, "%s", e.text);
    cr_expect_lt(r.point[r.n_points - 1].loss, r.point[0].loss);
    free(r.point);
    free(theta);
    language_close(&l);
}

/* --- bad input ------------------------------------------------------------------------------- */

static void stop_once(struct language *l)
{
    struct pretrain_result r;
    struct err e;
    float *theta;
    language_open(l, full, 0);
    l->stop_after = 2;
    cr_assert_eq(run(l, 1, &theta, &r, &e), ERR_STATE);
    cr_expect_not_null(strstr(e.text, "stopped after step 2 of 8"), "%s", e.text);
    cr_assert(file_exists(l->checkpoint));
    free(theta);
}

static int run_again(struct language *l, struct err *e)
{
    struct pretrain_result r = {0};
    float *theta;
    int rc = run(l, 1, &theta, &r, e);
    free(theta);
    free(r.point);
    return rc;
}

Test(pretrain, a_checkpoint_of_other_settings_is_refused)
{
    struct language l;
    struct err e;
    stop_once(&l);
    json_object_set_new(l.settings, "local.lr", json_real(0.02));
    cr_expect_eq(run_again(&l, &e), ERR_STATE);
    cr_expect_not_null(strstr(e.text, "local.lr was 0.01 and is 0.02"), "%s", e.text);
    language_close(&l);
}

Test(pretrain, a_damaged_checkpoint_is_refused)
{
    struct language l;
    struct err e;
    char *bytes;
    size_t len;
    stop_once(&l);
    cr_assert_eq(file_read(l.checkpoint, 1 << 24, &bytes, &len, &e), 0);
    const size_t at[] = {0, 17, 30, len / 2, len - 1};
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        bytes[at[i]] = (char)(bytes[at[i]] ^ 4);
        cr_assert_eq(file_write(l.checkpoint, bytes, len, 0600, &e), 0);
        bytes[at[i]] = (char)(bytes[at[i]] ^ 4);
        cr_expect_eq(run_again(&l, &e), ERR_IO, "byte %zu", at[i]);
        cr_expect_not_null(strstr(e.text, "damaged"), "%s", e.text);
    }
    const size_t cut[] = {0, 10, 100, len - 1};
    for (size_t i = 0; i < sizeof cut / sizeof *cut; i++) {
        cr_assert_eq(file_write(l.checkpoint, bytes, cut[i], 0600, &e), 0);
        cr_expect_eq(run_again(&l, &e), ERR_IO, "%zu bytes", cut[i]);
    }
    free(bytes);
    language_close(&l);
}

Test(pretrain, a_checkpoint_that_cannot_be_written_is_an_error)
{
    struct language l;
    struct err e;
    language_open(&l, full, 0);
    snprintf(l.checkpoint, sizeof l.checkpoint, "%s/no/such/folder", l.toy.dir);
    l.job.checkpoint_every = 0;
    cr_expect_eq(run_again(&l, &e), ERR_IO);
    cr_expect_not_null(strstr(e.text, "no/such/folder"), "%s", e.text);
    language_close(&l);
}

Test(pretrain, a_loss_that_explodes_is_an_error)
{
    struct language l;
    struct err e;
    language_open(&l, full, 0);
    l.toy.local.lr = 1e30;
    cr_expect_eq(run_again(&l, &e), ERR_CONFIG);
    cr_expect_not_null(strstr(e.text, "lower local.lr"), "%s", e.text);
    language_close(&l);
}

Test(pretrain, a_tape_without_room_is_an_error)
{
    struct language l;
    struct err e;
    struct trainer *trainer;
    struct pretrain_result r;
    language_open(&l, full, 0);
    const struct memory memory = {.limit = 1 << 16};
    toy_check(trainer_open(&trainer, 2, &memory, &e), &e);
    cr_expect_eq(pretrain_run(trainer, &l.job, l.toy.theta, &r, &e), ERR_NOMEM);
    cr_expect_not_null(strstr(e.text, "step 1 of 8"), "%s", e.text);
    trainer_close(trainer);
    language_close(&l);
}
