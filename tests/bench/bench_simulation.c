/* Group simulation: rounds of a simulated federation, LoRA on MiniLM's shape and sentence pairs,
 * ten clients a round with a batch of eight each: by population, wire and threads. Set against
 * sgemm, so that what is no training shows, and so does a thread that waits. */
#include "bench.h"
#include "measure.h"
#include "sim/fleet.h"
#include "work.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { PER_ROUND = 10, ROUNDS = 4, BATCH = 8 };

struct federation {
    uint32_t clients;
    enum wire_depth wire;
    const char *wire_name;
    unsigned threads;
};

static const struct federation federations[] = {
    {100, WIRE_NONE, "none", 1},   {100, WIRE_PROTO, "proto", 1},   {100, WIRE_TLS, "tls", 1},
    {100, WIRE_PROTO, "proto", 2}, {10000, WIRE_PROTO, "proto", 1},
};

struct piece {
    const struct federation *federation;
    uint64_t samples; /* trained on, each once */
};

/* The examples of `few` again and again, so that each client has a batch of its own. */
static int repeat(struct dataset *d, const struct dataset *few, size_t n, struct err *e)
{
    *d = *few;
    d->n = n;
    d->example = malloc(n * sizeof *d->example);
    if (!d->example)
        return err_set(e, ERR_NOMEM, "no memory for %zu examples", n);
    for (size_t i = 0; i < n; i++)
        d->example[i] = few->example[i % few->n];
    return 0;
}

static int count(void *ctx, const struct core_commit *c, double *score, struct err *e)
{
    (void)score, (void)e;
    ((struct piece *)ctx)->samples += c->samples;
    return 0;
}

static double by_the_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* One thread is timed by the processor; several by the clock, times their number: the processor
 * time that they were there for. */
static double seconds_of(const struct fleet_config *c, float *theta, struct err *e, int *rc)
{
    const double clock = by_the_clock(), processor = measure_now();
    *rc = fleet_run(c, theta, e);
    return c->threads == 1 ? measure_now() - processor : (by_the_clock() - clock) * c->threads;
}

static int measure(const struct bench *b, struct piece *p, const struct model_config *cfg,
                   struct fleet_config *c, const struct dataset *few, struct err *e)
{
    const struct federation *f = p->federation;
    const struct schema *schema = peft_schema(c->peft);
    char name[64], shape[64];
    int rc = 0;
    float *theta = malloc(schema->count * sizeof *theta);
    if (!theta)
        return err_set(e, ERR_NOMEM, "no memory for the parameters");
    peft_init(c->peft, 1, theta);
    double seconds = seconds_of(c, theta, e, &rc);
    free(theta);
    if (rc)
        return rc;
    snprintf(name, sizeof name, "%s, %u thread%s", f->wire_name, f->threads,
             f->threads > 1 ? "s" : "");
    snprintf(shape, sizeof shape, "minilm, %u clients", f->clients);
    double passes = (double)p->samples / (double)few->n;
    double flops = work_flops(cfg, few, &work_methods[0], true) * passes;
    bench_print(b, &(struct bench_row){.group = "simulate",
                                       .name = name,
                                       .shape = shape,
                                       .seconds = seconds / ROUNDS,
                                       .work = flops / ROUNDS,
                                       .unit = BENCH_FLOPS,
                                       .ceiling = work_gemm_rate(cfg)});
    return 0;
}

static int with_partition(const struct bench *b, struct piece *p, const struct model *m,
                          const struct dataset *few, struct err *e)
{
    const struct federation *f = p->federation;
    struct run_spec spec = {.task = {.name = (char[]){"text"}, .n_labels = few->n_labels},
                            .peft = work_methods[0].spec,
                            .local = work_local(0)};
    struct dataset data = {0};
    struct partition partition = {0};
    struct peft *peft = NULL;
    spec.local.epochs = 1;
    spec.local.batch_size = BATCH;
    spec.federation = (struct federation_spec){.clients = f->clients,
                                               .per_round = PER_ROUND,
                                               .rounds = ROUNDS,
                                               .deadline_s = 3600,
                                               .weighted = true,
                                               .evaluate_every = 1,
                                               .seed = 1};
    int rc = repeat(&data, few, (size_t)f->clients * BATCH, e);
    if (!rc)
        rc = partition_open(&partition, &data, &spec.federation, e);
    if (!rc)
        rc = peft_open(&peft, m, &spec.peft, &spec.local, HEAD_SEQUENCE, data.n_labels, e);
    if (!rc)
        rc = measure(b, p, &m->cfg,
                     &(struct fleet_config){.spec = &spec,
                                            .peft = peft,
                                            .train = &data,
                                            .partition = &partition,
                                            .wire = f->wire,
                                            .threads = f->threads,
                                            .committed = count,
                                            .ctx = p},
                     few, e);
    peft_close(peft);
    partition_close(&partition);
    free(data.example);
    return rc;
}

static int piece(const struct bench *b, void *ctx, struct err *e)
{
    struct model *m = NULL;
    struct dataset few = {0};
    arena_init(&few.mem, ARENA_NO_CAP);
    int rc = model_open(&m, b->dir, e);
    if (!rc)
        rc = work_data(&few, b->dir, m->cfg.vocab, e);
    if (!rc)
        rc = with_partition(b, ctx, m, &few, e);
    arena_release(&few.mem);
    model_close(m);
    return rc;
}

static int run(const struct bench *b, struct err *e)
{
    int rc = work_make("minilm", "pairs", STORED_REAL, b->dir, e);
    for (size_t i = 0; !rc && i < sizeof federations / sizeof *federations; i++)
        rc = bench_apart(piece, b, &(struct piece){.federation = &federations[i]}, e);
    return rc;
}

const struct bench_group bench_simulation = {
    .name = "simulation", .what = "rounds of a simulated federation", .run = run};
