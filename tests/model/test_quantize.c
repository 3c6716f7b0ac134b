/* Models quantised: how near each number stays, what is written, and that a failure leaves nothing.
 */
#include "base/half.h"
#include "tests/bench/random_model.h"
#include "tests/model/golden.h"
#include "tests/model/int8.h"
#include <float.h>
#include <math.h>

static char dir[] = "/tmp/fedpet-quantize-XXXXXX", made[SCRATCH_PATH];

static void make_dir(void)
{
    scratch_make(dir);
    scratch_path(made, dir, "int8");
}

static void remove_dir(void)
{
    scratch_remove(dir);
}

TestSuite(quantize, .init = make_dir, .fini = remove_dir);

/* --- values --- */

/* A row w as q s: the scale is the one that is promised, no number is further away than half of it.
 */
static void check_row(const struct stored s, size_t row, const real *w, const real *got,
                      const char *name)
{
    const size_t cols = (size_t)s.cols;
    const double scale = (double)s.scale[row];
    float most = 0;
    for (size_t k = 0; k < cols; k++) {
        const unsigned char x = ((const unsigned char *)s.x)[row * stored_int8_row(s.cols) + k];
        double exact = (x - 128) * scale;
        most = fmaxf(most, fabsf((float)w[k]));
        cr_assert_eq(got[k], (float)(x - 128) * (float)scale);
        cr_assert(x >= 1, "%s: -128 is not used", name);
        cr_assert(fabs((double)w[k] - exact) <= scale / 2, "%s: %a is %a in steps of %a", name,
                  (double)w[k], exact, scale);
        cr_assert(w[k] != 0 || got[k] == 0, "%s: a zero is %a", name, (double)got[k]);
    }
    cr_assert_eq((float)scale, fmaxf(most / 127, FLT_MIN), "%s: row %zu", name, row);
}

/* Every tensor of a model against the one that it was made of. */
static void check_tensor(const struct base_tensor *w, const struct base_tensor *q)
{
    const size_t rows = (size_t)w->dim[0], cols = w->ndim > 1 ? (size_t)w->dim[1] : 1;
    real *x = malloc(2 * rows * cols * sizeof *x), *y = x + rows * cols;
    bool linear = w->role == ROLE_WEIGHT;
    stored_read(w->x, 0, rows * cols, x);
    stored_read(q->x, 0, rows * cols, y);
    cr_assert_str_eq(w->name, q->name);
    cr_assert_eq(q->x.as, linear                      ? STORED_INT8
                          : w->role == ROLE_EMBEDDING ? STORED_F16
                                                      : STORED_REAL);
    for (size_t i = 0; i < rows * cols && !linear; i++) {
        float half = float_of_half(half_of_float((float)x[i]));
        cr_assert_eq(y[i], w->role == ROLE_EMBEDDING ? (real)half : x[i], "%s", w->name);
    }
    for (size_t i = 0; i < rows && linear; i++)
        check_row(q->x, i, x + i * cols, y + i * cols, w->name);
    free(x);
}

static void check_head(const struct head_tensor *w, const struct head_tensor *q)
{
    size_t n = (size_t)(w->ndim > 0 ? w->dim[0] * (w->ndim > 1 ? w->dim[1] : 1) : 0);
    real *x = malloc((2 * n + 1) * sizeof *x);
    cr_assert((w->name == NULL) == (q->name == NULL));
    if (w->name != NULL) {
        stored_read(w->pretrained, 0, n, x);
        stored_read(q->pretrained, 0, n, x + n);
        cr_expect_arr_eq(x, x + n, n * sizeof *x, "%s", w->name);
    }
    free(x);
}

static void check_model(const char *from, const char *to)
{
    struct model *w = int8_open(from), *q = int8_open(to);
    struct arena mem;
    struct base_tensor *a, *b;
    struct err e = {0};
    size_t n, m;
    arena_init(&mem, ARENA_NO_CAP);
    cr_assert_eq(model_tensors(w, &mem, &a, &n, &e), 0);
    cr_assert_eq(model_tensors(q, &mem, &b, &m, &e), 0);
    cr_assert_eq(n, m);
    for (size_t i = 0; i < n; i++)
        check_tensor(&a[i], &b[i]);
    for (int i = 0; i < FILE_HEAD_TENSORS; i++)
        check_head(&w->file_head[i], &q->file_head[i]);
    cr_expect_lt(q->file.map.len, w->file.map.len);
    arena_release(&mem);
    model_close(w);
    model_close(q);
}

