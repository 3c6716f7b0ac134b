/* Every method on every golden encoder, in double precision: gradients against finite differences,
 * and the start against the base model. */
#include "tests/greater.h"
#include "tests/peft/tuned.h"
#include "tests/peft/variants.h"
#include <math.h>

enum { COORDINATES = 3, DIRECTIONS = 2, STREAMS = 3 };

/* DistilBERT's golden labels are real numbers. */
static void start(struct tuned *t, const struct variant *v, const char *family, enum head_kind head,
                  double dropout)
{
    bool regression = head == HEAD_SEQUENCE && strcmp(family, "distilbert") == 0;
    struct peft_spec spec = variant_spec(v);
    spec.dropout = variant_drops(v) ? dropout : 0;
    tuned_start_head(t, family, &spec, head, regression ? 1 : 3, dropout);
}

/* Away from the method's start, where half of the gradients vanish. */
static void perturb(struct tuned *t)
{
    struct rng r = rng_stream(11, 0, 0, RNG_TEST);
    for (size_t k = 0; k < t->count; k++)
        t->theta[k] += 0.2 * rng_normal(&r);
}

/* Five-point derivative of the loss along `direction`, with steps of h. */
static double slope(const struct tuned *t, const real *direction, double h, real *moved)
{
    static const double at[] = {-2, -1, 1, 2}, weight[] = {1, -8, 8, -1};
    double sum = 0;
    for (int i = 0; i < 4; i++) {
        for (size_t k = 0; k < t->count; k++)
            moved[k] = t->theta[k] + at[i] * h * direction[k];
        sum += weight[i] * tuned_loss(t, &t->batch, moved, NULL, NULL);
    }
    return sum / (12 * h);
}

/* Is `got` the derivative along `direction`, up to the rounding of the loss and 1e-8 of `scale`?
 * The ReLU of DistilBERT's head has kinks, and a few steps in a thousand reach across one: a much
 * smaller step then says the same with less precision. */
static bool is_slope(const struct tuned *t, double got, const real *direction, double scale,
                     real *moved)
{
    /* A loss over a whole vocabulary is several times as large. */
    const double rounding = t->head == HEAD_MLM ? 1e-14 : 1e-15, h = 1e-5, small = 1e-7;
    return fabs(got - slope(t, direction, h, moved)) <= 1e-8 * scale + rounding / h ||
           fabs(got - slope(t, direction, small, moved)) <= 1e-6 * scale + rounding / small;
}

static double dot(const real *a, const real *b, size_t n)
{
    double sum = 0;
    for (size_t k = 0; k < n; k++)
        sum += a[k] * b[k];
    return sum;
}

/* It adds the same to all scores of a query, which softmax does not see. */
static bool is_key_bias(const char *name)
{
    return strstr(name, ".key.bias") != NULL || strstr(name, ".k_lin.bias") != NULL;
}

/* A few coordinates of every tensor, the errors relative to the tensor's greatest gradient. */
static void check_coordinates(const struct tuned *t, const real *grad, real *direction, real *moved)
{
    const struct schema *s = peft_schema(t->peft);
    struct rng r = rng_stream(12, 0, 0, RNG_TEST);
    memset(direction, 0, t->count * sizeof *direction);
    for (size_t i = 0; i < s->n; i++) {
        const struct tensor_spec *spec = &s->tensor[i];
        double scale = 0;
        for (size_t k = 0; k < spec->count; k++)
            scale = greater(scale, fabs(grad[spec->offset + k]));
        if (is_key_bias(spec->name)) {
            cr_expect_leq(scale, 1e-12, "%s: %.2e", spec->name, scale);
            continue;
        }
        cr_expect_gt(scale, 1e-4, "%s has no gradient", spec->name);
        for (int n = 0; n < COORDINATES; n++) {
            size_t k = spec->offset + rng_below(&r, (uint32_t)spec->count);
            direction[k] = 1;
            cr_expect(is_slope(t, grad[k], direction, scale, moved), "%s[%zu]: not %.12g",
                      spec->name, k - spec->offset, grad[k]);
            direction[k] = 0;
        }
    }
}

static void check_directions(const struct tuned *t, const real *grad, real *direction, real *moved)
{
    struct rng r = rng_stream(13, 0, 0, RNG_TEST);
    for (int n = 0; n < DIRECTIONS; n++) {
        for (size_t k = 0; k < t->count; k++)
            direction[k] = rng_normal(&r) / sqrt((double)t->count);
        double got = dot(grad, direction, t->count);
        double scale = sqrt(dot(grad, grad, t->count) / (double)t->count);
        cr_expect(is_slope(t, got, direction, fmax(scale, fabs(got)), moved),
                  "direction: not %.12g", got);
    }
}

