/* Masked language modelling: the head of each family, its tied decoder and all of the encoder below
 * it, against transformers and torch (tests/interop/mlm_golden.py); and what comes of it as a model
 * directory. */
#include "model/model_dir.h"
#include "tests/greater.h"
#include "tests/model/scratch.h"
#include "tests/peft/tuned.h"
#include <math.h>

static char full[] = "full", lora[] = "lora";

struct mlm {
    struct golden golden;
    struct safetensors answers;
    struct peft *peft;
    struct batch batch;
    int masked;
    real *theta, *grad, *logits;
    double loss;
};

static const float *answer(struct mlm *m, const char *prefix, const char *name)
{
    struct err e = {0};
    char key[256];
    snprintf(key, sizeof key, "%s%s", prefix, name);
    const struct st_tensor *t = safetensors_find(&m->answers, key);
    if (t == NULL)
        return NULL;
    float *x = arena_calloc(&m->golden.mem, t->count, sizeof *x);
    cr_assert_eq(st_tensor_floats(t, x, &e), 0, "%s", e.text);
    return x;
}

static void mlm_open(struct mlm *m, const char *family, char *method)
{
    struct err e = {0};
    char path[GOLDEN_PATH];
    const struct peft_spec spec = {.method = method, .r = 2, .alpha = 2, .targets = 1};
    const struct local_spec local = {.model_dropout = 0};
    *m = (struct mlm){0};
    golden_open(&m->golden, family);
    snprintf(path, sizeof path, GOLDEN_DIR "%s/mlm.safetensors", family);
    cr_assert_eq(safetensors_open(&m->answers, path, &e), 0, "%s", e.text);
    cr_assert_eq(peft_open(&m->peft, m->golden.model, &spec, &local, HEAD_MLM, 0, &e), 0, "%s",
                 e.text);
    const struct schema *s = peft_schema(m->peft);
    m->theta = arena_calloc(&m->golden.mem, s->count, sizeof *m->theta);
    m->grad = arena_calloc(&m->golden.mem, s->count, sizeof *m->grad);
    peft_init(m->peft, 1, m->theta);
    for (size_t i = 0; i < s->n; i++) {
        const float *head = answer(m, "head.", s->tensor[i].name);
        for (size_t k = 0; head != NULL && k < s->tensor[i].count; k++)
            m->theta[s->tensor[i].offset + k] = (real)head[k];
    }
    const float *tag = answer(m, "", "tag");
    int32_t *tags = arena_calloc(&m->golden.mem, (size_t)m->golden.batch.tokens, sizeof *tags);
    m->batch = m->golden.batch;
    for (int i = 0; i < m->batch.tokens; i++) {
        tags[i] = (int32_t)tag[i];
        m->masked += tags[i] >= 0;
    }
    m->batch.tag = tags;
}

static void mlm_close(struct mlm *m)
{
    peft_close(m->peft);
    safetensors_close(&m->answers);
    golden_close(&m->golden);
}

static void step(struct tape *t, void *arg)
{
    struct mlm *m = arg;
    struct val *logits = peft_logits(m->peft, t, &m->batch, m->theta, m->grad);
    cr_assert(logits->rows == m->masked && logits->cols == m->golden.model->cfg.vocab);
    size_t n = (size_t)(logits->rows * logits->cols);
    m->logits = arena_calloc(&m->golden.mem, n, sizeof *m->logits);
    memcpy(m->logits, logits->x, n * sizeof *m->logits);
    struct val *loss = peft_loss(m->peft, t, logits, &m->batch, (real)1 / (real)m->masked);
    m->loss = (double)loss->x[0];
    tape_backward(t, loss);
}

static void mlm_step(struct mlm *m)
{
    struct err e = {0};
    struct tape *t;
    cr_assert_eq(tape_open(&t, 0, &e), 0);
    cr_assert_eq(tape_run(t, true, rng_stream(1, 0, 0, RNG_DROPOUT), step, m, &e), 0, "%s", e.text);
    tape_close(t);
}

Test(mlm, logits_and_loss_are_those_of_transformers)
{
    for (int i = 0; i < GOLDEN_FAMILIES; i++) {
        struct mlm m;
        mlm_open(&m, golden_families[i], full);
        mlm_step(&m);
        const float *want = answer(&m, "", "logits");
        double worst = 0;
        for (int k = 0; k < m.masked * m.golden.model->cfg.vocab; k++)
            worst = greater(worst, fabs((double)m.logits[k] - (double)want[k]));
        cr_expect_leq(worst, 2e-5, "%s: a logit is off by %g", golden_families[i], worst);
        cr_expect_float_eq(m.loss, (double)answer(&m, "", "loss")[0], 2e-5);
        mlm_close(&m);
    }
}

/* Of the tied table, too, which gets it from both of its ends. */
Test(mlm, every_gradient_is_that_of_torch)
{
    for (int i = 0; i < GOLDEN_FAMILIES; i++) {
        struct mlm m;
        mlm_open(&m, golden_families[i], full);
        mlm_step(&m);
        const struct schema *s = peft_schema(m.peft);
        for (size_t k = 0; k < s->n; k++) {
            const struct tensor_spec *t = &s->tensor[k];
            const float *want = answer(&m, "grad.", t->name);
            double worst = 0, scale = 0;
            cr_assert_not_null(want, "%s", t->name);
            for (size_t j = 0; j < t->count; j++) {
                worst = greater(worst, fabs((double)m.grad[t->offset + j] - (double)want[j]));
                scale = greater(scale, fabs((double)want[j]));
            }
            /* A key's bias moves all scores of a query alike: its gradient is rounding. */
            bool none = strstr(t->name, "key.bias") || strstr(t->name, "k_lin.bias");
            cr_expect_leq(worst, none ? 1e-6 : 1e-4 * scale, "%s: off by %g of %g", t->name, worst,
                          scale);
        }
        mlm_close(&m);
    }
}

