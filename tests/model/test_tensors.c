/* The list of base tensors against model files and published sizes. */
#include "model/names.h"
#include "tests/model/golden.h"
#include <stdlib.h>
#include <unistd.h>

static struct arena mem;

static void init(void)
{
    arena_init(&mem, ARENA_NO_CAP);
}

static void fini(void)
{
    arena_release(&mem);
}

TestSuite(tensors, .init = init, .fini = fini);

static struct base_tensor *list(const struct model *m, size_t *n)
{
    struct base_tensor *t = NULL;
    struct err e = {0};
    cr_assert_eq(model_tensors(m, &mem, &t, n, &e), 0, "%s", e.text);
    return t;
}

static size_t count(const struct base_tensor *t)
{
    return (size_t)(t->dim[0] * (t->ndim > 1 ? t->dim[1] : 1));
}

/* The file's tensor of that name; a bare encoder's file has no prefix. */
static const struct st_tensor *in_file(const struct model *m, const char *name)
{
    size_t prefix = strlen(family_names[m->cfg.family].prefix);
    const struct st_tensor *t = safetensors_find(&m->file, name);
    return t != NULL ? t : safetensors_find(&m->file, name + prefix);
}

/* Every listed tensor is the file's, and the file has no other but buffers and heads. */
static void check_file(const struct model *m)
{
    const char *prefix = family_names[m->cfg.family].prefix;
    size_t n, others = 0;
    const struct base_tensor *t = list(m, &n);
    for (size_t i = 0; i < n; i++) {
        const struct st_tensor *file = in_file(m, t[i].name);
        cr_assert_not_null(file, "%s", t[i].name);
        cr_expect(file->ndim == t[i].ndim && file->dim[0] == t[i].dim[0], "%s", t[i].name);
        cr_expect(file->ndim == 1 || file->dim[1] == t[i].dim[1], "%s", t[i].name);
        float *want = arena_calloc(&mem, file->count, sizeof *want);
        float *got = arena_calloc(&mem, file->count, sizeof *got);
        struct err e = {0};
        cr_assert(want != NULL && got != NULL);
        cr_assert_eq(st_tensor_floats(file, want, &e), 0);
        stored_read(t[i].x, 0, file->count, got);
        cr_expect_eq(memcmp(got, want, file->count * sizeof *want), 0, "%s", t[i].name);
    }
    for (size_t i = 0; i < m->file.n; i++) {
        const char *name = m->file.tensor[i].name;
        bool inside = strncmp(name, prefix, strlen(prefix)) == 0;
        name += inside ? strlen(prefix) : 0;
        others += names_tolerated(name) && strncmp(name, "pooler.", 7) != 0;
    }
    cr_expect_eq(n + others, m->file.n, "%zu listed, %zu others, %zu in the file", n, others,
                 m->file.n);
}

Test(tensors, are_those_of_the_file)
{
    for (int i = 0; i < GOLDEN_FAMILIES; i++) {
        struct golden g;
        golden_open(&g, golden_families[i]);
        check_file(g.model);
        golden_close(&g);
    }
}

Test(tensors, are_those_of_minilm)
{
    const char *from = getenv("FEDPET_MODEL");
    from = from != NULL ? from : ".cache/all-MiniLM-L6-v2";
    struct model *m;
    struct err e = {0};
    if (access(from, R_OK) != 0)
        cr_skip("no model in %s: set FEDPET_MODEL", from);
    cr_assert_eq(model_open(&m, from, &e), 0, "%s", e.text);
    check_file(m);
    model_close(m);
}

