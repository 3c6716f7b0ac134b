/* Every codec of the registry, alone and beneath zstd: what it promises of the values, of lengths,
 * of repetition, and of bytes that a stranger has made. */
#include "base/half.h"
#include "codec/codec.h"
#include "codec/coder.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

enum { MOST = 3000, LONG = 100000 };

static const size_t lengths[] = {1, 2, 3, 127, 128, 255, 256, 257, 1000, MOST};
enum { LENGTHS = sizeof lengths / sizeof *lengths };

static const struct {
    uint32_t coding;
    double error; /* of a value, relative to the largest in its neighbourhood; 0: none */
} expected[] = {
    {0, 0},
    {1, 0x1p-11},
    {2, 0x1p-8},
    {3, 1 / 127.0},
};
enum { EXPECTED = sizeof expected / sizeof *expected, TOPK = 4 };

/* As an update's differences are: normal, of a few magnitudes. */
static void fill(float *x, size_t n, uint64_t seed, float scale)
{
    struct rng r = rng_stream(seed, 0, 0, RNG_TEST);
    for (size_t i = 0; i < n; i++)
        x[i] = scale * (float)rng_normal(&r) * (i % 5 == 0 ? 0.01F : 1);
}

static struct coder *open_coder(size_t n)
{
    struct coder *c;
    struct err e = {0};
    cr_assert_eq(coder_open(&c, n, &e), 0, "%s", e.text);
    return c;
}

/* A trip there and back; *len and *coding: of what was on the road. Packed tensors are floats in
 * memory order here. */
static void round_trip(size_t n, uint32_t *coding, const float *values, const float *base,
                       float *residual, uint64_t seed, float *out, size_t *len)
{
    struct coder *c = open_coder(n);
    struct rng rng = rng_stream(seed, 1, 2, RNG_UPLOAD);
    struct err e = {0};
    unsigned char *bytes = malloc(coder_room(n));
    const struct coder_job job = {.values = (const unsigned char *)values,
                                  .base = (const unsigned char *)base,
                                  .residual = residual,
                                  .share = 0.1,
                                  .rng = &rng};
    *len = coder_encode(c, coding, &job, bytes);
    cr_assert_leq(*len, coder_room(n));
    unsigned char *exact = malloc(*len); /* so that ASan sees a byte too far */
    memcpy(exact, bytes, *len);
    cr_assert_eq(coder_decode(c, *coding, exact, *len, (const unsigned char *)base,
                              (unsigned char *)out, &e),
                 0, "coding %u, %zu values: %s", *coding, n, e.text);
    free(exact);
    free(bytes);
    coder_close(c);
}

Test(coder, lossless_brings_every_bit_back)
{
    uint32_t odd[] = {0x00000000, 0x80000000, 0x00000001, 0x807fffff, 0x7f7fffff,
                      0x7f800000, 0xff800000, 0x7fc00001, 0x7f800001, 0x3f800000};
    for (int k = 0; k < LENGTHS; k++) {
        size_t n = lengths[k], len;
        float *x = malloc(4 * n), *base = malloc(4 * n), *y = malloc(4 * n);
        fill(base, n, 1, 1);
        for (size_t i = 0; i < n; i++)
            x[i] =
                i % 11 ? base[i] * (1 + 1e-4F * (float)(i % 7)) : float_of_bits(odd[i / 11 % 10]);
        for (int b = 0; b < 2; b++) {
            for (uint32_t zstd = 0; zstd <= CODING_ZSTD; zstd += CODING_ZSTD) {
                uint32_t coding = zstd;
                memset(y, 1, 4 * n);
                round_trip(n, &coding, x, b ? base : NULL, NULL, 1, y, &len);
                cr_assert_arr_eq(x, y, 4 * n, "%zu values, base %d, coding %u", n, b, coding);
                cr_expect(coding == CODING_PLAIN ? len == 4 * n : len < 4 * n);
            }
        }
        free(x), free(base), free(y);
    }
}

static float neighbourhood(const float *x, size_t n, size_t i, uint32_t coding)
{
    float most = fabsf(x[i]);
    size_t first = i / 256 * 256;
    for (size_t k = first; coding == 3 && k < n && k < first + 256; k++)
        most = fmaxf(most, fabsf(x[k]));
    return most;
}

