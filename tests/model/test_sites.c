/* What enters the encoder at its sites, against transformers and peft: full fine-tuning, token
 * classification, prompts, prefixes. */
#include "tests/greater.h"
#include "tests/model/golden.h"
#include <math.h>

enum { TAGS = 5 };

/* A tensor in training. */
struct param {
    const real *x;
    real *grad;
    int rows, cols;
};

/* One step of a golden model under a golden head. */
struct trial {
    struct golden g; /* its file: sites.safetensors */
    struct batch batch;
    struct base_tensor *base; /* all tensors of the encoder */
    struct param *trained;    /* n_base, in the same order; NULL: they are frozen */
    size_t n_base;
    struct param rows; /* of a prompt or a prefix */
    enum head_kind kind;
    struct head_tensor head[HEAD_MAX_TENSORS];
    struct param head_param[HEAD_MAX_TENSORS];
    int n_head, n_labels;
    struct encoder_hooks hooks;
    real *hidden, *logits;
    double loss;
};

static real *zeros(struct trial *t, size_t n)
{
    real *x = arena_calloc(&t->g.mem, n, sizeof *x);
    cr_assert_not_null(x);
    return x;
}

static struct param param(struct trial *t, const real *x, int rows, int cols)
{
    return (struct param){x, zeros(t, (size_t)rows * (size_t)cols), rows, cols};
}

static const char *joined(struct trial *t, const char *prefix, const char *name)
{
    const char *both = arena_printf(&t->g.mem, "%s%s", prefix, name);
    cr_assert_not_null(both);
    return both;
}

/* Named PREFIX NAME in the golden file. */
static struct param golden_param(struct trial *t, const char *prefix, const char *name)
{
    const char *full = joined(t, prefix, name);
    const struct st_tensor *s = golden_tensor(&t->g, full);
    bool matrix = s->ndim > 1;
    return param(t, golden_floats(&t->g, full), matrix ? (int)s->dim[0] : 1,
                 (int)s->dim[matrix ? 1 : 0]);
}

/* The sequences that leave room for virtual tokens are all but the last. */
static void trial_open(struct trial *t, const char *family, enum head_kind kind, bool shortened)
{
    char path[GOLDEN_PATH];
    struct err e = {0};
    *t = (struct trial){.kind = kind};
    golden_open(&t->g, family);
    safetensors_close(&t->g.file);
    snprintf(path, sizeof path, GOLDEN_DIR "%s/sites.safetensors", family);
    cr_assert_eq(safetensors_open(&t->g.file, path, &e), 0, "%s", e.text);
    t->g.batch.tag = golden_ints(&t->g, "tag");
    t->batch = shortened ? golden_part(&t->g, 0, t->g.batch.n - 1) : t->g.batch;
    cr_assert_eq(model_tensors(t->g.model, &t->g.mem, &t->base, &t->n_base, &e), 0);

    t->n_labels = kind == HEAD_TOKENS ? TAGS : (int)golden_tensor(&t->g, "full.logits")->dim[1];
    t->n_head = head_tensors(t->g.model, kind, t->n_labels, t->head);
    for (int i = 0; i < t->n_head; i++)
        t->head_param[i] =
            golden_param(t, kind == HEAD_TOKENS ? "tags.head." : "head.", t->head[i].name);
}

static struct val *as_val(struct tape *t, const struct param *p)
{
    return tape_param(t, p->x, p->grad, p->rows, p->cols);
}

/* --- hooks ----------------------------------------------------------------------------------- */

static struct val *trained_tensor(void *self, struct tape *tape, const void *frozen, int rows,
                                  int cols)
{
    const struct trial *t = self;
    for (size_t i = 0; t->trained != NULL && i < t->n_base; i++)
        if (t->base[i].x.x == frozen) {
            const struct param *p = &t->trained[i];
            cr_assert(p->rows == rows && p->cols == cols, "%s", t->base[i].name);
            return as_val(tape, p);
        }
    return NULL;
}

