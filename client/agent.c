#include "client/agent.h"
#include "base/vector.h"
#include "client/agent_state.h"
#include "codec/coder.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BACKOFF_FIRST_MS = 1000,
    BACKOFF_MAX_MS = 300 * 1000,
    WELCOME_MS = 30 * 1000, /* how long a server may take to answer a Hello */
    STABLE_MS = 60 * 1000,  /* after so long, a connection was a good one */
};

struct agent_out *agent_emit(struct agent *a, enum agent_out_kind kind)
{
    assert(a->queued < QUEUE);
    struct agent_out *o = &a->queue[(a->first + a->queued++) % QUEUE];
    *o = (struct agent_out){.kind = kind};
    return o;
}

void agent_send(struct agent *a, const struct msg *m)
{
    agent_emit(a, AGENT_SEND)->msg = *m;
}

unsigned char *agent_copy(struct msg_bytes a, struct msg_bytes b)
{
    unsigned char *copy = vector_alloc(a.len + b.len, 1);
    if (copy && a.len)
        memcpy(copy, a.data, a.len);
    if (copy && b.len)
        memcpy(copy + a.len, b.data, b.len);
    return copy;
}

int agent_decode(const struct agent *a, uint32_t coding, struct msg_bytes params,
                 struct msg_bytes control, unsigned char **out, struct err *e)
{
    size_t n = a->run.packed, len = n * sizeof(float);
    struct coder *coder = NULL;
    unsigned char *values = vector_alloc(len + control.len, 1);
    if (!values)
        return err_set(e, ERR_NOMEM, "out of memory for %zu parameters", n);
    int rc = coder_open(&coder, n, e);
    if (!rc)
        rc = coder_decode(coder, coding, params.data, params.len, NULL, values, e);
    coder_close(coder);
    if (rc) {
        free(values);
        return rc;
    }
    if (control.len)
        memcpy(values + len, control.data, control.len);
    *out = values;
    return 0;
}

size_t agent_control(const struct agent *a)
{
    return a->run.welcome.spec.federation.scaffold ? 4 * a->run.packed : 0;
}

void agent_drop_run(struct run *r)
{
    if (r->known)
        arena_release(&r->mem);
    *r = (struct run){0};
}

void agent_drop_task(struct task *t)
{
    free(t->params);
    *t = (struct task){0};
}

/* What the training has read is needed no more; which task it was still is. */
static void release_params(struct task *t)
{
    free(t->params);
    t->params = t->control = NULL;
    t->len = 0;
}

void agent_drop_kept(struct kept *k)
{
    free(k->params);
    k->known = false;
    k->params = NULL;
}

bool agent_linked(const struct agent *a)
{
    return a->state == GREETING || a->state == PREPARING || a->state == READY;
}

/* Exponential back-off with full jitter. A failed training counts as a failed connection, but is
 * not forgiven by one that lasts: a client that cannot train must not come back every second. */
void agent_back_off(struct agent *a, agent_time now)
{
    if (agent_linked(a) && a->state != GREETING && now - a->since >= STABLE_MS)
        a->lost = 0;
    unsigned failures = a->lost + a->failed;
    int64_t bound = failures < 9 ? (int64_t)BACKOFF_FIRST_MS << failures : BACKOFF_MAX_MS;
    if (bound > BACKOFF_MAX_MS)
        bound = BACKOFF_MAX_MS;
    a->lost++;
    a->state = WAITING;
    a->wake = now + rng_below(&a->jitter, (uint32_t)bound + 1);
}

void agent_come_back(struct agent *a, uint32_t seconds, agent_time now)
{
    a->state = WAITING;
    a->wake = now + 1000 * (agent_time)seconds + rng_below(&a->jitter, 1000);
}

void agent_say_goodbye(struct agent *a, enum msg_reason reason, const char *text)
{
    agent_send(a, &(struct msg){.type = MSG_GOODBYE, .goodbye = {.reason = reason, .text = text}});
    agent_emit(a, AGENT_DISCONNECT);
}

void agent_break_off(struct agent *a, enum msg_reason reason, int code, const char *text,
                     agent_time now)
{
    err_set(&a->why, code, "%s", text);
    agent_say_goodbye(a, reason, a->why.text);
    agent_back_off(a, now);
}

