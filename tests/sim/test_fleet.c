/* The same experiment through every in-process depth of the wire and any number of threads, for
 * every method of the registry and every way to train and to average: the same bits. */
#include "base/rng.h"
#include "sim/fleet.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { EXAMPLES = 96, CLIENTS = 12, PER_ROUND = 4, ROUNDS = 3, TOKENS = 6 };

/* A tiny model, toy data that can be learned (the label is whether token 7 occurs), a method. */
struct world {
    struct model *model;
    struct peft *peft;
    struct run_spec spec;
    struct dataset data;
    struct partition partition;
    int32_t id[EXAMPLES][TOKENS], type[EXAMPLES][TOKENS];
    uint32_t commits;
    size_t contributions;
    uint64_t up, down;
    struct hash last;
};

/* What differs from the plain run: FedAvg, each round on its own. */
struct variant {
    const char *name;
    void (*set)(struct run_spec *s);
};

static void use_proximal(struct run_spec *s)
{
    s->local.proximal = 0.5;
}

static void use_decay(struct run_spec *s)
{
    s->local.decay_over_run = true;
    s->local.warmup = 0.1;
}

static void use_carry(struct run_spec *s)
{
    s->local.carry_optimizer = true;
}

static void use_scaffold(struct run_spec *s)
{
    s->federation.scaffold = true;
}

static void use_scaffold_sgd(struct run_spec *s)
{
    s->federation.scaffold = true;
    s->local.optimizer = OPTIMIZER_SGD;
    s->local.lr = 0.1;
}

static void use_fedadam(struct run_spec *s)
{
    s->federation.optimizer = SERVER_FEDADAM;
    s->federation.server_lr = 0.01;
    s->federation.server_beta1 = 0.9;
    s->federation.server_beta2 = 0.99;
    s->federation.server_tau = 1e-3;
}

static void use_encodings(struct run_spec *s, const char *upload, const char *download, bool zstd)
{
    s->federation.upload = (char *)(uintptr_t)upload;
    s->federation.download = (char *)(uintptr_t)download;
    s->federation.zstd = zstd;
    s->federation.top_k = 0.1;
}

static void use_fp16(struct run_spec *s)
{
    use_encodings(s, "fp16", "fp32", false);
}

static void use_bf16_down(struct run_spec *s)
{
    use_encodings(s, "fp32", "bf16", false);
}

static void use_int8(struct run_spec *s)
{
    use_encodings(s, "int8", "fp16", true);
}

static void use_int8_down(struct run_spec *s)
{
    use_encodings(s, "int8", "int8", false);
}

static void use_topk(struct run_spec *s)
{
    use_encodings(s, "topk", "fp32", true);
}

static void use_zstd(struct run_spec *s)
{
    use_encodings(s, "fp32", "fp32", true);
}

static void use_clipped_mean(struct run_spec *s)
{
    s->federation.aggregator = AGGREGATION_CLIPPED_MEAN;
    s->federation.clip_norm = 0.01;
}

static void use_median(struct run_spec *s)
{
    s->federation.aggregator = AGGREGATION_MEDIAN;
}

/* Of four updates, without an optimiser, this would be the median. */
static void use_trimmed_mean(struct run_spec *s)
{
    use_fedadam(s);
    s->federation.aggregator = AGGREGATION_TRIMMED_MEAN;
    s->federation.byzantine = 1;
}

static void use_krum(struct run_spec *s)
{
    s->federation.aggregator = AGGREGATION_KRUM;
    s->federation.krum_keep = 1;
}

static void use_over_select(struct run_spec *s)
{
    s->federation.over_select = 2;
}

/* What a client keeps must be what counted. */
static void use_over_select_scaffold(struct run_spec *s)
{
    use_over_select(s);
    s->federation.scaffold = true;
    s->local.carry_optimizer = true;
}

static void use_over_select_topk(struct run_spec *s)
{
    use_over_select(s);
    use_encodings(s, "topk", "fp16", true);
}

static void use_over_select_krum(struct run_spec *s)
{
    use_over_select(s);
    use_krum(s);
}

static void use_async(struct run_spec *s)
{
    s->federation.mode = MODE_ASYNC;
    s->federation.concurrency = 7;
    s->federation.max_staleness = 3;
}

