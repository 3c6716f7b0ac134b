/* Runs one step of a fresh tape and lets the test look at it. */
#ifndef TESTS_NN_RUN_H
#define TESTS_NN_RUN_H

#include "nn/tape.h"
#include <criterion/criterion.h>
#include <stdlib.h>

static inline struct rng run_dropout(void)
{
    return rng_stream(3, 1, 4, RNG_DROPOUT);
}

/* More than any step here needs; tests run thousands of them, and an emulator looks after every
 * page of what a tape without a cap reserves. */
enum { RUN_CAP = 256 << 20 };

/* Returns the pool's peak. */
static inline size_t run_step(bool training, void (*step)(struct tape *t, void *arg), void *arg)
{
    struct tape *t;
    struct err e = {0};

    cr_assert_eq(tape_open(&t, RUN_CAP, &e), 0, "%s", e.text);
    cr_assert_eq(tape_run(t, training, run_dropout(), step, arg, &e), 0, "%s", e.text);
    size_t peak = tape_peak_bytes(t);
    tape_close(t);
    return peak;
}

/* n standard normal numbers, the same for the same `which`; free() them. */
static inline real *run_random(size_t n, uint32_t which)
{
    struct rng rng = rng_stream(17, which, 0, RNG_TEST);
    real *x = malloc((n ? n : 1) * sizeof *x);

    for (size_t i = 0; i < n; i++)
        x[i] = (real)rng_normal(&rng);
    return x;
}

#endif