/* A fresh head does not disturb: its norm begins with gains of one. */
Test(mlm, a_head_that_the_file_lacks_begins_as_transformers_has_it)
{
    struct mlm m;
    mlm_open(&m, "bert", full);
    peft_init(m.peft, 3, m.theta);
    const struct schema *s = peft_schema(m.peft);
    const struct {
        const char *name;
        double mean, deviation;
    } want[] = {{"cls.predictions.transform.dense.weight", 0, 0.02},
                {"cls.predictions.transform.dense.bias", 0, 0},
                {"cls.predictions.transform.LayerNorm.weight", 1, 0},
                {"cls.predictions.transform.LayerNorm.bias", 0, 0},
                {"cls.predictions.bias", 0, 0}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        const struct tensor_spec *t = schema_find(s, want[i].name);
        cr_assert_not_null(t, "%s", want[i].name);
        double sum = 0, squares = 0;
        for (size_t k = 0; k < t->count; k++) {
            double x = (double)m.theta[t->offset + k] - want[i].mean;
            sum += x;
            squares += x * x;
        }
        cr_expect_float_eq(sqrt(squares / (double)t->count), want[i].deviation, 0.002);
        cr_expect_float_eq(sum / (double)t->count, 0, 0.003);
    }
    mlm_close(&m);
}

/* Opens the model directory `dir` in place of the golden one. */
static void reopen(struct mlm *m, const char *dir)
{
    struct err e = {0};
    const struct peft_spec spec = {.method = full};
    const struct local_spec local = {.model_dropout = 0};
    peft_close(m->peft);
    model_close(m->golden.model);
    cr_assert_eq(model_open(&m->golden.model, dir, &e), 0, "%s", e.text);
    cr_assert_eq(peft_open(&m->peft, m->golden.model, &spec, &local, HEAD_MLM, 0, &e), 0, "%s",
                 e.text);
    peft_init(m->peft, 1, m->theta);
}

/* Values away from the start; their loss. */
static void shake(struct mlm *m)
{
    for (size_t k = 0; k < peft_schema(m->peft)->count; k++)
        m->theta[k] += (real)(0.01 * (double)(k % 7) - 0.03);
    mlm_step(m);
}

static void save(const struct mlm *m, enum dtype dtype, const char *dir)
{
    struct err e = {0};
    const struct adapter_info info = {.dtype = dtype};
    cr_assert_eq(peft_save_merged(m->peft, m->theta, &info, dir, &e), 0, "%s", e.text);
}

Test(mlm, a_merged_model_is_the_trained_one)
{
    char scratch[] = "/tmp/fedpet-mlm-XXXXXX", dir[SCRATCH_PATH];
    scratch_make(scratch);
    scratch_path(dir, scratch, "out");
    for (int i = 0; i < 2 * GOLDEN_FAMILIES; i++) {
        const char *family = golden_families[i / 2];
        enum dtype dtype = i % 2 ? DTYPE_F16 : DTYPE_F32;
        struct mlm m, again;
        mlm_open(&m, family, i / 2 == 1 ? lora : full);
        shake(&m);
        save(&m, dtype, dir);
        mlm_open(&again, family, full);
        reopen(&again, dir);
        mlm_step(&again);
        cr_expect_float_eq(again.loss, m.loss, i % 2 ? 2e-2 : 2e-5, "%s: loss %g, not %g", family,
                           again.loss, m.loss);
        mlm_close(&again);
        mlm_close(&m);
        model_dir_remove(dir);
    }
    scratch_remove(scratch);
}

static bool rename_norm(struct st_out *t, float *x)
{
    (void)x;
    if (strcmp(t->name, "cls.predictions.transform.LayerNorm.weight") == 0)
        t->name = "cls.predictions.transform.LayerNorm.gamma";
    if (strcmp(t->name, "cls.predictions.transform.LayerNorm.bias") == 0)
        t->name = "cls.predictions.transform.LayerNorm.beta";
    return true;
}

Test(mlm, the_head_of_an_old_checkpoint_is_found)
{
    char scratch[] = "/tmp/fedpet-mlm-XXXXXX", dir[SCRATCH_PATH];
    struct mlm m;
    scratch_make(scratch);
    scratch_path(dir, scratch, "out");
    mlm_open(&m, "bert", full);
    shake(&m);
    double loss = m.loss;
    save(&m, DTYPE_F32, dir);
    scratch_copy(dir, scratch, "config.json");
    scratch_tensors(dir, scratch, "model.safetensors", rename_norm);
    reopen(&m, scratch);
    mlm_step(&m);
    cr_expect_float_eq(m.loss, loss, 2e-5);
    mlm_close(&m);
    model_dir_remove(dir);
    scratch_remove(scratch);
}

Test(mlm, an_untied_decoder_is_refused)
{
    struct golden g;
    struct err e = {0};
    struct peft *p = NULL;
    const struct peft_spec spec = {.method = full};
    golden_open(&g, "roberta");
    struct model untied = *g.model;
    untied.cfg.tied = false;
    cr_expect_eq(peft_open(&p, &untied, &spec, NULL, HEAD_MLM, 0, &e), ERR_MODEL);
    cr_expect_not_null(strstr(e.text, "tie_word_embeddings"), "%s", e.text);
    cr_expect_null(p);
    golden_close(&g);
}
