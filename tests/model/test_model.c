#include "model/names.h"
#include "tests/model/golden.h"
#include "tests/model/scratch.h"

static char dir[] = "/tmp/fedpet-model-XXXXXX";

static void make_dir(void)
{
    scratch_make(dir);
}

static void remove_dir(void)
{
    scratch_remove(dir);
}

TestSuite(model, .init = make_dir, .fini = remove_dir);

static struct model *open_model(const char *from)
{
    struct model *m = NULL;
    struct err e = {0};
    cr_assert_eq(model_open(&m, from, &e), 0, "%s", e.text);
    return m;
}

/* Opens a golden model with edited tensors. */
static int open_edited(const char *family, bool (*edit)(struct st_out *t, float *x),
                       struct model **m, struct err *e)
{
    char from[GOLDEN_PATH];
    snprintf(from, sizeof from, GOLDEN_DIR "%s", family);
    scratch_copy(from, dir, "config.json");
    scratch_tensors(from, dir, "model.safetensors", edit);
    return model_open(m, dir, e);
}

static bool inside(const struct model *m, const void *p)
{
    const unsigned char *c = p;
    return c >= m->file.map.bytes && c < m->file.map.bytes + m->file.map.len;
}

Test(model, float_weights_are_used_in_place)
{
    struct model *m = open_model(GOLDEN_DIR "bert");
    cr_expect(inside(m, m->word.x) && inside(m, m->emb_norm.gain));
    for (int l = 0; l < m->cfg.layers; l++)
        for (int s = 0; s < LIN_SITES; s++)
            cr_expect(inside(m, m->layer[l].lin[s].W.x) && inside(m, m->layer[l].lin[s].b));
    cr_expect_eq(m->layer[0].lin[LIN_INTERMEDIATE].out, 64);
    cr_expect_eq(m->layer[0].lin[LIN_OUTPUT].in, 64);
    cr_expect(inside(m, m->pooler.W.x), "the pooler of the file is used");
    struct hash want = hash_of(m->file.map.bytes, m->file.map.len);
    cr_expect_eq(memcmp(&want, &m->hash, sizeof want), 0);
    cr_expect_str_eq(m->name, GOLDEN_DIR "bert");
    model_close(m);
}

/* Matrices stay as they are stored; vectors, which are a thousandth of them, are made reals. */
Test(model, half_precision_weights_are_used_in_place)
{
    static const char *const family[] = {"roberta", "distilbert"};
    static const enum stored_as as[] = {STORED_BF16, STORED_F16};
    for (int i = 0; i < 2; i++) {
        struct golden g;
        golden_open(&g, family[i]);
        const struct model *m = g.model;
        for (int l = 0; l < m->cfg.layers; l++)
            for (int s = 0; s < LIN_SITES; s++) {
                const struct linear_weights *w = &m->layer[l].lin[s];
                cr_expect(inside(m, w->W.x) && w->W.as == as[i]);
                cr_expect(!inside(m, w->b));
            }
        cr_expect(inside(m, m->position.x) && m->position.as == as[i]);
        char name[64];
        float want[3200], got[3200];
        struct err e = {0};
        snprintf(name, sizeof name, "%s.embeddings.word_embeddings.weight", family[i]);
        const struct st_tensor *t = safetensors_find(&g.model->file, name);
        cr_assert_not_null(t);
        cr_assert_eq(st_tensor_floats(t, want, &e), 0);
        cr_expect(inside(m, m->word.x) && m->word.as == as[i]);
        stored_read(m->word, 0, 3200, got);
        cr_expect_eq(memcmp(got, want, sizeof want), 0);
        golden_close(&g);
    }
}

