/* Adapter directories in every format: what is written, what is read back, what is refused. */
#include "model/jsonfile.h"
#include "tests/model/scratch.h"
#include "tests/peft/tuned.h"
#include "tests/peft/variants.h"
#include <math.h>
#include <unistd.h>

static char dir[] = "/tmp/fedpet-formats-XXXXXX";

static void make_dir(void)
{
    scratch_make(dir);
}

static void remove_dir(void)
{
    scratch_remove(dir);
}

TestSuite(formats, .init = make_dir, .fini = remove_dir);

static const char *const formats[] = {"peft", "adapterhub", "fedpet"};
enum { FORMATS = sizeof formats / sizeof *formats };

static void perturb(struct tuned *t)
{
    struct rng r = rng_stream(3, 0, 0, RNG_TEST);
    for (size_t k = 0; k < t->count; k++)
        t->theta[k] += (real)(0.1 * rng_normal(&r));
}

static void start(struct tuned *t, const char *family, const struct variant *v, enum head_kind head)
{
    const struct peft_spec spec = variant_spec(v);
    tuned_start_head(t, family, &spec, head, 3, 0);
    perturb(t);
}

static int save_as(const struct tuned *t, const char *format, struct err *e)
{
    static const char *const labels[] = {"no", "yes", "maybe"};
    const struct adapter_info info = {
        .task = "text", .labels = labels, .n_labels = 3, .max_length = 20, .format = format};
    return peft_save(t->peft, t->theta, &info, dir, e);
}

