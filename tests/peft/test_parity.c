/* Every method against torch: adapters by formula (tests/interop/peft_golden.py); trained base
 * tensors, prompts and prefixes as transformers and peft compute them (model_golden.py). */
#include "tests/greater.h"
#include "tests/peft/tuned.h"
#include <math.h>

enum { NAME = 256, VIRTUAL = 3 };

/* A method on a golden encoder, with the answers in `path` for t.golden.file. */
static void start(struct tuned *t, int family, const struct peft_spec *spec, const char *path)
{
    struct err e = {0};
    tuned_start(t, golden_families[family], spec, tuned_labels[family], 0);
    safetensors_close(&t->golden.file);
    cr_assert_eq(safetensors_open(&t->golden.file, path, &e), 0, "%s", e.text);
}

/* Golden PREFIX NAME of a tensor, as many as it has. */
static const float *answer(struct tuned *t, const char *prefix, const struct tensor_spec *s)
{
    char name[NAME];
    snprintf(name, sizeof name, "%s%s", prefix, s->name);
    cr_assert_eq(golden_tensor(&t->golden, name)->count, s->count, "%s", name);
    return golden_floats(&t->golden, name);
}

static void take(struct tuned *t, const char *prefix, const struct tensor_spec *s)
{
    const float *x = answer(t, prefix, s);
    for (size_t k = 0; k < s->count; k++)
        t->theta[s->offset + k] = x[k];
}

/* The key's bias has no gradient but for rounding, hence the absolute part. */
static void expect_gradient(const struct tensor_spec *s, const real *grad, const float *want)
{
    double worst = 0, scale = 0;
    for (size_t k = 0; k < s->count; k++) {
        worst = greater(worst, fabs((double)grad[s->offset + k] - (double)want[k]));
        scale = greater(scale, fabs((double)want[k]));
    }
    cr_expect_leq(worst, 1e-4 * scale + 1e-6, "%s: off by %g of %g", s->name, worst, scale);
}

/* One step; logits and loss are those of the file under `prefix`. Returns the gradient. */
static const real *step(struct tuned *t, const struct batch *b, const char *prefix)
{
    char name[NAME];
    real logits[64];
    size_t n = (size_t)b->n * peft_labels(t->peft);
    real *grad = arena_calloc(&t->golden.mem, t->count, sizeof *grad);
    cr_assert(grad != NULL && n <= 64);
    double loss = tuned_loss(t, b, t->theta, grad, logits);
    snprintf(name, sizeof name, "%slogits", prefix);
    const float *want = golden_floats(&t->golden, name);
    for (size_t k = 0; k < n; k++)
        cr_expect_float_eq(logits[k], want[k], 2e-5, "%s[%zu] is %g, not %g", name, k,
                           (double)logits[k], (double)want[k]);
    snprintf(name, sizeof name, "%sloss", prefix);
    cr_expect_float_eq(loss, (double)*golden_floats(&t->golden, name), 2e-5 * fmax(1, loss));
    return grad;
}

/* --- adapters -------------------------------------------------------------------------------- */

static void check_placement(int family, enum placement placement, const char *name)
{
    static char method[] = "adapter";
    const struct peft_spec spec = {
        .method = method, .norms = true, .bottleneck = 4, .placement = placement, .scaling = 2.5};
    struct tuned t;
    char path[GOLDEN_PATH], logits[NAME], value[NAME], gradient[NAME];
    snprintf(path, sizeof path, FEDPET_TEST_DIR "/peft/golden/%s.safetensors",
             golden_families[family]);
    snprintf(logits, sizeof logits, "%s.", name);
    snprintf(value, sizeof value, "%s.value.", name);
    snprintf(gradient, sizeof gradient, "%s.grad.", name);
    start(&t, family, &spec, path);

    const struct schema *s = peft_schema(t.peft);
    size_t known = 0;
    for (size_t i = 0; i < t.golden.file.n; i++)
        known += strncmp(t.golden.file.tensor[i].name, value, strlen(value)) == 0;
    cr_expect_eq(s->n, known, "%s: %zu tensors, not %zu", name, s->n, known);
    for (size_t i = 0; i < s->n; i++)
        take(&t, value, &s->tensor[i]);
    const real *grad = step(&t, &t.batch, logits);
    for (size_t i = 0; i < s->n; i++)
        expect_gradient(&s->tensor[i], grad, answer(&t, gradient, &s->tensor[i]));
    tuned_close(&t);
}