void agent_cancel(struct agent *a)
{
    if (a->work == TRAINING && !a->cancelled) {
        a->cancelled = true;
        agent_emit(a, AGENT_CANCEL);
    }
}

void agent_withdraw(struct agent *a, uint32_t round)
{
    if (a->then.known && a->then.round < round)
        agent_drop_task(&a->then);
    if (a->work == TRAINING && a->job.round < round)
        agent_cancel(a);
}

void agent_end(struct agent *a)
{
    a->state = OVER;
    agent_drop_run(&a->next);
    agent_drop_task(&a->then);
    agent_cancel(a);
    if (a->work == IDLE)
        agent_emit(a, AGENT_STOPPED)->why = a->why;
}

void agent_go_on(struct agent *a)
{
    if (a->work != IDLE)
        return;
    if (a->state == OVER) {
        agent_emit(a, AGENT_STOPPED)->why = a->why;
    } else if (a->next.known) {
        agent_drop_run(&a->run);
        a->run = a->next;
        a->next = (struct run){0};
        a->work = OPENING;
        agent_emit(a, AGENT_PREPARE)->welcome = &a->run.welcome;
    } else if (a->then.known) {
        agent_drop_kept(&a->kept);
        agent_drop_task(&a->job);
        a->job = a->then;
        a->then = (struct task){0};
        a->out = (struct agent_job){.round = a->job.round,
                                    .index = a->run.welcome.index,
                                    .counted = a->job.counted,
                                    .params = a->job.params,
                                    .len = a->job.len,
                                    .control = a->job.control};
        snprintf(a->out.run_id, sizeof a->out.run_id, "%s", a->run.welcome.run_id);
        a->work = TRAINING;
        a->cancelled = false;
        agent_emit(a, AGENT_TRAIN)->job = &a->out;
    }
}

/* The kept update's bytes lie in one block. */
static struct msg part_of(const struct kept *k, size_t offset, size_t n)
{
    const struct msg_update *u = &k->update;
    return (struct msg){.type = MSG_PART,
                        .part = {.run_id = u->run_id,
                                 .round = u->round,
                                 .update_id = u->update_id,
                                 .length = u->params.len + u->control.len,
                                 .offset = offset,
                                 .data = {k->params + offset, n}}};
}

void agent_offer(struct agent *a)
{
    const struct msg_update *u = &a->kept.update;
    struct msg m = {.type = MSG_UPDATE, .update = *u};
    a->kept.sent = true;
    a->kept.settled = false;
    if (u->params.len + u->control.len > a->part_bytes)
        m = part_of(&a->kept, 0, 0);
    agent_send(a, &m);
}

void agent_send_part(struct agent *a, size_t offset)
{
    const struct msg_update *u = &a->kept.update;
    size_t left = u->params.len + u->control.len - offset;
    struct msg m = {.type = MSG_UPDATE, .update = *u};
    m.update.uploaded = true;
    m.update.params.data = m.update.control.data = NULL;
    if (left > 0)
        m = part_of(&a->kept, offset, left < a->part_bytes ? left : a->part_bytes);
    agent_send(a, &m);
}

static void say_paused(struct agent *a)
{
    agent_send(a, &(struct msg){.type = MSG_PAUSED, .paused.why = a->paused});
}

static bool is_async(const struct agent *a)
{
    return a->run.welcome.spec.federation.mode == MODE_ASYNC;
}

/* The update that the server may still want. */
static bool has_offer(const struct agent *a)
{
    return a->kept.known && !a->kept.settled &&
           (is_async(a) || a->kept.update.round >= a->run.welcome.next_round);
}

/* 1 + the round of what the server may wait for; 0: nothing. */
static uint32_t at_work(const struct agent *a)
{
    if (has_offer(a))
        return a->kept.update.round + 1;
    if (a->then.known)
        return a->then.round + 1;
    return a->work == TRAINING && !a->cancelled ? a->job.round + 1 : 0;
}