static bool is(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

/* --- round trips --- */

/* The formats that can hold a variant, by their definition and not by our code. */
static bool holds(const char *format, const struct variant *v, const char *family)
{
    const struct peft_spec *s = &v->settings;
    bool prefix = is(v->method, "prefix");
    if (is(format, "fedpet"))
        return true;
    if (is(format, "adapterhub"))
        return !s->norms && (is(v->method, "adapter") || (prefix && !s->shift));
    if (prefix)
        return s->shift && !is(family, "distilbert");
    return is(v->method, "lora") || is(v->method, "bitfit") || is(v->method, "layernorm") ||
           is(v->method, "prompt");
}

/* What is read back: the same settings, but for a network that only our format keeps. */
static void expect_settings(const struct tuned *t, const struct variant *v,
                            const struct peft_spec *back, bool collapsed)
{
    struct peft_spec want = t->spec;
    if (collapsed)
        want.hidden = 0;
    json_t *a = peft_settings(peft_method_find(v->method), &want);
    json_t *b = peft_settings(peft_method_find(back->method), back);
    char *x = json_dumps(a, JSON_SORT_KEYS), *y = json_dumps(b, JSON_SORT_KEYS);
    cr_expect_str_eq(x, y);
    free(x);
    free(y);
    json_decref(a);
    json_decref(b);
}

static void expect_values(const struct tuned *t, const struct peft *p, const real *back,
                          bool collapsed)
{
    const struct schema *s = peft_schema(p);
    struct err e = {0};
    if (!collapsed) {
        cr_assert_eq(s->count, t->count);
        cr_expect_eq(memcmp(back, t->theta, t->count * sizeof *back), 0);
        return;
    }
    real *rows = calloc(s->tensor[0].count, sizeof *rows);
    cr_assert_not_null(rows);
    cr_assert_eq(peft_collapse(t->peft, t->theta, rows, &e), 0, "%s", e.text);
    cr_expect_eq(memcmp(back, rows, s->tensor[0].count * sizeof *back), 0);
    size_t rest = s->count - s->tensor[0].count;
    cr_expect_eq(memcmp(back + s->tensor[0].count, t->theta + t->count - rest, rest * sizeof *back),
                 0);
    free(rows);
}

static void expect_round_trip(const struct tuned *t, const struct variant *v, const char *format,
                              enum head_kind head)
{
    struct peft_spec spec;
    struct adapter_info info;
    struct arena mem;
    struct peft *p;
    struct err e = {0};
    bool collapsed = v->settings.hidden > 0 && !is(format, "fedpet");
    arena_init(&mem, ARENA_NO_CAP);
    cr_assert_eq(peft_read_config(dir, &mem, &spec, &info, &e), 0, "%s", e.text);
    cr_expect_str_eq(info.format, format);
    cr_expect_str_eq(info.task, "text");
    cr_expect(info.head == head && info.n_labels == 3 && info.max_length == 20);
    expect_settings(t, v, &spec, collapsed);
    cr_assert_eq(peft_open(&p, t->golden.model, &spec, NULL, head, 3, &e), 0, "%s", e.text);
    real *back = arena_calloc(&mem, peft_schema(p)->count, sizeof *back);
    cr_assert_eq(peft_load(p, dir, back, &e), 0, "%s", e.text);
    expect_values(t, p, back, collapsed);
    peft_close(p);
    arena_release(&mem);
}

static void expect_refused(const struct tuned *t, const char *format)
{
    struct err e = {0};
    char path[SCRATCH_PATH];
    cr_expect_eq(peft_check_format(t->peft, format, &e), ERR_CONFIG);
    cr_expect_eq(save_as(t, format, &e), ERR_CONFIG);
    cr_expect(strstr(e.text, format) != NULL, "%s", e.text);
    scratch_path(path, dir, "adapter_config.json");
    cr_expect(!file_exists(path), "nothing is written");
}

static void clear_dir(void)
{
    remove_dir();
    snprintf(dir, sizeof dir, "/tmp/fedpet-formats-XXXXXX");
    make_dir();
}

Test(formats, every_method_survives_every_format_that_holds_it)
{
    for (int h = HEAD_SEQUENCE; h <= HEAD_TOKENS; h++)
        for (int i = 0; i < GOLDEN_FAMILIES; i++)
            for (size_t k = 0; k < VARIANTS; k++) {
                const struct variant *v = &variants[k];
                struct tuned t;
                struct err e = {0};
                start(&t, golden_families[i], v, (enum head_kind)h);
                const char *first = NULL;
                for (int f = 0; f < FORMATS; f++) {
                    clear_dir();
                    if (!holds(formats[f], v, golden_families[i])) {
                        expect_refused(&t, formats[f]);
                        continue;
                    }
                    first = first != NULL ? first : formats[f];
                    cr_assert_eq(save_as(&t, formats[f], &e), 0, "%s", e.text);
                    expect_round_trip(&t, v, formats[f], (enum head_kind)h);
                }
                clear_dir();
                cr_assert_eq(save_as(&t, NULL, &e), 0, "%s", e.text);
                expect_round_trip(&t, v, first, (enum head_kind)h);
                tuned_close(&t);
            }
}

Test(formats, an_unknown_format_is_refused)
{
    struct tuned t;
    struct err e = {0};
    start(&t, "bert", &variants[0], HEAD_SEQUENCE);
    cr_expect_eq(peft_check_format(t.peft, NULL, &e), 0);
    cr_expect_eq(save_as(&t, "gguf", &e), ERR_USAGE);
    cr_expect(strstr(e.text, "peft, adapterhub, fedpet") != NULL, "%s", e.text);
    tuned_close(&t);
}

/* --- names and shapes, as the libraries write them (their own files were listed) --- */

struct key {
    const char *name;
    int64_t rows, cols; /* cols 0: a vector */
};

static void expect_keys(const char *file, size_t n, const struct key *want, size_t n_want)
{
    struct safetensors st;
    struct err e = {0};
    char path[SCRATCH_PATH];
    scratch_path(path, dir, file);
    cr_assert_eq(safetensors_open(&st, path, &e), 0, "%s", e.text);
    cr_expect_eq(st.n, n, "%s holds %zu tensors", file, st.n);
    for (size_t i = 0; i < n_want; i++) {
        const struct st_tensor *t = safetensors_find(&st, want[i].name);
        cr_assert_not_null(t, "%s", want[i].name);
        cr_expect_eq(t->ndim, want[i].cols > 0 ? 2 : 1, "%s", want[i].name);
        cr_expect_eq(t->dim[0], want[i].rows, "%s", want[i].name);
        cr_expect(want[i].cols == 0 || t->dim[1] == want[i].cols, "%s", want[i].name);
    }
    safetensors_close(&st);
}

#define KEYS(...)                                                                                  \
    (const struct key[]){__VA_ARGS__},                                                             \
        sizeof((const struct key[]){__VA_ARGS__}) / sizeof(struct key)
#define WRAPPED "base_model.model."
#define LAYER "roberta.encoder.layer.0."

static const struct variant *variant_of(const char *method, const char *what)
{
    for (size_t k = 0; k < VARIANTS; k++)
        if (is(variants[k].method, method) && is(variants[k].what, what))
            return &variants[k];
    cr_assert_fail("no variant %s, %s", method, what);
    return NULL;
}

static void save_variant(const char *family, const char *method, const char *what,
                         struct model_config *c)
{
    struct tuned t;
    struct err e = {0};
    start(&t, family, variant_of(method, what), HEAD_SEQUENCE);
    cr_assert_eq(save_as(&t, NULL, &e), 0, "%s", e.text);
    *c = t.golden.model->cfg;
    tuned_close(&t);
}

Test(formats, keys_are_those_of_peft)
{
    static const char file[] = "adapter_model.safetensors";
    struct model_config c;
    save_variant("roberta", "bitfit", "all", &c);
    int64_t d = c.hidden, f = c.ffn;
    size_t layers = (size_t)c.layers;
    expect_keys(file, layers * 8 + 1 + 4 + 2,
                KEYS({WRAPPED LAYER "attention.self.query.lora_A.weight", 1, d},
                     {WRAPPED LAYER "attention.self.query.lora_B.weight", d, 1},
                     {WRAPPED LAYER "attention.self.query.base_layer.bias", d, 0},
                     {WRAPPED LAYER "attention.self.key.bias", d, 0},
                     {WRAPPED LAYER "intermediate.dense.bias", f, 0},
                     {WRAPPED LAYER "output.LayerNorm.bias", d, 0},
                     {WRAPPED "roberta.embeddings.LayerNorm.bias", d, 0},
                     {WRAPPED "classifier.out_proj.bias", 3, 0}));
    save_variant("roberta", "layernorm", "plain", &c);
    expect_keys(file, layers * 4 + 2 + 4,
                KEYS({WRAPPED LAYER "output.LayerNorm.ln_tuning_layers.weight", d, 0},
                     {WRAPPED LAYER "attention.output.LayerNorm.ln_tuning_layers.bias", d, 0},
                     {WRAPPED "roberta.embeddings.LayerNorm.ln_tuning_layers.weight", d, 0},
                     {WRAPPED "classifier.dense.weight", d, d}));
    save_variant("roberta", "lora", "and norms", &c);
    expect_keys(file, layers * (2 * LIN_SITES + 4) + 2 + 4,
                KEYS({WRAPPED LAYER "intermediate.dense.lora_A.weight", 3, d},
                     {WRAPPED LAYER "intermediate.dense.lora_B.weight", f, 3},
                     {WRAPPED LAYER "output.LayerNorm.weight", d, 0}));
    save_variant("roberta", "prefix", "reparametrised", &c);
    expect_keys(file, 1 + 4,
                KEYS({"prompt_embeddings", 3, 2 * d * c.layers},
                     {"base_model.classifier.dense.weight", d, d},
                     {"base_model.classifier.out_proj.weight", 3, d}));
    save_variant("distilbert", "prompt", "plain", &c);
    expect_keys(file, 1 + 4,
                KEYS({"prompt_embeddings", 3, c.hidden},
                     {"base_model.pre_classifier.weight", c.hidden, c.hidden},
                     {"base_model.classifier.weight", 3, c.hidden}));
}

Test(formats, keys_are_those_of_adapterhub)
{
    static const char file[] = "adapter.safetensors", head[] = "model_head.safetensors";
    struct model_config c;
    save_variant("roberta", "adapter", "houlsby", &c);
    int64_t d = c.hidden;
    size_t layers = (size_t)c.layers;
    expect_keys(file, layers * 8,
                KEYS({LAYER "attention.output.adapters.fedpet.adapter_down.0.weight", 5, d},
                     {LAYER "attention.output.adapters.fedpet.adapter_up.bias", d, 0},
                     {LAYER "output.adapters.fedpet.adapter_down.0.bias", 5, 0},
                     {LAYER "output.adapters.fedpet.adapter_up.weight", d, 5}));
    expect_keys(head, 4,
                KEYS({"classifier.dense.weight", d, d}, {"classifier.out_proj.bias", 3, 0}));
    save_variant("distilbert", "adapter", "pfeiffer", &c);
    expect_keys(
        file, (size_t)c.layers * 4,
        KEYS({"distilbert.transformer.layer.0.output_adapters.adapters.fedpet.adapter_up.weight",
              c.hidden, 5}));
    save_variant("distilbert", "prefix", "flat", &c);
    expect_keys(file, 1,
                KEYS({"distilbert.prefix_tuning.prefix_tunings.fedpet.self.control_trans",
                      3 * 2 * c.hidden * c.layers, 0}));
    save_variant("roberta", "prefix", "flat", &c);
    expect_keys(file, 1,
                KEYS({"roberta.prefix_tuning.prefix_tunings.fedpet.self_prefix.control_trans",
                      3 * 2 * d * c.layers, 0}));
}

/* --- directories that say something else --- */

/* Saves a variant, replaces one field (of the object `inside`, or of the root) and reads it. */
static int read_altered(const char *method, const char *what, const char *file, const char *inside,
                        const char *key, const char *value, struct err *e)
{
    struct model_config c;
    struct peft_spec spec;
    struct adapter_info info;
    struct arena mem;
    char path[SCRATCH_PATH];
    save_variant("bert", method, what, &c);
    scratch_path(path, dir, file);
    json_t *root = json_load_file(path, 0, NULL);
    json_t *at = inside != NULL ? json_object_get(root, inside) : root;
    json_object_set_new(at, key, json_loads(value, JSON_DECODE_ANY, NULL));
    cr_assert_eq(json_dump_file(root, path, 0), 0);
    json_decref(root);
    arena_init(&mem, ARENA_NO_CAP);
    int rc = peft_read_config(dir, &mem, &spec, &info, e);
    arena_release(&mem);
    return rc;
}

Test(formats, what_adapterhub_computes_otherwise_is_refused)
{
    static const struct {
        const char *key, *value;
    } bad[] = {
        {"architecture", "\"lora\""},
        {"architecture", "7"},
        {"ln_before", "true"},
        {"ln_after", "true"},
        {"use_gating", "true"},
        {"phm_layer", "true"},
        {"leave_out", "[1]"},
        {"inv_adapter", "\"nice\""},
        {"scaling", "2.0"},
        {"scaling", "\"learned\""},
        {"output_adapter", "false"},
        {"original_ln_before", "true"},
        {"original_ln_after", "false"},
        {"is_parallel", "true"},
        {"non_linearity", "\"selu\""},
        {"non_linearity", "null"},
        {"residual_before_ln", "\"post_add\""},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err e = {0};
        cr_expect_eq(read_altered("adapter", "houlsby", "adapter_config.json", "config", bad[i].key,
                                  bad[i].value, &e),
                     ERR_MODEL, "%s %s", bad[i].key, bad[i].value);
        cr_expect(strstr(e.text, "adapter_config.json") != NULL, "%s", e.text);
    }
    struct err e = {0};
    cr_expect_eq(read_altered("adapter", "houlsby", "adapter_config.json", "config",
                              "residual_before_ln", "false", &e),
                 0, "without a norm before it, that changes nothing: %s", e.text);
    cr_expect_eq(read_altered("adapter", "houlsby", "adapter_config.json", NULL, "model_type",
                              "\"gpt2\"", &e),
                 ERR_MODEL);
    cr_expect_eq(read_altered("prefix", "flat", "adapter_config.json", "config", "encoder_prefix",
                              "false", &e),
                 ERR_MODEL);
    cr_expect_eq(
        read_altered("prefix", "flat", "adapter_config.json", "config", "prefix_length", "0", &e),
        ERR_MODEL);
}

Test(formats, heads_of_other_forms_are_refused)
{
    static const char *const bad[] = {
        "{}",
        "{\"head_type\":\"classification\",\"layers\":3,\"activation_function\":\"tanh\"}",
        "{\"head_type\":\"classification\",\"layers\":2,\"activation_function\":\"relu\"}",
        "{\"head_type\":\"classification\",\"layers\":1,\"use_pooler\":false}",
        "{\"head_type\":\"tagging\",\"layers\":2}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err e = {0};
        cr_expect_eq(
            read_altered("adapter", "pfeiffer", "head_config.json", NULL, "config", bad[i], &e),
            ERR_MODEL, "%s", bad[i]);
        cr_expect(strstr(e.text, "head_config.json") != NULL, "%s", e.text);
    }
}

Test(formats, settings_of_ours_are_checked)
{
    static const struct {
        const char *key, *value;
    } bad[] = {
        {"method", "\"unheard\""}, {"method", "3"},          {"method", "null"},
        {"norms", "\"perhaps\""},  {"bottleneck", "0"},      {"bottleneck", "-1"},
        {"placement", "\"top\""},  {"activation", "\"x\""},  {"scaling", "\"two\""},
        {"unknown", "1"},          {"bottleneck", "[1, 2]"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err e = {0};
        cr_expect_eq(read_altered("adapter", "parallel and norms", "adapter_config.json",
                                  "settings", bad[i].key, bad[i].value, &e),
                     ERR_MODEL, "%s %s", bad[i].key, bad[i].value);
        cr_expect(strstr(e.text, "adapter_config.json") != NULL, "%s", e.text);
    }
    struct err e = {0};
    cr_expect_eq(read_altered("head", "plain", "adapter_config.json", NULL, "settings", "[]", &e),
                 ERR_MODEL);
    cr_expect_eq(read_altered("head", "plain", "adapter_config.json", NULL, "peft_type", "7", &e),
                 ERR_MODEL);
    cr_expect_eq(read_altered("head", "plain", "adapter_config.json", NULL, "task_type",
                              "\"CAUSAL_LM\"", &e),
                 ERR_MODEL);
}

Test(formats, variants_of_peft_are_refused)
{
    static const struct {
        const char *method, *what, *key, *value;
    } bad[] = {
        {"bitfit", "all", "bias", "\"lora_only\""},
        {"bitfit", "all", "use_dora", "true"},
        {"lora", "plain", "init_lora_weights", "\"pissa\""},
        {"prompt", "plain", "num_virtual_tokens", "null"},
        {"prompt", "plain", "num_virtual_tokens", "100000"},
        {"prompt", "plain", "peft_type", "\"P_TUNING\""},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err e = {0};
        cr_expect_eq(read_altered(bad[i].method, bad[i].what, "adapter_config.json", NULL,
                                  bad[i].key, bad[i].value, &e),
                     ERR_MODEL, "%s %s", bad[i].key, bad[i].value);
        cr_expect(strstr(e.text, "adapter_config.json") != NULL, "%s", e.text);
    }
}

static bool lora_that_acts(struct st_out *t, float *x)
{
    if (strstr(t->name, "lora_B") != NULL)
        x[0] = 0.5F;
    return true;
}

Test(formats, biases_beside_a_lora_are_refused)
{
    struct model_config c;
    struct peft_spec spec;
    struct adapter_info info;
    struct arena mem;
    struct err e = {0};
    save_variant("bert", "bitfit", "all", &c);
    scratch_tensors(dir, dir, "adapter_model.safetensors", lora_that_acts);
    arena_init(&mem, ARENA_NO_CAP);
    cr_expect_eq(peft_read_config(dir, &mem, &spec, &info, &e), ERR_MODEL);
    cr_expect(strstr(e.text, "BitFit") != NULL, "%s", e.text);
    arena_release(&mem);
}

Test(formats, pickles_are_refused_with_the_way_out)
{
    struct model_config c;
    struct peft_spec spec;
    struct adapter_info info;
    struct arena mem;
    struct err e = {0};
    char path[SCRATCH_PATH];
    save_variant("bert", "adapter", "pfeiffer", &c);
    scratch_path(path, dir, "adapter.safetensors");
    cr_assert_eq(unlink(path), 0);
    arena_init(&mem, ARENA_NO_CAP);
    cr_expect_eq(peft_read_config(dir, &mem, &spec, &info, &e), ERR_IO);
    scratch_write(dir, "pytorch_adapter.bin", "x", 1);
    cr_expect_eq(peft_read_config(dir, &mem, &spec, &info, &e), ERR_MODEL);
    cr_expect(strstr(e.text, "safetensors") != NULL, "%s", e.text);
    arena_release(&mem);
}

Test(formats, other_settings_than_asked_for_are_named)
{
    struct tuned saved, asked;
    struct err e = {0};
    struct variant v = *variant_of("adapter", "parallel");
    start(&saved, "bert", &v, HEAD_SEQUENCE);
    cr_assert_eq(save_as(&saved, NULL, &e), 0, "%s", e.text);
    v.settings.scaling = 2;
    start(&asked, "bert", &v, HEAD_SEQUENCE);
    cr_expect_eq(peft_load(asked.peft, dir, asked.theta, &e), ERR_MODEL);
    cr_expect(strstr(e.text, "scaling 0.7") != NULL && strstr(e.text, "2.0") != NULL, "%s", e.text);
    tuned_close(&asked);
    start(&asked, "bert", variant_of("lora", "plain"), HEAD_SEQUENCE);
    cr_expect_eq(peft_load(asked.peft, dir, asked.theta, &e), ERR_MODEL);
    cr_expect(strstr(e.text, "method \"adapter\"") != NULL, "%s", e.text);
    tuned_close(&asked);
    v = *variant_of("adapter", "parallel");
    start(&asked, "bert", &v, HEAD_TOKENS);
    cr_expect_eq(peft_load(asked.peft, dir, asked.theta, &e), ERR_MODEL);
    cr_expect(strstr(e.text, "sequences") != NULL, "%s", e.text);
    tuned_close(&asked);
    tuned_close(&saved);
}

/* --- what only the libraries write --- */

/* PEFT saves the head's biases three times when it trains all biases. */
static bool as_peft_saves_biases(struct st_out *t, float *x)
{
    static char name[8][200];
    static int n;
    const char *at = strstr(t->name, "classifier.");
    (void)x;
    if (at == NULL || strstr(t->name, ".lora_") != NULL)
        return true;
    snprintf(name[n % 8], 200, "base_model.model.classifier.modules_to_save.default.%s",
             at + strlen("classifier."));
    t->name = name[n++ % 8];
    return true;
}

Test(formats, copies_of_the_head_are_understood)
{
    struct tuned t;
    struct err e = {0};
    start(&t, "roberta", variant_of("bitfit", "all"), HEAD_SEQUENCE);
    cr_assert_eq(save_as(&t, NULL, &e), 0, "%s", e.text);
    scratch_tensors(dir, dir, "adapter_model.safetensors", as_peft_saves_biases);
    expect_round_trip(&t, variant_of("bitfit", "all"), "peft", HEAD_SEQUENCE);
    tuned_close(&t);
}

/* tanh(E D^T + d) U^T + u, element by element. */
static double network_value(const float *const part[5], int64_t row, int64_t col, int64_t d,
                            int64_t mid)
{
    double sum = (double)part[4][col];
    for (int64_t k = 0; k < mid; k++) {
        double x = (double)part[2][k];
        for (int64_t i = 0; i < d; i++)
            x += (double)part[0][row * d + i] * (double)part[1][k * d + i];
        sum += tanh(x) * (double)part[3][col * mid + k];
    }
    return sum;
}

/* An AdapterHub prefix as it is trained there: with its network. */
Test(formats, a_network_of_adapterhub_is_collapsed)
{
    static const char *const names[] = {"wte.weight", "control_trans.0.weight",
                                        "control_trans.0.bias", "control_trans.2.weight",
                                        "control_trans.2.bias"};
    struct model_config c;
    struct tuned t;
    struct err e = {0};
    char path[SCRATCH_PATH];
    save_variant("roberta", "prefix", "flat", &c);
    enum { P = 3, MID = 7 };
    int64_t d = c.hidden, wide = 2 * d * c.layers;
    const int64_t dims[5][2] = {{P, d}, {MID, d}, {MID, 0}, {wide, MID}, {wide, 0}};
    start(&t, "roberta", variant_of("prefix", "flat"), HEAD_SEQUENCE);
    struct rng r = rng_stream(1, 0, 0, RNG_TEST);
    struct st_out out[5];
    const float *part[5];
    for (int i = 0; i < 5; i++) {
        int64_t count = dims[i][0] * (dims[i][1] > 0 ? dims[i][1] : 1);
        float *x = arena_calloc(&t.golden.mem, (size_t)count, sizeof *x);
        for (int64_t k = 0; k < count; k++)
            x[k] = (float)(0.3 * rng_normal(&r));
        part[i] = x;
        out[i] = (struct st_out){
            .name = arena_printf(&t.golden.mem,
                                 "roberta.prefix_tuning.prefix_tunings.fedpet.self_prefix.%s",
                                 names[i]),
            .ndim = dims[i][1] > 0 ? 2 : 1,
            .dim = {dims[i][0], dims[i][1]},
            .x = x};
    }
    scratch_path(path, dir, "adapter.safetensors");
    cr_assert_eq(safetensors_write(path, out, 5, &e), 0, "%s", e.text);
    cr_assert_eq(peft_load(t.peft, dir, t.theta, &e), 0, "%s", e.text);
    for (int64_t row = 0; row < P; row++)
        for (int64_t col = 0; col < wide; col++) {
            double want = network_value(part, row, col, d, MID);
            cr_assert(fabs(want - (double)t.theta[row * wide + col]) < 1e-5, "%ld %ld", (long)row,
                      (long)col);
        }
    /* A part that is missing, and one of another shape. */
    cr_assert_eq(safetensors_write(path, out, 4, &e), 0);
    cr_expect_eq(peft_load(t.peft, dir, t.theta, &e), ERR_MODEL);
    cr_expect(strstr(e.text, "control_trans.2.bias") != NULL, "%s", e.text);
    out[0].dim[0] = P - 1;
    cr_assert_eq(safetensors_write(path, out, 5, &e), 0);
    cr_expect_eq(peft_load(t.peft, dir, t.theta, &e), ERR_MODEL);
    cr_expect(strstr(e.text, "shape") != NULL, "%s", e.text);
    tuned_close(&t);
}
