/* The loader of int8 weights: what it takes, and every way in which a file or its configuration may
 * be wrong. */
#include "tests/model/golden.h"
#include "tests/model/int8.h"
#include <math.h>

static char dir[] = "/tmp/fedpet-int8-XXXXXX", good[SCRATCH_PATH];

static void make_dir(void)
{
    scratch_make(dir);
    scratch_path(good, dir, "good");
    int8_make(GOLDEN_DIR "bert", good);
}

static void remove_dir(void)
{
    scratch_remove(dir);
}

TestSuite(int8, .init = make_dir, .fini = remove_dir);

static bool inside(const struct model *m, const void *p)
{
    const unsigned char *c = p;
    return c >= m->file.map.bytes && c < m->file.map.bytes + m->file.map.len;
}

Test(int8, weights_and_scales_are_used_in_place)
{
    struct model *m = int8_open(good);
    cr_expect(m->cfg.int8);
    for (int i = 0; i < m->cfg.layers * LIN_SITES; i++) {
        const struct linear_weights *w = &m->layer[i / LIN_SITES].lin[i % LIN_SITES];
        cr_expect(w->W.as == STORED_INT8 && w->W.cols == w->in);
        cr_expect(inside(m, w->W.x) && inside(m, w->b));
        cr_expect(sizeof(real) != sizeof(float) || inside(m, w->W.scale));
    }
    cr_expect(m->pooler.W.as == STORED_INT8);
    cr_expect(m->word.as == STORED_F16 && inside(m, m->word.x));
    model_close(m);
}

/* --- tensors --- */

#define QUERY "encoder.layer.1.attention.self.query.weight"

static bool is(const struct st_out *t, const char *name)
{
    return strcmp(t->name, name) == 0;
}

static bool no_scale(struct st_out *t, float *x)
{
    (void)x;
    return !is(t, QUERY "_scale");
}

static bool no_shape(struct st_out *t, float *x)
{
    (void)x;
    return !is(t, QUERY "_shape");
}

static bool flat_scale(struct st_out *t, float *x)
{
    (void)x;
    if (is(t, QUERY "_scale"))
        t->ndim = 1;
    return true;
}

/* As of groups: two for each row. */
static bool more_scales(struct st_out *t, float *x)
{
    (void)x;
    if (is(t, QUERY "_scale")) {
        t->dim[0] = 16;
        t->dim[1] = 2;
    }
    return true;
}

static bool negative_scale(struct st_out *t, float *x)
{
    if (is(t, QUERY "_scale"))
        x[31] = -x[31];
    return true;
}

static bool nan_scale(struct st_out *t, float *x)
{
    if (is(t, QUERY "_scale"))
        x[0] = NAN;
    return true;
}

static bool infinite_scale(struct st_out *t, float *x)
{
    if (is(t, QUERY "_scale"))
        x[5] = INFINITY;
    return true;
}

static bool integer_scale(struct st_out *t, float *x)
{
    (void)x;
    if (is(t, QUERY "_scale"))
        t->dtype = DTYPE_I32;
    return true;
}

static bool real_weights(struct st_out *t, float *x)
{
    (void)x;
    if (is(t, QUERY "_packed"))
        t->dtype = DTYPE_F32;
    return true;
}

static bool narrower(struct st_out *t, float *x)
{
    (void)x;
    if (is(t, QUERY "_packed"))
        t->dim[1] = 7;
    return true;
}

static bool other_shape(struct st_out *t, float *x)
{
    if (is(t, QUERY "_shape"))
        memcpy(x, (int64_t[]){32, 30}, 2 * sizeof(int64_t));
    return true;
}

static bool three_dimensions(struct st_out *t, float *x)
{
    (void)x;
    if (is(t, QUERY "_shape")) {
        t->ndim = 2;
        t->dim[0] = t->dim[1] = 1;
    }
    return true;
}

/* Takes the place of the pooler, without which a model is one, too. */
static bool instead_of_the_pooler(struct st_out *t, const char *name)
{
    if (is(t, "pooler.dense.bias"))
        t->name = name;
    return strncmp(t->name, "pooler.", 7) != 0;
}

