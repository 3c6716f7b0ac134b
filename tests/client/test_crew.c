/* The loop over threads, and the sum in order. */
#include "client/crew.h"
#include "client/fold.h"
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

enum { MOST = 1000, WIDTH = 37 };

struct counters {
    unsigned threads;
    atomic_uint ran[MOST];
    atomic_uint busy[8];
};

static void count(void *ctx, unsigned worker, size_t i)
{
    struct counters *c = ctx;
    cr_assert_lt(worker, c->threads);
    cr_assert_eq(atomic_fetch_add(&c->busy[worker], 1), 0, "worker %u is two threads", worker);
    atomic_fetch_add(&c->ran[i], 1);
    atomic_fetch_sub(&c->busy[worker], 1);
}

Test(crew, runs_each_iteration_once)
{
    static const size_t sizes[] = {0, 1, 2, 3, 17, MOST};
    for (unsigned threads = 1; threads <= 5; threads++) {
        struct crew *crew;
        struct err e;
        cr_assert_eq(crew_open(&crew, threads, &e), 0, "%s", e.text);
        for (int again = 0; again < 50; again++) {
            for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
                static struct counters c;
                memset(&c, 0, sizeof c);
                c.threads = threads;
                crew_run(crew, sizes[s], count, &c);
                for (size_t i = 0; i < MOST; i++)
                    cr_assert_eq(c.ran[i], i < sizes[s] ? 1 : 0);
            }
        }
        crew_close(crew);
    }
}

/* Values of such different sizes that every order of adding them gives another sum. */
static float part(size_t item, size_t k)
{
    uint32_t h = (uint32_t)(item * 2654435761u + k * 40503u);
    return ((float)(h % 2000) - 1000) * (h % 3 ? 1e-3f : 1e4f);
}

static void add_part(void *ctx, unsigned worker, size_t i)
{
    struct fold *f = ctx;
    real *slot = fold_begin(f, i);
    /* Late items first, as far as threads allow. */
    struct timespec pause = {.tv_nsec = (long)((i * 7919) % 13) * 5000};
    nanosleep(&pause, NULL);
    (void)worker;
    for (size_t k = 0; k < WIDTH; k++)
        slot[k] += (real)part(i, k);
    fold_end(f, i);
}

Test(fold, adds_in_order_whoever_is_first)
{
    for (unsigned threads = 1; threads <= 4; threads++) {
        struct crew *crew;
        struct fold fold;
        struct err e;
        cr_assert_eq(crew_open(&crew, threads, &e), 0);
        cr_assert_eq(fold_open(&fold, WIDTH, threads, &e), 0);
        for (size_t n = 1; n < 40; n++) {
            real expected[WIDTH] = {0};
            for (size_t i = 0; i < n; i++)
                for (size_t k = 0; k < WIDTH; k++)
                    expected[k] += (real)part(i, k);
            fold_reset(&fold);
            crew_run(crew, n, add_part, &fold);
            cr_assert_arr_eq(fold.sum, expected, sizeof expected, "%u threads, %zu items", threads,
                             n);
        }
        fold_close(&fold);
        crew_close(crew);
    }
}

/* Of a whole model's gradients few are kept; more items than that must not wait for ever. */
Test(fold, adds_wide_items_in_order)
{
    enum { WIDE = 1 << 20, ITEMS = 9 };
    for (unsigned threads = 2; threads <= 3; threads++) {
        struct crew *crew;
        struct fold fold;
        struct err e;
        real expected[WIDTH] = {0};
        cr_assert_eq(crew_open(&crew, threads, &e), 0);
        cr_assert_eq(fold_open(&fold, WIDE, threads, &e), 0);
        for (size_t i = 0; i < ITEMS; i++)
            for (size_t k = 0; k < WIDTH; k++)
                expected[k] += (real)part(i, k);
        fold_reset(&fold);
        crew_run(crew, ITEMS, add_part, &fold);
        cr_expect_arr_eq(fold.sum, expected, sizeof expected, "%u threads", threads);
        cr_expect_eq(fold.sum[WIDE - 1], 0);
        fold_close(&fold);
        crew_close(crew);
    }
}

Test(fold, the_order_matters_here)
{
    real forward = 0, backward = 0;
    for (size_t i = 0; i < 39; i++) {
        forward += (real)part(i, 0);
        backward += (real)part(38 - i, 0);
    }
    cr_assert_neq(forward, backward);
}
