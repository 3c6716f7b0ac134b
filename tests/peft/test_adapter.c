/* Adapter directories: ours, peft's, and broken ones. */
#include "base/hash.h"
#include "tests/model/scratch.h"
#include "tests/peft/tuned.h"
#include <math.h>

static char dir[] = "/tmp/fedpet-adapter-XXXXXX";

static void make_dir(void)
{
    scratch_make(dir);
}

static void remove_dir(void)
{
    scratch_remove(dir);
}

TestSuite(adapter, .init = make_dir, .fini = remove_dir);

static const char *const class_names[] = {"not_equivalent", "equi\"valent\xc3\xa9", "third"};

static void save(const struct tuned *t)
{
    struct err e = {0};
    const struct adapter_info info = {.task = "mrpc",
                                      .labels = t->info.n_labels > 1 ? class_names : NULL,
                                      .n_labels = t->info.n_labels,
                                      .max_length = 128};
    cr_assert_eq(peft_save(t->peft, t->theta, &info, dir, &e), 0, "%s", e.text);
}

Test(adapter, what_is_saved_is_loaded)
{
    for (int i = 0; i < GOLDEN_FAMILIES; i++) {
        struct tuned t;
        struct err e = {0};
        tuned_open(&t, golden_families[i]);
        real *back = arena_calloc(&t.golden.mem, t.count, sizeof *back);
        save(&t);
        cr_assert_eq(peft_load(t.peft, dir, back, &e), 0, "%s", e.text);
        cr_expect_eq(memcmp(back, t.theta, t.count * sizeof *back), 0);
        tuned_close(&t);
    }
}

Test(adapter, what_it_asks_for_is_read_back)
{
    for (int i = 0; i < GOLDEN_FAMILIES; i++) {
        struct tuned t;
        struct err e = {0};
        struct peft_spec spec;
        struct adapter_info info;
        struct arena mem;
        arena_init(&mem, ARENA_NO_CAP);
        tuned_open(&t, golden_families[i]);
        save(&t);
        cr_assert_eq(peft_read_config(dir, &mem, &spec, &info, &e), 0, "%s", e.text);
        cr_expect_str_eq(spec.method, "lora");
        cr_expect(spec.r == t.spec.r && spec.alpha == t.spec.alpha);
        cr_expect(spec.rslora == t.spec.rslora && spec.dropout == t.spec.dropout);
        cr_expect_eq(spec.targets, t.spec.targets);
        cr_expect_str_eq(info.task, "mrpc");
        cr_expect_eq(info.max_length, 128);
        cr_expect_eq(info.n_labels, t.info.n_labels);
        cr_expect_eq(info.labels == NULL, info.n_labels == 1);
        for (uint32_t k = 0; info.labels != NULL && k < info.n_labels; k++)
            cr_expect_str_eq(info.labels[k], class_names[k]);
        tuned_close(&t);
        arena_release(&mem);
    }
}

Test(adapter, peft_directories_are_understood)
{
    static const struct {
        const char *family;
        struct peft_spec spec;
        uint32_t n_labels;
    } want[] = {
        {"bert", {.r = 4, .alpha = 8, .targets = 1 << LIN_QUERY | 1 << LIN_VALUE}, 2},
        {"roberta", {.r = 3, .alpha = 6, .rslora = true, .targets = (1 << LIN_SITES) - 1}, 3},
        {"distilbert",
         {.r = 2, .alpha = 5, .targets = 1 << LIN_QUERY | 1 << LIN_ATTN_OUTPUT | 1 << LIN_OUTPUT},
         1},
    };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        struct tuned t;
        tuned_open(&t, want[i].family);
        cr_expect_eq(t.spec.r, want[i].spec.r);
        cr_expect_eq(t.spec.alpha, want[i].spec.alpha);
        cr_expect_eq(t.spec.rslora, want[i].spec.rslora);
        cr_expect_eq(t.spec.targets, want[i].spec.targets);
        cr_expect_eq(t.info.n_labels, want[i].n_labels);
        tuned_close(&t);
    }
}

