/* What is trained, by name and number, on shapes alone: no weights are needed. */
#include "base/file.h"
#include "peft/peft.h"
#include "tests/greater.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct model shaped(enum family family, int layers, int hidden, int ffn)
{
    return (struct model){.cfg = {.family = family,
                                  .layers = layers,
                                  .hidden = hidden,
                                  .heads = hidden / 64,
                                  .ffn = ffn,
                                  .vocab = 1000,
                                  .positions = 512,
                                  .types = family == FAMILY_DISTILBERT ? 0 : 2}};
}

static struct peft_spec lora(uint32_t r, uint32_t targets)
{
    static char name[] = "lora";
    return (struct peft_spec){.method = name, .r = r, .alpha = 16, .targets = targets};
}

static struct peft_spec named(const char *method)
{
    return (struct peft_spec){.method = (char *)(uintptr_t)method};
}

enum { QUERY_VALUE = 1 << LIN_QUERY | 1 << LIN_VALUE, ALL = (1 << LIN_SITES) - 1 };

static struct peft *open_peft(const struct model *m, const struct peft_spec *spec, uint32_t labels)
{
    struct peft *p = NULL;
    struct err e = {0};
    cr_assert_eq(peft_open(&p, m, spec, NULL, HEAD_SEQUENCE, labels, &e), 0, "%s", e.text);
    return p;
}

static size_t trainable(const struct model *m, const struct peft_spec *spec, uint32_t labels)
{
    struct peft *p = open_peft(m, spec, labels);
    size_t n = peft_schema(p)->count;
    cr_expect_eq(peft_schema(p)->packed, n, "all of it is global");
    peft_close(p);
    return n;
}

static struct model roberta_base(void)
{
    struct model m = shaped(FAMILY_ROBERTA, 12, 768, 3072);
    m.cfg.vocab = 50265;
    m.cfg.positions = 514;
    m.cfg.types = 1;
    m.cfg.pad_id = 1;
    return m;
}

/* What RoBERTa-base trains beside its head of 592,130 (two labels) or 592,899 (three): the figures
 * of the methods' papers, of OpenDelta and of FedPETuning. */
#define ADAPTER(width, where) .bottleneck = width, .placement = PLACEMENT_##where, .scaling = 1
static const struct {
    const char *method;
    struct peft_spec settings;
    size_t count;
} counts[] = {
    {"lora", {.r = 8, .alpha = 8, .targets = QUERY_VALUE}, 294912},
    {"lora", {.r = 16, .alpha = 8, .targets = QUERY_VALUE}, 589824},
    {"lora", {.r = 8, .alpha = 8, .targets = ALL}, 1327104},
    {"adapter", {ADAPTER(16, OPENDELTA)}, 608640},
    {"adapter", {ADAPTER(24, OPENDELTA)}, 903744},
    {"adapter", {ADAPTER(64, OPENDELTA)}, 2379264},
    {"adapter", {ADAPTER(64, HOULSBY)}, 2379264},
    {"adapter", {ADAPTER(48, HOULSBY)}, 1789056},
    {"adapter", {ADAPTER(48, PFEIFFER)}, 894528},
    {"adapter", {ADAPTER(384, PARALLEL)}, 7091712},
    {"adapter", {ADAPTER(16, PARALLEL)}, 304320},
    {"adapter", {ADAPTER(16, OPENDELTA), .norms = true}, 608640 + 38400},
    {"prefix", {.length = 8, .hidden = 512}, 9722368},
    {"prefix", {.length = 16, .hidden = 512}, 9726464},
    {"prefix", {.length = 64, .hidden = 512}, 9751040},
    {"prefix", {.length = 8}, 147456},
    {"prefix", {.length = 16}, 294912},
    {"prefix", {.length = 64}, 1179648},
    {"prefix", {.length = 20, .shift = true}, 368640},
    {"prefix", {.length = 128}, 2359296},
    {"prompt", {.length = 20}, 15360},
    {"prompt", {.length = 100}, 76800},
    {"bitfit", {.biases = BIASES_ALL}, 102144},
    {"bitfit", {.biases = BIASES_OPENDELTA}, 64512},
    {"layernorm", {.norms = false}, 38400},
    {"layernorm", {.norms = true}, 38400},
    {"head", {.norms = false}, 0},
    {"head", {.norms = true}, 38400},
    {"full", {.norms = false}, 124055040},
};