static void check_gradient(const struct variant *v, const char *family, enum head_kind head,
                           double dropout, uint64_t stream)
{
    struct tuned t;
    start(&t, v, family, head, dropout);
    perturb(&t);
    t.stream = stream;
    real *work = arena_calloc(&t.golden.mem, 3 * t.count, sizeof *work);
    cr_assert_not_null(work);
    real *grad = work, *direction = work + t.count, *moved = work + 2 * t.count;
    tuned_loss(&t, &t.batch, t.theta, grad, NULL);
    check_coordinates(&t, grad, direction, moved);
    check_directions(&t, grad, direction, moved);
    tuned_close(&t);
}

static void check_all(enum head_kind head, double dropout, uint64_t stream)
{
    for (int v = 0; v < VARIANTS; v++)
        for (int i = 0; i < GOLDEN_FAMILIES; i++)
            check_gradient(&variants[v], golden_families[i], head, dropout, stream);
}

Test(methods, gradients_match_finite_differences)
{
    check_all(HEAD_SEQUENCE, 0, 0);
}

Test(methods, gradients_match_with_a_head_over_tokens)
{
    check_all(HEAD_TOKENS, 0, 0);
}

/* Everything below the head; and rows in front of the text, which move where the masks are. */
Test(methods, gradients_match_with_a_masked_language_model)
{
    for (int v = 0; v < VARIANTS; v++)
        for (int i = 0; i < GOLDEN_FAMILIES; i++)
            if (strcmp(variants[v].method, "full") == 0 ||
                strcmp(variants[v].method, "prompt") == 0)
                check_gradient(&variants[v], golden_families[i], HEAD_MLM, 0, 0);
}

/* Masks are a function of the stream alone, so the loss stays smooth in theta. */
Test(methods, gradients_match_under_dropout_too)
{
    for (uint64_t stream = 0; stream < STREAMS; stream++)
        check_all(HEAD_SEQUENCE, 0.2, stream);
}

enum saving { SAVE_NOTHING, SAVE_RECOMPUTE, SAVE_HALVE, SAVE_BOTH };

/* Loss and gradient on a tape of its own; returns what that took. */
static size_t take_step(struct tuned *t, enum saving how, bool measure, real *loss, real *grad)
{
    struct err e = {0};
    tape_close(t->tape);
    cr_assert_eq(tape_open(&t->tape, 0, &e), 0, "%s", e.text);
    if (how & SAVE_RECOMPUTE)
        tape_recompute(t->tape);
    if (how & SAVE_HALVE)
        tape_halve(t->tape);
    if (measure)
        tape_measure(t->tape);
    *loss = tuned_loss(t, &t->batch, t->theta, grad, NULL);
    return tape_peak_bytes(t->tape);
}

static void check_recomputed(const struct variant *v, const char *family, enum head_kind head)
{
    struct tuned t;
    real loss, same, undefined;
    start(&t, v, family, head, 0.2);
    perturb(&t);
    real *grad = arena_calloc(&t.golden.mem, 3 * t.count, sizeof *grad);
    cr_assert_not_null(grad);
    real *again = grad + t.count, *none = again + t.count;
    size_t kept = take_step(&t, SAVE_NOTHING, false, &loss, grad);
    size_t recomputed = take_step(&t, SAVE_RECOMPUTE, false, &same, again);
    cr_expect_eq(same, loss);
    cr_expect_arr_eq(again, grad, t.count * sizeof *grad, "%s %s on %s", v->method, v->what,
                     family);
    cr_expect_eq(take_step(&t, SAVE_NOTHING, true, &undefined, none), kept, "%s %s on %s",
                 v->method, v->what, family);
    cr_expect_eq(take_step(&t, SAVE_RECOMPUTE, true, &undefined, none), recomputed, "%s %s on %s",
                 v->method, v->what, family);
    for (size_t k = 0; k < t.count; k++)
        cr_assert_eq(none[k], 0);
    tuned_close(&t);
}

/* The very same loss and gradients when layers are made again for backward; and what a step takes,
 * either way, is known without computing it. */