static struct val *prompt_rows(void *self, struct tape *tape)
{
    const struct trial *t = self;
    return as_val(tape, &t->rows);
}

/* peft keeps keys and values of all layers side by side. */
static void prefix_rows(void *self, struct tape *tape, int layer, struct val **key,
                        struct val **value)
{
    const struct trial *t = self;
    int d = t->g.model->cfg.hidden;
    struct val *rows = as_val(tape, &t->rows);
    *key = op_columns(tape, rows, 2 * layer * d, d);
    *value = op_columns(tape, rows, (2 * layer + 1) * d, d);
}

/* --- a step ---------------------------------------------------------------------------------- */

static real *copy_out(struct trial *t, const struct val *v)
{
    real *x = zeros(t, (size_t)v->rows * (size_t)v->cols);
    return memcpy(x, v->x, (size_t)v->rows * (size_t)v->cols * sizeof *x);
}

static struct val *loss_of(const struct trial *t, struct tape *tape, struct val *logits)
{
    const struct batch *b = &t->batch;
    int scored = 0;
    if (t->kind == HEAD_TOKENS) {
        for (int i = 0; i < b->tokens; i++)
            scored += b->tag[i] >= 0;
        return op_cross_entropy(tape, logits, b->tag, (real)1 / (real)scored);
    }
    return t->n_labels == 1 ? op_squared_error(tape, logits, b->target, (real)1 / (real)b->n)
                            : op_cross_entropy(tape, logits, b->label, (real)1 / (real)b->n);
}

static void step(struct tape *tape, void *arg)
{
    struct trial *t = arg;
    struct val *head[HEAD_MAX_TENSORS];
    for (int i = 0; i < t->n_head; i++)
        head[i] = as_val(tape, &t->head_param[i]);
    bool tokens = t->kind == HEAD_TOKENS;
    struct val *x = encoder_hidden(t->g.model, tape, &t->batch, &t->hooks,
                                   tokens ? ENCODER_TOKENS : ENCODER_FIRST);
    cr_assert_eq(x->rows, tokens ? t->batch.tokens : t->batch.n);
    struct val *logits = head_logits(t->g.model, t->kind, tape, x, head, 0, &t->hooks);
    cr_assert(logits->rows == x->rows && logits->cols == t->n_labels);
    t->hidden = copy_out(t, x);
    t->logits = copy_out(t, logits);
    struct val *loss = loss_of(t, tape, logits);
    t->loss = (double)loss->x[0];
    tape_backward(tape, loss);
}

static void trial_run(struct trial *t)
{
    struct err e = {0};
    struct tape *tape;
    t->hooks.self = t;
    cr_assert_eq(tape_open(&tape, 0, &e), 0, "%s", e.text);
    cr_assert_eq(tape_run(tape, true, rng_stream(1, 0, 0, RNG_DROPOUT), step, t, &e), 0, "%s",
                 e.text);
    tape_close(tape);
}

/* Differences relative to the greatest value, or to `least` when that is less. */
static void expect_near(struct trial *t, const char *name, const real *got, double tolerance,
                        double least)
{
    const float *want = golden_floats(&t->g, name);
    size_t n = golden_tensor(&t->g, name)->count;
    double worst = 0, scale = least;
    for (size_t i = 0; i < n; i++) {
        worst = greater(worst, fabs((double)got[i] - (double)want[i]));
        scale = greater(scale, fabs((double)want[i]));
    }
    cr_expect_leq(worst, tolerance * scale, "%s: off by %g of %g", name, worst, scale);
}

static void expect_golden(struct trial *t, const char *name, const real *got)
{
    expect_near(t, name, got, 2e-5, 1);
}

/* A key bias has none but for rounding. */
static void expect_gradient(struct trial *t, const char *prefix, const char *name,
                            const struct param *p)
{
    const char *full = joined(t, prefix, name);
    cr_assert_eq(golden_tensor(&t->g, full)->count, (size_t)p->rows * (size_t)p->cols, "%s", full);
    expect_near(t, full, p->grad, 1e-4, 1e-2);
}