void agent_announce(struct agent *a)
{
    const struct msg_welcome *w = &a->run.welcome;
    a->state = READY;
    agent_send(a, &(struct msg){.type = MSG_READY,
                                .ready = {.schema = w->schema,
                                          .model = w->model,
                                          .samples = a->run.samples,
                                          .codings = coding_known(),
                                          .at_work = at_work(a)}});
    if (a->paused != PAUSE_NONE)
        say_paused(a);
    if (has_offer(a))
        agent_offer(a);
}

/* --- connection, time ----------------------------------------------------------------------- */

void agent_connected(struct agent *a, agent_time now)
{
    if (a->state != DIALING)
        return;
    a->state = GREETING;
    a->wake = now + WELCOME_MS;
    a->kept.sent = false;
    agent_send(a, &(struct msg){.type = MSG_HELLO,
                                .hello = {MSG_PROTOCOL, "fedpet-client " FEDPET_VERSION}});
}

void agent_disconnected(struct agent *a, const struct err *why, agent_time now)
{
    if (a->state != DIALING && !agent_linked(a))
        return;
    a->why = *why;
    agent_back_off(a, now);
}

void agent_forget(struct agent *a)
{
    if (a->kept.settled)
        agent_drop_kept(&a->kept);
    free(a->final);
    a->final = NULL;
}

bool agent_idle(const struct agent *a)
{
    return a->state == READY && a->work == IDLE && a->queued == 0 && !a->kept.known &&
           a->final == NULL;
}

void agent_tick(struct agent *a, agent_time now)
{
    if (now < agent_deadline(a))
        return;
    if (a->state == WAITING) {
        a->state = DIALING;
        agent_emit(a, AGENT_CONNECT);
    } else {
        err_set(&a->why, ERR_NET, "the server did not answer within %d s", WELCOME_MS / 1000);
        agent_emit(a, AGENT_DISCONNECT);
        agent_back_off(a, now);
    }
}

agent_time agent_deadline(const struct agent *a)
{
    return a->state == WAITING || a->state == GREETING ? a->wake : AGENT_NEVER;
}

void agent_stop(struct agent *a, agent_time now)
{
    (void)now;
    if (a->state == OVER)
        return;
    a->why = (struct err){0};
    if (agent_linked(a))
        agent_say_goodbye(a, REASON_STOPPING, "client is stopping");
    else if (a->state == DIALING)
        agent_emit(a, AGENT_DISCONNECT);
    agent_end(a);
}

/* --- the shell's answers -------------------------------------------------------------------- */

void agent_unfit(struct agent *a, enum msg_reason reason, const char *text, agent_time now)
{
    (void)now;
    if (a->work != OPENING)
        return;
    a->work = IDLE;
    if (a->state == OVER || a->next.known) {
        agent_go_on(a);
        return;
    }
    int code = reason == REASON_DATA                               ? ERR_DATA
               : reason == REASON_MODEL || reason == REASON_SCHEMA ? ERR_MODEL
                                                                   : ERR_INTERNAL;
    err_set(&a->why, code, "%s", text);
    if (agent_linked(a))
        agent_say_goodbye(a, reason, a->why.text);
    agent_end(a);
}

void agent_prepared(struct agent *a, struct hash schema, size_t packed, struct hash model,
                    uint64_t samples, agent_time now)
{
    const struct msg_welcome *w = &a->run.welcome;
    if (a->work != OPENING)
        return;
    if (!hash_same(&model, &w->model)) {
        agent_unfit(a, REASON_MODEL, "the base model's weights differ from the server's", now);
        return;
    }
    if (!hash_same(&schema, &w->schema)) {
        agent_unfit(a, REASON_SCHEMA, "the trainable parameters differ from the server's", now);
        return;
    }
    if (samples == 0) {
        agent_unfit(a, REASON_DATA, "no training examples", now);
        return;
    }
    a->work = IDLE;
    a->run.prepared = true;
    a->run.packed = packed;
    a->run.samples = samples;
    if (a->state == PREPARING && !a->next.known)
        agent_announce(a);
    agent_go_on(a);
}