/* Every choice of sites survives the way out and in. */
Test(adapter, every_set_of_targets_comes_back)
{
    static char method[] = "lora";
    struct golden g;
    struct err e = {0};
    golden_open(&g, "roberta");
    for (uint32_t targets = 1; targets < 1U << LIN_SITES; targets++) {
        struct peft_spec spec = {.method = method, .r = 1, .alpha = 1, .targets = targets}, back;
        struct adapter_info info = {.n_labels = 2};
        struct peft *p;
        struct arena mem;
        arena_init(&mem, ARENA_NO_CAP);
        cr_assert_eq(peft_open(&p, g.model, &spec, NULL, HEAD_SEQUENCE, 2, &e), 0, "%s", e.text);
        real *theta = arena_calloc(&mem, peft_schema(p)->count, sizeof *theta);
        peft_init(p, targets, theta);
        cr_assert_eq(peft_save(p, theta, &info, dir, &e), 0, "%s", e.text);
        cr_assert_eq(peft_read_config(dir, &mem, &back, &info, &e), 0, "%s", e.text);
        cr_expect_eq(back.targets, targets);
        cr_expect_null(info.task);
        arena_release(&mem);
        peft_close(p);
    }
    golden_close(&g);
}

static void expect_targets(const struct model *m, uint32_t targets, const char *want)
{
    static char method[] = "lora";
    struct peft_spec spec = {.method = method, .r = 1, .alpha = 1.5, .targets = targets};
    struct adapter_info info = {.n_labels = 2};
    struct err e = {0};
    struct peft *p;
    char path[SCRATCH_PATH];
    cr_assert_eq(peft_open(&p, m, &spec, NULL, HEAD_SEQUENCE, 2, &e), 0, "%s", e.text);
    real *theta = calloc(peft_schema(p)->count, sizeof *theta);
    cr_assert_eq(peft_save(p, theta, &info, dir, &e), 0, "%s", e.text);
    scratch_path(path, dir, "adapter_config.json");
    json_t *json = json_load_file(path, 0, NULL);
    char *got = json_dumps(json_object_get(json, "target_modules"), JSON_ENCODE_ANY | JSON_COMPACT);
    cr_expect_str_eq(got, want);
    cr_expect_str_eq(json_string_value(json_object_get(json, "peft_type")), "LORA");
    cr_expect_eq(json_real_value(json_object_get(json, "lora_alpha")), 1.5);
    free(got);
    free(theta);
    json_decref(json);
    peft_close(p);
}

/* "output.dense" alone would select attention.output.dense too. */
Test(adapter, target_modules_select_exactly_our_sites)
{
    struct golden bert, distil;
    golden_open(&bert, "bert");
    golden_open(&distil, "distilbert");
    enum { Q = 1 << LIN_QUERY, O = 1 << LIN_ATTN_OUTPUT, I = 1 << LIN_INTERMEDIATE };
    enum { F = 1 << LIN_OUTPUT };
    expect_targets(bert.model, Q, "[\"query\"]");
    expect_targets(bert.model, O | I, "[\"attention.output.dense\",\"intermediate.dense\"]");
    expect_targets(bert.model, O | F, "[\"attention.output.dense\",\"output.dense\"]");
    expect_targets(bert.model, F, "\".*\\\\.layer\\\\.\\\\d+\\\\.(output\\\\.dense)\"");
    expect_targets(
        bert.model, Q | F,
        "\".*\\\\.layer\\\\.\\\\d+\\\\.(attention\\\\.self\\\\.query|output\\\\.dense)\"");
    expect_targets(distil.model, Q | O | F, "[\"q_lin\",\"out_lin\",\"lin2\"]");
    golden_close(&bert);
    golden_close(&distil);
}

/* --- altered directories --- */

/* Loads the golden adapter of `family` with one field of its configuration changed, or its tensors
 * edited; theta must stay on failure. */
static int load_altered(const char *family, const char *key, const char *value,
                        bool (*edit)(struct st_out *t, float *x), struct err *e)
{
    struct tuned t;
    tuned_open(&t, family);
    const char *from = t.golden.adapter;
    if (key != NULL)
        scratch_json(from, dir, "adapter_config.json", key, value);
    else
        scratch_copy(from, dir, "adapter_config.json");
    if (edit != NULL)
        scratch_tensors(from, dir, "adapter_model.safetensors", edit);
    else
        scratch_copy(from, dir, "adapter_model.safetensors");
    real *theta = arena_calloc(&t.golden.mem, t.count, sizeof *theta);
    for (size_t k = 0; k < t.count; k++)
        theta[k] = 123;
    int rc = peft_load(t.peft, dir, theta, e);
    for (size_t k = 0; k < t.count; k++)
        cr_assert(rc == 0 ? theta[k] == t.theta[k] : theta[k] == 123, "theta at %zu", k);
    tuned_close(&t);
    return rc;
}