Test(methods, recomputing_changes_no_bit_and_memory_is_known_beforehand)
{
    for (int v = 0; v < VARIANTS; v++)
        for (int i = 0; i < GOLDEN_FAMILIES; i++) {
            check_recomputed(&variants[v], golden_families[i], HEAD_SEQUENCE);
            check_recomputed(&variants[v], golden_families[i], HEAD_TOKENS);
        }
}

/* Numbers kept in half precision have a relative error of 2^-11, which models as rough as these
 * make a few times that of gradients; the loss has none. */
static void check_halved(const struct variant *v, const char *family, enum saving how)
{
    struct tuned t;
    real loss, same, undefined;
    double error = 0, norm = 0;
    start(&t, v, family, HEAD_SEQUENCE, 0.2);
    perturb(&t);
    real *exact = arena_calloc(&t.golden.mem, 3 * t.count, sizeof *exact);
    cr_assert_not_null(exact);
    real *halved = exact + t.count, *none = halved + t.count;
    take_step(&t, how & ~SAVE_HALVE, false, &loss, exact);
    size_t saved = take_step(&t, how, false, &same, halved);
    cr_expect_eq(same, loss);
    for (size_t k = 0; k < t.count; k++) {
        error += (halved[k] - exact[k]) * (halved[k] - exact[k]);
        norm += exact[k] * exact[k];
    }
    cr_expect_lt(error, 0x1p-16 * norm, "%s %s on %s: %g", v->method, v->what, family,
                 sqrt(error / norm));
    cr_expect_gt(error, 0, "%s %s on %s", v->method, v->what, family);
    cr_expect_eq(take_step(&t, how, true, &undefined, none), saved);
    tuned_close(&t);
}

Test(methods, halving_rounds_gradients_alone)
{
    for (int v = 0; v < VARIANTS; v++)
        for (int i = 0; i < GOLDEN_FAMILIES; i++) {
            check_halved(&variants[v], golden_families[i], SAVE_HALVE);
            check_halved(&variants[v], golden_families[i], SAVE_BOTH);
        }
}

Test(methods, every_method_has_a_variant)
{
    for (const struct peft_method *const *m = peft_methods; *m != NULL; m++) {
        bool there = false;
        for (int v = 0; v < VARIANTS; v++)
            there |= strcmp(variants[v].method, (*m)->name) == 0;
        cr_expect(there, "%s", (*m)->name);
    }
}

struct base_run {
    const struct tuned *tuned;
    real *logits;
};

/* The same head on the bare encoder. */
static void run_base(struct tape *tape, void *arg)
{
    const struct base_run *run = arg;
    const struct tuned *t = run->tuned;
    const struct encoder_hooks none = {0};
    const struct schema *s = peft_schema(t->peft);
    struct head_tensor head[HEAD_MAX_TENSORS];
    struct val *param[HEAD_MAX_TENSORS];
    int n = head_tensors(t->golden.model, HEAD_SEQUENCE, (int)peft_labels(t->peft), head);
    for (int i = 0; i < n; i++) {
        const struct tensor_spec *spec = schema_find(s, head[i].name);
        bool matrix = spec->ndim > 1;
        param[i] = tape_const(tape, t->theta + spec->offset, matrix ? (int)spec->dim[0] : 1,
                              (int)spec->dim[matrix ? 1 : 0]);
    }
    struct val *first = encoder_hidden(t->golden.model, tape, &t->batch, &none, ENCODER_FIRST);
    struct val *logits = head_logits(t->golden.model, HEAD_SEQUENCE, tape, first, param, 0, &none);
    memcpy(run->logits, logits->x, (size_t)(logits->rows * logits->cols) * sizeof *run->logits);
}

Test(methods, training_starts_at_the_base_model)
{
    for (int v = 0; v < VARIANTS; v++)
        for (int i = 0; i < GOLDEN_FAMILIES; i++) {
            struct tuned t;
            struct err e = {0};
            real base[64] = {0}, tuned[64] = {0};
            start(&t, &variants[v], golden_families[i], HEAD_SEQUENCE, 0);
            struct base_run run = {.tuned = &t, .logits = base};
            struct rng r = rng_stream(3, 0, 0, RNG_DROPOUT);
            cr_assert_eq(tape_run(t.tape, false, r, run_base, &run, &e), 0, "%s", e.text);
            tuned_loss(&t, &t.batch, t.theta, NULL, tuned);
            bool same = memcmp(base, tuned, sizeof base) == 0;
            cr_expect_eq(same, variants[v].from_base, "%s %s on %s", variants[v].method,
                         variants[v].what, golden_families[i]);
            tuned_close(&t);
        }
}
