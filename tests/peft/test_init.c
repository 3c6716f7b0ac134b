/* Initial values: each tensor from the distribution of the method's source. */
#include "tests/greater.h"
#include "tests/peft/tuned.h"
#include <math.h>
#include <stdlib.h>

struct moments {
    double deviation, greatest;
};

static struct moments moments_of(const real *x, size_t n)
{
    struct moments m = {0};
    for (size_t k = 0; k < n; k++) {
        m.deviation += (double)x[k] * (double)x[k];
        m.greatest = greater(m.greatest, fabs((double)x[k]));
    }
    m.deviation = sqrt(m.deviation / (double)n);
    return m;
}

/* A wide model: enough values of each tensor for statistics. */
static real *initial(const struct peft_spec *spec, struct peft **p)
{
    static const struct model wide = {.cfg = {.family = FAMILY_BERT,
                                              .layers = 2,
                                              .hidden = 256,
                                              .heads = 4,
                                              .ffn = 512,
                                              .vocab = 100,
                                              .positions = 512,
                                              .types = 2}};
    struct err e = {0};
    cr_assert_eq(peft_open(p, &wide, spec, NULL, HEAD_SEQUENCE, 2, &e), 0, "%s", e.text);
    real *x = malloc(peft_schema(*p)->count * sizeof *x);
    cr_assert_not_null(x);
    peft_init(*p, 1, x);
    return x;
}

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), k = strlen(end);
    return n >= k && strcmp(name + n - k, end) == 0;
}

/* Every tensor whose name ends so. */
static void expect(const struct peft *p, const real *x, const char *end, double deviation,
                   double bound)
{
    const struct schema *s = peft_schema(p);
    size_t found = 0;
    for (size_t i = 0; i < s->n; i++) {
        const struct tensor_spec *t = &s->tensor[i];
        if (!ends_with(t->name, end))
            continue;
        struct moments m = moments_of(x + t->offset, t->count);
        found++;
        cr_expect_float_eq(m.deviation, deviation, 0.1 * deviation, "%s: %g, not %g", t->name,
                           m.deviation, deviation);
        cr_expect(m.greatest <= bound && m.greatest >= 0.95 * fmin(bound, 3 * deviation),
                  "%s: greatest %g", t->name, m.greatest);
    }
    cr_expect_gt(found, 0, "%s", end);
}

Test(init, adapters)
{
    static char method[] = "adapter";
    /* A normal distribution cut at two deviations has 0.88 of the deviation. */
    const double cut = 0.8796, uniform = 1 / sqrt(3.0 * 256), far = INFINITY;
    const struct {
        enum placement placement;
        double down, down_bound, up, up_bound;
    } cases[] = {{PLACEMENT_OPENDELTA, 0.01, far, 0.01, far},
                 {PLACEMENT_HOULSBY, 1e-3 * cut, 2e-3, 1e-3 * cut, 2e-3},
                 {PLACEMENT_PFEIFFER, 0.02, far, 0.02, far},
                 {PLACEMENT_PARALLEL, uniform, 1.0 / 16, 0, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct peft_spec spec = {
            .method = method, .bottleneck = 32, .placement = cases[i].placement, .scaling = 1};
        struct peft *p = NULL;
        real *x = initial(&spec, &p);
        expect(p, x, "adapter_down.0.weight", cases[i].down, cases[i].down_bound);
        expect(p, x, "adapter_up.weight", cases[i].up, cases[i].up_bound);
        expect(p, x, "adapter_down.0.bias", 0, 0);
        expect(p, x, "adapter_up.bias", 0, 0);
        free(x);
        peft_close(p);
    }
}

Test(init, prefixes)
{
    static char method[] = "prefix";
    struct peft_spec spec = {.method = method, .length = 16};
    struct peft *p = NULL;
    real *x = initial(&spec, &p);
    expect(p, x, "prompt_embeddings", 0.02, INFINITY);
    free(x);
    peft_close(p);

    spec.hidden = 400;
    x = initial(&spec, &p);
    expect(p, x, "prefix.embedding.weight", 1, INFINITY);
    expect(p, x, "prefix.transform.0.weight", 0.05 / sqrt(3), 0.05);
    expect(p, x, "prefix.transform.0.bias", 0.05 / sqrt(3), 0.05);
    expect(p, x, "prefix.transform.2.weight", 0.05 / sqrt(3), 0.05);
    expect(p, x, "prefix.transform.2.bias", 0.05 / sqrt(3), 0.05);
    free(x);
    peft_close(p);
}

/* Rows of a prompt are words, and not all the same one. */
Test(init, prompts_are_words)
{
    static char method[] = "prompt";
    const struct peft_spec spec = {.method = method, .length = 8};
    struct tuned t;
    tuned_start(&t, "bert", &spec, 2, 0);
    const struct model *m = t.golden.model;
    size_t d = (size_t)m->cfg.hidden, first = 0, others = 0;
    const real *words = m->word.x;
    for (size_t row = 0; row < 8; row++) {
        size_t word = 0;
        while (word < (size_t)m->cfg.vocab &&
               memcmp(words + word * d, t.theta + row * d, d * sizeof *t.theta) != 0)
            word++;
        cr_assert_lt(word, (size_t)m->cfg.vocab, "row %zu is no word", row);
        first = row == 0 ? word : first;
        others += word != first;
    }
    cr_expect_gt(others, 0);
    tuned_close(&t);
}

Test(init, trained_base_tensors_begin_at_the_base_model)
{
    static char method[] = "full";
    const struct peft_spec spec = {.method = method};
    for (int f = 0; f < GOLDEN_FAMILIES; f++) {
        struct tuned t;
        struct err e = {0};
        struct base_tensor *base;
        size_t n;
        tuned_start(&t, golden_families[f], &spec, 2, 0);
        cr_assert_eq(model_tensors(t.golden.model, &t.golden.mem, &base, &n, &e), 0);
        for (size_t i = 0; i < n; i++) {
            const struct tensor_spec *s = schema_find(peft_schema(t.peft), base[i].name);
            cr_assert_not_null(s, "%s", base[i].name);
            const real *frozen = golden_reals(&t.golden, base[i].x, s->count);
            cr_expect_arr_eq(t.theta + s->offset, frozen, s->count * sizeof *t.theta, "%s",
                             base[i].name);
            bool matrix = base[i].role == ROLE_EMBEDDING || base[i].role == ROLE_WEIGHT;
            cr_expect_eq(s->decay, matrix, "%s", base[i].name);
        }
        tuned_close(&t);
    }
}
