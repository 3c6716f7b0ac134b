/* Parameters on their way out and back at the server: who gets what, what comes back, and that
 * nothing is lost over the rounds. */
#include "codec/codec.h"
#include "server/payload.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { COUNT = 300 };

static struct federation_spec spec;
static struct payload payload;
static float params[COUNT]; /* a packed tensor is floats in memory order here */

static void begin(const char *upload, const char *download, bool zstd)
{
    struct err e = {0};
    struct rng r = rng_stream(1, 0, 0, RNG_TEST);
    spec = (struct federation_spec){.upload = (char *)(uintptr_t)upload,
                                    .download = (char *)(uintptr_t)download,
                                    .zstd = zstd,
                                    .top_k = 0.1,
                                    .seed = 9};
    cr_assert_eq(payload_open(&payload, &spec, COUNT, &e), 0, "%s", e.text);
    for (size_t i = 0; i < COUNT; i++)
        params[i] = (float)rng_normal(&r);
}

static void give_out(uint32_t round)
{
    memcpy(payload.plain, params, sizeof params);
    payload_task(&payload, round);
}

/* What a client that knows `known` makes of it. */
static void receive(uint64_t known, float *values, uint32_t *coding)
{
    struct coder *c;
    struct msg_bytes sent = payload_for(&payload, known, coding);
    cr_assert_eq(coder_open(&c, COUNT, NULL), 0);
    cr_assert_eq(coder_decode(c, *coding, sent.data, sent.len, NULL, (unsigned char *)values, NULL),
                 0);
    coder_close(c);
}

static enum msg_reason read_update(uint32_t coding, const void *bytes, size_t len, float *values)
{
    struct msg_bytes out;
    const struct msg_update u = {.params = {bytes, len}, .coding = coding};
    enum msg_reason reason = payload_update(&payload, &u, &out);
    if (reason == REASON_NONE) {
        cr_assert_eq(out.len, sizeof params);
        memcpy(values, out.data, out.len);
        payload_complete(&payload, values);
    }
    return reason;
}

Test(payload, all_clients_begin_with_the_same_values)
{
    static const char *const download[] = {"fp32", "fp16", "bf16", "int8"};
    for (size_t k = 0; k < 4; k++) {
        for (int zstd = 0; zstd < 2; zstd++) {
            float a[COUNT], b[COUNT];
            uint32_t coding;
            begin("int8", download[k], zstd);
            give_out(3);
            receive(0, a, &coding);
            cr_expect_eq(coding, CODING_PLAIN, "an old client gets what it understands");
            receive(coding_known(), b, &coding);
            cr_expect_eq(coding % CODING_ZSTD, k);
            cr_assert_arr_eq(a, b, sizeof a);
            cr_expect_eq(memcmp(a, params, sizeof a) == 0, k == 0);
            payload_close(&payload);
        }
    }
}

Test(payload, the_result_keeps_every_bit)
{
    float got[COUNT];
    uint32_t coding;
    begin("int8", "int8", true);
    give_out(0);
    memcpy(payload.plain, params, sizeof params);
    payload_result(&payload);
    receive(coding_known(), got, &coding);
    cr_expect_eq(coding, CODING_ZSTD);
    cr_expect_arr_eq(got, params, sizeof got);
    receive(0, got, &coding);
    cr_expect_arr_eq(got, params, sizeof got);
    payload_close(&payload);
}

/* A client that changes nothing brings back the server's parameters, not the coarse ones it got. */
Test(payload, what_a_lossy_task_leaves_out_is_not_lost)
{
    float client[COUNT], back[COUNT];
    uint32_t coding;
    begin("fp32", "bf16", false);
    give_out(0);
    receive(coding_known(), client, &coding);
    cr_assert_eq(read_update(CODING_PLAIN, client, sizeof client, back), REASON_NONE);
    for (size_t i = 0; i < COUNT; i++)
        cr_assert_float_eq(back[i], params[i], 1e-6);
    payload_close(&payload);
}