Test(coder, lossy_errs_no_more_than_its_precision)
{
    for (int c = 0; c < EXPECTED; c++) {
        for (int k = 0; k < LENGTHS; k++) {
            size_t n = lengths[k], len;
            float *x = malloc(4 * n), *y = malloc(4 * n), *zero = calloc(n, 4);
            fill(x, n, 7, 3);
            for (int b = 0; b < 2; b++) {
                uint32_t coding = expected[c].coding;
                round_trip(n, &coding, x, b ? zero : NULL, NULL, 5, y, &len);
                cr_expect_eq(len, coding_codec(coding)->size(n));
                for (size_t i = 0; i < n; i++)
                    cr_assert_leq((double)fabsf(y[i] - x[i]),
                                  expected[c].error *
                                          (double)neighbourhood(x, n, i, expected[c].coding) +
                                      1e-7,
                                  "coding %u: %g became %g", coding, (double)x[i], (double)y[i]);
            }
            free(x), free(y), free(zero);
        }
    }
}

/* Differences are encoded, not values: beside a base of 1000, 1e-3 is not lost. */
Test(coder, updates_are_differences)
{
    static float base[MOST], x[MOST], y[MOST], residual[MOST];
    for (uint32_t coding = 1; coding <= TOPK; coding++) {
        size_t len;
        uint32_t used = coding;
        for (size_t i = 0; i < MOST; i++) {
            base[i] = 1000;
            x[i] = base[i] + (i % 10 == 3 ? 0.25F : 0);
        }
        memset(residual, 0, sizeof residual);
        round_trip(MOST, &used, x, base, residual, 9, y, &len);
        for (size_t i = 0; i < MOST; i++)
            cr_assert_float_eq(y[i], x[i], 1e-4, "coding %u: %g became %g", coding, (double)x[i],
                               (double)y[i]);
    }
}

Test(coder, stochastic_rounding_is_right_on_average)
{
    enum { N = 256, DRAWS = 4000 };
    static float x[N], y[N];
    static double sum[N], moved[N];
    size_t len;
    fill(x, N, 3, 1);
    for (uint64_t d = 0; d < DRAWS; d++) {
        uint32_t coding = 3;
        round_trip(N, &coding, x, NULL, NULL, d, y, &len);
        for (size_t i = 0; i < N; i++) {
            sum[i] += (double)y[i];
            moved[i] += fabs((double)(y[i] - x[i]));
        }
    }
    double step = (double)neighbourhood(x, N, 0, 3) / 127;
    for (size_t i = 0; i < N; i++)
        /* a deviation of at most step / 2, over sqrt(4000): five of those */
        cr_expect_float_eq(sum[i] / DRAWS, (double)x[i], 5 * step / 2 / 63, "value %zu", i);
    cr_expect_gt(moved[1], 0, "nothing was rounded");
}

Test(coder, the_same_stream_gives_the_same_bytes_and_another_gives_others)
{
    static float x[MOST], a[MOST], b[MOST], c[MOST];
    size_t len;
    fill(x, MOST, 4, 1);
    for (uint32_t zstd = 0; zstd <= CODING_ZSTD; zstd += CODING_ZSTD) {
        uint32_t coding[] = {3 + zstd, 3 + zstd, 3 + zstd};
        round_trip(MOST, &coding[0], x, NULL, NULL, 1, a, &len);
        round_trip(MOST, &coding[1], x, NULL, NULL, 1, b, &len);
        round_trip(MOST, &coding[2], x, NULL, NULL, 2, c, &len);
        cr_assert_arr_eq(a, b, sizeof a);
        cr_assert_neq(memcmp(a, c, sizeof a), 0);
    }
}

/* --- error feedback --- */

static int by_magnitude(const void *a, const void *b)
{
    float x = fabsf(*(const float *)a), y = fabsf(*(const float *)b);
    return (x < y) - (x > y);
}

Test(coder, the_largest_are_sent_and_the_rest_is_kept)
{
    for (int k = 0; k < LENGTHS; k++) {
        size_t n = lengths[k], len, sent = 0, want = (size_t)ceil(0.1 * (double)n);
        float *x = malloc(4 * n), *y = malloc(4 * n), *left = calloc(n, 4), *order = malloc(4 * n);
        uint32_t coding = TOPK;
        fill(x, n, 11, 1);
        memcpy(order, x, 4 * n);
        qsort(order, n, sizeof *order, by_magnitude);
        round_trip(n, &coding, x, NULL, left, 1, y, &len);
        for (size_t i = 0; i < n; i++) {
            bool large = fabsf(x[i]) >= fabsf(order[want - 1]);
            cr_assert_eq(y[i] != 0, large, "%zu of %zu", i, n);
            cr_assert_eq(y[i] + left[i], x[i], "nothing is lost");
            sent += y[i] != 0;
        }
        cr_assert_eq(sent, want);
        cr_expect_leq(len, 4 + 3 * want + n / 127 + 1);
        free(x), free(y), free(left), free(order);
    }
}

