/* Methods as plain values: folded into base tensors, collapsed to rows. */
#include "tests/peft/tuned.h"
#include "tests/peft/variants.h"
#include <math.h>

static void perturb(struct tuned *t)
{
    struct rng r = rng_stream(5, 0, 0, RNG_TEST);
    for (size_t k = 0; k < t->count; k++)
        t->theta[k] += (real)(0.1 * rng_normal(&r));
}

static struct peft_spec without_dropout(const struct variant *v)
{
    struct peft_spec spec = variant_spec(v);
    spec.dropout = 0;
    return spec;
}

/* Logits of the golden batch by a method that has nothing of its own but base tensors, all of which
 * are given: full fine-tuning with the folded values. */
static void folded_logits(const struct tuned *t, const char *family, real *logits)
{
    static char method[] = "full";
    const struct peft_spec spec = {.method = method};
    struct tuned plain;
    struct err e = {0};
    struct base_tensor *base;
    size_t n;
    tuned_start(&plain, family, &spec, peft_labels(t->peft), 0);
    cr_assert_eq(model_tensors(t->golden.model, &plain.golden.mem, &base, &n, &e), 0);
    const struct schema *s = peft_schema(plain.peft), *own = peft_schema(t->peft);
    for (size_t i = 0; i < n; i++)
        peft_merged(t->peft, t->theta, &base[i],
                    plain.theta + schema_find(s, base[i].name)->offset);
    for (size_t i = n; i < s->n; i++) {
        const struct tensor_spec *from = schema_find(own, s->tensor[i].name);
        memcpy(plain.theta + s->tensor[i].offset, t->theta + from->offset,
               from->count * sizeof *plain.theta);
    }
    tuned_loss(&plain, &plain.golden.batch, plain.theta, NULL, logits);
    tuned_close(&plain);
}

Test(fold, merged_tensors_give_the_same_logits)
{
    for (int v = 0; v < VARIANTS; v++)
        for (int f = 0; f < GOLDEN_FAMILIES; f++) {
            struct tuned t;
            real tuned[64] = {0}, plain[64] = {0};
            const struct peft_spec spec = without_dropout(&variants[v]);
            tuned_start(&t, golden_families[f], &spec, tuned_labels[f], 0);
            if (peft_can_merge(t.peft)) {
                perturb(&t);
                tuned_loss(&t, &t.golden.batch, t.theta, NULL, tuned);
                folded_logits(&t, golden_families[f], plain);
                int n = t.golden.batch.n * (int)peft_labels(t.peft);
                for (int k = 0; k < n; k++)
                    cr_expect_float_eq(tuned[k], plain[k], 2e-5, "%s %s: %g, not %g",
                                       variants[v].method, variants[v].what, (double)plain[k],
                                       (double)tuned[k]);
            }
            tuned_close(&t);
        }
}

Test(fold, what_is_no_change_of_weights_cannot_be_merged)
{
    for (int v = 0; v < VARIANTS; v++) {
        struct tuned t;
        const struct peft_spec spec = variant_spec(&variants[v]);
        const char *m = variants[v].method;
        tuned_start(&t, "bert", &spec, 2, 0);
        bool branches =
            strcmp(m, "adapter") == 0 || strcmp(m, "prefix") == 0 || strcmp(m, "prompt") == 0;
        cr_expect_eq(peft_can_merge(t.peft), !branches, "%s", m);
        tuned_close(&t);
    }
}

/* W + s B A by hand, and nothing else changed. */
Test(fold, lora_changes_its_targets_alone)
{
    static char method[] = "lora";
    const struct peft_spec spec = {.method = method,
                                   .r = 2,
                                   .alpha = 3,
                                   .rslora = true,
                                   .targets = 1 << LIN_KEY | 1 << LIN_INTERMEDIATE};
    struct tuned t;
    struct err e = {0};
    struct base_tensor *base;
    size_t n, changed = 0;
    tuned_start(&t, "roberta", &spec, 2, 0);
    perturb(&t);
    cr_assert_eq(model_tensors(t.golden.model, &t.golden.mem, &base, &n, &e), 0);
    for (size_t i = 0; i < n; i++) {
        size_t rows = (size_t)base[i].dim[0], cols = base[i].ndim > 1 ? (size_t)base[i].dim[1] : 1;
        real *W = arena_calloc(&t.golden.mem, rows * cols, sizeof *W);
        const real *frozen = golden_reals(&t.golden, base[i].x, rows * cols);
        bool targeted = base[i].role == ROLE_WEIGHT &&
                        (base[i].site == LIN_KEY || base[i].site == LIN_INTERMEDIATE);
        cr_expect_eq(peft_merged(t.peft, t.theta, &base[i], W), targeted, "%s", base[i].name);
        changed += targeted;
        if (!targeted) {
            cr_expect_eq(memcmp(W, frozen, rows * cols * sizeof *W), 0, "%s", base[i].name);
            continue;
        }
        char name[256];
        const char *module = base[i].name;
        int len = (int)strlen(module) - (int)strlen(".weight");
        const struct schema *s = peft_schema(t.peft);
        snprintf(name, sizeof name, "%.*s.lora_A.weight", len, module);
        const real *A = t.theta + schema_find(s, name)->offset;
        snprintf(name, sizeof name, "%.*s.lora_B.weight", len, module);
        const real *B = t.theta + schema_find(s, name)->offset;
        for (size_t k = 0; k < rows * cols; k++) {
            size_t o = k / cols, c = k % cols;
            double BA =
                (double)B[2 * o] * (double)A[c] + (double)B[2 * o + 1] * (double)A[cols + c];
            cr_expect_float_eq(W[k], (double)frozen[k] + 3 / sqrt(2) * BA, 1e-6);
        }
    }
    cr_expect_eq(changed, 4, "two layers, two sites");
    tuned_close(&t);
}

