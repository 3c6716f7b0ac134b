#include "base/arena.h"
#include "base/rng.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

Test(arena, allocations_are_aligned_and_do_not_overlap)
{
    struct rng r = rng_stream(1, 0, 0, RNG_TEST);
    struct arena a;
    unsigned char *p[500];
    size_t size[500];

    arena_init(&a, ARENA_NO_CAP);
    for (size_t i = 0; i < 500; i++) {
        size[i] = rng_below(&r, i % 50 ? 300 : 100000);
        p[i] = arena_alloc(&a, size[i]);
        cr_assert_not_null(p[i]);
        cr_assert_eq((uintptr_t)p[i] % 64, 0);
        memset(p[i], (int)(i & 255), size[i]);
    }
    for (size_t i = 0; i < 500; i++)
        for (size_t j = 0; j < size[i]; j++)
            cr_assert_eq(p[i][j], i & 255);
    arena_release(&a);
}

Test(arena, the_sum_of_chunks_never_exceeds_the_cap)
{
    struct arena a;
    size_t n = 0;

    arena_init(&a, 100000);
    while (arena_alloc(&a, 100)) {
        n++;
        cr_assert_leq(a.held, a.cap);
    }
    /* 128 bytes each: nearly all of the cap is of use. */
    cr_assert_gt(n, 100000 / 128 - 10);
    cr_assert_lt(n, 100000 / 128);
    arena_release(&a);
    cr_assert_eq(a.held, 0);
    cr_assert_not_null(arena_alloc(&a, 100));
    arena_release(&a);
}

Test(arena, a_cap_refuses_before_it_asks_the_system)
{
    struct arena a;

    arena_init(&a, 1000);
    cr_assert_null(arena_alloc(&a, 1001));
    cr_assert_null(arena_alloc(&a, 1000));
    cr_assert_eq(a.held, 0);
    cr_assert_not_null(arena_alloc(&a, 800));
    cr_assert_null(arena_alloc(&a, 800));
    arena_release(&a);
    arena_init(&a, 0);
    cr_assert_null(arena_alloc(&a, 1));
    cr_assert_null(arena_strdup(&a, "x"));
    cr_assert_null(arena_printf(&a, "x"));
}

Test(arena, sizes_that_overflow_fail)
{
    struct arena a;

    arena_init(&a, ARENA_NO_CAP);
    cr_assert_null(arena_alloc(&a, SIZE_MAX));
    cr_assert_null(arena_alloc(&a, SIZE_MAX - 63));
    cr_assert_null(arena_alloc(&a, SIZE_MAX / 2 + 1));
    cr_assert_null(arena_calloc(&a, SIZE_MAX / 2, 3));
    cr_assert_null(arena_calloc(&a, (size_t)1 << 33, (size_t)1 << 33));
    arena_release(&a);
}

Test(arena, calloc_clears_also_used_memory)
{
    struct arena a;

    arena_init(&a, ARENA_NO_CAP);
    unsigned char *p = arena_calloc(&a, 1000, 3);
    for (size_t i = 0; i < 3000; i++)
        cr_assert_eq(p[i], 0);
    cr_assert_not_null(arena_calloc(&a, 0, 8));
    cr_assert_neq(arena_alloc(&a, 0), arena_alloc(&a, 0));
    arena_release(&a);
}

Test(arena, strings)
{
    struct arena a;
    const char raw[4] = {'a', 'b', 'c', 'd'};

    arena_init(&a, ARENA_NO_CAP);
    cr_assert_str_eq(arena_strdup(&a, "hello"), "hello");
    cr_assert_str_eq(arena_strndup(&a, raw, 4), "abcd");
    cr_assert_str_eq(arena_strndup(&a, "ab", 9), "ab");
    cr_assert_str_eq(arena_printf(&a, "%d-%s", 42, "x"), "42-x");
    cr_assert_str_eq(arena_printf(&a, "%s", ""), "");
    arena_release(&a);
}
