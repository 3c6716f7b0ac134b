#include "server/run.h"
#include "proto/msg.h"
#include "text/dataset.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Feeds one line of text to a hash. Doubles are written in hexadecimal: equal text, equal value. */
static void feed(struct hash_state *h, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void feed(struct hash_state *h, const char *fmt, ...)
{
    char line[1024];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    hash_feed(h, line, n < (int)sizeof line ? (size_t)n : sizeof line - 1);
    hash_feed(h, "\n", 1);
}

/* A string of any length, set apart from NULL and from its neighbours. */
static void feed_text(struct hash_state *h, const char *text)
{
    feed(h, "%zu", text != NULL ? strlen(text) + 1 : 0);
    if (text != NULL)
        hash_feed(h, text, strlen(text));
}

static void feed_task(struct hash_state *h, const struct task_spec *t)
{
    feed_text(h, t->name);
    feed_text(h, t->text);
    feed_text(h, t->text_pair);
    feed_text(h, t->label);
    feed(h, "%" PRIu32, t->n_labels);
    for (uint32_t i = 0; t->labels != NULL && i < t->n_labels; i++)
        feed_text(h, t->labels[i]);
    feed(h, "%d", (int)t->splits);
}

static void feed_peft(struct hash_state *h, const struct peft_spec *p)
{
    feed_text(h, p->method);
    feed(h, "%d %" PRIu32 " %a %a %d %" PRIu32, p->norms, p->r, p->alpha, p->dropout, p->rslora,
         p->targets);
    feed(h, "%" PRIu32 " %d %d %a", p->bottleneck, (int)p->placement, (int)p->activation,
         p->scaling);
    feed(h, "%" PRIu32 " %" PRIu32 " %d %d", p->length, p->hidden, p->shift, (int)p->biases);
}

static void feed_local(struct hash_state *h, const struct local_spec *l)
{
    feed(h, "%" PRIu32 " %" PRIu32 " %" PRIu32 " %" PRIu32 " %" PRIu32, l->epochs, l->steps,
         l->batch_size, l->accumulate, l->max_length);
    feed(h, "%d %d %a %a %a %a %a %a %a %a", (int)l->optimizer, (int)l->schedule, l->lr,
         l->weight_decay, l->beta1, l->beta2, l->eps, l->warmup, l->max_grad_norm,
         l->model_dropout);
    feed(h, "%a %d %d", l->proximal, l->decay_over_run, l->carry_optimizer);
}

/* Lossless is lossless: such runs are one and the same, also with those of before encodings. */
static void feed_encoding(struct hash_state *h, const struct federation_spec *f)
{
    const char *upload = f->upload != NULL ? f->upload : "fp32";
    const char *download = f->download != NULL ? f->download : "fp32";
    if (strcmp(upload, "fp32") != 0)
        feed(h, "upload %s %a", upload, f->top_k);
    if (strcmp(download, "fp32") != 0)
        feed(h, "download %s", download);
}

/* The plain mean of updates of any norm has no line, as in runs of before the others. */
static void feed_aggregator(struct hash_state *h, const struct federation_spec *f)
{
    if (f->aggregator != AGGREGATION_FEDAVG)
        feed(h, "aggregator %d %a %" PRIu32 " %" PRIu32, (int)f->aggregator, f->clip_norm,
             f->byzantine, f->krum_keep);
    if (f->max_update_norm > 0)
        feed(h, "max_update_norm %a", f->max_update_norm);
}

/* Nor has a round that waits for all that it has selected. */
static void feed_rounds(struct hash_state *h, const struct federation_spec *f)
{
    if (spec_selected(f) > f->per_round)
        feed(h, "selected %" PRIu32, spec_selected(f));
    if (f->mode == MODE_ASYNC)
        feed(h, "async %" PRIu32, f->max_staleness);
}

struct hash run_identity(const struct run_spec *s, const struct hash *model,
                         const struct hash *schema, const struct hash *params)
{
    struct hash_state state, *h = hash_begin(&state);
    feed(h, "fedpet run 1");
    hash_feed(h, model->byte, HASH_BYTES);
    hash_feed(h, schema->byte, HASH_BYTES);
    hash_feed(h, params->byte, HASH_BYTES);
    feed_task(h, &s->task);
    feed_peft(h, &s->peft);
    feed_local(h, &s->local);
    /* Then a client's learning rate depends on how many rounds there will be. */
    feed(h, "%" PRIu32, s->local.decay_over_run ? s->federation.rounds : 0);
    feed(h, "%" PRIu32 " %" PRIu32 " %d %" PRIu64, s->federation.clients, s->federation.per_round,
         s->federation.weighted, s->federation.seed);
    feed(h, "%d %a %a %a %a %d", (int)s->federation.optimizer, s->federation.server_lr,
         s->federation.server_beta1, s->federation.server_beta2, s->federation.server_tau,
         s->federation.scaffold);
    feed_encoding(h, &s->federation);
    feed_aggregator(h, &s->federation);
    feed_rounds(h, &s->federation);
    return hash_end(h);
}

static int unknown_task(const char *name, struct err *e)
{
    char known[256] = "";
    size_t len = 0;
    for (const struct task_info *t = task_table; t->name != NULL && len < sizeof known; t++)
        len += (size_t)snprintf(known + len, sizeof known - len, " %s", t->name);
    return err_set(e, ERR_CONFIG, "task.name: %s is unknown; known are:%s", name, known);
}

/* How many outputs the head has: the task's classes, the configured ones, or one for regression.
 * The server has no data to find the tags of a tagging task in. */
static int settle_labels(struct task_spec *t, struct err *e)
{
    const struct task_info *known = task_find(t->name);
    if (known == NULL)
        return unknown_task(t->name, e);
    int rc = task_check_labels(t, e);
    if (rc != 0)
        return rc;
    if (known->labels != NULL)
        t->n_labels = known->n_labels;
    else if (t->labels == NULL && known->head == HEAD_TOKENS)
        return err_set(e, ERR_CONFIG, "task.labels: list the tags of %s, \"O\" first", t->name);
    else if (t->labels == NULL)
        t->n_labels = 1;
    return 0;
}

static const char *const *label_names(const struct task_spec *t)
{
    const struct task_info *known = task_find(t->name);
    return known->labels != NULL ? known->labels : (const char *const *)t->labels;
}

static int initial_params(struct run *r, const struct run_config *c, struct err *e)
{
    const struct schema *s = peft_schema(r->peft);
    r->params = calloc(s->count, sizeof *r->params);
    if (r->params == NULL)
        return err_set(e, ERR_NOMEM, "no memory for %zu parameters", s->count);
    peft_init(r->peft, r->spec.federation.seed, r->params);
    return c->adapter != NULL ? peft_load(r->peft, c->adapter, r->params, e) : 0;
}

/* Encodes the Welcome that clients will get, and reads it as they do: what they could not accept,
 * such as more labels than fit, is said now and not by each of them. */
static int check_welcome(const struct run_spec *spec, struct err *e)
{
    struct msg m = {
        .type = MSG_WELCOME,
        .welcome = {.protocol = MSG_PROTOCOL, .run_id = "0000000000000000", .spec = *spec},
    };
    struct err why;
    struct buf payload;
    struct arena mem;
    buf_init(&payload, msg_limit(MSG_WELCOME, 0));
    int rc = msg_encode(&m, &payload);
    arena_init(&mem, buf_size(&payload) + MSG_SLACK);
    if (rc != 0)
        err_set(&why, rc, "its texts have more than %zu bytes", payload.limit);
    else
        rc = msg_decode(MSG_WELCOME, buf_bytes(&payload), buf_size(&payload), &mem, &m, &why);
    arena_release(&mem);
    buf_release(&payload);
    return rc == 0 ? 0
                   : err_set(e, ERR_CONFIG, "clients could not be told of this run: %s", why.text);
}

int run_open(struct run *r, const struct run_config *c, struct err *e)
{
    *r = (struct run){.spec = c->spec};
    int rc = settle_labels(&r->spec.task, e);
    if (rc == 0)
        rc = check_welcome(&r->spec, e);
    if (rc == 0)
        rc = model_open(&r->model, c->model, e);
    if (rc == 0)
        rc = task_metric(&r->spec.task, r->spec.task.n_labels, &r->metric, e);
    if (rc == 0)
        rc = peft_open(&r->peft, r->model, &r->spec.peft, &r->spec.local,
                       task_find(r->spec.task.name)->head, r->spec.task.n_labels, e);
    if (rc == 0)
        rc = initial_params(r, c, e);
    if (rc != 0) {
        run_close(r);
        return rc;
    }
    const struct schema *s = peft_schema(r->peft);
    struct hash initial = tensorset_hash(s, r->params);
    r->identity = run_identity(&r->spec, &r->model->hash, &s->hash, &initial);
    r->info = (struct adapter_info){
        .task = r->spec.task.name,
        .labels = label_names(&r->spec.task),
        .n_labels = r->spec.task.n_labels,
        .max_length = r->spec.local.max_length,
    };
    return 0;
}

void run_close(struct run *r)
{
    free(r->params);
    peft_close(r->peft);
    model_close(r->model);
    *r = (struct run){0};
}
