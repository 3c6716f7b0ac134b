/* Groups aggregation, krum and wire: what a server does with an update once it has it, and how it
 * gets there. Updates are of LoRA r = 8 on MiniLM's shape, and of a dozen times as many values. */
#include "bench.h"
#include "measure.h"
#include "net/openssl.h"
#include "server/aggregate.h"
#include "sim/wire.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LORA = 74498, LARGE = 900000, CLIENTS = 10 };
static const size_t sizes[] = {LORA, LARGE};
enum { SIZES = sizeof sizes / sizeof *sizes };

static void fill(float *x, size_t n, size_t seed)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)((i * 7919 + seed * 104729) % 2001) * 1e-4F - 0.1F;
}

/* --- aggregation --- */

struct sum {
    struct aggregate how;
    const float *base, *update;
    float *x;
    size_t clients;
    struct err *e;
    int rc;
};

static void aggregate_round(void *ctx)
{
    struct sum *s = ctx;
    aggregate_reset(&s->how);
    for (size_t k = 0; !s->rc && k < s->clients; k++) {
        memcpy(s->x, s->update, s->how.n * sizeof *s->x); /* `prepare` changes it */
        aggregate_prepare(&s->how, s->base, s->x);
        s->rc = aggregate_add(&s->how, k, s->x, 1 + k, s->e);
    }
    if (!s->rc)
        s->rc = aggregate_finish(&s->how, s->x, s->e);
}

static int report_aggregator(const struct bench *b, enum aggregation kind, size_t n, struct err *e)
{
    const struct federation_spec f = {.clients = CLIENTS,
                                      .per_round = CLIENTS,
                                      .aggregator = kind,
                                      .clip_norm = 1,
                                      .byzantine = 2,
                                      .krum_keep = 1};
    float *memory = malloc(3 * n * sizeof *memory);
    struct sum s = {.base = memory, .update = memory + n, .clients = CLIENTS, .e = e};
    char shape[64];
    if (!memory)
        return err_set(e, ERR_NOMEM, "no memory for updates of %zu values", n);
    fill(memory, n, 1);
    fill(memory + n, n, 2);
    s.x = memory + 2 * n;
    s.rc = aggregate_open(&s.how, &f, n, e);
    if (!s.rc) {
        double seconds = measure_least(aggregate_round, &s), bytes = 4.0 * (double)n * CLIENTS;
        snprintf(shape, sizeof shape, "%d x %zu", CLIENTS, n);
        if (!s.rc)
            bench_print(b, &(struct bench_row){.group = "aggregate",
                                               .name = s.how.how->name,
                                               .shape = shape,
                                               .seconds = seconds,
                                               .work = bytes,
                                               .unit = BENCH_BYTES,
                                               .ceiling = measure_copy(bytes)});
    }
    aggregate_close(&s.how);
    free(memory);
    return s.rc;
}

static int run_aggregation(const struct bench *b, struct err *e)
{
    int rc = 0;
    for (int i = 0; i < SIZES; i++)
        for (int kind = 0; !rc && kind <= AGGREGATION_KRUM; kind++)
            rc = report_aggregator(b, (enum aggregation)kind, sizes[i], e);
    return rc;
}

/* --- krum: what a worker thread computes when the round is closed --- */

static void finish_round(void *ctx)
{
    struct sum *s = ctx;
    if (!s->rc)
        s->rc = aggregate_finish(&s->how, s->x, s->e);
}

/* The largest takes so long that once is enough. */
static double time_krum(struct sum *s)
{
    if (s->clients < 1000)
        return measure_least(finish_round, s);
    double begin = measure_now();
    finish_round(s);
    return measure_now() - begin;
}

static int report_krum(const struct bench *b, uint32_t clients, struct err *e)
{
    const struct federation_spec f = {.clients = clients,
                                      .per_round = clients,
                                      .aggregator = AGGREGATION_KRUM,
                                      .byzantine = clients / 5,
                                      .krum_keep = 1};
    struct sum s = {.x = malloc(LORA * sizeof *s.x), .clients = clients, .e = e};
    char shape[64];
    if (!s.x)
        return err_set(e, ERR_NOMEM, "no memory for an update of %d values", LORA);
    s.rc = aggregate_open(&s.how, &f, LORA, e);
    for (size_t k = 0; !s.rc && k < clients; k++) {
        fill(s.x, LORA, k);
        s.rc = aggregate_add(&s.how, k, s.x, 1, e);
    }
    if (!s.rc) {
        double seconds = time_krum(&s), pairs = 0.5 * clients * (clients - 1);
        snprintf(shape, sizeof shape, "%u x %d", clients, LORA);
        if (!s.rc)
            bench_print(b, &(struct bench_row){.group = "krum",
                                               .name = "distances, choice",
                                               .shape = shape,
                                               .seconds = seconds,
                                               .work = 3 * pairs * LORA,
                                               .unit = BENCH_FLOPS});
    }
    aggregate_close(&s.how);
    free(s.x);
    return s.rc;
}

