/* Names, numbers, and who may say what to whom. */
#include "codec/codec.h"
#include "codec/coding.h"
#include <criterion/criterion.h>
#include <string.h>

static struct federation_spec spec(const char *upload, const char *download, bool zstd)
{
    return (struct federation_spec){
        .upload = (char *)(uintptr_t)upload, .download = (char *)(uintptr_t)download, .zstd = zstd};
}

Test(coding, numbers_on_the_wire_never_change)
{
    static const char *const name[] = {"fp32", "fp16", "bf16", "int8", "topk"};
    for (uint32_t i = 0; i < 5; i++) {
        cr_assert_not_null(coding_codec(i));
        cr_expect_str_eq(coding_codec(i)->name, name[i]);
        cr_expect_eq(coding_codec(i + CODING_ZSTD), coding_codec(i));
    }
    cr_expect_null(coding_codec(CODINGS));
    cr_expect_null(coding_codec(UINT32_MAX));
}

Test(coding, a_plan_follows_the_settings)
{
    struct coding_plan p;
    struct federation_spec none = spec(NULL, NULL, false), mixed = spec("topk", "fp16", true);
    cr_assert_eq(coding_plan(&none, &p, NULL), 0);
    cr_expect(p.upload == 0 && p.download == 0 && p.result == 0);
    cr_assert_eq(coding_plan(&mixed, &p, NULL), 0);
    cr_expect(p.upload == 36 && p.download == 33 && p.result == 32);
    cr_expect_eq(coding_upload(&mixed), 36);
}

Test(coding, what_does_not_exist_is_refused_by_the_server_and_plain_for_a_client)
{
    struct coding_plan p;
    struct err e;
    struct federation_spec up = spec("int9", "fp32", false), down = spec("int8", "Fp16", true),
                           sparse = spec("int8", "topk", false);
    cr_expect_eq(coding_plan(&up, &p, &e), ERR_CONFIG);
    cr_expect(strstr(e.text, "federation.upload") && strstr(e.text, "int9") &&
                  strstr(e.text, "int8"),
              "%s", e.text);
    cr_expect_eq(coding_plan(&down, &p, &e), ERR_CONFIG);
    cr_expect(strstr(e.text, "federation.download") && strstr(e.text, "Fp16"), "%s", e.text);
    cr_expect_eq(coding_plan(&sparse, &p, &e), ERR_CONFIG);
    cr_expect(strstr(e.text, "topk"), "%s", e.text);
    cr_expect_eq(coding_upload(&up), CODING_PLAIN);
}

Test(coding, a_peer_reads_what_it_said_it_can)
{
    cr_expect(coding_within(0, CODING_PLAIN), "plain needs no word");
    cr_expect_not(coding_within(0, 1));
    cr_expect(coding_within(1u << 1, 1));
    cr_expect_not(coding_within(1u << 1, 1 + CODING_ZSTD), "zstd has a bit of its own");
    cr_expect(coding_within((uint64_t)1 << 32 | 1u << 1, 1 + CODING_ZSTD));
    cr_expect_not(coding_within((uint64_t)1 << 32, 1 + CODING_ZSTD));
    cr_expect_not(coding_within(UINT64_MAX, CODINGS));
    cr_expect_not(coding_within(UINT64_MAX, UINT32_MAX));
    for (uint32_t c = 0; c < CODINGS; c++)
        cr_expect_eq(coding_within(coding_known(), c), coding_codec(c) != NULL, "coding %u", c);
}
