/* Adapter directories on another base model than theirs, asked for by other words, written over. */
#include "base/file.h"
#include "tests/model/scratch.h"
#include "tests/peft/tuned.h"
#include "tests/peft/variants.h"
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/fedpet-replace-XXXXXX";

static void make_dir(void)
{
    scratch_make(dir);
}

static void remove_dir(void)
{
    scratch_remove(dir);
}

TestSuite(replace, .init = make_dir, .fini = remove_dir);

static void start(struct tuned *t, const struct variant *v)
{
    const struct peft_spec spec = variant_spec(v);
    tuned_start_head(t, "bert", &spec, HEAD_TOKENS, 3, 0);
}

static int save_as(const struct tuned *t, const char *format, struct err *e)
{
    const struct adapter_info info = {.n_labels = 3, .format = format};
    return peft_save(t->peft, t->theta, &info, dir, e);
}

/* Makes the directory one of a library, which has no hash of the base model, and alters a field. */
static void alter(const char *key, const char *value)
{
    char info[SCRATCH_PATH];
    scratch_path(info, dir, "fedpet.json");
    cr_assert_eq(unlink(info), 0);
    scratch_json(dir, dir, "adapter_config.json", key, value);
}

Test(replace, virtual_rows_of_another_model_are_noticed)
{
    static const struct variant prompt = {"prompt", "", {.length = 3}, false},
                                shifted = {"prefix", "", {.length = 3, .shift = true}, false},
                                flat = {"prefix", "", {.length = 3}, false};
    const struct {
        const struct variant *v;
        const char *key, *value;
    } other[] = {
        {&prompt, "num_layers", "7"},
        {&prompt, "token_dim", "7"},
        {&shifted, "num_attention_heads", "1"},
        {&flat, "model_type", "\"roberta\""},
        {&flat, "hidden_size", "1"},
    };
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        struct tuned t;
        struct err e = {0};
        start(&t, other[i].v);
        cr_assert_eq(save_as(&t, NULL, &e), 0, "%s", e.text);
        cr_assert_eq(peft_load(t.peft, dir, t.theta, &e), 0, "%s", e.text);
        alter(other[i].key, other[i].value);
        cr_expect_eq(peft_load(t.peft, dir, t.theta, &e), ERR_MODEL, "%s", other[i].key);
        cr_expect(strstr(e.text, "another base model") != NULL, "%s", e.text);
        cr_expect(strstr(e.text, other[i].key) != NULL, "%s", e.text);
        tuned_close(&t);
    }
}

/* Methods that train all layer norms anyway. */
Test(replace, asking_twice_for_norms_is_asking_once)
{
    static const struct variant asked[] = {{"layernorm", "", {.norms = true}, true},
                                           {"full", "", {.norms = true}, true}};
    for (size_t i = 0; i < 2; i++)
        for (int native = 0; native < 2; native++) {
            struct tuned t;
            struct err e = {0};
            start(&t, &asked[i]);
            cr_assert_eq(save_as(&t, native ? "fedpet" : NULL, &e), 0, "%s", e.text);
            cr_expect_eq(peft_load(t.peft, dir, t.theta, &e), 0, "%s", e.text);
            tuned_close(&t);
        }
}

Test(replace, a_head_for_masked_words_has_no_format)
{
    struct tuned t;
    struct err e = {0};
    const struct peft_spec spec = variant_spec(&variants[0]);
    tuned_start_head(&t, "bert", &spec, HEAD_MLM, 0, 0);
    cr_expect_eq(peft_check_format(t.peft, NULL, &e), ERR_CONFIG);
    cr_expect_eq(save_as(&t, "fedpet", &e), ERR_CONFIG);
    cr_expect(strstr(e.text, "merge") != NULL, "%s", e.text);
    tuned_close(&t);
}

Test(replace, half_an_adapter_is_none)
{
    struct tuned t;
    struct err e = {0};
    char config[SCRATCH_PATH], weights[SCRATCH_PATH];
    scratch_path(config, dir, "adapter_config.json");
    scratch_path(weights, dir, "adapter_model.safetensors");
    start(&t, &variants[0]);
    cr_assert_eq(save_as(&t, NULL, &e), 0, "%s", e.text);
    cr_expect_eq(save_as(&t, NULL, &e), 0, "written over: %s", e.text);
    cr_assert_eq(unlink(weights), 0);
    cr_assert_eq(mkdir(weights, 0755), 0, "now the weights cannot be written");
    cr_expect_eq(save_as(&t, NULL, &e), ERR_IO);
    cr_expect(!file_exists(config), "the old one is gone");
    cr_assert_eq(rmdir(weights), 0);
    tuned_close(&t);
}