Test(coder, what_was_left_out_comes_later)
{
    enum { N = 200, ROUNDS = 200 };
    static float x[N], y[N], left[N];
    static double sum[N];
    size_t len;
    fill(x, N, 12, 1);
    for (int r = 0; r < ROUNDS; r++) {
        uint32_t coding = TOPK;
        round_trip(N, &coding, x, NULL, left, 1, y, &len);
        for (size_t i = 0; i < N; i++)
            sum[i] += (double)y[i];
    }
    for (size_t i = 0; i < N; i++)
        cr_assert_float_eq(sum[i] + (double)left[i], ROUNDS * (double)x[i], 1e-2, "value %zu", i);
    for (size_t i = 0; i < N; i++)
        cr_assert(sum[i] != 0 || fabsf(x[i]) < 0.05F, "value %zu, %g, was never sent", i,
                  (double)x[i]);
}

Test(coder, equal_values_are_taken_from_the_first)
{
    enum { N = 50 };
    float x[N], y[N], left[N] = {0};
    size_t len;
    uint32_t coding = TOPK;
    for (size_t i = 0; i < N; i++)
        x[i] = i % 2 ? -0.5F : 0.5F;
    round_trip(N, &coding, x, NULL, left, 1, y, &len);
    for (size_t i = 0; i < N; i++)
        cr_assert_eq(y[i], i < 5 ? x[i] : 0);
    memset(x, 0, sizeof x);
    memset(left, 0, sizeof left);
    round_trip(N, &coding, x, NULL, left, 1, y, &len);
    cr_assert_eq(len, 4, "zeros are not sent");
}

/* --- zstd --- */

Test(coder, zstd_pays_or_is_left_away)
{
    static float x[LONG], base[LONG], y[LONG], noise[LONG];
    struct rng r = rng_stream(8, 0, 0, RNG_TEST);
    size_t len;
    fill(base, LONG, 13, 1);
    for (size_t i = 0; i < LONG; i++) {
        x[i] = base[i] * (1 + 1e-3F * (float)(i % 3));
        noise[i] = float_of_bits(rng_u32(&r) & 0xbfffffff);
    }
    uint32_t coding = CODING_ZSTD;
    round_trip(LONG, &coding, x, base, NULL, 1, y, &len);
    cr_expect_eq(coding, CODING_ZSTD);
    cr_expect_lt(len, sizeof x * 3 / 4);
    cr_assert_arr_eq(x, y, sizeof x);
    coding = CODING_ZSTD;
    round_trip(1, &coding, x, NULL, NULL, 1, y, &len);
    cr_expect_eq(coding, CODING_PLAIN, "4 bytes do not become fewer");
    cr_expect_eq(len, 4);
    coding = 1 + CODING_ZSTD;
    round_trip(3, &coding, noise, NULL, NULL, 1, y, &len);
    cr_expect_eq(coding, 1);
}

/* --- not finite, out of range --- */

Test(coder, what_is_not_finite_stays_so_and_what_is_large_saturates)
{
    static const float bad[] = {INFINITY, -INFINITY, NAN};
    for (uint32_t c = 0; c <= TOPK; c++) {
        for (int k = 0; k < 3; k++) {
            float x[300] = {0}, y[300], left[300] = {0};
            size_t len;
            uint32_t coding = c;
            x[299] = bad[k];
            round_trip(300, &coding, x, NULL, left, 1, y, &len);
            cr_expect_not(isfinite(y[299]), "coding %u", c);
            float large[2] = {1e30F, -1e30F};
            uint32_t used = c;
            memset(left, 0, sizeof left);
            round_trip(2, &used, large, NULL, left, 1, y, &len);
            cr_expect(isfinite(y[0]) && y[0] > 60000, "coding %u: %g", c, (double)y[0]);
        }
    }
}

Test(coder, tiny_blocks_do_not_divide_by_nothing)
{
    float x[4] = {0x1p-149F, -0x1p-149F, 0, 0x1p-140F}, y[4];
    uint32_t coding = 3;
    size_t len;
    round_trip(4, &coding, x, NULL, NULL, 1, y, &len);
    for (int i = 0; i < 4; i++)
        cr_expect(fabsf(y[i]) <= 0x1p-139F);
}

/* --- bytes of strangers --- */

static int decode(size_t n, uint32_t coding, const void *bytes, size_t len)
{
    struct coder *c = open_coder(n);
    struct err e = {0};
    unsigned char *exact = malloc(len + !len), *out = malloc(4 * n), *before = malloc(4 * n);
    if (len > 0)
        memcpy(exact, bytes, len);
    memset(out, 0xa5, 4 * n);
    memset(before, 0xa5, 4 * n);
    int rc = coder_decode(c, coding, exact, len, NULL, out, &e);
    if (rc) {
        cr_expect_eq(rc, ERR_PROTO);
        cr_expect(e.text[0]);
        cr_expect_arr_eq(out, before, 4 * n, "the output was touched");
    }
    free(exact), free(out), free(before);
    coder_close(c);
    return rc;
}