Test(schema, parameter_counts_are_those_of_the_papers)
{
    struct model m = roberta_base();
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct peft_spec spec = counts[i].settings;
        spec.method = (char *)(uintptr_t)counts[i].method;
        size_t two = trainable(&m, &spec, 2), three = trainable(&m, &spec, 3);
        cr_expect_eq(two, counts[i].count + 592130, "%s, line %zu: %zu", counts[i].method, i, two);
        cr_expect_eq(three, counts[i].count + 592899, "%s, line %zu", counts[i].method, i);
    }
}

Test(schema, the_head_is_the_familys)
{
    struct peft_spec spec = lora(8, QUERY_VALUE);
    struct model roberta = roberta_base();
    cr_expect_eq(trainable(&roberta, &spec, 1), 294912 + 768 * 768 + 768 + 769);

    struct model bert = shaped(FAMILY_BERT, 12, 768, 3072);
    cr_expect_eq(trainable(&bert, &spec, 2), 294912 + 768 * 768 + 768 + 1538);
    const real pooler = 0;
    bert.pooler.W = stored_reals(&pooler);
    cr_expect_eq(trainable(&bert, &spec, 2), 294912 + 1538, "a pooler in the file is frozen");

    struct model distil = shaped(FAMILY_DISTILBERT, 6, 768, 3072);
    cr_expect_eq(trainable(&distil, &spec, 2), 147456 + 592130);
}

/* As bert-base-uncased and distilbert-base-uncased under transformers' classes for sequences. */
Test(schema, full_fine_tuning_trains_every_tensor_once)
{
    struct peft_spec spec = named("full");
    struct model bert = shaped(FAMILY_BERT, 12, 768, 3072);
    bert.cfg.vocab = 30522;
    cr_expect_eq(trainable(&bert, &spec, 2), 109483778, "the pooler is trained with the head");
    const real pooler = 0;
    bert.pooler.W = stored_reals(&pooler);
    cr_expect_eq(trainable(&bert, &spec, 2), 109483778, "the pooler is one of the base model's");

    struct peft *p = NULL;
    struct err e = {0};
    cr_assert_eq(peft_open(&p, &bert, &spec, NULL, HEAD_TOKENS, 9, &e), 0, "%s", e.text);
    cr_expect_eq(peft_schema(p)->count, 108891648 + 9 * 769, "a head over tokens needs no pooler");
    peft_close(p);
    const struct peft_spec bitfit = named("bitfit");
    cr_assert_eq(peft_open(&p, &bert, &bitfit, NULL, HEAD_TOKENS, 9, &e), 0, "%s", e.text);
    cr_expect_eq(peft_schema(p)->count, 102144 + 9 * 769, "nor the pooler's bias");
    peft_close(p);

    struct model distil = shaped(FAMILY_DISTILBERT, 6, 768, 3072);
    distil.cfg.vocab = 30522;
    cr_expect_eq(trainable(&distil, &spec, 2), 66955010);
}

struct want {
    const char *name;
    int64_t rows, cols; /* cols 0: a vector */
};

static void expect_tensors(const struct model *m, const struct peft_spec *spec, uint32_t labels,
                           const struct want *want, size_t n)
{
    struct peft *p = open_peft(m, spec, labels);
    const struct schema *s = peft_schema(p);
    cr_assert_eq(s->n, n);
    for (size_t i = 0; i < s->n; i++) {
        const struct tensor_spec *t = &s->tensor[i];
        cr_expect_str_eq(t->name, want[i].name);
        cr_expect_eq(t->ndim, want[i].cols > 0 ? 2 : 1, "%s", t->name);
        cr_expect_eq(t->dim[0], want[i].rows, "%s", t->name);
        cr_expect(t->ndim == 1 || t->dim[1] == want[i].cols, "%s", t->name);
        cr_expect_eq(t->decay, t->ndim == 2, "%s", t->name);
        cr_expect_eq(t->scope, SCOPE_GLOBAL);
    }
    peft_close(p);
}
#define EXPECT_TENSORS(model, spec, labels, ...)                                                   \
    do {                                                                                           \
        static const struct want want_[] = {__VA_ARGS__};                                          \
        expect_tensors(model, spec, labels, want_, sizeof want_ / sizeof *want_);                  \
    } while (0)

#define ROBERTA_HEAD                                                                               \
    {"classifier.dense.weight", 64, 64}, {"classifier.dense.bias", 64, 0},                         \
        {"classifier.out_proj.weight", 3, 64},                                                     \
    {                                                                                              \
        "classifier.out_proj.bias", 3, 0                                                           \
    }

