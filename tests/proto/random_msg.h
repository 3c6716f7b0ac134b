/* Random valid messages of every type, and field-by-field equality: what the tests of this folder
 * share. */
#ifndef TESTS_PROTO_RANDOM_MSG_H
#define TESTS_PROTO_RANDOM_MSG_H

#include "base/rng.h"
#include "proto/msg.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PARAMS = 300 };

/* ---- random messages ----------------------------------------------------------------------- */

/* Memory for what a random message points at. */
struct maker {
    struct rng rng;
    struct arena mem;
};

static inline void maker_init(struct maker *m, uint64_t seed)
{
    m->rng = rng_stream(seed, 0, 0, RNG_TEST);
    arena_init(&m->mem, ARENA_NO_CAP);
}

static inline char *random_text(struct maker *m, size_t min, size_t max)
{
    static const char *const letters[] = {
        "a", "Z", "0", " ", "-", "/", "\"", "é", "ß", "中", "𝄞", "\xc2\xa0", "\xf4\x8f\xbf\xbf"};
    size_t want = min + rng_below(&m->rng, (uint32_t)(max - min + 1)), n = 0;
    char *s = arena_alloc(&m->mem, want + 1);
    while (n < want) {
        const char *c = letters[rng_below(&m->rng, sizeof letters / sizeof *letters)];
        if (n + strlen(c) > want)
            c = "x";
        memcpy(s + n, c, strlen(c));
        n += strlen(c);
    }
    s[n] = '\0';
    return s;
}

static inline char *maybe(struct maker *m)
{
    return rng_below(&m->rng, 2) ? random_text(m, 1, MSG_MAX_TEXT) : NULL;
}

static inline char *random_run(struct maker *m)
{
    return arena_printf(&m->mem, "%08x%08x", rng_u32(&m->rng), rng_u32(&m->rng));
}

static inline struct hash random_hash(struct maker *m)
{
    uint32_t v = rng_u32(&m->rng);
    return hash_of(&v, sizeof v);
}

static inline uint64_t random_u64(struct maker *m)
{
    return ((uint64_t)rng_u32(&m->rng) << 32 | rng_u32(&m->rng)) >> rng_below(&m->rng, 64);
}

static inline uint32_t below(struct maker *m, uint32_t n)
{
    return rng_below(&m->rng, n);
}

static inline struct msg_bytes random_params(struct maker *m)
{
    size_t n = 4 * (1 + (size_t)below(m, MAX_PARAMS));
    unsigned char *b = arena_alloc(&m->mem, n);
    for (size_t i = 0; i < n; i++)
        b[i] = (unsigned char)rng_u32(&m->rng);
    return (struct msg_bytes){b, n};
}

static inline struct msg_bytes random_control(struct maker *m)
{
    return below(m, 2) ? random_params(m) : (struct msg_bytes){0};
}

static inline struct task_spec random_task_spec(struct maker *m)
{
    struct task_spec t = {.name = random_text(m, 1, 64),
                          .text = maybe(m),
                          .text_pair = maybe(m),
                          .label = maybe(m),
                          .metric = maybe(m),
                          .splits = (enum splits)below(m, 2)};
    t.n_labels = below(m, 4);
    if (t.n_labels < 2)
        return t;
    t.labels = arena_alloc(&m->mem, t.n_labels * sizeof *t.labels);
    for (uint32_t i = 0; i < t.n_labels; i++)
        t.labels[i] = random_text(m, 1, 40);
    return t;
}

static inline struct local_spec random_local_spec(struct maker *m)
{
    return (struct local_spec){
        .epochs = 1 + below(m, 1000000),
        .steps = below(m, 1000),
        .batch_size = 1 + below(m, 65536),
        .accumulate = 1 + below(m, 65536),
        .max_length = 3 + below(m, 65534),
        .optimizer = (enum optimizer)below(m, 3),
        .schedule = (enum lr_schedule)below(m, 2),
        .lr = rng_uniform(&m->rng),
        .weight_decay = rng_uniform(&m->rng),
        .beta1 = rng_uniform(&m->rng),
        .beta2 = rng_uniform(&m->rng),
        .eps = rng_uniform(&m->rng),
        .warmup = rng_uniform(&m->rng),
        .max_grad_norm = rng_uniform(&m->rng),
        .model_dropout = below(m, 2) ? -1 : rng_uniform(&m->rng),
        .proximal = rng_uniform(&m->rng),
        .decay_over_run = below(m, 2),
        .carry_optimizer = below(m, 2),
    };
}