Test(model, head_tensors_follow_the_family)
{
    static const struct {
        const char *family;
        int n_labels, n;
        const char *name[HEAD_MAX_TENSORS];
        bool pretrained[HEAD_MAX_TENSORS];
    } want[] = {
        {"bert", 2, 2, {"classifier.weight", "classifier.bias"}, {false}},
        {"roberta",
         3,
         4,
         {"classifier.dense.weight", "classifier.dense.bias", "classifier.out_proj.weight",
          "classifier.out_proj.bias"},
         {false}},
        {"distilbert",
         1,
         4,
         {"pre_classifier.weight", "pre_classifier.bias", "classifier.weight", "classifier.bias"},
         {true, true, true, true}},
        {"distilbert",
         5,
         4,
         {"pre_classifier.weight", "pre_classifier.bias", "classifier.weight", "classifier.bias"},
         {true, true, false, false}},
    };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        struct golden g;
        struct head_tensor h[HEAD_MAX_TENSORS];
        golden_open(&g, want[i].family);
        cr_assert_eq(head_tensors(g.model, HEAD_SEQUENCE, want[i].n_labels, h), want[i].n);
        for (int k = 0; k < want[i].n; k++) {
            bool classifier = k >= want[i].n - 2;
            cr_expect_str_eq(h[k].name, want[i].name[k]);
            cr_expect_eq(h[k].pretrained.x != NULL, want[i].pretrained[k], "%s", h[k].name);
            cr_expect_eq(h[k].ndim, k % 2 == 0 ? 2 : 1);
            cr_expect_eq(h[k].dim[0], classifier ? want[i].n_labels : 32);
            cr_expect(h[k].ndim == 1 || h[k].dim[1] == 32);
        }
        golden_close(&g);
    }
}

Test(model, heads_of_token_classification_are_alike)
{
    for (int i = 0; i < GOLDEN_FAMILIES; i++) {
        struct golden g;
        struct head_tensor h[HEAD_MAX_TENSORS];
        golden_open(&g, golden_families[i]);
        cr_assert_eq(head_tensors(g.model, HEAD_TOKENS, 9, h), 2);
        cr_expect_str_eq(h[0].name, "classifier.weight");
        cr_expect_str_eq(h[1].name, "classifier.bias");
        cr_expect(h[0].ndim == 2 && h[0].dim[0] == 9 && h[0].dim[1] == 32);
        cr_expect(h[1].ndim == 1 && h[1].dim[0] == 9);
        cr_expect(h[0].pretrained.x == NULL && h[1].pretrained.x == NULL);
        cr_expect_str_eq(h[0].module, "classifier");
        golden_close(&g);
    }
}

static bool as_tagger(struct st_out *t, float *x)
{
    static const float weight[3 * 32] = {7}, bias[3] = {8};
    (void)x;
    if (strcmp(t->name, "lm_head.dense.weight") == 0) {
        *t = (struct st_out){.name = "classifier.weight", .ndim = 2, .dim = {3, 32}, .x = weight};
    } else if (strcmp(t->name, "lm_head.dense.bias") == 0) {
        *t = (struct st_out){.name = "classifier.bias", .ndim = 1, .dim = {3}, .x = bias};
    }
    return true;
}

/* RoBERTa's two kinds of classifier have different names. */
Test(model, a_tagger_brings_its_head)
{
    struct model *m;
    struct err e = {0};
    struct head_tensor h[HEAD_MAX_TENSORS];
    cr_assert_eq(open_edited("roberta", as_tagger, &m, &e), 0, "%s", e.text);
    cr_assert_eq(head_tensors(m, HEAD_TOKENS, 3, h), 2);
    cr_assert(h[0].pretrained.x != NULL && h[1].pretrained.x != NULL);
    const real *weight = h[0].pretrained.x, *bias = h[1].pretrained.x;
    cr_expect(weight[0] == 7 && bias[0] == 8);
    cr_assert_eq(head_tensors(m, HEAD_TOKENS, 4, h), 2);
    cr_expect(h[0].pretrained.x == NULL && h[1].pretrained.x == NULL, "of another shape");
    cr_assert_eq(head_tensors(m, HEAD_SEQUENCE, 3, h), 4);
    for (int i = 0; i < 4; i++)
        cr_expect_null(h[i].pretrained.x, "%s", h[i].name);
    model_close(m);
}

/* DistilBERT alone has a rate for the one and not for the other. */
Test(model, dropout_of_a_head_depends_on_its_kind)
{
    struct model_config c = {.hidden_dropout = (real)0.1, .head_dropout = (real)0.3};
    for (int f = 0; f < FAMILIES; f++) {
        c.family = (enum family)f;
        cr_expect_eq(head_dropout(&c, HEAD_SEQUENCE), (real)0.3);
        cr_expect_eq(head_dropout(&c, HEAD_TOKENS), f == FAMILY_DISTILBERT ? (real)0.1 : (real)0.3);
    }
}