Test(schema, lora_has_peft_names_and_shapes)
{
    struct model m = shaped(FAMILY_ROBERTA, 2, 64, 128);
    struct peft_spec spec = lora(4, 1 << LIN_VALUE | 1 << LIN_OUTPUT);
    EXPECT_TENSORS(&m, &spec, 3,
                   {"roberta.encoder.layer.0.attention.self.value.lora_A.weight", 4, 64},
                   {"roberta.encoder.layer.0.attention.self.value.lora_B.weight", 64, 4},
                   {"roberta.encoder.layer.0.output.dense.lora_A.weight", 4, 128},
                   {"roberta.encoder.layer.0.output.dense.lora_B.weight", 64, 4},
                   {"roberta.encoder.layer.1.attention.self.value.lora_A.weight", 4, 64},
                   {"roberta.encoder.layer.1.attention.self.value.lora_B.weight", 64, 4},
                   {"roberta.encoder.layer.1.output.dense.lora_A.weight", 4, 128},
                   {"roberta.encoder.layer.1.output.dense.lora_B.weight", 64, 4}, ROBERTA_HEAD);
}

Test(schema, adapters_have_the_names_of_adapterhub)
{
    struct model roberta = shaped(FAMILY_ROBERTA, 1, 64, 128);
    struct model distil = shaped(FAMILY_DISTILBERT, 1, 64, 128);
    struct peft_spec spec = named("adapter");
    spec.bottleneck = 5;
    EXPECT_TENSORS(
        &roberta, &spec, 3,
        {"roberta.encoder.layer.0.attention.output.adapters.adapter_down.0.weight", 5, 64},
        {"roberta.encoder.layer.0.attention.output.adapters.adapter_down.0.bias", 5, 0},
        {"roberta.encoder.layer.0.attention.output.adapters.adapter_up.weight", 64, 5},
        {"roberta.encoder.layer.0.attention.output.adapters.adapter_up.bias", 64, 0},
        {"roberta.encoder.layer.0.output.adapters.adapter_down.0.weight", 5, 64},
        {"roberta.encoder.layer.0.output.adapters.adapter_down.0.bias", 5, 0},
        {"roberta.encoder.layer.0.output.adapters.adapter_up.weight", 64, 5},
        {"roberta.encoder.layer.0.output.adapters.adapter_up.bias", 64, 0}, ROBERTA_HEAD);
    spec.placement = PLACEMENT_PFEIFFER;
    EXPECT_TENSORS(
        &distil, &spec, 2,
        {"distilbert.transformer.layer.0.output_adapters.adapters.adapter_down.0.weight", 5, 64},
        {"distilbert.transformer.layer.0.output_adapters.adapters.adapter_down.0.bias", 5, 0},
        {"distilbert.transformer.layer.0.output_adapters.adapters.adapter_up.weight", 64, 5},
        {"distilbert.transformer.layer.0.output_adapters.adapters.adapter_up.bias", 64, 0},
        {"pre_classifier.weight", 64, 64}, {"pre_classifier.bias", 64, 0},
        {"classifier.weight", 2, 64}, {"classifier.bias", 2, 0});
}

Test(schema, virtual_rows_have_peft_names_and_shapes)
{
    struct model m = shaped(FAMILY_ROBERTA, 2, 64, 128);
    struct peft_spec prompt = named("prompt"), prefix = named("prefix");
    prompt.length = prefix.length = 3;
    EXPECT_TENSORS(&m, &prompt, 3, {"prompt_embeddings", 3, 64}, ROBERTA_HEAD);
    EXPECT_TENSORS(&m, &prefix, 3, {"prompt_embeddings", 3, 2 * 2 * 64}, ROBERTA_HEAD);
    prefix.hidden = 7;
    EXPECT_TENSORS(&m, &prefix, 3, {"prefix.embedding.weight", 3, 7},
                   {"prefix.transform.0.weight", 7, 7}, {"prefix.transform.0.bias", 7, 0},
                   {"prefix.transform.2.weight", 2 * 2 * 64, 7},
                   {"prefix.transform.2.bias", 2 * 2 * 64, 0}, ROBERTA_HEAD);
}

