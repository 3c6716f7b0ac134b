/* New models: what transformers begins with, reproducibly, or nothing. */
#include "model/create.h"
#include "model/model.h"
#include "model/model_dir.h"
#include "tests/model/scratch.h"
#include <math.h>

static const char roberta[] =
    "{\"model_type\": \"roberta\", \"vocab_size\": 300, \"hidden_size\": 32, "
    "\"num_hidden_layers\": 2, \"num_attention_heads\": 4, \"intermediate_size\": 64, "
    "\"max_position_embeddings\": 34, \"type_vocab_size\": 1, \"pad_token_id\": 1, "
    "\"initializer_range\": 0.05}";
static const char bert[] =
    "{\"model_type\": \"bert\", \"vocab_size\": 300, \"hidden_size\": 32, "
    "\"num_hidden_layers\": 1, \"num_attention_heads\": 4, \"intermediate_size\": 64, "
    "\"max_position_embeddings\": 32, \"type_vocab_size\": 2}";

struct creation {
    char scratch[32], config[SCRATCH_PATH], dir[SCRATCH_PATH];
    struct err e;
};

static void begin(struct creation *c, const char *config)
{
    *c = (struct creation){.scratch = "/tmp/fedpet-create-XXXXXX"};
    scratch_make(c->scratch);
    scratch_write(c->scratch, "my.json", config, strlen(config));
    scratch_write(c->scratch, "vocab.txt", "[PAD]\n", 6);
    scratch_path(c->config, c->scratch, "my.json");
    scratch_path(c->dir, c->scratch, "model");
}

static double deviation(const real *x, size_t n, double mean)
{
    double squares = 0;
    for (size_t i = 0; i < n; i++)
        squares += ((double)x[i] - mean) * ((double)x[i] - mean);
    return sqrt(squares / (double)n);
}

static void check_values(const struct creation *c, double expected, bool pad_position)
{
    struct err e = {0};
    struct model *m;
    cr_assert_eq(model_open(&m, c->dir, &e), 0, "%s", e.text);
    size_t d = (size_t)m->cfg.hidden, pad = (size_t)m->cfg.pad_id;
    const struct layer_weights *l = &m->layer[0];
    const real *word = m->word.x, *position = m->position.x, *ffn = l->lin[LIN_INTERMEDIATE].W.x;
    const real *query = l->lin[LIN_QUERY].W.x, *key = l->lin[LIN_KEY].W.x;
    cr_expect_float_eq(deviation(word, 300 * d, 0), expected, 0.03 * expected);
    cr_expect_float_eq(deviation(ffn, 64 * d, 0), expected, 0.06 * expected);
    cr_expect_eq(deviation(l->lin[LIN_INTERMEDIATE].b, 64, 0), 0);
    cr_expect_eq(deviation(m->emb_norm.gain, d, 1), 0);
    cr_expect_eq(deviation(l->ffn_norm.bias, d, 0), 0);
    cr_expect_eq(deviation(word + pad * d, d, 0), 0, "the padding token's embedding is zero");
    cr_expect_gt(deviation(word + (pad + 1) * d, d, 0), 0);
    cr_expect_eq(deviation(position + pad * d, d, 0) == 0, pad_position);
    cr_expect_neq(query[0], key[0], "each tensor has its own stream");
    model_close(m);
}

/* The configuration of a model in int8, too: the new one is dense. */
Test(create, a_configuration_of_int8_begins_a_model_in_f32)
{
    struct creation c;
    char config[512];
    snprintf(config, sizeof config, "%.*s, \"quantization_config\": {\"quant_method\": \"any\"}}",
             (int)sizeof bert - 2, bert);
    begin(&c, config);
    cr_assert_eq(model_create(c.config, c.scratch, 5, c.dir, &c.e), 0, "%s", c.e.text);
    check_values(&c, 0.02, false);
    scratch_remove(c.scratch);
}

Test(create, initial_values_are_those_of_transformers)
{
    struct creation c;
    begin(&c, roberta);
    cr_assert_eq(model_create(c.config, c.scratch, 5, c.dir, &c.e), 0, "%s", c.e.text);
    check_values(&c, 0.05, true);
    char path[SCRATCH_PATH];
    scratch_path(path, c.dir, "vocab.txt");
    cr_expect(file_exists(path), "the tokenizer goes along");
    scratch_remove(c.scratch);

    begin(&c, bert);
    cr_assert_eq(model_create(c.config, c.scratch, 5, c.dir, &c.e), 0, "%s", c.e.text);
    check_values(&c, 0.02, false);
    scratch_remove(c.scratch);
}

Test(create, the_seed_decides)
{
    struct hash hash[3];
    for (int i = 0; i < 3; i++) {
        struct creation c;
        struct model *m;
        begin(&c, roberta);
        cr_assert_eq(model_create(c.config, c.scratch, i < 2 ? 5 : 6, c.dir, &c.e), 0);
        cr_assert_eq(model_open(&m, c.dir, &c.e), 0);
        hash[i] = m->hash;
        model_close(m);
        scratch_remove(c.scratch);
    }
    cr_expect(hash_same(&hash[0], &hash[1]));
    cr_expect(!hash_same(&hash[0], &hash[2]));
}

Test(create, bad_input_leaves_nothing)
{
    static const struct {
        const char *config;
        int code;
        const char *says;
    } bad[] = {
        {"{\"model_type\": \"gpt2\"}", ERR_MODEL, "gpt2"},
        {"{\"model_type\": \"bert\"}", ERR_MODEL, "num_hidden_layers"},
        {"{", ERR_MODEL, "my.json"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct creation c;
        begin(&c, bad[i].config);
        cr_expect_eq(model_create(c.config, c.scratch, 1, c.dir, &c.e), bad[i].code);
        cr_expect_not_null(strstr(c.e.text, bad[i].says), "%s", c.e.text);
        cr_expect(!file_exists(c.dir));
        scratch_remove(c.scratch);
    }
    struct creation c;
    begin(&c, bert);
    cr_assert_eq(model_create(c.config, c.scratch, 1, c.dir, &c.e), 0);
    cr_expect_eq(model_create(c.config, c.scratch, 1, c.dir, &c.e), ERR_IO, "exists already");
    scratch_remove(c.scratch);
}
