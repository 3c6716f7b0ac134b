/* What an update holds: the parameters, or their difference to the task's. */
#include "client/upload.h"
#include <criterion/criterion.h>
#include <string.h>

enum { COUNT = 4 };

static void send(const struct run_spec *spec, const float *base, const float *theta, float *got)
{
    struct schema s;
    struct upload u;
    struct coder *coder;
    struct err e = {0};
    unsigned char packed[4 * COUNT], decoded[4 * COUNT];
    schema_init(&s);
    cr_assert_eq(schema_add(&s, "a", SCOPE_GLOBAL, true, 1, (int64_t[]){COUNT}, &e), 0);
    schema_seal(&s);
    tensorset_pack(&s, base, packed);
    cr_assert_eq(upload_open(&u, spec, &s, &e), 0, "%s", e.text);
    upload_encode(&u, 2, 7, packed, theta, NULL);
    cr_assert_eq(coder_open(&coder, COUNT, &e), 0);
    const unsigned char *against = spec->federation.mode == MODE_ASYNC ? NULL : packed;
    cr_assert_eq(coder_decode(coder, u.coding, u.bytes, u.len, against, decoded, &e), 0);
    cr_assert_eq(tensorset_unpack(&s, decoded, sizeof decoded, got, &e), 0);
    coder_close(coder);
    upload_close(&u);
    schema_release(&s);
}

Test(upload, holds_the_parameters_or_what_has_become_of_them)
{
    const float base[COUNT] = {1, -2, 0.5F, 100}, theta[COUNT] = {1.5F, -2, 0.25F, 100.125F};
    const char *const names[] = {"fp32", "fp16", "bf16", "int8"};
    float got[COUNT];
    for (int zstd = 0; zstd < 2; zstd++) {
        for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
            struct run_spec spec = {.federation = {.zstd = zstd, .seed = 1}};
            spec.federation.upload = (char *)(uintptr_t)names[k];
            send(&spec, base, theta, got);
            for (int i = 0; i < COUNT; i++)
                cr_expect_float_eq(got[i], theta[i], 0.005, "%s: %g", names[k], (double)got[i]);
            spec.federation.mode = MODE_ASYNC;
            send(&spec, base, theta, got);
            for (int i = 0; i < COUNT; i++)
                cr_expect_float_eq(got[i], theta[i] - base[i], 0.005, "%s: %g", names[k],
                                   (double)got[i]);
        }
    }
}
