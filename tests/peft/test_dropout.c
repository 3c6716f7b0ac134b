/* Dropout of every method in all its variants, on every golden encoder: the model's, whose masks
 * the method's branches must share with the sub-layers that they stand in, and the method's own. */
#include "tuned.h"
#include "variants.h"

enum { LOGITS = 64 };
static const double RATE = 0.3;

/* `own`: the method draws, not the model. */
static void start(struct tuned *t, const struct variant *v, const char *family, double rate,
                  bool own)
{
    struct peft_spec spec = variant_spec(v);
    spec.dropout = own ? rate : 0;
    tuned_start(t, family, &spec, 3, own ? 0 : rate);
    t->stream = 1;
}

/* Away from the method's start, where branches add nothing. */
static void perturb(struct tuned *t)
{
    struct rng r = rng_stream(11, 0, 0, RNG_TEST);
    for (size_t k = 0; k < t->count; k++)
        t->theta[k] += (real)(0.2 * rng_normal(&r));
}

static void evaluate(const struct tuned *t, real *logits)
{
    struct err e = {0};
    struct tuned_step s = {.tuned = t, .batch = &t->batch, .theta = t->theta, .logits = logits};
    cr_assert_eq(tape_run(t->tape, false, rng_stream(1, 0, 0, RNG_DROPOUT), tuned_do, &s, &e), 0);
}

static bool same(const real *a, const real *b, size_t n)
{
    return memcmp(a, b, n * sizeof *a) == 0;
}

/* Loss, logits and gradient by the masks of one stream, of the same and of another, and without. */
static void check(const struct variant *v, const char *family, bool own)
{
    struct tuned t, dry;
    real logits[4][LOGITS] = {{0}};
    start(&t, v, family, RATE, own);
    start(&dry, v, family, 0, own);
    perturb(&t);
    perturb(&dry);
    real *grad = arena_calloc(&t.golden.mem, 2 * t.count, sizeof *grad), *again = grad + t.count;
    cr_assert_not_null(grad);
    cr_assert_leq(t.batch.n * 3, LOGITS);
    tuned_loss(&t, &t.batch, t.theta, grad, logits[0]);
    tuned_loss(&t, &t.batch, t.theta, again, logits[1]);
    cr_expect(same(logits[0], logits[1], LOGITS) && same(grad, again, t.count),
              "%s %s on %s: a stream names its masks", v->method, v->what, family);
    t.stream = 2;
    tuned_loss(&t, &t.batch, t.theta, again, logits[1]);
    tuned_loss(&dry, &dry.batch, dry.theta, NULL, logits[2]);
    cr_expect(!same(logits[0], logits[1], LOGITS) && !same(grad, again, t.count) &&
                  !same(logits[0], logits[2], LOGITS),
              "%s %s on %s: nothing is dropped", v->method, v->what, family);
    evaluate(&t, logits[3]);
    cr_expect(same(logits[2], logits[3], LOGITS), "%s %s on %s: evaluation drops something",
              v->method, v->what, family);
    tuned_close(&t);
    tuned_close(&dry);
}

TestSuite(method_dropout);

Test(method_dropout, every_method_has_a_variant)
{
    unsigned drop = 0;
    for (const struct peft_method *const *m = peft_methods; *m != NULL; m++) {
        int found = 0;
        for (int v = 0; v < VARIANTS; v++)
            found += strcmp(variants[v].method, (*m)->name) == 0;
        cr_expect_gt(found, 0, "%s", (*m)->name);
    }
    for (int v = 0; v < VARIANTS; v++)
        drop += variant_drops(&variants[v]);
    cr_expect_gt(drop, 0);
}

Test(method_dropout, of_the_model_acts_in_training_alone_and_is_named_by_its_stream)
{
    for (int v = 0; v < VARIANTS; v++)
        for (int i = 0; i < GOLDEN_FAMILIES; i++)
            check(&variants[v], golden_families[i], false);
}

Test(method_dropout, of_the_method_acts_in_training_alone_and_is_named_by_its_stream)
{
    for (int v = 0; v < VARIANTS; v++)
        for (int i = 0; i < GOLDEN_FAMILIES && variant_drops(&variants[v]); i++)
            check(&variants[v], golden_families[i], true);
}

/* What a method drops is what its own branch reads, and the frozen layer beside it reads all: at a
 * start where branches add nothing, nothing is to be seen of it. */
Test(method_dropout, of_the_method_is_of_its_branch_alone)
{
    for (int v = 0; v < VARIANTS; v++) {
        for (int i = 0; i < GOLDEN_FAMILIES && variant_drops(&variants[v]); i++) {
            struct tuned t;
            real logits[2][LOGITS] = {{0}};
            start(&t, &variants[v], golden_families[i], RATE, true);
            tuned_loss(&t, &t.batch, t.theta, NULL, logits[0]);
            evaluate(&t, logits[1]);
            cr_expect_eq(same(logits[0], logits[1], LOGITS), variants[v].from_base, "%s %s on %s",
                         variants[v].method, variants[v].what, golden_families[i]);
            tuned_close(&t);
        }
    }
}

/* A setting that a method does not read is no setting of it, whatever it says. */
Test(method_dropout, who_draws_none_reads_none)
{
    for (int v = 0; v < VARIANTS; v++) {
        for (int i = 0; i < GOLDEN_FAMILIES && !variant_drops(&variants[v]); i++) {
            struct tuned t;
            real logits[2][LOGITS] = {{0}};
            start(&t, &variants[v], golden_families[i], RATE, true);
            perturb(&t);
            tuned_loss(&t, &t.batch, t.theta, NULL, logits[0]);
            evaluate(&t, logits[1]);
            cr_expect(same(logits[0], logits[1], LOGITS), "%s %s on %s", variants[v].method,
                      variants[v].what, golden_families[i]);
            tuned_close(&t);
        }
    }
}