/* Sizes that transformers' num_parameters() gives for the encoders without head. */
Test(tensors, add_up_to_the_published_sizes)
{
    static const struct {
        struct model_config cfg;
        size_t tensors, parameters;
    } want[] = {
        {{.family = FAMILY_ROBERTA, .layers = 12, .vocab = 50265, .positions = 514, .types = 1},
         5 + 12 * 16,
         124055040},
        {{.family = FAMILY_BERT, .layers = 12, .vocab = 30522, .positions = 512, .types = 2},
         5 + 12 * 16 + 2,
         109482240},
        {{.family = FAMILY_DISTILBERT, .layers = 6, .vocab = 30522, .positions = 512},
         4 + 6 * 16,
         66362880},
    };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        struct model m = {.cfg = want[i].cfg};
        size_t n, sum = 0;
        m.cfg.hidden = 768;
        m.cfg.heads = 12;
        m.cfg.ffn = 3072;
        const struct base_tensor *t = list(&m, &n);
        for (size_t k = 0; k < n; k++) {
            sum += count(&t[k]);
            cr_expect_null(t[k].x.x);
        }
        cr_expect_eq(n, want[i].tensors);
        cr_expect_eq(sum, want[i].parameters, "%zu, not %zu", sum, want[i].parameters);
    }
}

static const struct base_tensor *named(const struct base_tensor *t, size_t n, const char *name)
{
    size_t i = 0;
    while (i < n && strcmp(t[i].name, name) != 0)
        i++;
    cr_assert_lt(i, n, "no tensor %s", name);
    return &t[i];
}

Test(tensors, have_roles_layers_and_sites)
{
    static const struct {
        const char *name;
        enum tensor_role role;
        int layer, site;
    } want[] = {
        {"bert.embeddings.word_embeddings.weight", ROLE_EMBEDDING, -1, -1},
        {"bert.embeddings.token_type_embeddings.weight", ROLE_EMBEDDING, -1, -1},
        {"bert.embeddings.LayerNorm.weight", ROLE_NORM_GAIN, -1, -1},
        {"bert.embeddings.LayerNorm.bias", ROLE_NORM_BIAS, -1, -1},
        {"bert.encoder.layer.0.attention.self.key.weight", ROLE_WEIGHT, 0, LIN_KEY},
        {"bert.encoder.layer.2.attention.output.dense.bias", ROLE_BIAS, 2, LIN_ATTN_OUTPUT},
        {"bert.encoder.layer.1.attention.output.LayerNorm.bias", ROLE_NORM_BIAS, 1, -1},
        {"bert.encoder.layer.1.intermediate.dense.weight", ROLE_WEIGHT, 1, LIN_INTERMEDIATE},
        {"bert.encoder.layer.2.output.dense.bias", ROLE_BIAS, 2, LIN_OUTPUT},
        {"bert.encoder.layer.2.output.LayerNorm.weight", ROLE_NORM_GAIN, 2, -1},
        {"bert.pooler.dense.weight", ROLE_WEIGHT, -1, -1},
        {"bert.pooler.dense.bias", ROLE_BIAS, -1, -1},
    };
    struct golden g;
    golden_open(&g, "bert");
    size_t n;
    const struct base_tensor *t = list(g.model, &n);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        const struct base_tensor *b = named(t, n, want[i].name);
        cr_expect(b->role == want[i].role && b->layer == want[i].layer && b->site == want[i].site,
                  "%s: role %d, layer %d, site %d", b->name, (int)b->role, b->layer, b->site);
    }
    golden_close(&g);
}

/* Without a pooler in the file it belongs to the head. */
Test(tensors, leave_out_a_missing_pooler)
{
    struct golden g;
    golden_open(&g, "bert");
    struct model without = *g.model;
    size_t n, fewer;
    list(g.model, &n);
    without.pooler = (struct linear_weights){0};
    list(&without, &fewer);
    cr_expect_eq(fewer, n - 2);
    golden_close(&g);
}

/* The list itself finds no room, or its names do not. */
Test(tensors, short_memory_is_told)
{
    static const size_t cap[] = {64, 6 << 10};
    struct golden g;
    golden_open(&g, "bert");
    for (size_t i = 0; i < sizeof cap / sizeof *cap; i++) {
        struct arena little;
        struct base_tensor *t = NULL;
        size_t n = 0;
        struct err e = {0};
        arena_init(&little, cap[i]);
        cr_expect_eq(model_tensors(g.model, &little, &t, &n, &e), ERR_NOMEM);
        cr_expect(t == NULL && n == 0 && strstr(e.text, "no memory") != NULL, "%s", e.text);
        arena_release(&little);
    }
    golden_close(&g);
}