static inline struct peft_spec random_peft_spec(struct maker *m)
{
    return (struct peft_spec){
        .method = random_text(m, 1, 64),
        .norms = below(m, 2),
        .r = 1 + below(m, 1024),
        .alpha = 1e-3 + rng_uniform(&m->rng),
        .dropout = rng_uniform(&m->rng),
        .rslora = below(m, 2),
        .targets = below(m, 1u << LIN_SITES),
        .bottleneck = below(m, 4097),
        .placement = (enum placement)below(m, 4),
        .activation = (enum activation)below(m, 6),
        .scaling = rng_uniform(&m->rng),
        .length = below(m, 1025),
        .hidden = below(m, 65537),
        .shift = below(m, 2),
        .biases = (enum bias_set)below(m, 2),
    };
}

static inline struct federation_spec random_federation_spec(struct maker *m)
{
    return (struct federation_spec){
        .clients = 1 + below(m, 10000000),
        .per_round = 1 + below(m, 10000000),
        .over_select = rng_uniform(&m->rng),
        .mode = (enum round_mode)below(m, 2),
        .concurrency = below(m, 10000001),
        .max_staleness = below(m, 1000001),
        .quorum = below(m, 10000001),
        .rounds = below(m, 1000001),
        .deadline_s = below(m, 604801),
        .partition = (enum partition_kind)below(m, 5),
        .alpha = rng_uniform(&m->rng),
        .column = maybe(m),
        .weighted = below(m, 2),
        .optimizer = (enum server_optimizer)below(m, 5),
        .server_lr = rng_uniform(&m->rng),
        .server_beta1 = rng_uniform(&m->rng),
        .server_beta2 = rng_uniform(&m->rng),
        .server_tau = rng_uniform(&m->rng),
        .scaffold = below(m, 2),
        .aggregator = (enum aggregation)below(m, 5),
        .clip_norm = rng_uniform(&m->rng),
        .byzantine = below(m, 1000001),
        .krum_keep = below(m, 1000001),
        .max_update_norm = rng_uniform(&m->rng),
        .upload = maybe(m),
        .download = maybe(m),
        .zstd = below(m, 2),
        .top_k = rng_uniform(&m->rng),
        .best = below(m, 2),
        .patience = below(m, 1000001),
        .evaluate_every = below(m, 1000001),
        .seed = random_u64(m),
    };
}

static inline char *random_name(struct maker *m)
{
    return arena_printf(&m->mem, "run-%.*s", (int)below(m, SPEC_MAX_NAME - 3), random_run(m));
}

static inline struct msg random_welcome(struct maker *m)
{
    return (struct msg){.welcome = {
                            .protocol = MSG_PROTOCOL,
                            .run_id = random_run(m),
                            .name = below(m, 2) ? random_name(m) : NULL,
                            .spec.task = random_task_spec(m),
                            .spec.peft = random_peft_spec(m),
                            .spec.local = random_local_spec(m),
                            .spec.federation = random_federation_spec(m),
                            .schema = random_hash(m),
                            .model = random_hash(m),
                            .index = rng_u32(&m->rng),
                            .next_round = below(m, 1000001),
                        }};
}

