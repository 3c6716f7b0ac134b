/* Every method on every golden encoder, in double precision: gradients against finite differences,
 * and the start against the base model. */
#include "tests/peft/tuned.h"
#include <math.h>

enum { ALL_SITES = (1 << LIN_SITES) - 1, COORDINATES = 4, DIRECTIONS = 3, STREAMS = 10 };

/* DistilBERT's golden labels are real numbers. */
static void start(struct tuned *t, const struct peft_method *method, const char *family,
                  double dropout)
{
    uint32_t n_labels = strcmp(family, "distilbert") == 0 ? 1 : 3;
    char name[32];
    snprintf(name, sizeof name, "%s", method->name);
    const struct peft_spec spec = {
        .method = name, .r = 3, .alpha = 5, .dropout = dropout, .targets = ALL_SITES};
    tuned_start(t, family, &spec, n_labels, dropout);
}

/* Away from the method's start, where half of the gradients vanish. */
static void perturb(struct tuned *t)
{
    struct rng r = rng_stream(11, 0, 0, RNG_TEST);
    for (size_t k = 0; k < t->count; k++)
        t->theta[k] += 0.2 * rng_normal(&r);
}

/* Five-point derivative of the loss along `direction`. The step is small for the ReLU of
 * DistilBERT's head: at 2e-5 one dropout stream in twenty crosses its kink, at 1e-5 none in forty.
 */
static double slope(const struct tuned *t, const real *direction, real *moved)
{
    static const double at[] = {-2, -1, 1, 2}, weight[] = {1, -8, 8, -1};
    const double h = 1e-5;
    double sum = 0;
    for (int i = 0; i < 4; i++) {
        for (size_t k = 0; k < t->count; k++)
            moved[k] = t->theta[k] + at[i] * h * direction[k];
        sum += weight[i] * tuned_loss(t, &t->golden.batch, moved, NULL, NULL);
    }
    return sum / (12 * h);
}

static double dot(const real *a, const real *b, size_t n)
{
    double sum = 0;
    for (size_t k = 0; k < n; k++)
        sum += a[k] * b[k];
    return sum;
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
            scale = fmax(scale, fabs(grad[spec->offset + k]));
        cr_expect_gt(scale, 1e-4, "%s has no gradient", spec->name);
        for (int n = 0; n < COORDINATES; n++) {
            size_t k = spec->offset + rng_below(&r, (uint32_t)spec->count);
            direction[k] = 1;
            double want = slope(t, direction, moved), off = fabs(grad[k] - want);
            direction[k] = 0;
            cr_expect_leq(off, 1e-8 * scale, "%s[%zu]: %.12g, not %.12g", spec->name,
                          k - spec->offset, grad[k], want);
        }
    }
}

static void check_directions(const struct tuned *t, const real *grad, real *direction, real *moved)
{
    struct rng r = rng_stream(13, 0, 0, RNG_TEST);
    for (int n = 0; n < DIRECTIONS; n++) {
        for (size_t k = 0; k < t->count; k++)
            direction[k] = rng_normal(&r) / sqrt((double)t->count);
        double want = slope(t, direction, moved), got = dot(grad, direction, t->count);
        double scale = sqrt(dot(grad, grad, t->count) / (double)t->count);
        cr_expect_leq(fabs(got - want), 1e-8 * fmax(scale, fabs(want)),
                      "direction: %.12g, not %.12g", got, want);
    }
}

static void check_gradient(const struct peft_method *method, const char *family, double dropout,
                           uint64_t stream)
{
    struct tuned t;
    start(&t, method, family, dropout);
    perturb(&t);
    t.stream = stream;
    real *work = arena_calloc(&t.golden.mem, 3 * t.count, sizeof *work);
    cr_assert_not_null(work);
    real *grad = work, *direction = work + t.count, *moved = work + 2 * t.count;
    tuned_loss(&t, &t.golden.batch, t.theta, grad, NULL);
    check_coordinates(&t, grad, direction, moved);
    check_directions(&t, grad, direction, moved);
    tuned_close(&t);
}

static void check_all(double dropout, uint64_t stream)
{
    for (const struct peft_method *const *m = peft_methods; *m != NULL; m++)
        for (int i = 0; i < GOLDEN_FAMILIES; i++)
            check_gradient(*m, golden_families[i], dropout, stream);
}

Test(methods, gradients_match_finite_differences)
{
    check_all(0, 0);
}

/* Masks are a function of the stream alone, so the loss stays smooth in theta. */
Test(methods, gradients_match_under_dropout_too)
{
    for (uint64_t stream = 0; stream < STREAMS; stream++)
        check_all(0.2, stream);
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
    struct val *first =
        encoder_hidden(t->golden.model, tape, &t->golden.batch, &none, ENCODER_FIRST);
    struct val *logits = head_logits(t->golden.model, HEAD_SEQUENCE, tape, first, param, 0, &none);
    memcpy(run->logits, logits->x, (size_t)(logits->rows * logits->cols) * sizeof *run->logits);
}

Test(methods, training_starts_at_the_base_model)
{
    for (const struct peft_method *const *m = peft_methods; *m != NULL; m++)
        for (int i = 0; i < GOLDEN_FAMILIES; i++) {
            struct tuned t;
            struct err e = {0};
            real base[64] = {0}, tuned[64] = {0};
            start(&t, *m, golden_families[i], 0);
            struct base_run run = {.tuned = &t, .logits = base};
            struct rng r = rng_stream(3, 0, 0, RNG_DROPOUT);
            cr_assert_eq(tape_run(t.tape, false, r, run_base, &run, &e), 0, "%s", e.text);
            tuned_loss(&t, &t.golden.batch, t.theta, NULL, tuned);
            cr_expect_eq(memcmp(base, tuned, sizeof base), 0, "%s on %s", (*m)->name,
                         golden_families[i]);
            tuned_close(&t);
        }
}
