#include "nn/dropout.h"
#include "nn/ops.h"
#include "run.h"

#include <math.h>

static real by_reference(const struct dropout *d, uint64_t e)
{
    uint32_t word[4];

    rng_block_at(&d->stream, e / 4, word);
    return word[e % 4] >= d->threshold ? d->scale : 0;
}

static void compare(const struct dropout *d, uint64_t first, size_t n)
{
    real factor[300];

    factor[n] = -5;
    dropout_factors(d, first, n, factor);
    for (size_t i = 0; i < n; i++)
        cr_assert_eq(factor[i], by_reference(d, first + i), "element %llu + %zu of %zu",
                     (unsigned long long)first, i, n);
    cr_assert_eq(factor[n], -5);
}

Test(dropout, words_of_the_stream_at_any_offset_and_length)
{
    struct rng stream = run_dropout();
    struct dropout d = dropout_make(&stream, (real)0.3);

    for (uint64_t first = 0; first < 9; first++)
        for (size_t n = 0; n < 75; n++)
            compare(&d, first, n);
    compare(&d, 12345, 299);
}

Test(dropout, counter_carries_into_its_high_word)
{
    struct rng stream = run_dropout();
    struct dropout d = dropout_make(&stream, (real)0.5);
    uint64_t wrap = (uint64_t)4 << 32;

    for (uint64_t before = 1; before < 70; before += 3)
        compare(&d, wrap - before, 140);
}

Test(dropout, share_and_scale)
{
    enum { N = 1 << 20 };
    static real factor[N];
    struct rng stream = run_dropout();

    for (double p = 0.1; p < 0.95; p += 0.2) {
        struct dropout d = dropout_make(&stream, (real)p);
        size_t kept = 0;
        dropout_factors(&d, 0, N, factor);
        for (size_t i = 0; i < N; i++) {
            cr_assert(factor[i] == 0 || factor[i] == 1 / (1 - (real)p));
            kept += factor[i] != 0;
        }
        /* five standard deviations */
        cr_expect_lt(fabs(kept / (double)N - (1 - p)), 5 * sqrt(p * (1 - p) / N), "p = %g", p);
    }
}

struct two {
    real x[6], first[6], second[6];
    struct val *same;
    bool identity;
};

static void two_draws(struct tape *t, void *arg)
{
    struct two *w = arg;
    struct val *x = tape_const(t, w->x, 2, 3);
    struct val *a = op_dropout(t, x, (real)0.5), *b = op_dropout(t, x, (real)0.5);

    w->identity = a == x || op_dropout(t, x, 0) != x;
    for (int i = 0; i < 6; i++) {
        w->first[i] = a->x[i];
        w->second[i] = b->x[i];
    }
}

Test(dropout, op_k_draws_from_child_k)
{
    struct two w = {.x = {1, 2, 3, 4, 5, 6}};
    struct rng base = run_dropout();

    run_step(true, two_draws, &w);
    cr_expect_not(w.identity);
    for (uint32_t k = 0; k < 2; k++) {
        struct rng stream = rng_child(&base, k);
        struct dropout d = dropout_make(&stream, (real)0.5);
        for (uint64_t i = 0; i < 6; i++)
            cr_expect_eq((k ? w.second : w.first)[i], w.x[i] * by_reference(&d, i));
    }
}

static void evaluate(struct tape *t, void *arg)
{
    struct two *w = arg;
    struct val *x = tape_const(t, w->x, 2, 3);

    w->identity = op_dropout(t, x, (real)0.5) == x;
}

Test(dropout, evaluation_drops_nothing)
{
    struct two w = {.x = {1}};

    run_step(false, evaluate, &w);
    cr_expect(w.identity);
}
