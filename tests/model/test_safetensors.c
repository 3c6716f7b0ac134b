#include "base/rng.h"
#include "tests/model/scratch.h"
#include <math.h>

static char dir[] = "/tmp/fedpet-safetensors-XXXXXX", path[64];

static void make_dir(void)
{
    scratch_make(dir);
    snprintf(path, sizeof path, "%s/t", dir);
}

static void remove_dir(void)
{
    scratch_remove(dir);
}

TestSuite(safetensors, .init = make_dir, .fini = remove_dir);

/* A file of a header text and n bytes 0, 1, 2, ... of data. */
static void write_file(const char *header, size_t data)
{
    unsigned char bytes[1024];
    uint64_t len = strlen(header);
    cr_assert_leq(8 + len + data, sizeof bytes);
    memcpy(bytes, &len, 8);
    memcpy(bytes + 8, header, len);
    for (size_t i = 0; i < data; i++)
        bytes[8 + len + i] = (unsigned char)i;
    scratch_write(dir, "t", bytes, 8 + len + data);
}

static void expect_refused(const char *what, const char *because)
{
    struct safetensors st;
    struct err e = {0};
    cr_expect_eq(safetensors_open(&st, path, &e), ERR_MODEL, "%s", what);
    cr_expect(strstr(e.text, because) != NULL, "%s: expected \"%s\" in \"%s\"", what, because,
              e.text);
    cr_expect(strstr(e.text, path) != NULL, "no path in \"%s\"", e.text);
}

Test(safetensors, written_tensors_are_read_back)
{
    const float a[6] = {1, -2, 3.5F, 0, 1e-30F, -1e30F}, b[1] = {7}, c[3] = {1, 2, 3};
    const struct st_out out[] = {
        {.name = "z.weight", .ndim = 2, .dim = {2, 3}, .x = a},
        {.name = "a \"quoted\" name", .ndim = 0, .x = b},
        {.name = "m.bias", .ndim = 1, .dim = {3}, .x = c},
    };
    struct safetensors st;
    struct err e = {0};
    float x[6];

    cr_assert_eq(safetensors_write(path, out, 3, &e), 0, "%s", e.text);
    cr_assert_eq(safetensors_open(&st, path, &e), 0, "%s", e.text);
    cr_assert_eq(st.n, 3);
    cr_expect_str_eq(st.tensor[0].name, "a \"quoted\" name");
    cr_expect_str_eq(st.tensor[1].name, "m.bias");
    cr_expect_str_eq(st.tensor[2].name, "z.weight");
    cr_expect_null(safetensors_find(&st, "absent"));
    for (size_t i = 0; i < 3; i++) {
        const struct st_tensor *t = safetensors_find(&st, out[i].name);
        cr_assert_not_null(t);
        cr_assert_eq(t->ndim, out[i].ndim);
        cr_assert_eq(memcmp(t->dim, out[i].dim, sizeof t->dim), 0);
        cr_assert_eq(st_tensor_floats(t, x, &e), 0);
        cr_assert_eq(memcmp(x, out[i].x, t->count * sizeof *x), 0);
    }
    cr_expect_eq((size_t)(st.tensor[0].raw - st.map.bytes) % 8, 0, "data is not aligned");
    safetensors_close(&st);
}

Test(safetensors, no_tensors_are_a_file_too)
{
    struct safetensors st;
    struct err e = {0};
    cr_assert_eq(safetensors_write(path, NULL, 0, &e), 0, "%s", e.text);
    cr_assert_eq(safetensors_open(&st, path, &e), 0, "%s", e.text);
    cr_expect_eq(st.n, 0);
    cr_expect_null(safetensors_find(&st, "x"));
    safetensors_close(&st);
}

/* The definition of binary16, in double arithmetic. */
static double half_value(unsigned h)
{
    int exponent = (int)(h >> 10 & 31);
    double sign = (h & 0x8000) != 0 ? -1 : 1, fraction = (h & 1023) / 1024.0;
    if (exponent == 31)
        return fraction == 0 ? sign * (double)INFINITY : (double)NAN;
    return exponent == 0 ? sign * ldexp(fraction, -14) : sign * ldexp(1 + fraction, exponent - 15);
}

