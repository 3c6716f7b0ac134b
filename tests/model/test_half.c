/* Writing F16: rounding to nearest, ties to even (IEEE 754), and what it cannot hold. */
#include "model/safetensors.h"
#include "tests/model/scratch.h"
#include <float.h>
#include <math.h>

static int write_half(const char *dir, const float *x, size_t n, float *back, struct err *e)
{
    char path[SCRATCH_PATH];
    struct safetensors st;
    const struct st_out out = {
        .name = "x", .dtype = DTYPE_F16, .ndim = 1, .dim = {(int64_t)n}, .x = x};
    scratch_path(path, dir, "half.safetensors");
    int rc = safetensors_write(path, &out, 1, e);
    if (rc != 0)
        return rc;
    cr_assert_eq(safetensors_open(&st, path, e), 0, "%s", e->text);
    const struct st_tensor *t = safetensors_find(&st, "x");
    cr_assert_not_null(t);
    cr_assert(t->dtype == DTYPE_F16 && t->bytes == 2 * n && t->count == n);
    cr_assert_eq(st_tensor_floats(t, back, e), 0, "%s", e->text);
    safetensors_close(&st);
    return 0;
}

Test(half, known_values)
{
    static const struct {
        float x, want;
    } c[] = {
        {0, 0},
        {-0.0F, -0.0F},
        {1, 1},
        {-2.5F, -2.5F},
        {1 + 0x1p-11F, 1},              /* a tie, to even */
        {1 + 0x3p-11F, 1 + 0x1p-9F},    /* a tie, to even, up */
        {1 + 0x1.2p-11F, 1 + 0x1p-10F}, /* above a tie */
        {2047.5F, 2048},                /* into the next power of two */
        {65504, 65504},
        {65519, 65504},
        {0x1p-14F, 0x1p-14F}, /* least normal */
        {0x1.ff8p-15F, 0x1.ff8p-15F},
        {0x1.fffp-15F, 0x1p-14F}, /* up to a normal one */
        {0x1p-24F, 0x1p-24F},     /* least subnormal */
        {0x1p-25F, 0},            /* a tie, to even */
        {0x1.8p-24F, 0x1p-23F},   /* a tie, to even, up */
        {0x1.1p-25F, 0x1p-24F},
        {-0x1.1p-25F, -0x1p-24F},
        {FLT_MIN, 0},
    };
    enum { N = sizeof c / sizeof *c };
    char dir[] = "/tmp/fedpet-half-XXXXXX";
    struct err e = {0};
    float x[N], back[N];
    scratch_make(dir);
    for (int i = 0; i < N; i++)
        x[i] = c[i].x;
    cr_assert_eq(write_half(dir, x, N, back, &e), 0, "%s", e.text);
    for (int i = 0; i < N; i++) {
        cr_expect_eq(back[i], c[i].want, "%a becomes %a, not %a", (double)x[i], (double)back[i],
                     (double)c[i].want);
        cr_expect_eq(signbit(back[i]) != 0, signbit(c[i].want) != 0, "sign of %a", (double)x[i]);
    }
    scratch_remove(dir);
}

/* No half is nearer than the one that is written. */
Test(half, nearest_of_all)
{
    enum { N = 4096 };
    char dir[] = "/tmp/fedpet-half-XXXXXX";
    struct err e = {0};
    static float x[N], back[N];
    scratch_make(dir);
    for (int i = 0; i < N; i++)
        x[i] = ldexpf(1 + (float)(i * 2654435761U % 65536) / 65536, i % 40 - 26) *
               (i % 3 ? 1.0F : -1.0F);
    cr_assert_eq(write_half(dir, x, N, back, &e), 0, "%s", e.text);
    for (int i = 0; i < N; i++) {
        int exponent;
        frexpf(x[i], &exponent); /* x = m 2^exponent, m in [0.5, 1) */
        float unit = ldexpf(1, exponent < -13 ? -24 : exponent - 11);
        cr_expect_leq(fabsf(back[i] - x[i]), unit / 2, "%a becomes %a", (double)x[i],
                      (double)back[i]);
        cr_expect_eq(back[i] / unit, rintf(back[i] / unit));
    }
    scratch_remove(dir);
}

Test(half, values_beyond_are_refused)
{
    static const float beyond[] = {65520, -1e6F, INFINITY, NAN};
    char dir[] = "/tmp/fedpet-half-XXXXXX";
    float back[1];
    scratch_make(dir);
    for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++) {
        struct err e = {0};
        cr_expect_eq(write_half(dir, &beyond[i], 1, back, &e), ERR_MODEL);
        cr_expect_not_null(strstr(e.text, "\"x\""), "%s", e.text);
        cr_expect_not_null(strstr(e.text, "half.safetensors"), "%s", e.text);
    }
    scratch_remove(dir);
}
