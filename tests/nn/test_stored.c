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
    stored_read(stored_halves(bits, STORED_F16), 0, ALL, x);
    stored_read(stored_halves(bits, STORED_BF16), 0, ALL, x + ALL);
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
            stored_read(stored_halves(bits, STORED_F16), from, n, x);
            for (size_t i = 0; i < n; i++)
                cr_assert_eq(x[i], (float)(from + i));
            cr_assert_eq(x[n], -1);
        }
    stored_read(stored_reals(reals), 1, 2, x);
    cr_assert(x[0] == 2 && x[1] == 3);
}

/* Whatever the scale, subnormal, infinite or zero: one product of floats. */
Test(stored, every_int8_is_a_product)
{
    static const real scale[] = {1, 0.1F, 1e-3F, 0x1p-126F, 0x1.8p-149F, 3e36F, 0};
    enum { ROWS = sizeof scale / sizeof *scale, COLS = 256 };
    uint8_t bytes[ROWS * COLS];
    real x[ROWS * COLS];

    for (int i = 0; i < ROWS * COLS; i++)
        bytes[i] = (uint8_t)i;
    stored_read(stored_int8(bytes, scale, COLS), 0, ROWS * COLS, x);
    for (int i = 0; i < ROWS * COLS; i++) {
        volatile float want = (float)(i % COLS - 128) * (float)scale[i / COLS];
        cr_assert_eq(x[i], (real)want, "%d of row %d is %a", i % COLS, i / COLS, (double)x[i]);
    }
}

/* Rows that are no multiple of a vector, nor of the four bytes in which they end. */
Test(stored, any_piece_of_int8_is_read)
{
    enum { ROWS = 9 };
    for (int cols = 1; cols < 40; cols += cols < 20 ? 1 : 9) {
        const size_t stride = stored_int8_row(cols), all = (size_t)(ROWS * cols);
        uint8_t *bytes = malloc(ROWS * stride);
        real scale[ROWS], *x = malloc((all + 1) * sizeof *x);

        cr_assert(stride % 4 == 0 && stride >= (size_t)cols && stride < (size_t)cols + 4);
        memset(bytes, 255, ROWS * stride);
        for (int i = 0; i < ROWS; i++) {
            scale[i] = (real)(i + 1);
            for (int k = 0; k < cols; k++)
                bytes[(size_t)i * stride + (size_t)k] = (uint8_t)(128 + k * (i % 2 ? -1 : 1));
        }
        for (size_t from = 0; from <= all; from++)
            for (size_t n = 0; from + n <= all; n += n < 3 ? 1 : 7) {
                x[n] = -1e6F;
                stored_read(stored_int8(bytes, scale, cols), from, n, x);
                for (size_t i = 0; i < n; i++) {
                    int row = (int)(from + i) / cols, k = (int)(from + i) % cols;
                    cr_assert_eq(x[i], (real)(k * (row % 2 ? -1 : 1) * (row + 1)));
                }
                cr_assert_eq(x[n], -1e6F);
            }
        free(bytes);
        free(x);
    }
}

/* --- in ops ---------------------------------------------------------------------------------- */

enum { T = 37, IN = 46, OUT = 33, ROWS = 7 };

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

/* Rows of IN random numbers of that type, and the same as reals; release() both. */
static struct stored random_stored(enum stored_as as, size_t rows, uint32_t which,
                                   struct stored *same)
{
    const size_t n = rows * IN;
    real *x = run_random(n, which);
    struct stored s;

    if (as == STORED_INT8) {
        uint8_t *bytes = malloc(rows * stored_int8_row(IN));
        for (size_t i = 0; i < rows * stored_int8_row(IN); i++)
            bytes[i] = (uint8_t)(i * 37);
        s = stored_int8(bytes, run_random(rows, which), IN);
    } else {
        uint16_t *bits = malloc(n * sizeof *bits);
        for (size_t i = 0; i < n; i++)
            bits[i] =
                as == STORED_F16 ? half_of_float(x[i]) : (uint16_t)(bits_of_float(x[i]) >> 16);
        s = stored_halves(bits, as);
    }
    stored_read(s, 0, n, x);
    *same = stored_reals(x);
    return s;
}

static void release(struct stored s)
{
    free((void *)(uintptr_t)s.x);
    free((void *)(uintptr_t)s.scale);
}

Test(stored, ops_compute_the_bits_of_reals)
{
    for (int as = STORED_F16; as <= STORED_INT8; as++) {
        real y[2][T * OUT], g[2][ROWS * IN];
        real *trained = run_random(ROWS * IN, 8), *b = run_random(OUT, 9);
        struct step as_is = {.y = y[0], .g = g[0], .trained = trained, .b = b}, reals = as_is;

        reals.y = y[1];
        reals.g = g[1];
        memset(g, 0, sizeof g);
        as_is.W = random_stored(as, OUT, 1, &reals.W);
        for (uint32_t k = 0; k < 2; k++)
            as_is.table[k] = random_stored(as, ROWS, 2 + k, &reals.table[k]);
        size_t more = run_step(true, step, &as_is), less = run_step(true, step, &reals);
        cr_expect_arr_eq(y[0], y[1], sizeof y[0]);
        cr_expect_arr_eq(g[0], g[1], sizeof g[0]);
        cr_expect_neq(g[0][0], 0);
        cr_expect(more >= less + OUT * IN * sizeof(real), "the reals of a product are counted");
        cr_expect_leq(more, less + OUT * IN * sizeof(real) + 1024, "and given back");
        for (int k = 0; k < 2; k++) {
            release(as_is.table[k]);
            release(reals.table[k]);
        }
        release(as_is.W);
        release(reals.W);
        free(trained);
        free(b);
    }
}