Test(adapter, other_functions_are_refused)
{
    static const struct {
        const char *key, *value;
    } bad[] = {
        {"peft_type", "\"IA3\""},
        {"peft_type", "null"},
        {"task_type", "\"TOKEN_CLS\""},
        {"r", "5"},
        {"r", "\"4\""},
        {"r", "0"},
        {"lora_alpha", "9"},
        {"lora_alpha", "true"},
        {"lora_dropout", "1.5"},
        {"use_rslora", "true"},
        {"use_rslora", "1"},
        {"use_dora", "true"},
        {"lora_bias", "true"},
        {"bias", "\"all\""},
        {"rank_pattern", "{\"query\":2}"},
        {"alpha_pattern", "{\"query\":2}"},
        {"layers_to_transform", "[0]"},
        {"trainable_token_indices", "[1]"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err e = {0};
        cr_expect_eq(load_altered("bert", bad[i].key, bad[i].value, NULL, &e), ERR_MODEL, "%s %s",
                     bad[i].key, bad[i].value);
        cr_expect(strstr(e.text, "adapter_config.json") != NULL, "%s", e.text);
    }
}

Test(adapter, fields_that_change_nothing_are_accepted)
{
    static const struct {
        const char *key, *value;
    } good[] = {
        {"peft_version", NULL},
        {"task_type", NULL},
        {"bias", NULL},
        {"lora_dropout", "0.3"},
        {"target_modules", "\"x\""},
        {"some_new_field", "[1,2]"},
        {"rank_pattern", NULL},
        {"base_model_name_or_path", "null"},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct err e = {0};
        cr_expect_eq(load_altered("bert", good[i].key, good[i].value, NULL, &e), 0, "%s", e.text);
    }
}

static const char lora_B[] =
    "base_model.model.bert.encoder.layer.1.attention.self.value.lora_B.weight";
static const char classifier[] = "base_model.model.classifier.bias";

static bool no_lora_B(struct st_out *t, float *x)
{
    (void)x;
    return strcmp(t->name, lora_B) != 0;
}

static bool no_head(struct st_out *t, float *x)
{
    (void)x;
    return strcmp(t->name, classifier) != 0;
}

static bool other_rank(struct st_out *t, float *x)
{
    (void)x;
    if (strcmp(t->name, lora_B) == 0)
        t->dim[1] = 3;
    return true;
}

static bool not_finite(struct st_out *t, float *x)
{
    if (strcmp(t->name, lora_B) == 0)
        x[5] = NAN;
    return true;
}

static bool other_site(struct st_out *t, float *x)
{
    (void)x;
    if (strcmp(t->name, lora_B) == 0)
        t->name = "base_model.model.bert.pooler.dense.lora_B.weight";
    return true;
}

static bool no_prefix(struct st_out *t, float *x)
{
    (void)x;
    if (strcmp(t->name, classifier) == 0)
        t->name = "classifier.bias";
    return true;
}

static bool endless_name(struct st_out *t, float *x)
{
    static char name[2000];
    (void)x;
    if (strcmp(t->name, classifier) == 0) {
        memset(name, 'a', sizeof name - 1);
        memcpy(name, "base_model.model.", 17);
        t->name = name;
    }
    return true;
}

/* Two keys for one parameter. */
static bool twice(struct st_out *t, float *x)
{
    (void)x;
    if (strcmp(t->name, lora_B) == 0)
        t->name =
            "base_model.model.bert.encoder.layer.0.attention.self.value.lora_B.default.weight";
    return true;
}

Test(adapter, wrong_tensors_are_refused_by_name)
{
    static const struct {
        bool (*edit)(struct st_out *t, float *x);
        const char *tensor, *because;
    } bad[] = {
        {no_lora_B, "layer.1.attention.self.value.lora_B.weight", "missing"},
        {no_head, "classifier.bias", "modules_to_save"},
        {other_rank, "layer.1.attention.self.value.lora_B.weight", "shape"},
        {not_finite, "layer.1.attention.self.value.lora_B.weight", "finite"},
        {other_site, "pooler.dense.lora_B.weight", "unknown"},
        {no_prefix, "classifier.bias", "unknown"},
        {endless_name, "base_model.model.aaaa", "unknown"},
        {twice, "layer.0.attention.self.value.lora_B", "twice"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err e = {0};
        cr_expect_eq(load_altered("bert", NULL, NULL, bad[i].edit, &e), ERR_MODEL, "%s",
                     bad[i].because);
        cr_expect(strstr(e.text, bad[i].tensor) != NULL, "%s", e.text);
        cr_expect(strstr(e.text, bad[i].because) != NULL, "%s", e.text);
        cr_expect(strstr(e.text, "adapter_model.safetensors") != NULL, "%s", e.text);
    }
}

/* As older versions of peft wrote keys, and with the base model's copy of the head. */
static bool old_keys(struct st_out *t, float *x)
{
    static char name[16][200];
    static int n;
    (void)x;
    char *out = name[n++ % 16];
    if (strstr(t->name, ".lora_") != NULL)
        snprintf(out, 200, "%.*s.default.weight", (int)(strrchr(t->name, '.') - t->name), t->name);
    else
        snprintf(out, 200, "base_model.model.classifier.modules_to_save.default%s",
                 strrchr(t->name, '.'));
    t->name = out;
    return true;
}

Test(adapter, older_keys_are_understood)
{
    struct err e = {0};
    cr_expect_eq(load_altered("bert", NULL, NULL, old_keys, &e), 0, "%s", e.text);
}

static bool no_pretrained_part(struct st_out *t, float *x)
{
    (void)x;
    return strstr(t->name, "pre_classifier") == NULL;
}

Test(adapter, a_head_tensor_that_was_not_saved_is_the_base_models)
{
    struct tuned t;
    struct err e = {0};
    tuned_open(&t, "distilbert");
    real *theta = arena_calloc(&t.golden.mem, t.count, sizeof *theta);
    scratch_copy(t.golden.adapter, dir, "adapter_config.json");
    scratch_tensors(t.golden.adapter, dir, "adapter_model.safetensors", no_pretrained_part);
    cr_assert_eq(peft_load(t.peft, dir, theta, &e), 0, "%s", e.text);
    const struct tensor_spec *s = schema_find(peft_schema(t.peft), "pre_classifier.weight");
    const struct head_tensor *h = &t.golden.model->file_head[0];
    const real *want = golden_reals(&t.golden, h->pretrained, s->count);
    cr_expect_eq(memcmp(theta + s->offset, want, s->count * sizeof *theta), 0);
    tuned_close(&t);
}

Test(adapter, another_base_model_is_noticed)
{
    struct tuned t;
    struct err e = {0};
    tuned_open(&t, "bert");
    real *theta = arena_calloc(&t.golden.mem, t.count, sizeof *theta);
    save(&t);
    ((struct model *)t.golden.model)->hash = hash_of("x", 1);
    cr_expect_eq(peft_load(t.peft, dir, theta, &e), ERR_MODEL);
    cr_expect(strstr(e.text, "another base model") != NULL, "%s", e.text);
    cr_expect(strstr(e.text, "fedpet.json") != NULL, "%s", e.text);
    tuned_close(&t);

    tuned_open(&t, "roberta");
    theta = arena_calloc(&t.golden.mem, t.count, sizeof *theta);
    cr_expect_eq(peft_load(t.peft, GOLDEN_DIR "bert/adapter", theta, &e), ERR_MODEL,
                 "without fedpet.json names and shapes tell");
    tuned_close(&t);
}

Test(adapter, a_wrong_fedpet_json_is_refused)
{
    static const struct {
        const char *key, *value;
    } bad[] = {
        {"format", "2"},     {"format", "\"1\""},   {"labels", "[\"only one\"]"},
        {"labels", "[1,2]"}, {"labels", "\"a,b\""}, {"max_length", "-1"},
        {"task", "7"},
    };
    struct tuned t;
    tuned_open(&t, "bert");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct peft_spec spec;
        struct adapter_info info;
        struct arena mem;
        struct err e = {0};
        save(&t);
        scratch_json(dir, dir, "fedpet.json", bad[i].key, bad[i].value);
        arena_init(&mem, ARENA_NO_CAP);
        cr_expect_eq(peft_read_config(dir, &mem, &spec, &info, &e), ERR_MODEL, "%s %s", bad[i].key,
                     bad[i].value);
        cr_expect(strstr(e.text, "fedpet.json") != NULL, "%s", e.text);
        arena_release(&mem);
    }
    tuned_close(&t);
}

Test(adapter, truncated_files_are_refused)
{
    static const char *const file[] = {"adapter_model.safetensors", "adapter_config.json"};
    struct tuned t;
    tuned_open(&t, "bert");
    real *theta = arena_calloc(&t.golden.mem, t.count, sizeof *theta);
    for (int i = 0; i < 2; i++) {
        char path[SCRATCH_PATH], *bytes;
        size_t len;
        struct err e = {0};
        scratch_copy(t.golden.adapter, dir, "adapter_config.json");
        scratch_copy(t.golden.adapter, dir, "adapter_model.safetensors");
        scratch_path(path, t.golden.adapter, file[i]);
        cr_assert_eq(file_read(path, 1 << 20, &bytes, &len, &e), 0, "%s", e.text);
        for (size_t n = 0; n + 1 < len; n += 1 + n / 16) {
            scratch_write(dir, file[i], bytes, n);
            cr_expect_eq(peft_load(t.peft, dir, theta, &e), ERR_MODEL, "%s cut to %zu", file[i], n);
            cr_expect(strstr(e.text, file[i]) != NULL, "%s", e.text);
        }
        free(bytes);
    }
    tuned_close(&t);
}

Test(adapter, missing_files_are_io_errors)
{
    struct peft_spec spec;
    struct adapter_info info;
    struct arena mem;
    struct err e = {0};
    arena_init(&mem, ARENA_NO_CAP);
    cr_expect_eq(peft_read_config(dir, &mem, &spec, &info, &e), ERR_IO);
    scratch_copy(GOLDEN_DIR "bert/adapter", dir, "adapter_config.json");
    cr_expect_eq(peft_read_config(dir, &mem, &spec, &info, &e), ERR_IO);
    cr_expect(strstr(e.text, "adapter_model.safetensors") != NULL, "%s", e.text);
    arena_release(&mem);
}

/* --- adapters from the wild --- */

static const char *wild(char out[SCRATCH_PATH], const char *name)
{
    const char *shared = getenv("FEDPET_SHARED");
    snprintf(out, SCRATCH_PATH, "%s/models/%s", shared != NULL ? shared : "../shared", name);
    if (!file_exists(out))
        cr_skip("no adapter in %s: set FEDPET_SHARED", out);
    return out;
}

Test(adapter, a_public_distilbert_adapter_loads)
{
    char path[SCRATCH_PATH];
    const char *from = wild(path, "peft-lora-distilbert-imdb");
    const struct model m = {.cfg = {.family = FAMILY_DISTILBERT,
                                    .layers = 6,
                                    .hidden = 768,
                                    .heads = 12,
                                    .ffn = 3072,
                                    .vocab = 30522,
                                    .positions = 512}};
    struct peft_spec spec;
    struct adapter_info info;
    struct peft *p;
    struct err e = {0};
    struct arena mem;
    arena_init(&mem, ARENA_NO_CAP);
    cr_assert_eq(peft_read_config(from, &mem, &spec, &info, &e), 0, "%s", e.text);
    cr_expect(spec.r == 8 && spec.alpha == 16 && spec.dropout == 0.1 && !spec.rslora);
    cr_expect_eq(spec.targets, 1 << LIN_QUERY | 1 << LIN_VALUE);
    cr_expect_eq(info.n_labels, 2);
    cr_assert_eq(peft_open(&p, &m, &spec, NULL, HEAD_SEQUENCE, info.n_labels, &e), 0, "%s", e.text);
    real *theta = arena_calloc(&mem, peft_schema(p)->count, sizeof *theta);
    cr_expect_eq(peft_load(p, from, theta, &e), 0, "%s", e.text);
    peft_close(p);
    arena_release(&mem);
}

Test(adapter, a_public_token_classifier_is_understood)
{
    char path[SCRATCH_PATH];
    const char *from = wild(path, "peft-lora-roberta-ner-r8");
    struct peft_spec spec;
    struct adapter_info info;
    struct err e = {0};
    struct arena mem;
    arena_init(&mem, ARENA_NO_CAP);
    cr_assert_eq(peft_read_config(from, &mem, &spec, &info, &e), 0, "%s", e.text);
    cr_expect(spec.r == 8 && spec.alpha == 16 && spec.dropout == 0.1 && !spec.norms);
    cr_expect_eq(spec.targets, 1 << LIN_QUERY | 1 << LIN_VALUE);
    cr_expect_eq(info.head, HEAD_TOKENS);
    cr_expect(info.n_labels > 2);
    arena_release(&mem);
}
