/* Group training: whole steps and evaluation, by method and lengths of texts, on MiniLM's shape;
 * and LoRA on RoBERTa-base's. */
#include "bench.h"
#include "client/train.h"
#include "measure.h"
#include "work.h"
#include <stdio.h>
#include <stdlib.h>

enum { STEPS = 4 };

struct task {
    const char *shape, *lengths, *dir;
    const struct work_method *method;
    enum memory_mode memory;
};

struct call {
    struct trainer *trainer;
    struct train_job job;
    struct dataset *data;
    float *theta;
    struct err *e;
    uint64_t tokens; /* of a call */
    int rc;
};

static void fit(void *ctx)
{
    struct call *c = ctx;
    struct train_result r;
    if (!c->rc)
        c->rc = trainer_fit(c->trainer, &c->job, c->theta, &r, c->e);
    if (!c->rc)
        c->tokens = r.tokens;
}

static void evaluate(void *ctx)
{
    struct call *c = ctx;
    size_t n = STEPS * WORK_BATCH;
    c->tokens = 0;
    uint32_t index[STEPS * WORK_BATCH];
    for (size_t i = 0; i < n; i++) {
        index[i] = (uint32_t)i;
        c->tokens += (uint64_t)c->data->example[i].n_tokens;
    }
    if (!c->rc)
        c->rc = trainer_eval(
            c->trainer,
            &(struct eval_job){
                .peft = c->job.peft, .data = c->data, .index = index, .n = n, .theta = c->theta},
            NULL, NULL, NULL, c->e);
}

static void report(const struct bench *b, const struct task *t, struct call *c, bool training)
{
    const struct model_config *cfg = &peft_model(c->job.peft)->cfg;
    double seconds = measure_least(training ? fit : evaluate, c), all = 0;
    if (c->rc)
        return;
    for (size_t i = 0; i < c->data->n; i++)
        all += c->data->example[i].n_tokens;
    char name[64], shape[64];
    snprintf(name, sizeof name, "%s, %s%s", t->method->name, training ? "step" : "evaluation",
             t->memory == MEMORY_MIN    ? ", memory: min"
             : t->memory == MEMORY_HALF ? ", memory: half"
                                        : "");
    snprintf(shape, sizeof shape, "%s, %s", t->shape, t->lengths);
    bench_print(b, &(struct bench_row){.group = "training",
                                       .name = name,
                                       .shape = shape,
                                       .seconds = seconds / STEPS,
                                       .work = work_flops(cfg, c->data, t->method, training) *
                                               (double)c->tokens / all / STEPS,
                                       .unit = BENCH_FLOPS,
                                       .ceiling = work_gemm_rate(cfg)});
}

static int measure(const struct bench *b, const struct task *t, const struct peft *peft,
                   struct dataset *d, const struct local_spec *local, struct err *e)
{
    const struct memory memory = {.mode = t->memory};
    struct call c = {.data = d, .e = e};
    c.job = (struct train_job){.peft = peft, .data = d, .n = d->n, .local = local, .seed = 1};
    c.theta = malloc(peft_schema(peft)->count * sizeof *c.theta);
    c.rc = c.theta ? trainer_open(&c.trainer, 1, &memory, e)
                   : err_set(e, ERR_NOMEM, "no memory for the parameters");
    if (!c.rc) {
        peft_init(peft, 1, c.theta);
        if (t->memory == MEMORY_FAST)
            report(b, t, &c, false);
        report(b, t, &c, true);
    }
    trainer_close(c.trainer);
    free(c.theta);
    return c.rc;
}

static int piece(const struct bench *b, void *ctx, struct err *e)
{
    const struct task *t = ctx;
    struct local_spec local = work_local(STEPS);
    struct model *m = NULL;
    struct peft *peft = NULL;
    struct dataset d = {0};
    arena_init(&d.mem, ARENA_NO_CAP);
    int rc = model_open(&m, t->dir, e);
    if (!rc)
        rc = work_data(&d, t->dir, m->cfg.vocab, e);
    if (!rc)
        rc = peft_open(&peft, m, &t->method->spec, &local, HEAD_SEQUENCE, d.n_labels, e);
    if (!rc)
        rc = measure(b, t, peft, &d, &local, e);
    peft_close(peft);
    arena_release(&d.mem);
    model_close(m);
    return rc;
}

static int run_shape(const struct bench *b, struct task *t, int methods, struct err *e)
{
    int rc = work_make(t->shape, t->lengths, STORED_REAL, b->dir, e);
    t->dir = b->dir;
    for (int m = 0; !rc && m < methods; m++) {
        t->method = &work_methods[m];
        t->memory = MEMORY_FAST;
        rc = bench_apart(piece, b, t, e);
    }
    t->method = &work_methods[0];
    t->memory = MEMORY_HALF;
    if (!rc)
        rc = bench_apart(piece, b, t, e);
    t->memory = MEMORY_MIN;
    return rc ? rc : bench_apart(piece, b, t, e);
}

static int run(const struct bench *b, struct err *e)
{
    struct task pairs = {.shape = "minilm", .lengths = "pairs"};
    struct task full = {.shape = "minilm", .lengths = "full"};
    struct task base = {.shape = "roberta-base", .lengths = "pairs"};
    int rc = run_shape(b, &pairs, WORK_METHODS, e);
    if (!rc)
        rc = run_shape(b, &full, 1, e);
    return rc ? rc : run_shape(b, &base, 1, e);
}

const struct bench_group bench_training = {
    .name = "training", .what = "whole steps and evaluation", .run = run};