static void use_async_int8_fedadam(struct run_spec *s)
{
    use_fedadam(s);
    use_encodings(s, "int8", "fp16", true);
    use_async(s);
}

static void use_async_clipped(struct run_spec *s)
{
    use_clipped_mean(s);
    use_async(s);
}

static void use_all(struct run_spec *s)
{
    use_proximal(s);
    use_decay(s);
    use_carry(s);
    use_scaffold(s);
    use_fedadam(s);
}

static void use_all_topk(struct run_spec *s)
{
    use_all(s);
    use_encodings(s, "topk", "fp16", true);
}

static const struct variant variants[] = {
    {"proximal", use_proximal},
    {"decay_over_run", use_decay},
    {"carry_optimizer", use_carry},
    {"scaffold", use_scaffold},
    {"scaffold, sgd", use_scaffold_sgd},
    {"fedadam", use_fedadam},
    {"clipped mean", use_clipped_mean},
    {"median", use_median},
    {"trimmed mean, fedadam", use_trimmed_mean},
    {"krum", use_krum},
    {"all together", use_all},
    {"fp16 up", use_fp16},
    {"bf16 down", use_bf16_down},
    {"int8 up, zstd", use_int8},
    {"int8", use_int8_down},
    {"topk", use_topk},
    {"all together, topk", use_all_topk},
    {"over-selection", use_over_select},
    {"over-selection, scaffold and moments", use_over_select_scaffold},
    {"over-selection, topk", use_over_select_topk},
    {"over-selection, krum", use_over_select_krum},
    {"asynchronous", use_async},
    {"asynchronous, int8, fedadam", use_async_int8_fedadam},
    {"asynchronous, clipped mean", use_async_clipped},
};
enum { VARIANTS = sizeof variants / sizeof *variants };
static const struct variant plain = {"plain", NULL};

static void world_open(struct world *w, const char *method, const struct variant *v)
{
    struct err e;
    memset(w, 0, sizeof *w);
    w->spec = (struct run_spec){
        .task = {.name = (char *)"text", .n_labels = 2},
        .peft = {.method = (char *)(uintptr_t)method,
                 .r = 4,
                 .alpha = 8,
                 .dropout = 0.1,
                 .targets = 1u << LIN_QUERY | 1u << LIN_VALUE,
                 .bottleneck = 4,
                 .length = 3,
                 .hidden = 5,
                 .shift = true},
        .local = {.epochs = 2,
                  .batch_size = 3,
                  .accumulate = 1,
                  .max_length = 16,
                  .lr = 1e-2,
                  .beta1 = 0.9,
                  .beta2 = 0.999,
                  .eps = 1e-8,
                  .max_grad_norm = 1,
                  .model_dropout = 0.1},
        .federation = {.clients = CLIENTS,
                       .per_round = PER_ROUND,
                       .rounds = ROUNDS,
                       .deadline_s = 60,
                       .partition = PARTITION_DIRICHLET,
                       .alpha = 1,
                       .weighted = true,
                       .seed = 42},
    };
    if (v->set)
        v->set(&w->spec);
    static const char *const names[] = {"without", "with"};
    w->data = (struct dataset){.label_name = names,
                               .n = EXAMPLES,
                               .n_labels = 2,
                               .example = calloc(EXAMPLES, sizeof *w->data.example)};
    struct rng rng = rng_stream(3, 0, 0, RNG_TEST);
    for (int i = 0; i < EXAMPLES; i++) {
        for (int j = 0; j < TOKENS; j++)
            w->id[i][j] = 10 + (int32_t)rng_below(&rng, 40);
        w->id[i][1] = i % 2 ? 7 : 8;
        w->data.example[i] = (struct example){
            .id = w->id[i], .type = w->type[i], .n_tokens = 2 + i % (TOKENS - 1), .label = i % 2};
    }
    cr_assert_eq(model_open(&w->model, FEDPET_TEST_DIR "/model/golden/bert", &e), 0, "%s", e.text);
    cr_assert_eq(peft_open(&w->peft, w->model, &w->spec.peft, &w->spec.local, HEAD_SEQUENCE, 2, &e),
                 0, "%s", e.text);
    cr_assert_eq(partition_open(&w->partition, &w->data, &w->spec.federation, &e), 0, "%s", e.text);
}

