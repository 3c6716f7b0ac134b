#include "model/config.h"
#include "tests/model/golden.h"
#include "tests/model/scratch.h"

static char dir[] = "/tmp/fedpet-config-XXXXXX";
static struct arena mem;

static void make_dir(void)
{
    scratch_make(dir);
    arena_init(&mem, ARENA_NO_CAP);
}

static void remove_dir(void)
{
    scratch_remove(dir);
    arena_release(&mem);
}

TestSuite(config, .init = make_dir, .fini = remove_dir);

static struct model_config read_config(const char *from)
{
    struct model_config c;
    struct err e = {0};
    char *name;
    cr_assert_eq(config_read(&c, &name, from, &mem, &e), 0, "%s", e.text);
    return c;
}

/* Reads a family's config.json with one field set to `value` (JSON text), or removed. */
static int read_changed(const char *family, const char *key, const char *value,
                        struct model_config *c, struct err *e)
{
    char from[GOLDEN_PATH], *name;
    snprintf(from, sizeof from, GOLDEN_DIR "%s", family);
    scratch_json(from, dir, "config.json", key, value);
    return config_read(c, &name, dir, &mem, e);
}

Test(config, families_are_read)
{
    struct model_config c = read_config(GOLDEN_DIR "bert");
    cr_expect_eq(c.family, FAMILY_BERT);
    cr_expect(c.layers == 3 && c.hidden == 32 && c.heads == 4 && c.ffn == 64 && c.vocab == 100);
    cr_expect(c.positions == 40 && c.types == 2 && c.pad_id == 0 && c.act == ACT_GELU);
    cr_expect(c.norm_eps == (real)1e-12 && c.hidden_dropout == (real)0.1);
    cr_expect_eq(c.head_dropout, (real)0.3);
    cr_expect_eq(c.num_labels, 2);
    cr_expect(model_first_position(&c) == 0 && model_max_tokens(&c) == 40);

    c = read_config(GOLDEN_DIR "roberta");
    cr_expect_eq(c.family, FAMILY_ROBERTA);
    cr_expect(c.types == 1 && c.pad_id == 1 && c.norm_eps == (real)1e-5 && c.num_labels == 3);
    cr_expect_eq(c.head_dropout, (real)0.1, "null classifier_dropout is the hidden dropout");
    cr_expect(model_first_position(&c) == 2 && model_max_tokens(&c) == 38);

    c = read_config(GOLDEN_DIR "distilbert");
    cr_expect_eq(c.family, FAMILY_DISTILBERT);
    cr_expect(c.layers == 2 && c.hidden == 32 && c.ffn == 64 && c.types == 0 && c.num_labels == 1);
    cr_expect(c.head_dropout == (real)0.2 && c.attention_dropout == (real)0.1);
}

Test(config, absent_rates_and_options_take_defaults)
{
    struct model_config c;
    struct err e = {0};
    static const char *const optional[] = {
        "hidden_act",   "hidden_dropout_prob",     "layer_norm_eps",
        "pad_token_id", "position_embedding_type", "is_decoder"};
    for (size_t i = 0; i < sizeof optional / sizeof *optional; i++) {
        cr_assert_eq(read_changed("bert", optional[i], NULL, &c, &e), 0, "%s", e.text);
        cr_expect(c.act == ACT_GELU && c.hidden_dropout == (real)0.1 && c.pad_id == 0);
    }
    cr_assert_eq(read_changed("roberta", "pad_token_id", NULL, &c, &e), 0, "%s", e.text);
    cr_expect_eq(c.pad_id, 1);
    cr_assert_eq(read_changed("distilbert", "seq_classif_dropout", NULL, &c, &e), 0, "%s", e.text);
    cr_expect_eq(c.head_dropout, (real)0.2);
}

