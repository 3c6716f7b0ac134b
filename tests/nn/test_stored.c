/* Numbers computed with as they are stored: exact, and in products the bits of reals. */
#include "base/half.h"
#include "nn/ops.h"
#include "nn/stored.h"
#include "run.h"

#include <math.h>
#include <string.h>

enum { ALL = 1 << 16 };

Test(stored, every_half_is_exact)
{
    uint16_t *bits = malloc(ALL * sizeof *bits);
    real *x = malloc(2 * ALL * sizeof *x);

    for (unsigned i = 0; i < ALL; i++)
        bits[i] = (uint16_t)i;
    stored_read((struct stored){bits, STORED_F16}, 0, ALL, x);
    stored_read((struct stored){bits, STORED_BF16}, 0, ALL, x + ALL);
    for (unsigned i = 0; i < ALL; i++) {
        uint32_t exponent = i >> 10 & 31, fraction = i & 1023;
        float want = exponent == 31 ? (fraction ? NAN : INFINITY)
                     : exponent     ? ldexpf(1024 + (float)fraction, (int)exponent - 25)
                                    : ldexpf((float)fraction, -24);
        want = copysignf(want, i >> 15 ? -1.0F : 1.0F);
        cr_assert(isnan(want) ? isnan(x[i]) : x[i] == want, "%04x is %a", i, (double)x[i]);
        cr_assert_eq(signbit(x[i]) != 0, i >> 15, "%04x", i);
        cr_assert_eq(bits_of_float(x[i]), bits_of_float(float_of_half((uint16_t)i)), "%04x", i);
        cr_assert_eq(bits_of_float(x[ALL + i]), i << 16, "%04x", i);
    }
    free(bits);
    free(x);
}

/* Of floats around every half and between it and the next; where a half has no such number, the
 * largest. */
Test(stored, halves_are_written_to_the_nearest)
{
    enum { AROUND = 5 };
    const size_t n = (size_t)ALL * AROUND;
    real *x = malloc(n * sizeof *x);
    uint16_t *half = malloc(n * sizeof *half);

    for (unsigned i = 0; i < ALL; i++) {
        const uint32_t bits = bits_of_float(float_of_half((uint16_t)i));
        const uint32_t step[AROUND] = {0, 1, 0xfff, 0x1000, 0x1001}; /* 0x2000 to the next */
        for (int k = 0; k < AROUND; k++)
            x[i * AROUND + (unsigned)k] = (real)float_of_bits(bits + step[k]);
    }
    stored_write_half(x, n, half);
    for (size_t i = 0; i < n; i++) {
        const float value = (float)x[i];
        const uint16_t sign = signbit(value) ? 0x8000 : 0;
        uint16_t want = half_of_float(value);
        if (!(fabsf(value) < 65520))
            want = HALF_LARGEST | sign;
        cr_assert_eq(half[i], want, "%a: %04x, not %04x", (double)value, half[i], want);
    }
    free(x);
    free(half);
}

/* Whatever the vector width leaves over. */
Test(stored, any_piece_is_read)
{
    uint16_t bits[100];
    const float reals[3] = {1, 2, 3};
    float x[100];

    for (int i = 0; i < 100; i++)
        bits[i] = half_of_float((float)i);
    for (size_t from = 0; from < 20; from++)
        for (size_t n = 0; n < 70; n++) {
            x[n] = -1;
            stored_read((struct stored){bits, STORED_F16}, from, n, x);
            for (size_t i = 0; i < n; i++)
                cr_assert_eq(x[i], (float)(from + i));
            cr_assert_eq(x[n], -1);
        }
    stored_read(stored_reals(reals), 1, 2, x);
    cr_assert(x[0] == 2 && x[1] == 3);
}

/* --- in ops ---------------------------------------------------------------------------------- */

enum { T = 37, IN = 48, OUT = 33, ROWS = 7 };

/* y = (tables looked up) W^T + b, and what flows back into one of the tables. */
struct step {
    struct stored W, table[2];
    real *y, *g; /* [T,OUT]; [ROWS,IN], of a third table, which is trained */
    const real *trained, *b;
};

static void step(struct tape *t, void *arg)
{
    const struct step *s = arg;
    int32_t id[T];
    const int32_t *const ids[] = {id, id, id};

    for (int i = 0; i < T; i++)
        id[i] = i % ROWS;
    struct val *table[] = {tape_stored(t, s->table[0], ROWS, IN),
                           tape_stored(t, s->table[1], ROWS, IN),
                           tape_param(t, s->trained, s->g, ROWS, IN)};
    struct val *x = op_embed(t, T, 3, table, ids);
    struct val *y = op_linear(t, x, tape_stored(t, s->W, OUT, IN), tape_const(t, s->b, 1, OUT));
    memcpy(s->y, y->x, T * OUT * sizeof *s->y);
    real target[T] = {0};
    struct val *one = op_columns(t, y, 3, 1);
    tape_backward(t, op_squared_error(t, one, target, 1));
}

/* Random numbers of that type, and the same as reals; free() x of both. */
static struct stored random_stored(enum stored_as as, size_t n, uint32_t which, struct stored *same)
{
    real *x = run_random(n, which);
    uint16_t *bits = malloc(n * sizeof *bits);

    for (size_t i = 0; i < n; i++)
        bits[i] = as == STORED_F16 ? half_of_float(x[i]) : (uint16_t)(bits_of_float(x[i]) >> 16);
    stored_read((struct stored){bits, as}, 0, n, x);
    *same = stored_reals(x);
    return (struct stored){bits, as};
}

Test(stored, ops_compute_the_bits_of_reals)
{
    for (int as = STORED_F16; as <= STORED_BF16; as++) {
        real y[2][T * OUT], g[2][ROWS * IN];
        real *trained = run_random(ROWS * IN, 8), *b = run_random(OUT, 9);
        struct step as_is = {.y = y[0], .g = g[0], .trained = trained, .b = b}, reals = as_is;

        reals.y = y[1];
        reals.g = g[1];
        memset(g, 0, sizeof g);
        as_is.W = random_stored(as, OUT * IN, 1, &reals.W);
        for (uint32_t k = 0; k < 2; k++)
            as_is.table[k] = random_stored(as, ROWS * IN, 2 + k, &reals.table[k]);
        size_t more = run_step(true, step, &as_is), less = run_step(true, step, &reals);
        cr_expect_arr_eq(y[0], y[1], sizeof y[0]);
        cr_expect_arr_eq(g[0], g[1], sizeof g[0]);
        cr_expect_neq(g[0][0], 0);
        cr_expect(more >= less + OUT * IN * sizeof(real), "the reals of a product are counted");
        cr_expect_leq(more, less + OUT * IN * sizeof(real) + 1024, "and given back");
        for (int k = 0; k < 2; k++) {
            free((void *)(uintptr_t)as_is.table[k].x);
            free((void *)(uintptr_t)reals.table[k].x);
        }
        free((void *)(uintptr_t)as_is.W.x);
        free((void *)(uintptr_t)reals.W.x);
        free(trained);
        free(b);
    }
}