Test(safetensors, every_half_converts_exactly)
{
    static uint16_t half[1 << 16];
    static float x[1 << 16];
    struct err e = {0};
    for (unsigned i = 0; i < 1 << 16; i++)
        half[i] = (uint16_t)i;
    struct st_tensor t = {.name = "h",
                          .dtype = DTYPE_F16,
                          .count = 1 << 16,
                          .raw = (const unsigned char *)half,
                          .bytes = sizeof half};
    cr_assert_eq(st_tensor_floats(&t, x, &e), 0);
    for (unsigned i = 0; i < 1 << 16; i++) {
        double want = half_value(i);
        cr_assert(isnan(want) ? isnan(x[i]) : (double)x[i] == want, "half %04x gives %g, not %g", i,
                  (double)x[i], want);
        cr_assert_eq(signbit(x[i]) != 0, i >> 15, "sign of half %04x", i);
    }
}

Test(safetensors, bfloat16_is_the_upper_half_of_a_float)
{
    const uint16_t raw[] = {0x3f80, 0xc049, 0x0001, 0xff80};
    const float want[] = {1.0F, -3.140625F, 0x1p-133F, -INFINITY};
    float x[4];
    struct err e = {0};
    struct st_tensor t = {.name = "b",
                          .dtype = DTYPE_BF16,
                          .count = 4,
                          .raw = (const unsigned char *)raw,
                          .bytes = sizeof raw};
    cr_assert_eq(st_tensor_floats(&t, x, &e), 0);
    for (int i = 0; i < 4; i++)
        cr_expect_eq(x[i], want[i]);
    t.dtype = DTYPE_OTHER;
    cr_expect_eq(st_tensor_floats(&t, x, &e), ERR_MODEL);
}

Test(safetensors, hostile_headers_are_refused)
{
#define T(fields) "{\"t\":{" fields "}}"
    static const struct {
        const char *header;
        size_t data;
        const char *because;
    } bad[] = {
        {"", 0, "does not begin"},
        {" {}", 0, "does not begin"},
        {"[]", 0, "does not begin"},
        {"{", 0, "JSON"},
        {"{}x", 0, "JSON"},
        {"{\"t\":1}", 0, "not an object"},
        {"{\"\":{}}", 0, "not printable"},
        {"{\"a\\nb\":{}}", 0, "not printable"},
        {"{\"__metadata__\":{\"format\":1}}", 0, "__metadata__"},
        {"{\"__metadata__\":[]}", 0, "__metadata__"},
        {T("\"shape\":[1],\"data_offsets\":[0,4]"), 4, "dtype"},
        {T("\"dtype\":\"F33\",\"shape\":[1],\"data_offsets\":[0,4]"), 4, "dtype"},
        {T("\"dtype\":3,\"shape\":[1],\"data_offsets\":[0,4]"), 4, "dtype"},
        {T("\"dtype\":\"F32\",\"data_offsets\":[0,4]"), 4, "shape"},
        {T("\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]"), 4, "shape"},
        {T("\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]"), 4, "dimension"},
        {T("\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]"), 4, "dimension"},
        {T("\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]"), 0,
         "overflow"},
        {T("\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]"), 0, "size"},
        {T("\"dtype\":\"F32\",\"shape\":[99999999999999999999],\"data_offsets\":[0,0]"), 0, "JSON"},
        {T("\"dtype\":\"F32\",\"shape\":[1]"), 4, "data_offsets"},
        {T("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]"), 4, "data_offsets"},
        {T("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]"), 4, "data_offsets"},
        {T("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]"), 4, "outside"},
        {T("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]"), 4, "outside"},
        {T("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,8]"), 4, "outside"},
        {T("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]"), 4, "size"},
        {T("\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0,4]"), 4, "size"},
        {T("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]"), 5, "beyond"},
        {T("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]"), 8, "hole"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[2,6]}}",
         6, "overlaps"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
         "\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,8]}}",
         8, "JSON"},
    };