Test(coder, wrong_lengths_and_numbers_are_refused)
{
    static const unsigned char zero[4 * MOST + 8];
    for (uint32_t c = 0; c < TOPK; c++)
        for (int k = 0; k < LENGTHS; k++) {
            size_t right = coding_codec(c)->size(lengths[k]);
            cr_expect_eq(decode(lengths[k], c, zero, right), 0);
            cr_expect_neq(decode(lengths[k], c, zero, right - 1), 0);
            cr_expect_neq(decode(lengths[k], c, zero, right + 1), 0);
            cr_expect_neq(decode(lengths[k], c, zero, 0), 0);
            cr_expect_neq(decode(lengths[k], c + CODING_ZSTD, zero, right), 0);
        }
    static const uint32_t none[] = {5, 31, 32 + 5, 63, 64, 65, 96, 1u << 31, UINT32_MAX};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        cr_expect_neq(decode(1, none[i], zero, 4), 0, "coding %u", none[i]);
}

Test(coder, sparse_forms_that_lie_are_refused)
{
    static const struct {
        unsigned char bytes[24];
        size_t len;
        bool good;
    } form[] = {
        {{0, 0, 0, 0}, 4, true},
        {{1, 0, 0, 0, 9, 0, 0x3c}, 7, true},
        {{2, 0, 0, 0, 0, 8, 0, 0x3c, 0, 0x3c}, 10, true},
        {{0, 0, 0}, 3, false},
        {{0, 0, 0, 0, 0}, 5, false},                              /* a byte too many */
        {{1, 0, 0, 0, 10, 0, 0x3c}, 7, false},                    /* behind the last */
        {{2, 0, 0, 0, 0, 9, 0, 0x3c, 0, 0x3c}, 10, false},        /* the second one is */
        {{1, 0, 0, 0, 0x80, 0, 0x3c}, 7, false},                  /* the gap does not end */
        {{11, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1}, 14, false}, /* more than there are */
        {{255, 255, 255, 255, 0, 0, 0}, 7, false},
        {{1, 0, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1, 0, 0x3c}, 13, false},
        {{1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x7f, 0, 0x3c}, 11, false},
    };
    for (size_t i = 0; i < sizeof form / sizeof *form; i++)
        cr_expect_eq(decode(10, TOPK, form[i].bytes, form[i].len) == 0, form[i].good, "form %zu",
                     i);
}

/* A few hundred bytes that claim to be 64 MiB. */
Test(coder, a_bomb_does_not_go_off)
{
    size_t huge = 64 << 20;
    unsigned char *zeros = calloc(1, huge), *bomb = malloc(ZSTD_compressBound(huge));
    size_t len = ZSTD_compress(bomb, ZSTD_compressBound(huge), zeros, huge, 19);
    cr_assert_not(ZSTD_isError(len));
    for (uint32_t c = 0; c <= TOPK; c++)
        cr_expect_neq(decode(1000, c + CODING_ZSTD, bomb, len), 0);
    /* One byte more than there is room for, and one less than there must be. */
    for (int off = -1; off <= 1; off++) {
        len = ZSTD_compress(bomb, ZSTD_compressBound(huge), zeros, (size_t)(4000 + off), 3);
        cr_expect_eq(decode(1000, CODING_ZSTD, bomb, len) == 0, off == 0);
    }
    free(zeros), free(bomb);
}

Test(coder, damaged_bytes_are_refused_or_read_as_others)
{
    enum { N = 500 };
    float x[N], left[N];
    struct rng r = rng_stream(21, 0, 0, RNG_TEST);
    fill(x, N, 20, 1);
    for (uint32_t c = 0; c <= CODING_ZSTD + TOPK; c = c == TOPK ? CODING_ZSTD : c + 1) {
        unsigned char *bytes = malloc(coder_room(N));
        struct coder *coder = open_coder(N);
        for (int i = 0; i < 300; i++) {
            struct rng stream = rng_stream(1, 0, 0, RNG_UPLOAD);
            struct coder_job job = {(unsigned char *)x, NULL, left, 0.2, &stream};
            uint32_t coding = c;
            memset(left, 0, sizeof left);
            size_t len = coder_encode(coder, &coding, &job, bytes);
            for (uint32_t k = 0; k <= rng_below(&r, 3); k++)
                bytes[rng_below(&r, (uint32_t)len)] = (unsigned char)rng_u32(&r);
            (void)!decode(N, coding, bytes, rng_below(&r, 4) ? len : rng_below(&r, (uint32_t)len));
        }
        coder_close(coder);
        free(bytes);
    }
}