Test(schema, trained_base_tensors_keep_their_names)
{
    struct model m = shaped(FAMILY_ROBERTA, 1, 64, 128);
    struct peft_spec spec = named("bitfit");
    spec.biases = BIASES_OPENDELTA;
    EXPECT_TENSORS(&m, &spec, 3, {"roberta.encoder.layer.0.attention.self.query.bias", 64, 0},
                   {"roberta.encoder.layer.0.attention.self.key.bias", 64, 0},
                   {"roberta.encoder.layer.0.attention.self.value.bias", 64, 0},
                   {"roberta.encoder.layer.0.attention.output.dense.bias", 64, 0},
                   {"roberta.encoder.layer.0.attention.output.LayerNorm.bias", 64, 0},
                   {"roberta.encoder.layer.0.output.dense.bias", 64, 0},
                   {"roberta.encoder.layer.0.output.LayerNorm.bias", 64, 0}, ROBERTA_HEAD);
    struct peft_spec prompt = named("prompt");
    prompt.length = 2;
    prompt.norms = true;
    EXPECT_TENSORS(&m, &prompt, 3, {"prompt_embeddings", 2, 64},
                   {"roberta.embeddings.LayerNorm.weight", 64, 0},
                   {"roberta.embeddings.LayerNorm.bias", 64, 0},
                   {"roberta.encoder.layer.0.attention.output.LayerNorm.weight", 64, 0},
                   {"roberta.encoder.layer.0.attention.output.LayerNorm.bias", 64, 0},
                   {"roberta.encoder.layer.0.output.LayerNorm.weight", 64, 0},
                   {"roberta.encoder.layer.0.output.LayerNorm.bias", 64, 0}, ROBERTA_HEAD);
}

Test(schema, initial_values_are_those_of_peft)
{
    struct model m = shaped(FAMILY_BERT, 2, 256, 512);
    struct peft_spec spec = lora(8, ALL);
    struct peft *p = open_peft(&m, &spec, 4);
    const struct schema *s = peft_schema(p);
    real *x = malloc(s->count * sizeof *x), *again = malloc(s->count * sizeof *x);
    peft_init(p, 1, x);
    for (size_t i = 0; i < s->n; i++) {
        const struct tensor_spec *t = &s->tensor[i];
        const real *v = x + t->offset;
        bool is_A = strstr(t->name, "lora_A") != NULL, is_B = strstr(t->name, "lora_B") != NULL;
        double sum = 0, squares = 0, greatest = 0, n = (double)t->count;
        for (size_t k = 0; k < t->count; k++) {
            sum += (double)v[k];
            squares += (double)v[k] * (double)v[k];
            greatest = greater(greatest, fabs((double)v[k]));
        }
        double deviation = sqrt(squares / n), bound = 1 / sqrt((double)t->dim[1]);
        if (is_B || t->ndim == 1) {
            cr_expect_eq(greatest, 0, "%s", t->name);
            continue;
        }
        double expected = is_A ? bound / sqrt(3) : 0.02;
        cr_expect_float_eq(deviation, expected, 0.1 * expected, "%s", t->name);
        cr_expect_leq(fabs(sum / n), 5 * expected / sqrt(n), "%s", t->name);
        cr_expect(!is_A || (greatest <= bound && greatest > 0.95 * bound), "%s", t->name);
    }
    peft_init(p, 1, again);
    cr_expect_eq(memcmp(x, again, s->count * sizeof *x), 0, "a pure function of the seed");
    peft_init(p, 2, again);
    cr_expect_neq(memcmp(x, again, s->count * sizeof *x), 0);
    free(x);
    free(again);
    peft_close(p);
}

Test(schema, pretrained_heads_are_the_start)
{
    struct model m = shaped(FAMILY_DISTILBERT, 1, 64, 64);
    real weight[2 * 64];
    for (int i = 0; i < 2 * 64; i++)
        weight[i] = (real)i;
    m.file_head[2] = (struct head_tensor){
        .name = "classifier.weight", .ndim = 2, .dim = {2, 64}, .pretrained = stored_reals(weight)};
    struct peft_spec spec = lora(1, QUERY_VALUE);
    for (uint32_t labels = 2; labels <= 3; labels++) {
        struct peft *p = open_peft(&m, &spec, labels);
        const struct schema *s = peft_schema(p);
        real *x = malloc(s->count * sizeof *x);
        peft_init(p, 1, x);
        const struct tensor_spec *t = schema_find(s, "classifier.weight");
        bool same = memcmp(x + t->offset, weight, sizeof weight) == 0;
        cr_expect_eq(same, labels == 2, "another number of labels starts anew");
        free(x);
        peft_close(p);
    }
}

static void expect_refused(const struct model *m, const struct peft_spec *spec,
                           const struct local_spec *local, uint32_t labels, const char *because)
{
    struct peft *p = NULL;
    struct err e = {0};
    cr_expect_eq(peft_open(&p, m, spec, local, HEAD_SEQUENCE, labels, &e), ERR_CONFIG, "%s",
                 because);
    cr_expect(strstr(e.text, because) != NULL, "%s", e.text);
    cr_expect_null(p);
}