static inline struct msg random_update(struct maker *m)
{
    struct msg u = {.update = {.run_id = random_run(m),
                               .round = below(m, 1000001),
                               .schema = random_hash(m),
                               .update_id = random_hash(m),
                               .samples = random_u64(m),
                               .steps = random_u64(m),
                               .train_loss = rng_normal(&m->rng),
                               .seconds = rng_uniform(&m->rng),
                               .n_metrics = below(m, MSG_MAX_METRICS + 1),
                               .params = random_params(m),
                               .control = random_control(m),
                               .coding = below(m, 2) ? rng_u32(&m->rng) : 0}};
    for (size_t i = 0; i < u.update.n_metrics; i++)
        u.update.metric[i] =
            (struct msg_metric){random_text(m, 1, 64), rng_normal(&m->rng), random_u64(m)};
    if (below(m, 4) == 0) {
        u.update.uploaded = true;
        u.update.params.data = u.update.control.data = NULL;
    }
    return u;
}

static inline struct msg random_runs(struct maker *m)
{
    struct msg r = {.runs = {.n = below(m, MSG_MAX_RUNS + 1)}};
    r.runs.name = arena_calloc(&m->mem, r.runs.n + 1, sizeof *r.runs.name);
    for (size_t i = 0; i < r.runs.n; i++)
        r.runs.name[i] = random_name(m);
    return r;
}

static inline struct msg random_other(struct maker *m, enum msg_type type)
{
    switch (type) {
    case MSG_HELLO:
        return (struct msg){.hello = {1 + below(m, 100), random_text(m, 1, MSG_MAX_TEXT),
                                      below(m, 2) ? random_name(m) : NULL}};
    case MSG_READY:
        return (struct msg){.ready = {random_hash(m), random_hash(m), random_u64(m), random_u64(m),
                                      below(m, 1000001)}};
    case MSG_TASK:
        return (struct msg){.task = {random_run(m), below(m, 1000001), below(m, 604800001),
                                     random_params(m), random_control(m), below(m, 1000001),
                                     rng_u32(&m->rng)}};
    case MSG_RECEIPT:
        return (struct msg){.receipt = {below(m, 1000001), random_hash(m), below(m, 2),
                                        (enum msg_reason)below(m, REASONS),
                                        random_text(m, 0, MSG_MAX_TEXT)}};
    case MSG_FINISH:
        return (struct msg){
            .finish = {random_run(m), below(m, 1000001), random_params(m), below(m, 64)}};
    case MSG_GOODBYE:
        return (struct msg){.goodbye = {(enum msg_reason)below(m, REASONS),
                                        random_text(m, 0, MSG_MAX_TEXT), rng_u32(&m->rng)}};
    case MSG_ENROLL:
        return (struct msg){
            .enroll = {random_text(m, 1, MSG_MAX_TEXT),
                       arena_printf(&m->mem, "-----\n%s\n", random_text(m, 1, 2000))}};
    case MSG_RENEW:
        return (struct msg){.renew = {below(m, 2) ? random_text(m, 1, MSG_MAX_PEM) : NULL}};
    case MSG_PART: {
        struct msg_bytes data = random_control(m); /* or none */
        size_t at = below(m, 1000);
        return (struct msg){.part = {random_run(m), below(m, 1000001), random_hash(m),
                                     at + data.len + 1 + below(m, 1000), at, data}};
    }
    case MSG_PROCEED:
        return (struct msg){.proceed = {random_hash(m), rng_u32(&m->rng)}};
    case MSG_PAUSED:
        return (struct msg){.paused = {(enum msg_pause)below(m, PAUSES)}};
    case MSG_RUNS:
        return random_runs(m);
    case MSG_IDENTITY:
        return (struct msg){.identity = {random_text(m, 1, 64),
                                         arena_printf(&m->mem, "\n%s\n", random_text(m, 1, 2000)),
                                         random_text(m, 1, MSG_MAX_PEM)}};
    default:
        return (struct msg){0};
    }
}

static inline struct msg random_msg(struct maker *m, enum msg_type type)
{
    struct msg r = type == MSG_WELCOME  ? random_welcome(m)
                   : type == MSG_UPDATE ? random_update(m)
                                        : random_other(m, type);
    r.type = type;
    return r;
}

/* ---- comparing ----------------------------------------------------------------------------- */

static inline bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}
static inline bool same_bytes(struct msg_bytes a, struct msg_bytes b)
{
    if (a.len != b.len || !a.data != !b.data)
        return a.len == 0 && b.len == 0;
    return a.len == 0 || !a.data || memcmp(a.data, b.data, a.len) == 0;
}