/* --- against transformers and peft ----------------------------------------------------------- */

static void train_everything(struct trial *t)
{
    t->trained = arena_calloc(&t->g.mem, t->n_base, sizeof *t->trained);
    cr_assert_not_null(t->trained);
    for (size_t i = 0; i < t->n_base; i++) {
        const struct base_tensor *b = &t->base[i];
        bool matrix = b->ndim > 1;
        int rows = matrix ? (int)b->dim[0] : 1, cols = (int)b->dim[matrix ? 1 : 0];
        t->trained[i] =
            param(t, golden_reals(&t->g, b->x, (size_t)rows * (size_t)cols), rows, cols);
    }
    t->hooks.tensor = trained_tensor;
}

Test(sites, full_fine_tuning_has_the_gradients_of_torch)
{
    for (int f = 0; f < GOLDEN_FAMILIES; f++) {
        struct trial t;
        trial_open(&t, golden_families[f], HEAD_SEQUENCE, false);
        train_everything(&t);
        trial_run(&t);
        expect_golden(&t, "full.logits", t.logits);
        cr_expect_float_eq(t.loss, (double)*golden_floats(&t.g, "full.loss"), 1e-5 * t.loss);
        for (size_t i = 0; i < t.n_base; i++)
            expect_gradient(&t, "full.", t.base[i].name, &t.trained[i]);
        for (int i = 0; i < t.n_head; i++)
            expect_gradient(&t, "full.", t.head[i].name, &t.head_param[i]);
        size_t known = t.n_base + (size_t)t.n_head, there = 0;
        for (size_t i = 0; i < t.g.file.n; i++)
            there += strncmp(t.g.file.tensor[i].name, "full.", 5) == 0;
        cr_expect_eq(there, known + 2, "logits, loss and the gradient of every tensor");
        golden_close(&t.g);
    }
}

Test(sites, token_classification_is_that_of_transformers)
{
    for (int f = 0; f < GOLDEN_FAMILIES; f++) {
        struct trial t;
        trial_open(&t, golden_families[f], HEAD_TOKENS, false);
        trial_run(&t);
        expect_golden(&t, "tags.hidden", t.hidden);
        expect_golden(&t, "tags.logits", t.logits);
        cr_expect_float_eq(t.loss, (double)*golden_floats(&t.g, "tags.loss"), 1e-5 * t.loss);
        golden_close(&t.g);
    }
}

/* Logits, loss and gradient of a sequence head, then the logits of tokens. */
static void check_virtual(const char *family, const char *name, bool shifted)
{
    for (enum head_kind kind = HEAD_SEQUENCE; kind <= HEAD_TOKENS; kind++) {
        struct trial t;
        trial_open(&t, family, kind, true);
        t.rows = golden_param(&t, name, ".rows");
        t.hooks.shift = shifted ? t.rows.rows : 0;
        if (strcmp(name, "prompt") == 0)
            t.hooks.prompt = prompt_rows;
        else
            t.hooks.prefix = prefix_rows;
        trial_run(&t);
        if (kind == HEAD_TOKENS) {
            expect_golden(&t, joined(&t, name, ".tokens"), t.logits);
        } else {
            double loss = (double)*golden_floats(&t.g, joined(&t, name, ".loss"));
            expect_golden(&t, joined(&t, name, ".logits"), t.logits);
            cr_expect_float_eq(t.loss, loss, 1e-5 * loss);
            expect_gradient(&t, name, ".grad", &t.rows);
        }
        golden_close(&t.g);
    }
}

Test(sites, prompts_are_those_of_peft)
{
    for (int f = 0; f < GOLDEN_FAMILIES; f++)
        check_virtual(golden_families[f], "prompt", true);
}

/* peft has no prefixes for DistilBERT. */
Test(sites, prefixes_are_those_of_peft)
{
    for (int f = 0; f < 2; f++) {
        check_virtual(golden_families[f], "prefix", true);
        check_virtual(golden_families[f], "unshifted", false);
    }
}

/* --- properties ------------------------------------------------------------------------------ */