/* Each round adds a hundredth of what bf16 can tell apart. */
Test(payload, small_steps_add_up_over_a_coarse_download)
{
    enum { ROUNDS = 1000 };
    float client[COUNT], back[COUNT];
    uint32_t coding;
    begin("fp32", "bf16", false);
    for (size_t i = 0; i < COUNT; i++)
        params[i] = 1;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        give_out(round);
        receive(coding_known(), client, &coding);
        for (size_t i = 0; i < COUNT; i++)
            client[i] += 1e-4F;
        cr_assert_eq(read_update(CODING_PLAIN, client, sizeof client, back), REASON_NONE);
        memcpy(params, back, sizeof params);
    }
    for (size_t i = 0; i < COUNT; i++)
        cr_assert_float_eq(params[i], 1 + ROUNDS * 1e-4F, 1e-3, "value %zu is %g", i,
                           (double)params[i]);
    payload_close(&payload);
}

Test(payload, rounding_of_tasks_depends_on_seed_and_round_alone)
{
    float a[COUNT], b[COUNT], c[COUNT];
    uint32_t coding;
    begin("fp32", "int8", false);
    give_out(1);
    receive(coding_known(), a, &coding);
    give_out(2);
    receive(coding_known(), b, &coding);
    give_out(1);
    receive(coding_known(), c, &coding);
    cr_expect_arr_eq(a, c, sizeof a);
    cr_expect_neq(memcmp(a, b, sizeof a), 0);
    payload_close(&payload);
}

Test(payload, updates_in_other_encodings_are_refused)
{
    static const unsigned char zero[4 * COUNT + 16];
    float back[COUNT];
    for (int zstd = 0; zstd < 2; zstd++) {
        begin("int8", "fp32", zstd);
        give_out(0);
        for (uint32_t coding = 0; coding < 70; coding++) {
            const struct codec *codec = coding_codec(coding);
            size_t len = coding % CODING_ZSTD == 3  ? COUNT + 8
                         : coding % CODING_ZSTD < 1 ? 4 * COUNT
                                                    : 2 * COUNT;
            bool good = codec != NULL && (coding == 0 || coding == 3);
            cr_expect_eq(read_update(coding, zero, len, back), good ? REASON_NONE : REASON_SHAPE,
                         "coding %u, zstd %d", coding, zstd);
            cr_expect_eq(read_update(coding, zero, len + 1, back), REASON_SHAPE);
            cr_expect_eq(read_update(coding, zero, 0, back), REASON_SHAPE);
        }
        payload_close(&payload);
    }
}

/* Good zstd, in a run that has it and in one that has not. */
Test(payload, zstd_needs_the_run_to_say_so)
{
    float back[COUNT], client[COUNT];
    unsigned char bytes[4 * COUNT + 64];
    for (int zstd = 0; zstd < 2; zstd++) {
        struct coder *c;
        uint32_t coding = CODING_ZSTD;
        begin("fp32", "fp32", zstd);
        give_out(0);
        memcpy(client, params, sizeof client);
        client[5] += 1;
        cr_assert_eq(coder_open(&c, COUNT, NULL), 0);
        const struct coder_job job = {.values = (unsigned char *)client, .base = payload.plain};
        size_t len = coder_encode(c, &coding, &job, bytes);
        coder_close(c);
        cr_assert_eq(coding, CODING_ZSTD);
        cr_assert_lt(len, 100);
        cr_assert_eq(read_update(coding, bytes, len, back), zstd ? REASON_NONE : REASON_SHAPE);
        if (zstd)
            cr_assert_arr_eq(back, client, sizeof client);
        payload_close(&payload);
    }
}

Test(payload, settings_without_meaning_are_refused)
{
    struct err e;
    spec = (struct federation_spec){.upload = (char *)(uintptr_t) "gzip"};
    cr_expect_eq(payload_open(&payload, &spec, COUNT, &e), ERR_CONFIG);
    spec = (struct federation_spec){.download = (char *)(uintptr_t) "topk"};
    cr_expect_eq(payload_open(&payload, &spec, COUNT, &e), ERR_CONFIG);
    payload_close(&payload);
}