/* F32, BF16 with a head of masked words, F16 with one of regression. */
Test(quantize, numbers_stay_within_half_a_step)
{
    for (int i = 0; i < GOLDEN_FAMILIES; i++) {
        char from[GOLDEN_PATH], to[SCRATCH_PATH];
        snprintf(from, sizeof from, GOLDEN_DIR "%s", golden_families[i]);
        scratch_path(to, dir, golden_families[i]);
        int8_make(from, to);
        check_model(from, to);
    }
}

/* Rows of 30 and 62 numbers, which do not end where an int32 does. */
Test(quantize, rows_of_any_length)
{
    const struct random_model odd = {.type = "roberta",
                                     .layers = 2,
                                     .hidden = 30,
                                     .heads = 3,
                                     .ffn = 62,
                                     .vocab = 50,
                                     .positions = 20,
                                     .deviation = 0.1F,
                                     .seed = 5};
    struct err e = {0};
    char from[SCRATCH_PATH];
    scratch_path(from, dir, "odd");
    cr_assert_eq(random_model_write(&odd, from, &e), 0, "%s", e.text);
    int8_make(from, made);
    check_model(from, made);
}

enum { ZERO, ONE_LARGE, SUBNORMAL, TINY, LARGEST, TIES, ROWS_SET };

static bool rows_of_every_kind(struct st_out *t, float *x)
{
    enum { COLS = 32 };
    if (strcmp(t->name, "encoder.layer.1.attention.self.value.weight") != 0)
        return true;
    memset(x, 0, ROWS_SET * COLS * sizeof *x);
    x[ONE_LARGE * COLS + 7] = -3;
    for (int k = 0; k < COLS; k++) {
        x[SUBNORMAL * COLS + k] = (float)(k - 16) * 0x1p-149F * 12;
        x[TINY * COLS + k] = (float)(k - 9) * FLT_MIN;
        x[LARGEST * COLS + k] = k % 2 ? FLT_MAX : -FLT_MAX / (float)(k + 1);
        x[TIES * COLS + k] = k == 31 ? 127 : (float)k + 0.5F;
    }
    return true;
}

Test(quantize, rows_of_zeros_subnormals_and_the_largest_numbers)
{
    struct model *m;
    real x[ROWS_SET * 32];
    scratch_copy(GOLDEN_DIR "bert", dir, "config.json");
    scratch_tensors(GOLDEN_DIR "bert", dir, "model.safetensors", rows_of_every_kind);
    int8_make(dir, made);
    check_model(dir, made);
    m = int8_open(made);
    stored_read(m->layer[1].lin[LIN_VALUE].W, 0, ROWS_SET * 32, x);
    for (int k = 0; k < 32; k++) {
        cr_expect_eq(x[ZERO * 32 + k], 0);
        cr_expect_eq(x[ONE_LARGE * 32 + k], k == 7 ? (-3.0F / 127) * 127 : 0);
        cr_expect_eq(x[TINY * 32 + k], (float)(k - 9) * FLT_MIN, "one step each");
        cr_expect_eq(x[TIES * 32 + k], k == 31 ? 127 : (real)((k + 1) / 2 * 2), "to the even");
    }
    model_close(m);
}

static bool word_beyond_f16(struct st_out *t, float *x)
{
    if (strcmp(t->name, "embeddings.word_embeddings.weight") == 0)
        x[99] = 65520; /* rounds to what F16 has no number for */
    return true;
}

Test(quantize, embeddings_beyond_f16_stay_f32)
{
    real x;
    scratch_copy(GOLDEN_DIR "bert", dir, "config.json");
    scratch_tensors(GOLDEN_DIR "bert", dir, "model.safetensors", word_beyond_f16);
    int8_make(dir, made);
    struct model *m = int8_open(made);
    cr_expect(m->word.as == STORED_REAL && m->position.as == STORED_F16);
    stored_read(m->word, 99, 1, &x);
    cr_expect_eq(x, 65520);
    model_close(m);
}

/* --- the directory --- */

static json_t *at(json_t *object, const char *const *key)
{
    for (; object != NULL && *key != NULL; key++)
        object = json_object_get(object, *key);
    return object;
}

static void read_config(const char *folder, json_t **json)
{
    char path[SCRATCH_PATH];
    scratch_path(path, folder, "config.json");
    *json = json_load_file(path, 0, NULL);
    cr_assert_not_null(*json);
}