/* --- rows ------------------------------------------------------------------------------------ */

Test(fold, rows_of_a_network_are_those_of_the_formula)
{
    enum { P = 3, H = 6 };
    static char method[] = "prefix";
    const struct peft_spec spec = {.method = method, .length = P, .hidden = H};
    struct tuned t;
    struct err e = {0};
    tuned_start(&t, "bert", &spec, 2, 0);
    const struct schema *s = peft_schema(t.peft);
    const real *E = t.theta + s->tensor[0].offset, *W1 = t.theta + s->tensor[1].offset,
               *b1 = t.theta + s->tensor[2].offset, *W2 = t.theta + s->tensor[3].offset,
               *b2 = t.theta + s->tensor[4].offset;
    size_t width = s->tensor[4].count;
    real *rows = arena_calloc(&t.golden.mem, P * width, sizeof *rows);
    cr_assert_eq(peft_collapse(t.peft, t.theta, rows, &e), 0, "%s", e.text);
    for (size_t p = 0; p < P; p++)
        for (size_t k = 0; k < width; k++) {
            double sum = (double)b2[k];
            for (size_t j = 0; j < H; j++) {
                double z = (double)b1[j];
                for (size_t i = 0; i < H; i++)
                    z += (double)E[p * H + i] * (double)W1[j * H + i];
                sum += tanh(z) * (double)W2[k * H + j];
            }
            cr_expect_float_eq(rows[p * width + k], sum, 1e-5);
        }
    tuned_close(&t);
}

/* A flat prefix of the collapsed rows is the same function. */
Test(fold, a_collapsed_prefix_gives_the_same_logits)
{
    static char method[] = "prefix";
    struct peft_spec spec = {.method = method, .length = 3, .hidden = 6, .shift = true};
    for (int f = 0; f < GOLDEN_FAMILIES; f++) {
        struct tuned network, flat;
        struct err e = {0};
        real want[64] = {0}, got[64] = {0};
        spec.hidden = 6;
        tuned_start(&network, golden_families[f], &spec, tuned_labels[f], 0);
        spec.hidden = 0;
        tuned_start(&flat, golden_families[f], &spec, tuned_labels[f], 0);
        perturb(&network);
        cr_assert_eq(peft_collapse(network.peft, network.theta, flat.theta, &e), 0, "%s", e.text);
        const struct schema *from = peft_schema(network.peft), *to = peft_schema(flat.peft);
        for (size_t i = 1; i < to->n; i++) /* the head */
            memcpy(flat.theta + to->tensor[i].offset,
                   network.theta + schema_find(from, to->tensor[i].name)->offset,
                   to->tensor[i].count * sizeof *flat.theta);
        tuned_loss(&network, &network.batch, network.theta, NULL, want);
        tuned_loss(&flat, &flat.batch, flat.theta, NULL, got);
        cr_expect_arr_eq(got, want, sizeof want, "%s", golden_families[f]);
        tuned_close(&network);
        tuned_close(&flat);
    }
}

Test(fold, flat_rows_are_themselves_and_others_have_none)
{
    for (int v = 0; v < VARIANTS; v++) {
        struct tuned t;
        struct err e = {0};
        const struct peft_spec spec = variant_spec(&variants[v]);
        tuned_start(&t, "bert", &spec, 2, 0);
        const struct tensor_spec *s = schema_find(peft_schema(t.peft), "prompt_embeddings");
        bool rows =
            strcmp(variants[v].method, "prefix") == 0 || strcmp(variants[v].method, "prompt") == 0;
        real *x = arena_calloc(&t.golden.mem, t.count, sizeof *x);
        if (!rows)
            cr_expect_eq(peft_collapse(t.peft, t.theta, x, &e), ERR_STATE, "%s", e.text);
        else if (s != NULL) {
            cr_assert_eq(peft_collapse(t.peft, t.theta, x, &e), 0, "%s", e.text);
            cr_expect_arr_eq(x, t.theta + s->offset, s->count * sizeof *x);
        }
        tuned_close(&t);
    }
}