Test(config, labels_are_those_of_id2label_or_num_labels)
{
    struct model_config c;
    struct err e = {0};
    const char *four = "{\"0\":\"a\",\"1\":\"b\",\"2\":\"c\",\"3\":\"d\"}";
    cr_assert_eq(read_changed("bert", "id2label", four, &c, &e), 0, "%s", e.text);
    cr_expect_eq(c.num_labels, 4);
    cr_assert_eq(read_changed("bert", "num_labels", "7", &c, &e), 0, "%s", e.text);
    cr_expect_eq(c.num_labels, 7);
}

Test(config, the_name_is_kept)
{
    struct model_config c;
    struct err e = {0};
    char *name = dir;
    cr_assert_eq(config_read(&c, &name, GOLDEN_DIR "bert", &mem, &e), 0, "%s", e.text);
    cr_expect_null(name);
    scratch_json(GOLDEN_DIR "bert", dir, "config.json", "_name_or_path", "\"org/tiny\"");
    cr_assert_eq(config_read(&c, &name, dir, &mem, &e), 0, "%s", e.text);
    cr_expect_str_eq(name, "org/tiny");
}

Test(config, what_we_do_not_compute_is_refused)
{
    static const struct {
        const char *family, *key, *value;
    } bad[] = {
        {"bert", "model_type", "\"gpt2\""},
        {"bert", "model_type", "null"},
        {"bert", "model_type", "3"},
        {"bert", "hidden_act", "\"gelu_fast\""},
        {"distilbert", "activation", "\"mish\""},
        {"bert", "position_embedding_type", "\"relative_key\""},
        {"bert", "is_decoder", "true"},
        {"bert", "is_decoder", "1"},
        {"bert", "hidden_size", NULL},
        {"bert", "hidden_size", "33"},
        {"bert", "hidden_size", "0"},
        {"bert", "hidden_size", "-32"},
        {"bert", "hidden_size", "\"32\""},
        {"bert", "hidden_size", "32.0"},
        {"bert", "hidden_size", "1e9"},
        {"bert", "num_attention_heads", "5"},
        {"bert", "num_hidden_layers", "1000000"},
        {"bert", "type_vocab_size", NULL},
        {"bert", "hidden_dropout_prob", "1"},
        {"bert", "hidden_dropout_prob", "-0.1"},
        {"bert", "layer_norm_eps", "\"small\""},
        {"bert", "pad_token_id", "100"},
        {"roberta", "pad_token_id", "39"},
        {"distilbert", "dim", NULL},
        {"bert", "num_labels", "0"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct model_config c = {.vocab = -1};
        struct err e = {0};
        cr_expect_eq(read_changed(bad[i].family, bad[i].key, bad[i].value, &c, &e), ERR_MODEL,
                     "%s %s", bad[i].key, bad[i].value);
        cr_expect(strstr(e.text, "config.json") != NULL, "no file in \"%s\"", e.text);
        cr_expect(strstr(e.text, bad[i].key) != NULL, "no %s in \"%s\"", bad[i].key, e.text);
        cr_expect_eq(c.vocab, -1, "output touched on failure");
    }
}

Test(config, broken_json_is_refused_with_its_line)
{
    static const struct {
        const char *text, *because;
    } bad[] = {
        {"", "not valid JSON"},
        {"{\n\"a\": 1,\n", "config.json:3"},
        {"[1]", "object"},
        {"{\"a\":1,\"a\":2}", "not valid JSON"},
        {"{\"a\":\"\xff\"}", "JSON"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct model_config c;
        struct err e = {0};
        char *name;
        scratch_write(dir, "config.json", bad[i].text, strlen(bad[i].text));
        cr_expect_eq(config_read(&c, &name, dir, &mem, &e), ERR_MODEL);
        cr_expect(strstr(e.text, bad[i].because) != NULL, "%s", e.text);
    }
}

Test(config, a_missing_file_is_an_io_error)
{
    struct model_config c;
    struct err e = {0};
    char *name;
    cr_expect_eq(config_read(&c, &name, "/nonexistent", &mem, &e), ERR_IO);
}