static int run_krum(const struct bench *b, struct err *e)
{
    int rc = 0;
    for (uint32_t clients = 10; !rc && clients <= 1000; clients *= 10)
        rc = report_krum(b, clients, e);
    return rc;
}

/* --- wire --- */

struct road {
    struct wire *wire;
    const struct msg *msg;
    size_t arrived;
    struct err *e;
    int rc;
};

static void arrive(void *ctx, const struct msg *m)
{
    struct road *r = ctx;
    r->arrived += m->task.params.len;
}

static void carry(void *ctx)
{
    struct road *r = ctx;
    if (!r->rc)
        r->rc = wire_carry(r->wire, WIRE_SERVER, r->msg, arrive, r, r->e);
}

struct seal {
    EVP_CIPHER_CTX *cipher;
    unsigned char *text;
    size_t len;
    bool ok;
};

/* As TLS 1.3 does it: records of 16 KiB, each sealed and opened by a key and a nonce. */
static void seal_records(void *ctx)
{
    enum { RECORD = 16 << 10, TAG = 16 };
    static const unsigned char key[32], nonce[12];
    unsigned char tag[TAG];
    struct seal *s = ctx;
    for (size_t at = 0; s->ok && at < s->len; at += RECORD) {
        int n = (int)(s->len - at < RECORD ? s->len - at : RECORD), out;
        for (int sealing = 1; s->ok && sealing >= 0; sealing--)
            s->ok = EVP_CipherInit_ex(s->cipher, EVP_aes_256_gcm(), NULL, key, nonce, sealing) &&
                    (sealing || EVP_CIPHER_CTX_ctrl(s->cipher, EVP_CTRL_AEAD_SET_TAG, TAG, tag)) &&
                    EVP_CipherUpdate(s->cipher, s->text + at, &out, s->text + at, n) &&
                    EVP_CipherFinal_ex(s->cipher, s->text + at + out, &out) &&
                    (!sealing || EVP_CIPHER_CTX_ctrl(s->cipher, EVP_CTRL_AEAD_GET_TAG, TAG, tag));
    }
}

/* Bytes a second that one core seals and opens; 0: it cannot be measured. */
static double measure_seal(size_t len)
{
    struct seal s = {.cipher = EVP_CIPHER_CTX_new(), .text = calloc(1, len + 1), .len = len};
    s.ok = s.cipher && s.text;
    double seconds = measure_least(seal_records, &s);
    EVP_CIPHER_CTX_free(s.cipher);
    free(s.text);
    return s.ok ? (double)len / seconds : 0;
}

static int report_wire(const struct bench *b, enum wire_depth depth, struct trust *trust, size_t n,
                       struct err *e)
{
    float *params = malloc(n * sizeof *params);
    if (!params)
        return err_set(e, ERR_NOMEM, "no memory for a task of %zu values", n);
    fill(params, n, 3);
    const size_t len = n * sizeof *params;
    const struct msg m = {
        .type = MSG_TASK,
        .task = {.run_id = "0123456789abcdef", .params = {(unsigned char *)params, len}}};
    struct road r = {.msg = &m, .e = e};
    r.rc = wire_open(&r.wire, depth, trust, "client-0000", n, e);
    if (!r.rc) {
        double seconds = measure_least(carry, &r);
        bool tls = depth == WIRE_TLS;
        char shape[64];
        snprintf(shape, sizeof shape, "%zu", n);
        if (!r.rc)
            bench_print(b, &(struct bench_row){.group = "wire",
                                               .name = tls ? "a task, over TLS" : "a task, framed",
                                               .shape = shape,
                                               .seconds = seconds,
                                               .work = (double)len,
                                               .unit = BENCH_BYTES,
                                               .ceiling = tls ? measure_seal(len)
                                                              : measure_copy((double)len)});
    }
    wire_close(r.wire);
    free(params);
    return r.rc;
}

static int run_wire(const struct bench *b, struct err *e)
{
    struct trust *trust = NULL;
    int rc = trust_open(&trust, e);
    for (int i = 0; i < SIZES; i++) {
        if (!rc)
            rc = report_wire(b, WIRE_PROTO, NULL, sizes[i], e);
        if (!rc)
            rc = report_wire(b, WIRE_TLS, trust, sizes[i], e);
    }
    trust_close(trust);
    return rc;
}

const struct bench_group bench_aggregation = {
    .name = "aggregation", .what = "ten updates into new parameters", .run = run_aggregation};
const struct bench_group bench_krum = {
    .name = "krum", .what = "a round's result by krum, from its updates", .run = run_krum};
const struct bench_group bench_wire = {
    .name = "wire", .what = "a task from the server's memory to the client's", .run = run_wire};