/* The same cut by rows or by sequences: the outputs agree where both have one. */
Test(sites, first_tokens_are_among_all_tokens)
{
    for (int f = 0; f < GOLDEN_FAMILIES; f++) {
        struct trial first, all;
        trial_open(&first, golden_families[f], HEAD_SEQUENCE, false);
        trial_open(&all, golden_families[f], HEAD_TOKENS, false);
        trial_run(&first);
        trial_run(&all);
        int d = first.g.model->cfg.hidden;
        for (int s = 0; s < first.batch.n; s++)
            for (int i = 0; i < d; i++)
                cr_expect_float_eq(first.hidden[s * d + i], all.hidden[first.batch.off[s] * d + i],
                                   1e-5);
        golden_close(&first.g);
        golden_close(&all.g);
    }
}

/* No rows are no prefix. */
static void prefix_of_no_layer(void *self, struct tape *tape, int layer, struct val **key,
                               struct val **value)
{
    (void)self;
    (void)tape;
    cr_assert(layer >= 0 && *key == NULL && *value == NULL);
}

static struct val *plain_block(void *self, struct tape *tape, int layer, enum block_site site,
                               struct val *x, struct val *h, const struct block_norm *n)
{
    const struct trial *t = self;
    bool last = layer == t->g.model->cfg.layers - 1;
    int rows = last && t->kind == HEAD_SEQUENCE ? t->batch.n : t->batch.tokens;
    cr_assert(site == BLOCK_ATTENTION || site == BLOCK_FFN);
    cr_assert(x->rows == rows && h->rows == rows && h->cols == x->cols);
    return block_norm(tape, x, h, n);
}

static struct val *nothing_trained(void *self, struct tape *tape, const void *frozen, int rows,
                                   int cols)
{
    struct trial *t = self;
    size_t i = 0;
    (void)tape;
    while (i < t->n_base && t->base[i].x.x != frozen)
        i++;
    cr_assert_lt(i, t->n_base, "not a base tensor");
    const struct base_tensor *b = &t->base[i];
    cr_assert_eq((int64_t)rows * cols, b->dim[0] * (b->ndim > 1 ? b->dim[1] : 1), "%s", b->name);
    return NULL;
}

Test(sites, hooks_that_do_nothing_change_no_bit)
{
    for (int f = 0; f < GOLDEN_FAMILIES; f++)
        for (enum head_kind kind = HEAD_SEQUENCE; kind <= HEAD_TOKENS; kind++) {
            struct trial without, with;
            trial_open(&without, golden_families[f], kind, false);
            trial_open(&with, golden_families[f], kind, false);
            with.hooks = (struct encoder_hooks){
                .prefix = prefix_of_no_layer, .block = plain_block, .tensor = nothing_trained};
            trial_run(&without);
            trial_run(&with);
            size_t n = (size_t)(kind == HEAD_TOKENS ? with.batch.tokens : with.batch.n) *
                       (size_t)with.n_labels;
            cr_expect_eq(memcmp(without.logits, with.logits, n * sizeof(real)), 0, "%s",
                         golden_families[f]);
            golden_close(&without.g);
            golden_close(&with.g);
        }
}

Test(sites, a_shift_moves_positions)
{
    struct trial moved, told;
    trial_open(&moved, "bert", HEAD_SEQUENCE, true);
    trial_open(&told, "bert", HEAD_SEQUENCE, true);
    int32_t *pos = arena_calloc(&told.g.mem, (size_t)told.batch.tokens, sizeof *pos);
    cr_assert_not_null(pos);
    for (int i = 0; i < told.batch.tokens; i++)
        pos[i] = told.batch.pos[i] + 7;
    told.batch.pos = pos;
    moved.hooks.shift = 7;
    trial_run(&moved);
    trial_run(&told);
    cr_expect_eq(
        memcmp(moved.logits, told.logits, (size_t)(told.batch.n * told.n_labels) * sizeof(real)),
        0);
    golden_close(&moved.g);
    golden_close(&told.g);
}