Test(parity, adapters_are_those_of_torch)
{
    static const char *const placements[] = {[PLACEMENT_OPENDELTA] = "opendelta",
                                             [PLACEMENT_HOULSBY] = "houlsby",
                                             [PLACEMENT_PFEIFFER] = "pfeiffer",
                                             [PLACEMENT_PARALLEL] = "parallel"};
    for (int f = 0; f < GOLDEN_FAMILIES; f++)
        for (int i = PLACEMENT_OPENDELTA; i <= PLACEMENT_PARALLEL; i++)
            check_placement(f, (enum placement)i, placements[i]);
}

/* --- trained base tensors, prompts, prefixes ------------------------------------------------- */

static void start_sites(struct tuned *t, int family, const struct peft_spec *spec)
{
    char path[GOLDEN_PATH];
    snprintf(path, sizeof path, GOLDEN_DIR "%s/sites.safetensors", golden_families[family]);
    start(t, family, spec, path);
    const struct schema *s = peft_schema(t->peft);
    for (size_t i = 0; i < s->n; i++)
        if (strstr(s->tensor[i].name, "classifier") != NULL)
            take(t, "head.", &s->tensor[i]);
}

Test(parity, trained_base_tensors_are_those_of_transformers)
{
    static char full[] = "full", bitfit[] = "bitfit", layernorm[] = "layernorm", head[] = "head";
    const struct peft_spec specs[] = {{.method = full},
                                      {.method = bitfit, .biases = BIASES_ALL},
                                      {.method = bitfit, .biases = BIASES_OPENDELTA},
                                      {.method = layernorm},
                                      {.method = head},
                                      {.method = head, .norms = true}};
    for (int f = 0; f < GOLDEN_FAMILIES; f++)
        for (size_t k = 0; k < sizeof specs / sizeof *specs; k++) {
            struct tuned t;
            start_sites(&t, f, &specs[k]);
            const struct schema *s = peft_schema(t.peft);
            const real *grad = step(&t, &t.golden.batch, "full.");
            for (size_t i = 0; i < s->n; i++)
                expect_gradient(&s->tensor[i], grad, answer(&t, "full.", &s->tensor[i]));
            tuned_close(&t);
        }
}

static void check_rows(int family, const struct peft_spec *spec, const char *prefix)
{
    struct tuned t;
    char rows[NAME], gradient[NAME];
    start_sites(&t, family, spec);
    snprintf(rows, sizeof rows, "%srows", prefix);
    snprintf(gradient, sizeof gradient, "%sgrad", prefix);

    const struct tensor_spec *s = schema_find(peft_schema(t.peft), "prompt_embeddings");
    const float *x = golden_floats(&t.golden, rows);
    cr_assert_eq(golden_tensor(&t.golden, rows)->count, s->count);
    for (size_t k = 0; k < s->count; k++)
        t.theta[s->offset + k] = x[k];
    /* The longest sequence was left out, whether it has room or not. */
    struct batch b = golden_part(&t.golden, 0, t.golden.batch.n - 1);
    const real *grad = step(&t, &b, prefix);
    expect_gradient(s, grad, golden_floats(&t.golden, gradient));
    tuned_close(&t);
}

Test(parity, prompts_are_those_of_peft)
{
    static char method[] = "prompt";
    const struct peft_spec spec = {.method = method, .length = VIRTUAL};
    for (int f = 0; f < GOLDEN_FAMILIES; f++)
        check_rows(f, &spec, "prompt.");
}

/* peft has none for DistilBERT. */
Test(parity, prefixes_are_those_of_peft)
{
    static char method[] = "prefix";
    for (int f = 0; f < GOLDEN_FAMILIES; f++) {
        if (strcmp(golden_families[f], "distilbert") == 0)
            continue;
        struct peft_spec spec = {.method = method, .length = VIRTUAL, .shift = true};
        check_rows(f, &spec, "prefix.");
        spec.shift = false;
        check_rows(f, &spec, "unshifted.");
    }
}