static bool both(struct st_out *t, float *x)
{
    (void)x;
    return instead_of_the_pooler(t, QUERY);
}

static bool zero_point(struct st_out *t, float *x)
{
    (void)x;
    return instead_of_the_pooler(t, QUERY "_zero_point");
}

static bool int8_head(struct st_out *t, float *x)
{
    (void)x;
    return instead_of_the_pooler(t, "classifier.weight_packed");
}

static bool as_it_is(struct st_out *t, float *x)
{
    (void)t;
    (void)x;
    return true;
}

/* Opens the good model with edited tensors. */
static int open_edited(bool (*edit)(struct st_out *t, float *x), struct model **m, struct err *e)
{
    scratch_copy(good, dir, "config.json");
    scratch_tensors(good, dir, "model.safetensors", edit);
    return model_open(m, dir, e);
}

Test(int8, wrong_tensors_are_refused_by_name)
{
    static const struct {
        bool (*edit)(struct st_out *t, float *x);
        const char *tensor, *because;
    } bad[] = {
        {no_scale, QUERY "_scale", "missing"},
        {no_shape, QUERY "_shape", "missing"},
        {flat_scale, QUERY "_scale", "is not [32, 1]"},
        {more_scales, QUERY "_scale", "is not [32, 1]"},
        {negative_scale, QUERY "_scale", "negative or not finite"},
        {nan_scale, QUERY "_scale", "negative or not finite"},
        {infinite_scale, QUERY "_scale", "negative or not finite"},
        {integer_scale, QUERY "_scale", "not stored as F32"},
        {real_weights, QUERY "_packed", "is not I32"},
        {narrower, QUERY "_packed", "is not [32, 8]"},
        {other_shape, QUERY "_shape", "is not what config.json says"},
        {three_dimensions, QUERY "_shape", "is not [2]"},
        {both, QUERY "\"", "is unknown"},
        {zero_point, QUERY "_zero_point", "is unknown"},
        {int8_head, "classifier.weight_packed", "quantised head"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct model *m = NULL;
        struct err e = {0};
        cr_expect_eq(open_edited(bad[i].edit, &m, &e), ERR_MODEL, "%zu: %s", i, bad[i].because);
        cr_expect(strstr(e.text, "model.safetensors") != NULL, "%s", e.text);
        cr_expect(strstr(e.text, bad[i].tensor) != NULL, "%zu: %s", i, e.text);
        cr_expect(strstr(e.text, bad[i].because) != NULL, "%zu: %s", i, e.text);
        cr_expect_null(m);
    }
    struct model *m;
    struct err e = {0};
    cr_assert_eq(open_edited(as_it_is, &m, &e), 0, "%s", e.text);
    model_close(m);
}

/* --- configuration --- */

Test(int8, weights_without_a_configuration_are_refused)
{
    struct model *m = NULL;
    struct err e = {0};
    scratch_json(good, dir, "config.json", QUANTIZATION_CONFIG, NULL);
    scratch_copy(good, dir, "model.safetensors");
    cr_expect_eq(model_open(&m, dir, &e), ERR_MODEL);
    cr_expect(strstr(e.text, "weight_packed\" is quantised, and config.json has no") != NULL, "%s",
              e.text);
}

/* A quantization_config that differs from a good one in these fields. */
#define CONFIG(TOP, GROUP, WEIGHTS)                                                                \
    "{\"quant_method\": \"compressed-tensors\", \"format\": \"pack-quantized\", " TOP              \
    "\"config_groups\": {\"g\": {" GROUP "\"targets\": [\"Linear\"], \"weights\": {" WEIGHTS       \
    "\"strategy\": \"channel\"}}}}"
#define ONLY(TEXT) "{\"quant_method\": \"compressed-tensors\", " TEXT "}"

static int open_configured(const char *value, struct err *e)
{
    struct model *m = NULL;
    json_t *json = json_loads(value, JSON_DECODE_ANY, NULL);
    cr_assert_not_null(json, "%s", value);
    char *text = json_dumps(json, JSON_ENCODE_ANY);
    scratch_json(good, dir, "config.json", QUANTIZATION_CONFIG, text);
    scratch_copy(good, dir, "model.safetensors");
    free(text);
    json_decref(json);
    int rc = model_open(&m, dir, e);
    model_close(m);
    return rc;
}

Test(int8, other_ways_to_quantise_are_refused_by_field)
{
    static const struct {
        const char *config, *because;
    } bad[] = {
        {"3", "quant_method is absent"},
        {"{\"quant_method\": \"bitsandbytes\"}", "quant_method is \"bitsandbytes\", not \"comp"},
        {ONLY("\"format\": \"int-quantized\""), "format is \"int-quantized\", not \"pack-q"},
        {ONLY("\"format\": null"), "format is null"},
        {ONLY("\"format\": \"pack-quantized\""), "config_groups is empty or absent"},
        {ONLY("\"format\": \"pack-quantized\", \"config_groups\": {\"W8A16\": [\"Linear\"]}"),
         "weights of a group is absent"},
        {CONFIG("\"quantization_status\": \"frozen\", ", "", ""), "quantization_status is \"fr"},
        {CONFIG("\"kv_cache_scheme\": {\"num_bits\": 8}, ", "", ""), "kv_cache_scheme is {"},
        {CONFIG("\"transform_config\": {\"config_groups\": 1}, ", "", ""),
         "transform_config is th"},
        {CONFIG("", "\"format\": \"int-quantized\", ", ""), "format is \"int-quantized\""},
        {CONFIG("", "\"input_activations\": {\"num_bits\": 8}, ", ""), "input_activations is {"},
        {CONFIG("", "\"output_activations\": {\"num_bits\": 8}, ", ""), "output_activations is {"},
        {CONFIG("", "", "\"num_bits\": 4, "), "weights.num_bits is 4, not 8"},
        {CONFIG("", "", "\"type\": \"float\", "), "weights.type is \"float\", not \"int\""},
        {CONFIG("", "", "\"symmetric\": false, "), "weights.symmetric is false, not true"},
        {CONFIG("", "", "\"dynamic\": true, "), "weights.dynamic is true, not false"},
        {"{\"quant_method\": \"compressed-tensors\", \"format\": \"pack-quantized\", "
         "\"config_groups\": {\"g\": {\"weights\": {\"strategy\": \"group\", \"group_size\": "
         "128}}}}",
         "weights.strategy is \"group\", not \"channel\""},
        {"{\"quant_method\": \"compressed-tensors\", \"format\": \"pack-quantized\", "
         "\"config_groups\": {\"g\": {\"weights\": {}}}}",
         "weights.strategy is absent, not \"channel\""},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err e = {0};
        cr_expect_eq(open_configured(bad[i].config, &e), ERR_MODEL, "%s", bad[i].config);
        cr_expect(strstr(e.text, "config.json: quantization_config: ") != NULL, "%s", e.text);
        cr_expect(strstr(e.text, bad[i].because) != NULL, "%s, not %s", e.text, bad[i].because);
        cr_expect(strstr(e.text, "fedpet-client quantize") != NULL, "%s", e.text);
    }
}

Test(int8, what_the_library_leaves_out_or_spells_out_is_read)
{
    static const char *const config[] = {
        CONFIG("", "", ""),
        CONFIG("\"version\": \"0.20.1\", \"sparsity_config\": {}, \"transform_config\": {}, "
               "\"quantization_status\": \"compressed\", \"kv_cache_scheme\": null, \"ignore\": "
               "[\"lm_head\"], \"global_compression_ratio\": null, ",
               "\"format\": \"pack-quantized\", \"input_activations\": null, "
               "\"output_activations\": null, ",
               "\"num_bits\": 8, \"type\": \"int\", \"symmetric\": true, \"group_size\": null, "
               "\"block_structure\": null, \"dynamic\": false, \"actorder\": null, \"observer\": "
               "\"memoryless_minmax\", \"observer_kwargs\": {}, "),
    };
    for (size_t i = 0; i < sizeof config / sizeof *config; i++) {
        struct err e = {0};
        cr_expect_eq(open_configured(config[i], &e), 0, "%s", e.text);
    }
}