Test(schema, wrong_specs_are_refused)
{
    struct model m = shaped(FAMILY_BERT, 1, 64, 64);
    const struct peft_spec good = lora(4, QUERY_VALUE);
    struct {
        struct peft_spec spec;
        const char *because;
    } bad[20];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        bad[i].spec = good;
    size_t n = 0;
    bad[n].spec = named("lorra"), bad[n++].because = "lora, adapter, prefix, prompt, bitfit";
    bad[n].spec.method = NULL, bad[n++].because = "peft.method";
    bad[n].spec.r = 0, bad[n++].because = "peft.r";
    bad[n].spec.r = 1025, bad[n++].because = "peft.r";
    bad[n].spec.alpha = 0, bad[n++].because = "peft.alpha";
    bad[n].spec.alpha = (double)NAN, bad[n++].because = "peft.alpha";
    bad[n].spec.dropout = 1, bad[n++].because = "peft.dropout";
    bad[n].spec.targets = 0, bad[n++].because = "peft.targets";
    bad[n].spec.targets = 1 << LIN_SITES, bad[n++].because = "peft.targets";
    bad[n].spec = named("adapter"), bad[n++].because = "peft.bottleneck is 0";
    bad[n].spec = named("adapter"), bad[n].spec.bottleneck = 4097;
    bad[n++].because = "peft.bottleneck is 4097";
    bad[n].spec = named("adapter"), bad[n].spec.bottleneck = 1;
    bad[n].spec.placement = PLACEMENT_PARALLEL, bad[n++].because = "peft.scaling is 0";
    bad[n].spec = named("prefix"), bad[n++].because = "peft.length is 0";
    bad[n].spec = named("prefix"), bad[n].spec.length = 1025;
    bad[n++].because = "peft.length is 1025";
    bad[n].spec = named("prefix"), bad[n].spec.length = 1, bad[n].spec.hidden = 4097;
    bad[n++].because = "peft.hidden is 4097";
    bad[n].spec = named("prompt"), bad[n++].because = "peft.length is 0";
    bad[n].spec = named("prompt"), bad[n].spec.length = 1025;
    bad[n++].because = "peft.length is 1025";
    for (size_t i = 0; i < n; i++)
        expect_refused(&m, &bad[i].spec, NULL, 2, bad[i].because);
    expect_refused(&m, &good, NULL, 0, "labels");
    expect_refused(&m, &good, NULL, 65537, "labels");
    struct peft *p = NULL;
    struct err e = {0};
    cr_expect_eq(peft_open(&p, &m, &good, NULL, HEAD_TOKENS, 1, &e), ERR_CONFIG,
                 "a regression over tokens");
}

/* The model has 512 positions. */
Test(schema, virtual_tokens_take_positions_from_the_text)
{
    struct model m = shaped(FAMILY_BERT, 1, 64, 64);
    struct peft_spec prompt = named("prompt"), prefix = named("prefix");
    prompt.length = prefix.length = 12;
    prefix.shift = true;
    struct local_spec local = {.model_dropout = -1, .max_length = 500};
    const struct peft_spec *both[] = {&prompt, &prefix};
    for (int i = 0; i < 2; i++) {
        struct peft *p = NULL;
        struct err e = {0};
        local.max_length = 500;
        cr_assert_eq(peft_open(&p, &m, both[i], &local, HEAD_SEQUENCE, 2, &e), 0, "%s", e.text);
        cr_expect_eq(peft_max_tokens(p), 500);
        peft_close(p);
        local.max_length = 501;
        expect_refused(&m, both[i], &local, 2, "local.max_length: 501 tokens and the 12 of");
    }
    prompt.length = prefix.length = 511;
    peft_close(open_peft(&m, &prompt, 2));
    peft_close(open_peft(&m, &prefix, 2));
    prompt.length = prefix.length = 512;
    expect_refused(&m, &prompt, NULL, 2, "512 virtual tokens leave none");
    expect_refused(&m, &prefix, NULL, 2, "512 virtual tokens leave none");

    prefix.shift = false;
    local.max_length = 512;
    struct peft *p = open_peft(&m, &prefix, 2);
    cr_expect_eq(peft_max_tokens(p), 512, "unshifted prefixes take none");
    peft_close(p);
    local.max_length = 513;
    expect_refused(&m, &prefix, &local, 2, "local.max_length: 513 is more than");
}

Test(schema, methods_are_found_by_name)
{
    for (const struct peft_method *const *m = peft_methods; *m != NULL; m++)
        cr_expect_eq(peft_method_find((*m)->name), *m);
    cr_expect_null(peft_method_find("none"));
}