Test(quantize, the_configuration_says_what_is_int8)
{
    static const char *const group[] = {"quantization_config", "config_groups", "group_0", NULL};
    static const char *const targets[] = {
        "re:.*(encoder\\.layer\\.\\d+\\.(attention\\.self\\.query|attention\\.self\\.key|"
        "attention\\.self\\.value|attention\\.output\\.dense|intermediate\\.dense|output\\.dense)|"
        "pooler\\.dense)$",
        "re:.*(encoder\\.layer\\.\\d+\\.(attention\\.self\\.query|attention\\.self\\.key|"
        "attention\\.self\\.value|attention\\.output\\.dense|intermediate\\.dense|output\\.dense))"
        "$",
        "re:.*(transformer\\.layer\\.\\d+\\.(attention\\.q_lin|attention\\.k_lin|"
        "attention\\.v_lin|attention\\.out_lin|ffn\\.lin1|ffn\\.lin2))$"};
    for (int i = 0; i < GOLDEN_FAMILIES; i++) {
        char from[GOLDEN_PATH], to[SCRATCH_PATH];
        json_t *json, *before;
        snprintf(from, sizeof from, GOLDEN_DIR "%s", golden_families[i]);
        scratch_path(to, dir, golden_families[i]);
        int8_make(from, to);
        read_config(from, &before);
        read_config(to, &json);
        const json_t *target = json_array_get(json_object_get(at(json, group), "targets"), 0);
        cr_expect_str_eq(json_string_value(target), targets[i]);
        cr_expect_str_eq(json_string_value(json_object_get(json, "torch_dtype")), "float32");
        cr_expect_null(json_object_get(json, "dtype"));
        json_object_del(json, QUANTIZATION_CONFIG);
        json_object_del(json, "torch_dtype");
        json_object_del(before, "torch_dtype");
        json_object_del(before, "dtype");
        cr_expect(json_equal(json, before), "the rest is the model's");
        json_decref(json);
        json_decref(before);
    }
}

Test(quantize, the_same_bytes_again_and_the_tokenizer_beside_them)
{
    static const char vocabulary[] = "[PAD]\n";
    char again[SCRATCH_PATH], path[SCRATCH_PATH];
    scratch_copy(GOLDEN_DIR "bert", dir, "config.json");
    scratch_copy(GOLDEN_DIR "bert", dir, "model.safetensors");
    scratch_write(dir, "vocab.txt", vocabulary, sizeof vocabulary - 1);
    scratch_path(again, dir, "again/");
    int8_make(dir, made);
    int8_make(dir, again);
    struct model *a = int8_open(made), *b = int8_open(again), *before = int8_open(dir);
    cr_expect_arr_eq(&a->hash, &b->hash, sizeof a->hash);
    cr_expect_neq(memcmp(&a->hash, &before->hash, sizeof a->hash), 0);
    scratch_path(path, made, "vocab.txt");
    cr_expect(file_exists(path));
    model_close(a);
    model_close(b);
    model_close(before);
}

static bool not_a_number(struct st_out *t, float *x)
{
    if (strcmp(t->name, "encoder.layer.1.output.dense.weight") == 0) {
        x[70] = NAN;
        x[71] = 1;
    }
    return true;
}

static void expect_refused(const struct model *m, const char *to, int code, const char *because)
{
    struct err e = {0};
    int before = scratch_entries(dir);
    cr_expect_eq(quantize_model(m, to, &e), code, "%s", because);
    cr_expect(strstr(e.text, because) != NULL, "%s", e.text);
    cr_expect_eq(scratch_entries(dir), before, "something is left behind");
}

Test(quantize, what_cannot_be_is_refused_and_leaves_nothing)
{
    struct model *m = int8_open(GOLDEN_DIR "bert");
    char base[] = "/nowhere/at/all", *real_dir = m->dir;
    expect_refused(m, dir, ERR_IO, "exists already");
    expect_refused(m, "", ERR_IO, "must have a name");
    m->dir = base; /* its config.json is read after the weights have been written */
    expect_refused(m, made, ERR_IO, "/nowhere/at/all/config.json");
    m->dir = real_dir;
    model_close(m);

    scratch_copy(GOLDEN_DIR "bert", dir, "config.json");
    scratch_tensors(GOLDEN_DIR "bert", dir, "model.safetensors", not_a_number);
    m = int8_open(dir);
    expect_refused(m, made, ERR_MODEL, "layer.1.output.dense.weight\" holds a value that is not");
    model_close(m);

    int8_make(GOLDEN_DIR "bert", made);
    m = int8_open(made);
    char twice[SCRATCH_PATH];
    scratch_path(twice, dir, "twice");
    expect_refused(m, twice, ERR_MODEL, "int8 already");
    model_close(m);
}
