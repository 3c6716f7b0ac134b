/* Models in half precision and int8, which are computed with as they are stored, against the same
 * models written out in F32: every method and kind of head, to the bit. */
#include "tests/model/int8.h"
#include "tests/peft/tuned.h"
#include "tests/peft/variants.h"

static char dir[] = "/tmp/fedpet-stored-XXXXXX";

static void make_dir(void)
{
    scratch_make(dir);
}

static void remove_dir(void)
{
    scratch_remove(dir);
}

TestSuite(stored_model, .init = make_dir, .fini = remove_dir);

static bool as_it_is(struct st_out *t, float *x)
{
    (void)t;
    (void)x;
    return true;
}

static struct model *in_f32(const char *family)
{
    char from[GOLDEN_PATH];
    snprintf(from, sizeof from, GOLDEN_DIR "%s", family);
    scratch_copy(from, dir, "config.json");
    scratch_tensors(from, dir, "model.safetensors", as_it_is);
    struct model *m = int8_open(dir);
    cr_assert_eq(m->word.as, STORED_REAL);
    return m;
}

/* The golden model in int8, and the same written out. */
static void in_int8(const char *family, char int8[SCRATCH_PATH], struct model **reals)
{
    char from[GOLDEN_PATH];
    snprintf(from, sizeof from, GOLDEN_DIR "%s", family);
    scratch_path(int8, dir, family);
    int8_make(from, int8);
    struct model *m = int8_open(int8);
    int8_write_reals(m, dir);
    model_close(m);
    *reals = int8_open(dir);
    cr_assert((*reals)->word.as == STORED_REAL && !(*reals)->cfg.int8);
}

/* Puts the model of a folder in the place of the golden one. */
static void replace_model(struct tuned *t, const char *folder)
{
    struct err e = {0};
    uint32_t labels = peft_labels(t->peft);
    peft_close(t->peft);
    model_close(t->golden.model);
    t->golden.model = int8_open(folder);
    cr_assert_eq(t->golden.model->layer[0].lin[LIN_KEY].W.as, STORED_INT8);
    cr_assert_eq(peft_open(&t->peft, t->golden.model, &t->spec, &t->local, t->head, labels, &e), 0,
                 "%s", e.text);
    peft_init(t->peft, 7, t->theta);
}

static void compare(struct tuned *half, struct model *model, const char *what)
{
    struct tuned full = *half;
    struct err e = {0};
    uint32_t labels = peft_labels(half->peft);
    cr_assert_eq(peft_open(&full.peft, model, &full.spec, &full.local, full.head, labels, &e), 0,
                 "%s", e.text);
    size_t logits = (size_t)tuned_rows(half, &half->batch) * labels, all = half->count;
    real *x = arena_calloc(&half->golden.mem, 2 * (logits + 2 * all), sizeof *x);
    cr_assert_not_null(x);
    real *grad = x + 2 * logits, *theta = grad + 2 * all;
    memcpy(theta, half->theta, all * sizeof *x);
    peft_init(full.peft, 7, theta + all);
    cr_expect_arr_eq(theta, theta + all, all * sizeof *x, "%s: the start", what);
    for (size_t k = 0; k < all; k++)
        theta[k] += (real)0.01 * (real)(k % 7);
    double loss = tuned_loss(half, &half->batch, theta, grad, x);
    cr_expect_eq(tuned_loss(&full, &full.batch, theta, grad + all, x + logits), loss, "%s", what);
    cr_expect_arr_eq(x, x + logits, logits * sizeof *x, "%s: logits", what);
    cr_expect_arr_eq(grad, grad + all, all * sizeof *x, "%s: gradients", what);
    peft_close(full.peft);
}

/* Of a merged model: each tensor. */
static void compare_merged(struct tuned *half, struct model *model, const char *what)
{
    struct tuned full = *half;
    struct base_tensor *t[2];
    struct err e = {0};
    size_t n;
    if (!peft_can_merge(half->peft))
        return;
    cr_assert_eq(peft_open(&full.peft, model, &full.spec, &full.local, full.head,
                           peft_labels(half->peft), &e),
                 0, "%s", e.text);
    cr_assert_eq(model_tensors(half->golden.model, &half->golden.mem, &t[0], &n, &e), 0);
    cr_assert_eq(model_tensors(model, &half->golden.mem, &t[1], &n, &e), 0);
    for (size_t i = 0; i < n; i++) {
        size_t count = (size_t)(t[0][i].dim[0] * (t[0][i].ndim > 1 ? t[0][i].dim[1] : 1));
        real *x = arena_calloc(&half->golden.mem, 2 * count, sizeof *x);
        cr_assert_not_null(x);
        peft_merged(half->peft, half->theta, &t[0][i], x);
        peft_merged(full.peft, half->theta, &t[1][i], x + count);
        cr_expect_arr_eq(x, x + count, count * sizeof *x, "%s: %s", what, t[0][i].name);
    }
    peft_close(full.peft);
}

/* labels: that the golden sequences have; 1: regression. int8: the folder of the model in it; NULL:
 * the golden one is in half precision. */
static void compare_all(const char *family, uint32_t labels, const char *int8, struct model *model)
{
    for (int v = 0; v < VARIANTS; v++)
        for (enum head_kind head = HEAD_SEQUENCE; head <= HEAD_MLM; head++) {
            const struct peft_spec spec = variant_spec(&variants[v]);
            struct tuned t;
            tuned_start_head(&t, family, &spec, head, head == HEAD_SEQUENCE ? labels : 2, 0.1);
            if (int8 != NULL)
                replace_model(&t, int8);
            cr_assert_neq(t.golden.model->word.as, STORED_REAL);
            compare(&t, model, variants[v].method);
            compare_merged(&t, model, variants[v].method);
            tuned_close(&t);
        }
    model_close(model);
}

Test(stored_model, bf16_gives_the_bits_of_f32)
{
    compare_all("roberta", 3, NULL, in_f32("roberta"));
}

Test(stored_model, f16_gives_the_bits_of_f32)
{
    compare_all("distilbert", 1, NULL, in_f32("distilbert"));
}

Test(stored_model, int8_gives_the_bits_of_its_products_in_f32)
{
    for (int i = 0; i < GOLDEN_FAMILIES; i++) {
        char int8[SCRATCH_PATH];
        struct model *reals;
        in_int8(golden_families[i], int8, &reals);
        compare_all(golden_families[i], tuned_labels[i], int8, reals);
    }
}