static bool keep(struct agent *a, uint32_t round, const struct hash *base,
                 const struct agent_result *r)
{
    unsigned char *params = agent_copy((struct msg_bytes){r->params, r->len},
                                       (struct msg_bytes){r->control, r->control_len});
    if (!params)
        return false;
    struct kept *k = &a->kept;
    const struct msg_welcome *w = &a->run.welcome;
    k->known = true;
    k->settled = k->sent = false;
    k->there = 0;
    k->params = params;
    k->base = *base;
    k->update = (struct msg_update){
        .run_id = w->run_id,
        .round = round,
        .schema = w->schema,
        .samples = r->samples,
        .steps = r->steps,
        .train_loss = r->train_loss,
        .seconds = r->seconds,
        .n_metrics = r->n_metrics,
        .params = {params, r->len},
        .coding = r->coding,
        .control = {params + r->len, r->control_len},
    };
    k->update.update_id = msg_update_id(&k->update, a->name);
    for (size_t i = 0; i < r->n_metrics; i++) {
        snprintf(k->metric_name[i], METRIC_NAME_SIZE, "%s", r->metric[i].name);
        k->update.metric[i] = r->metric[i];
        k->update.metric[i].name = k->metric_name[i];
    }
    return true;
}

void agent_restore(struct agent *a, uint32_t round, const struct hash *base,
                   const struct agent_result *r)
{
    /* With a newer Welcome at hand, this run is not the one that Ready will be said for. */
    if (a->work == OPENING && !a->next.known && !a->kept.known)
        (void)keep(a, round, base, r);
}

static void training_failed(struct agent *a, const struct err *why, agent_time now)
{
    a->failed++;
    a->why = *why;
    if (agent_linked(a))
        agent_break_off(a, REASON_INTERNAL, why->code, why->text, now);
}

void agent_trained(struct agent *a, const struct agent_result *r, agent_time now)
{
    static const struct err no_memory = {ERR_NOMEM, "out of memory for the update"};
    if (a->work != TRAINING)
        return;
    assert(r->coding != CODING_PLAIN || r->len == 4 * a->run.packed);
    assert(r->n_metrics <= MSG_MAX_METRICS);
    assert(r->control_len == agent_control(a));
    a->work = IDLE;
    if (!a->cancelled) {
        if (keep(a, a->job.round, &a->job.base, r)) {
            a->failed = 0;
            if (a->state == READY)
                agent_offer(a);
        } else {
            training_failed(a, &no_memory, now);
        }
    }
    release_params(&a->job);
    agent_go_on(a);
}

void agent_failed(struct agent *a, const struct err *why, agent_time now)
{
    if (a->work != TRAINING)
        return;
    a->work = IDLE;
    if (!a->cancelled)
        training_failed(a, why, now);
    agent_go_on(a);
}

void agent_paused(struct agent *a, enum msg_pause why)
{
    if (a->paused == why)
        return;
    a->paused = why;
    if (a->state == READY)
        say_paused(a);
}

/* --- life ----------------------------------------------------------------------------------- */

int agent_open(struct agent **out, const char *name, uint64_t jitter_seed, agent_time now,
               struct err *e)
{
    struct agent *a = calloc(1, sizeof *a);
    if (!a)
        return err_set(e, ERR_NOMEM, "out of memory");
    snprintf(a->name, sizeof a->name, "%s", name);
    a->jitter = rng_stream(jitter_seed, 0, 0, RNG_JITTER);
    a->state = WAITING;
    a->wake = now;
    a->part_bytes = MSG_CHUNK;
    *out = a;
    return 0;
}

void agent_part_bytes(struct agent *a, size_t bytes)
{
    a->part_bytes = bytes < MSG_CHUNK ? bytes : MSG_CHUNK;
}

void agent_close(struct agent *a)
{
    if (!a)
        return;
    agent_drop_run(&a->run);
    agent_drop_run(&a->next);
    agent_drop_task(&a->job);
    agent_drop_task(&a->then);
    agent_drop_kept(&a->kept);
    free(a->final);
    free(a);
}

bool agent_next(struct agent *a, struct agent_out *out)
{
    if (a->queued == 0)
        return false;
    *out = a->queue[a->first];
    a->first = (a->first + 1) % QUEUE;
    a->queued--;
    return true;
}