static bool without_pooler(struct st_out *t, float *x)
{
    (void)x;
    return strncmp(t->name, "pooler.", 7) != 0;
}

Test(model, a_missing_pooler_belongs_to_the_head)
{
    struct model *m;
    struct err e = {0};
    struct head_tensor h[HEAD_MAX_TENSORS];
    cr_assert_eq(open_edited("bert", without_pooler, &m, &e), 0, "%s", e.text);
    cr_assert_null(m->pooler.W.x);
    cr_assert_eq(head_tensors(m, HEAD_SEQUENCE, 2, h), 4);
    cr_expect_str_eq(h[0].name, "bert.pooler.dense.weight");
    cr_expect_str_eq(h[0].module, "pooler");
    cr_expect_str_eq(h[2].name, "classifier.weight");
    model_close(m);
}

/* Names that outlive the edit. */
static const char *renamed(const char *format, const char *name)
{
    static char out[64][200];
    static int n;
    cr_assert_lt(n, 64);
    snprintf(out[n], sizeof *out, format, name);
    return out[n++];
}

static bool as_in_2018(struct st_out *t, float *x)
{
    (void)x;
    const char *tail = strrchr(t->name, '.');
    if (strstr(t->name, "LayerNorm") != NULL) {
        char stem[150];
        snprintf(stem, sizeof stem, "%.*s", (int)(tail - t->name), t->name);
        t->name = renamed(strcmp(tail, ".weight") == 0 ? "bert.%s.gamma" : "bert.%s.beta", stem);
    } else {
        t->name = renamed("bert.%s", t->name);
    }
    return true;
}

Test(model, prefix_and_old_norm_names_are_known)
{
    struct model *m, *want = open_model(GOLDEN_DIR "bert");
    struct err e = {0};
    cr_assert_eq(open_edited("bert", as_in_2018, &m, &e), 0, "%s", e.text);
    size_t bytes = 32 * sizeof(real);
    cr_expect_eq(memcmp(m->emb_norm.gain, want->emb_norm.gain, bytes), 0);
    cr_expect_eq(memcmp(m->layer[2].ffn_norm.bias, want->layer[2].ffn_norm.bias, bytes), 0);
    model_close(m);
    model_close(want);
}

static bool lacking(struct st_out *t, float *x)
{
    (void)x;
    return strcmp(t->name, "encoder.layer.1.attention.self.key.bias") != 0;
}

static bool narrower(struct st_out *t, float *x)
{
    (void)x;
    if (strcmp(t->name, "encoder.layer.2.output.dense.weight") == 0)
        t->dim[1] = 63;
    return true;
}

static bool transposed(struct st_out *t, float *x)
{
    (void)x;
    if (strcmp(t->name, "encoder.layer.2.output.dense.weight") == 0) {
        t->dim[0] = 64;
        t->dim[1] = 32;
    }
    return true;
}

static bool flat(struct st_out *t, float *x)
{
    (void)x;
    if (strcmp(t->name, "embeddings.position_embeddings.weight") == 0) {
        t->ndim = 1;
        t->dim[0] = 40 * 32;
    }
    return true;
}

static bool unknown(struct st_out *t, float *x)
{
    (void)x;
    if (strcmp(t->name, "pooler.dense.bias") == 0)
        t->name = "encoder.layer.0.adapter.down.weight";
    return strcmp(t->name, "pooler.dense.weight") != 0;
}

static bool tolerated(struct st_out *t, float *x)
{
    (void)x;
    if (strcmp(t->name, "pooler.dense.bias") == 0)
        t->name = "cls.predictions.bias";
    if (strcmp(t->name, "pooler.dense.weight") == 0)
        t->name = "bert.embeddings.position_ids";
    return true;
}