#undef T
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_file(bad[i].header, bad[i].data);
        expect_refused(bad[i].header, bad[i].because);
    }
}

Test(safetensors, deep_nesting_is_refused)
{
    enum { DEPTH = 100000 };
    static char bytes[8 + DEPTH];
    uint64_t len = DEPTH;
    memcpy(bytes, &len, 8);
    memset(bytes + 8, '[', DEPTH);
    memcpy(bytes + 8, "{\"a\":", 5);
    scratch_write(dir, "t", bytes, sizeof bytes);
    expect_refused("deep nesting", "JSON");
}

Test(safetensors, lying_header_lengths_are_refused)
{
    const uint64_t lengths[] = {3, 1000, (uint64_t)1 << 40, UINT64_MAX};
    char bytes[10] = "\0\0\0\0\0\0\0\0{}";
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        memcpy(bytes, &lengths[i], 8);
        scratch_write(dir, "t", bytes, sizeof bytes);
        expect_refused("header length", "header length");
    }
}

/* A valid file of three tensors; returns its bytes. */
static unsigned char *valid_file(size_t *len)
{
    const float x[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    const struct st_out out[] = {{.name = "a", .ndim = 2, .dim = {2, 2}, .x = x},
                                 {.name = "b", .ndim = 1, .dim = {3}, .x = x},
                                 {.name = "c", .ndim = 1, .dim = {1}, .x = x}};
    struct err e = {0};
    char *bytes;
    cr_assert_eq(safetensors_write(path, out, 3, &e), 0, "%s", e.text);
    cr_assert_eq(file_read(path, 1 << 20, &bytes, len, &e), 0, "%s", e.text);
    return (unsigned char *)bytes;
}

Test(safetensors, every_truncation_is_refused)
{
    size_t len;
    unsigned char *bytes = valid_file(&len);
    struct safetensors st;
    struct err e = {0};
    for (size_t n = 0; n < len; n++) {
        scratch_write(dir, "t", bytes, n);
        cr_expect_eq(safetensors_open(&st, path, &e), ERR_MODEL, "%zu of %zu bytes", n, len);
    }
    free(bytes);
}

/* Whatever the damage: refused, or every tensor readable inside the file. */
Test(safetensors, damaged_files_stay_inside_their_bytes)
{
    size_t len, opened = 0;
    unsigned char *bytes = valid_file(&len);
    struct rng r = rng_stream(1, 0, 0, RNG_TEST);
    struct err e = {0};
    float x[64];
    for (int trial = 0; trial < 2000; trial++) {
        size_t at = rng_below(&r, (uint32_t)len);
        unsigned char was = bytes[at];
        bytes[at] = (unsigned char)rng_below(&r, 256);
        scratch_write(dir, "t", bytes, len);
        bytes[at] = was;
        struct safetensors st;
        if (safetensors_open(&st, path, &e) != 0)
            continue;
        opened++;
        for (size_t i = 0; i < st.n; i++) {
            const struct st_tensor *t = &st.tensor[i];
            cr_assert_geq(t->raw, st.map.bytes);
            cr_assert_leq(t->raw + t->bytes, st.map.bytes + st.map.len);
            cr_assert_leq(t->count, 64);
            if (st_tensor_is_real(t))
                cr_assert_eq(st_tensor_floats(t, x, &e), 0);
        }
        safetensors_close(&st);
    }
    cr_expect_gt(opened, 0);
    free(bytes);
}

Test(safetensors, a_missing_file_is_an_io_error)
{
    struct safetensors st;
    struct err e = {0};
    cr_expect_eq(safetensors_open(&st, "/nonexistent/model.safetensors", &e), ERR_IO);
    cr_expect_eq(safetensors_write("/nonexistent/x", NULL, 0, &e), ERR_IO);
}