static void world_close(struct world *w)
{
    partition_close(&w->partition);
    peft_close(w->peft);
    model_close(w->model);
    free(w->data.example);
}

static int on_commit(void *ctx, const struct core_commit *c, double *score, struct err *e)
{
    struct world *w = ctx;
    (void)score;
    (void)e;
    cr_expect_eq(c->round, w->commits);
    cr_expect_eq(c->n, PER_ROUND);
    w->commits++;
    w->contributions += c->n;
    for (size_t i = 0; i < c->n; i++) {
        w->up += c->contribution[i].bytes_up;
        w->down += c->contribution[i].bytes_down;
    }
    w->last = c->hash;
    return 0;
}

static struct hash run(const char *method, const struct variant *v, enum wire_depth wire,
                       unsigned threads, uint64_t *up, uint64_t *down)
{
    struct world *w = malloc(sizeof *w);
    struct err e = {0};
    world_open(w, method, v);
    size_t count = peft_schema(w->peft)->count;
    float *theta = malloc(count * sizeof *theta);
    peft_init(w->peft, 42, theta);
    struct hash before = tensorset_hash(peft_schema(w->peft), theta);
    struct fleet_config c = {.spec = &w->spec,
                             .peft = w->peft,
                             .train = &w->data,
                             .partition = &w->partition,
                             .wire = wire,
                             .threads = threads,
                             .committed = on_commit,
                             .ctx = w};
    cr_assert_eq(fleet_run(&c, theta, &e), 0, "%s", e.text);
    struct hash after = tensorset_hash(peft_schema(w->peft), theta);
    cr_assert_eq(w->commits, ROUNDS);
    cr_assert_eq(w->contributions, ROUNDS * PER_ROUND);
    cr_assert_arr_eq(after.byte, w->last.byte, HASH_BYTES);
    cr_assert_neq(memcmp(before.byte, after.byte, HASH_BYTES), 0, "nothing was learned");
    if (up) {
        size_t vectors = w->spec.federation.scaffold ? 2 : 1;
        size_t payload = vectors * 4 * peft_schema(w->peft)->packed * ROUNDS * PER_ROUND;
        if (!w->spec.federation.upload) {
            cr_expect_geq(w->up, payload);
            cr_expect_geq(w->down, payload);
        }
        cr_expect_lt(w->up, payload + ROUNDS * PER_ROUND * 1500,
                     "more than 1500 bytes around an update");
        cr_expect_lt(w->down, payload + ROUNDS * PER_ROUND * 1500);
        *up = w->up;
        *down = w->down;
    }
    free(theta);
    world_close(w);
    free(w);
    return after;
}

static void expect_same(struct hash a, struct hash b, const char *what)
{
    cr_expect_arr_eq(a.byte, b.byte, HASH_BYTES, "%s changes the result", what);
}

static void same_for_any_threads(const char *method, const struct variant *v)
{
    struct hash one = run(method, v, WIRE_NONE, 1, NULL, NULL);
    expect_same(one, run(method, v, WIRE_NONE, 1, NULL, NULL), "repetition");
    expect_same(one, run(method, v, WIRE_NONE, 2, NULL, NULL), "threads = 2");
    expect_same(one, run(method, v, WIRE_NONE, 5, NULL, NULL), "threads = 5");
}

static void same_for_any_wire(const char *method, const struct variant *v)
{
    uint64_t up, down, tls_up, tls_down;
    struct hash none = run(method, v, WIRE_NONE, 2, NULL, NULL);
    expect_same(none, run(method, v, WIRE_PROTO, 2, &up, &down), "--wire proto");
    expect_same(none, run(method, v, WIRE_TLS, 2, &tls_up, &tls_down), "--wire tls");
    cr_expect_gt(tls_up, up, "TLS has a cost");
    cr_expect_gt(tls_down, down);
}

Test(fleet, same_bits_for_any_threads)
{
    for (const struct peft_method *const *m = peft_methods; *m; m++)
        same_for_any_threads((*m)->name, &plain);
}