static inline bool same_peft(const struct peft_spec *p, const struct peft_spec *q)
{
    return same_text(p->method, q->method) && p->norms == q->norms && p->r == q->r &&
           p->alpha == q->alpha && p->dropout == q->dropout && p->rslora == q->rslora &&
           p->targets == q->targets && p->bottleneck == q->bottleneck &&
           p->placement == q->placement && p->activation == q->activation &&
           p->scaling == q->scaling && p->length == q->length && p->hidden == q->hidden &&
           p->shift == q->shift && p->biases == q->biases;
}

static inline bool same_federation(const struct federation_spec *f, const struct federation_spec *g)
{
    return f->clients == g->clients && f->per_round == g->per_round &&
           f->over_select == g->over_select && f->mode == g->mode &&
           f->concurrency == g->concurrency && f->max_staleness == g->max_staleness &&
           f->quorum == g->quorum && f->rounds == g->rounds && f->deadline_s == g->deadline_s &&
           f->partition == g->partition && f->alpha == g->alpha &&
           same_text(f->column, g->column) && f->weighted == g->weighted &&
           f->optimizer == g->optimizer && f->server_lr == g->server_lr &&
           f->server_beta1 == g->server_beta1 && f->server_beta2 == g->server_beta2 &&
           f->server_tau == g->server_tau && f->scaffold == g->scaffold &&
           f->aggregator == g->aggregator && f->clip_norm == g->clip_norm &&
           f->byzantine == g->byzantine && f->krum_keep == g->krum_keep &&
           f->max_update_norm == g->max_update_norm && same_text(f->upload, g->upload) &&
           same_text(f->download, g->download) && f->zstd == g->zstd && f->top_k == g->top_k &&
           f->best == g->best && f->patience == g->patience &&
           f->evaluate_every == g->evaluate_every && f->seed == g->seed;
}

static inline bool same_spec(const struct run_spec *a, const struct run_spec *b)
{
    const struct task_spec *s = &a->task, *t = &b->task;
    bool ok = same_text(s->name, t->name) && same_text(s->text, t->text) &&
              same_text(s->text_pair, t->text_pair) && same_text(s->label, t->label) &&
              same_text(s->metric, t->metric) && s->n_labels == t->n_labels &&
              s->splits == t->splits && !s->labels == !t->labels && !t->data;
    for (uint32_t i = 0; s->labels && i < s->n_labels && ok; i++)
        ok = same_text(s->labels[i], t->labels[i]);
    const struct local_spec *l = &a->local, *k = &b->local;
    ok = ok && l->epochs == k->epochs && l->steps == k->steps && l->batch_size == k->batch_size &&
         l->accumulate == k->accumulate && l->max_length == k->max_length &&
         l->optimizer == k->optimizer && l->schedule == k->schedule && l->lr == k->lr &&
         l->weight_decay == k->weight_decay && l->beta1 == k->beta1 && l->beta2 == k->beta2 &&
         l->eps == k->eps && l->warmup == k->warmup && l->max_grad_norm == k->max_grad_norm &&
         l->model_dropout == k->model_dropout && l->proximal == k->proximal &&
         l->decay_over_run == k->decay_over_run && l->carry_optimizer == k->carry_optimizer;
    return ok && same_peft(&a->peft, &b->peft) && same_federation(&a->federation, &b->federation);
}

static inline bool same_update(const struct msg_update *a, const struct msg_update *b)
{
    bool ok = same_text(a->run_id, b->run_id) && a->round == b->round &&
              hash_same(&a->schema, &b->schema) && hash_same(&a->update_id, &b->update_id) &&
              a->samples == b->samples && a->steps == b->steps && a->train_loss == b->train_loss &&
              a->seconds == b->seconds && a->n_metrics == b->n_metrics &&
              same_bytes(a->params, b->params) && same_bytes(a->control, b->control) &&
              a->coding == b->coding;
    for (size_t i = 0; i < a->n_metrics && ok; i++)
        ok = same_text(a->metric[i].name, b->metric[i].name) &&
             a->metric[i].value == b->metric[i].value && a->metric[i].weight == b->metric[i].weight;
    return ok;
}

