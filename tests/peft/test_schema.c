/* What is trained, by name and number, on shapes alone: no weights are needed. */
#include "base/file.h"
#include "peft/peft.h"
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
                                  .positions = 512}};
}

static struct peft_spec lora(uint32_t r, uint32_t targets)
{
    static char name[] = "lora";
    return (struct peft_spec){.method = name, .r = r, .alpha = 16, .targets = targets};
}

enum { QUERY_VALUE = 1 << LIN_QUERY | 1 << LIN_VALUE, ALL = (1 << LIN_SITES) - 1 };

static struct peft *open_peft(const struct model *m, const struct peft_spec *spec, uint32_t labels)
{
    struct peft *p = NULL;
    struct err e = {0};
    cr_assert_eq(peft_open(&p, m, spec, NULL, HEAD_SEQUENCE, labels, &e), 0, "%s", e.text);
    return p;
}

static size_t trainable(const struct model *m, uint32_t r, uint32_t targets, uint32_t labels)
{
    struct peft_spec spec = lora(r, targets);
    struct peft *p = open_peft(m, &spec, labels);
    size_t n = peft_schema(p)->count;
    cr_expect_eq(peft_schema(p)->packed, n, "all of it is global");
    peft_close(p);
    return n;
}

Test(schema, parameter_counts_are_those_of_the_papers)
{
    struct model roberta = shaped(FAMILY_ROBERTA, 12, 768, 3072);
    cr_expect_eq(trainable(&roberta, 8, QUERY_VALUE, 2), 294912 + 592130);
    cr_expect_eq(trainable(&roberta, 8, QUERY_VALUE, 3), 294912 + 592899);
    cr_expect_eq(trainable(&roberta, 8, ALL, 2), 1327104 + 592130);
    cr_expect_eq(trainable(&roberta, 8, QUERY_VALUE, 1), 294912 + 768 * 768 + 768 + 769);

    struct model bert = shaped(FAMILY_BERT, 12, 768, 3072);
    cr_expect_eq(trainable(&bert, 8, QUERY_VALUE, 2), 294912 + 768 * 768 + 768 + 1538);
    const real pooler = 0;
    bert.pooler.W = &pooler;
    cr_expect_eq(trainable(&bert, 8, QUERY_VALUE, 2), 294912 + 1538,
                 "a pooler in the file is frozen");

    struct model distil = shaped(FAMILY_DISTILBERT, 6, 768, 3072);
    cr_expect_eq(trainable(&distil, 8, QUERY_VALUE, 2), 147456 + 592130);
}

Test(schema, tensors_have_peft_names_and_shapes)
{
    struct model m = shaped(FAMILY_ROBERTA, 2, 64, 128);
    struct peft_spec spec = lora(4, 1 << LIN_VALUE | 1 << LIN_OUTPUT);
    struct peft *p = open_peft(&m, &spec, 3);
    const struct schema *s = peft_schema(p);
    static const struct {
        const char *name;
        int64_t rows, cols; /* cols 0: a vector */
    } want[] = {
        {"roberta.encoder.layer.0.attention.self.value.lora_A.weight", 4, 64},
        {"roberta.encoder.layer.0.attention.self.value.lora_B.weight", 64, 4},
        {"roberta.encoder.layer.0.output.dense.lora_A.weight", 4, 128},
        {"roberta.encoder.layer.0.output.dense.lora_B.weight", 64, 4},
        {"roberta.encoder.layer.1.attention.self.value.lora_A.weight", 4, 64},
        {"roberta.encoder.layer.1.attention.self.value.lora_B.weight", 64, 4},
        {"roberta.encoder.layer.1.output.dense.lora_A.weight", 4, 128},
        {"roberta.encoder.layer.1.output.dense.lora_B.weight", 64, 4},
        {"classifier.dense.weight", 64, 64},
        {"classifier.dense.bias", 64, 0},
        {"classifier.out_proj.weight", 3, 64},
        {"classifier.out_proj.bias", 3, 0},
    };
    cr_assert_eq(s->n, sizeof want / sizeof *want);
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
            greatest = fmax(greatest, fabs((double)v[k]));
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
        .name = "classifier.weight", .ndim = 2, .dim = {2, 64}, .pretrained = weight};
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

Test(schema, wrong_specs_are_refused)
{
    static char other[] = "lorra";
    struct model m = shaped(FAMILY_BERT, 1, 64, 64);
    struct peft_spec good = lora(4, QUERY_VALUE);
    struct {
        struct peft_spec spec;
        uint32_t labels;
        const char *because;
    } bad[11];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        bad[i].spec = good;
        bad[i].labels = 2;
    }
    size_t n = 0;
    bad[n].spec.method = other, bad[n++].because = "lora";
    bad[n].spec.method = NULL, bad[n++].because = "peft.method";
    bad[n].spec.r = 0, bad[n++].because = "peft.r";
    bad[n].spec.r = 1025, bad[n++].because = "peft.r";
    bad[n].spec.alpha = 0, bad[n++].because = "peft.alpha";
    bad[n].spec.alpha = (double)NAN, bad[n++].because = "peft.alpha";
    bad[n].spec.dropout = 1, bad[n++].because = "peft.dropout";
    bad[n].spec.targets = 0, bad[n++].because = "peft.targets";
    bad[n].spec.targets = 1 << LIN_SITES, bad[n++].because = "peft.targets";
    bad[n].labels = 0, bad[n++].because = "labels";
    bad[n].labels = 65537, bad[n++].because = "labels";
    for (size_t i = 0; i < n; i++) {
        struct peft *p = NULL;
        struct err e = {0};
        cr_expect_eq(peft_open(&p, &m, &bad[i].spec, NULL, HEAD_SEQUENCE, bad[i].labels, &e),
                     ERR_CONFIG, "%zu", i);
        cr_expect(strstr(e.text, bad[i].because) != NULL, "%s", e.text);
        cr_expect_null(p);
    }
}

Test(schema, methods_are_found_by_name)
{
    for (const struct peft_method *const *m = peft_methods; *m != NULL; m++)
        cr_expect_eq(peft_method_find((*m)->name), *m);
    cr_expect_null(peft_method_find("none"));
}