Test(fleet, same_bits_for_any_wire)
{
    for (const struct peft_method *const *m = peft_methods; *m; m++)
        same_for_any_wire((*m)->name, &plain);
}

Test(fleet, same_bits_for_every_way_to_train_and_average)
{
    for (int k = 0; k < VARIANTS; k++) {
        same_for_any_threads("lora", &variants[k]);
        same_for_any_wire("lora", &variants[k]);
    }
}

Test(fleet, every_way_to_train_and_average_is_another)
{
    struct hash result[VARIANTS + 1];
    result[VARIANTS] = run("lora", &plain, WIRE_NONE, 2, NULL, NULL);
    for (int k = 0; k < VARIANTS; k++)
        result[k] = run("lora", &variants[k], WIRE_NONE, 2, NULL, NULL);
    for (int k = 0; k < VARIANTS; k++)
        for (int i = k + 1; i <= VARIANTS; i++)
            cr_expect_not(hash_same(&result[k], &result[i]), "%s does nothing", variants[k].name);
}

Test(fleet, lossless_is_lossless)
{
    static const struct variant zstd = {"zstd", use_zstd};
    uint64_t up, down, plain_up, plain_down;
    for (const struct peft_method *const *m = peft_methods; *m; m++) {
        struct hash want = run((*m)->name, &plain, WIRE_PROTO, 2, &plain_up, &plain_down);
        expect_same(want, run((*m)->name, &zstd, WIRE_PROTO, 2, &up, &down), "zstd");
        cr_expect(up <= plain_up && down <= plain_down, "%s: %zu and %zu bytes, plain %zu and %zu",
                  (*m)->name, (size_t)up, (size_t)down, (size_t)plain_up, (size_t)plain_down);
        same_for_any_wire((*m)->name, &zstd);
    }
}

/* Bytes of a round, in shares of what fp32 takes. */
Test(fleet, encodings_save_what_they_promise)
{
    static const struct {
        struct variant variant;
        double up, down;
    } cost[] = {
        {{"fp16 up", use_fp16}, 0.5, 1},
        {{"bf16 down", use_bf16_down}, 1, 0.5},
        {{"int8", use_int8_down}, 0.26, 0.26},
        {{"topk", use_topk}, 0.1, 1},
    };
    uint64_t plain_up, plain_down, up, down;
    run("lora", &plain, WIRE_PROTO, 2, &plain_up, &plain_down);
    double around = ROUNDS * PER_ROUND * 400; /* the rest of a message, and its receipt */
    for (size_t k = 0; k < sizeof cost / sizeof *cost; k++) {
        run("lora", &cost[k].variant, WIRE_PROTO, 2, &up, &down);
        cr_expect_lt((double)up, cost[k].up * (double)plain_up + around, "%s: %zu of %zu",
                     cost[k].variant.name, (size_t)up, (size_t)plain_up);
        cr_expect_lt((double)down, cost[k].down * (double)plain_down + around, "%s: %zu of %zu",
                     cost[k].variant.name, (size_t)down, (size_t)plain_down);
    }
}

static int refuse_commit(void *ctx, const struct core_commit *c, double *score, struct err *e)
{
    (void)ctx;
    (void)c;
    (void)score;
    return err_set(e, ERR_IO, "disk full");
}

Test(fleet, an_error_of_the_caller_ends_the_run)
{
    struct world *w = malloc(sizeof *w);
    struct err e = {0};
    world_open(w, "lora", &plain);
    size_t count = peft_schema(w->peft)->count;
    float *theta = malloc(count * sizeof *theta);
    peft_init(w->peft, 42, theta);
    struct fleet_config c = {.spec = &w->spec,
                             .peft = w->peft,
                             .train = &w->data,
                             .partition = &w->partition,
                             .threads = 2,
                             .committed = refuse_commit,
                             .ctx = w};
    cr_assert_eq(fleet_run(&c, theta, &e), ERR_IO);
    cr_assert_str_eq(e.text, "disk full");
    atomic_bool cancel = true;
    c.committed = on_commit;
    c.cancel = &cancel;
    cr_assert_eq(fleet_run(&c, theta, &e), ERR_STATE);
    cr_assert(strstr(e.text, "interrupted"), "%s", e.text);
    free(theta);
    world_close(w);
    free(w);
}