static inline bool same_runs(const struct msg_runs *a, const struct msg_runs *b)
{
    bool ok = a->n == b->n;
    for (size_t i = 0; i < a->n && ok; i++)
        ok = same_text(a->name[i], b->name[i]);
    return ok;
}

static inline bool same_welcome(const struct msg_welcome *a, const struct msg_welcome *b)
{
    return a->protocol == b->protocol && same_text(a->run_id, b->run_id) &&
           same_text(a->name, b->name) && same_spec(&a->spec, &b->spec) &&
           hash_same(&a->schema, &b->schema) && hash_same(&a->model, &b->model) &&
           a->index == b->index && a->next_round == b->next_round;
}

static inline bool same_part(const struct msg_part *a, const struct msg_part *b)
{
    return same_text(a->run_id, b->run_id) && a->round == b->round &&
           hash_same(&a->update_id, &b->update_id) && a->length == b->length &&
           a->offset == b->offset && same_bytes(a->data, b->data);
}

static inline bool same_proceed(const struct msg_proceed *a, const struct msg_proceed *b)
{
    return hash_same(&a->update_id, &b->update_id) && a->offset == b->offset;
}

static inline bool same(const struct msg *a, const struct msg *b)
{
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case MSG_HELLO:
        return a->hello.protocol == b->hello.protocol &&
               same_text(a->hello.software, b->hello.software) &&
               same_text(a->hello.run, b->hello.run);
    case MSG_WELCOME:
        return same_welcome(&a->welcome, &b->welcome);
    case MSG_READY:
        return hash_same(&a->ready.schema, &b->ready.schema) &&
               hash_same(&a->ready.model, &b->ready.model) &&
               a->ready.samples == b->ready.samples && a->ready.codings == b->ready.codings &&
               a->ready.at_work == b->ready.at_work;
    case MSG_TASK:
        return same_text(a->task.run_id, b->task.run_id) && a->task.round == b->task.round &&
               a->task.deadline_ms == b->task.deadline_ms &&
               same_bytes(a->task.params, b->task.params) &&
               same_bytes(a->task.control, b->task.control) && a->task.counted == b->task.counted &&
               a->task.coding == b->task.coding;
    case MSG_UPDATE:
        return same_update(&a->update, &b->update);
    case MSG_RECEIPT:
        return a->receipt.round == b->receipt.round &&
               hash_same(&a->receipt.update_id, &b->receipt.update_id) &&
               a->receipt.accepted == b->receipt.accepted &&
               a->receipt.reason == b->receipt.reason &&
               same_text(a->receipt.text, b->receipt.text);
    case MSG_FINISH:
        return same_text(a->finish.run_id, b->finish.run_id) &&
               a->finish.rounds == b->finish.rounds &&
               same_bytes(a->finish.params, b->finish.params) &&
               a->finish.coding == b->finish.coding;
    case MSG_GOODBYE:
        return a->goodbye.reason == b->goodbye.reason &&
               same_text(a->goodbye.text, b->goodbye.text) &&
               a->goodbye.retry_after_s == b->goodbye.retry_after_s;
    case MSG_ENROLL:
        return same_text(a->enroll.token, b->enroll.token) &&
               same_text(a->enroll.csr_pem, b->enroll.csr_pem);
    case MSG_RENEW:
        return same_text(a->renew.csr_pem, b->renew.csr_pem);
    case MSG_PART:
        return same_part(&a->part, &b->part);
    case MSG_PROCEED:
        return same_proceed(&a->proceed, &b->proceed);
    case MSG_PAUSED:
        return a->paused.why == b->paused.why;
    case MSG_RUNS:
        return same_runs(&a->runs, &b->runs);
    case MSG_IDENTITY:
        return same_text(a->identity.name, b->identity.name) &&
               same_text(a->identity.cert_pem, b->identity.cert_pem) &&
               same_text(a->identity.ca_pem, b->identity.ca_pem);
    default:
        return true;
    }
}

#endif