Test(model, wrong_tensors_are_refused_by_name)
{
    static const struct {
        bool (*edit)(struct st_out *t, float *x);
        const char *tensor, *because;
    } bad[] = {
        {lacking, "encoder.layer.1.attention.self.key.bias", "missing"},
        {narrower, "encoder.layer.2.output.dense.weight", "[32, 64]"},
        {transposed, "encoder.layer.2.output.dense.weight", "[32, 64]"},
        {flat, "embeddings.position_embeddings.weight", "[40, 32]"},
        {unknown, "encoder.layer.0.adapter.down.weight", "unknown"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct model *m = NULL;
        struct err e = {0};
        cr_expect_eq(open_edited("bert", bad[i].edit, &m, &e), ERR_MODEL, "%s", bad[i].because);
        cr_expect(strstr(e.text, bad[i].tensor) != NULL, "%s", e.text);
        cr_expect(strstr(e.text, bad[i].because) != NULL, "%s", e.text);
        cr_expect_null(m);
    }
    struct model *m;
    struct err e = {0};
    cr_assert_eq(open_edited("bert", tolerated, &m, &e), 0, "%s", e.text);
    model_close(m);
}

Test(model, integer_weights_are_refused)
{
    struct model *m = NULL;
    struct err e = {0};
    char path[GOLDEN_PATH], *bytes;
    size_t len;
    snprintf(path, sizeof path, GOLDEN_DIR "bert/model.safetensors");
    cr_assert_eq(file_read(path, 1 << 20, &bytes, &len, &e), 0, "%s", e.text);
    char *dtype = strstr(strstr(bytes + 8, "word_embeddings"), "F32");
    memcpy(dtype, "I32", 3);
    scratch_write(dir, "model.safetensors", bytes, len);
    scratch_copy(GOLDEN_DIR "bert", dir, "config.json");
    cr_expect_eq(model_open(&m, dir, &e), ERR_MODEL);
    cr_expect(strstr(e.text, "word_embeddings") != NULL, "%s", e.text);
    free(bytes);
}

Test(model, other_weight_files_are_named_with_the_remedy)
{
    struct model *m = NULL;
    struct err e = {0};
    scratch_copy(GOLDEN_DIR "bert", dir, "config.json");
    cr_expect_eq(model_open(&m, dir, &e), ERR_IO);
    cr_expect(strstr(e.text, "model.safetensors") != NULL, "%s", e.text);
    scratch_write(dir, "model.safetensors.index.json", "{}", 2);
    cr_expect_eq(model_open(&m, dir, &e), ERR_MODEL);
    cr_expect(strstr(e.text, "one file") != NULL, "%s", e.text);
    scratch_write(dir, "pytorch_model.bin", "", 0);
    cr_expect_eq(model_open(&m, dir, &e), ERR_MODEL);
    cr_expect(strstr(e.text, "as safetensors") != NULL, "%s", e.text);
}

Test(model, sites_have_paths_and_back)
{
    char path[LINEAR_PATH_MAX], tensor[LINEAR_PATH_MAX + 16];
    linear_site_path(FAMILY_BERT, 11, LIN_OUTPUT, path);
    cr_expect_str_eq(path, "bert.encoder.layer.11.output.dense");
    linear_site_path(FAMILY_DISTILBERT, 0, LIN_QUERY, path);
    cr_expect_str_eq(path, "distilbert.transformer.layer.0.attention.q_lin");
    for (int f = FAMILY_BERT; f <= FAMILY_DISTILBERT; f++)
        for (int s = 0; s < LIN_SITES; s++) {
            enum linear_site site = LIN_SITES;
            linear_site_path((enum family)f, 7, (enum linear_site)s, path);
            snprintf(tensor, sizeof tensor, "%s.lora_A.weight", path);
            cr_expect(linear_site_of(tensor, &site) && (int)site == s, "%s", tensor);
            cr_expect(!linear_site_of(path, &site), "a module is no tensor in it");
        }
    enum linear_site site;
    cr_expect(!linear_site_of("bert.pooler.dense.lora_A.weight", &site));
    cr_expect(!linear_site_of("bert.encoder.layer.x.output.dense.weight", &site));
    cr_expect(!linear_site_of("classifier.weight", &site));
    cr_expect(!linear_site_of("", &site));
}

/* The real checkpoint. In a suite of its own: a test that is skipped does not clean up. */
Test(real_model, minilm_opens)
{
    const char *from = getenv("FEDPET_MODEL");
    from = from != NULL ? from : ".cache/all-MiniLM-L6-v2";
    if (!file_exists(from))
        cr_skip("no model in %s: set FEDPET_MODEL", from);
    struct model *m = open_model(from);
    cr_expect(m->cfg.layers == 6 && m->cfg.hidden == 384 && m->cfg.vocab == 30522);
    cr_expect(inside(m, m->word.x));
    cr_expect_str_eq(m->name, "nreimers/MiniLM-L6-H384-uncased");
    model_close(m);
}
