#include "base/log.h"
#include "client/client_state.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* --- the worker thread ---------------------------------------------------------------------- */

static int prepare(struct work *w)
{
    struct client *c = w->client;
    session_close(c->session);
    c->session = NULL;
    return session_open(&c->session, &c->backbone, c->config, w->welcome, &w->reason, &w->error);
}

static void at_work(uv_work_t *request)
{
    struct work *w = request->data;
    struct client *c = w->client;
    int rc = 0;
    switch (w->kind) {
    case WORK_PREPARE:
        rc = prepare(w);
        break;
    case WORK_TRAIN:
        rc = session_train(c->session, c->trainer, w->job, &c->cancel, &w->result, &w->error);
        trainer_trim(c->trainer);
        break;
    case WORK_SAVE:
        rc = session_save(c->session, w->params, w->len, c->config->state, &w->error);
        break;
    }
    if (!rc)
        w->error.code = 0;
}

static void answer_prepare(struct client *c, const struct work *w)
{
    c->unfit = w->error;
    if (w->error.code) {
        agent_unfit(c->agent, w->reason, w->error.text, client_now(c));
        return;
    }
    const struct schema *s = session_schema(c->session);
    log_info("ready run=%s task=%s examples=%zu parameters=%zu", w->welcome->run_id,
             w->welcome->spec.task.name, session_samples(c->session), s->count);
    const struct outbox *o = session_outbox(c->session);
    if (o)
        agent_restore(c->agent, o->round, &o->base, &o->result);
    agent_prepared(c->agent, s->hash, s->packed, c->backbone.model->hash,
                   session_samples(c->session), client_now(c));
}

static void train_if_open(struct client *c);
static void leave_job(struct client *c);

static void answer_train(struct client *c, const struct work *w)
{
    c->training = false;
    if (w->error.code == ERR_STATE && atomic_load(&c->cancel) && !c->unwanted)
        return; /* a gate has shut: the agent need not know, and the job stays */
    leave_job(c);
    if (w->error.code) {
        log_warn("training ended early round=%" PRIu32 " why=\"%s\"", w->job->round + 1,
                 w->error.text);
        agent_failed(c->agent, &w->error, client_now(c));
        return;
    }
    const struct agent_result *r = &w->result;
    log_info("trained round=%" PRIu32 " steps=%" PRIu64 " loss=%.4f seconds=%.2f",
             w->job->round + 1, r->steps, r->train_loss, r->seconds);
    if (r->n_metrics > 0)
        log_info("held out round=%" PRIu32 " %s=%.4f examples=%" PRIu64, w->job->round + 1,
                 r->metric[0].name, r->metric[0].value, r->metric[0].weight);
    agent_trained(c->agent, r, client_now(c));
}

static void answer_save(struct client *c, const struct work *w)
{
    if (w->error.code)
        log_error("the final adapter is not saved: %s", w->error.text);
    else
        log_info("saved adapter=%s/adapter", c->config->state);
    if (c->once) {
        c->fatal = w->error;
        agent_stop(c->agent, client_now(c));
    }
}

static void start_work(struct client *c);

static void work_done(uv_work_t *request, int status)
{
    (void)status; /* nothing cancels a request */
    struct work *w = request->data;
    struct client *c = w->client;
    c->first = w->next;
    if (!c->first)
        c->last = &c->first;
    switch (w->kind) {
    case WORK_PREPARE:
        answer_prepare(c, w);
        break;
    case WORK_TRAIN:
        answer_train(c, w);
        break;
    case WORK_SAVE:
        answer_save(c, w);
        break;
    }
    free(w->params);
    free(w);
    if (c->first)
        start_work(c);
    train_if_open(c); /* the gate may be open again by now */
    client_drain(c);
}

static void start_work(struct client *c)
{
    struct work *w = c->first;
    w->request.data = w;
    uv_queue_work(&c->loop, &w->request, at_work, work_done);
}

static void push_work(struct client *c, const struct work *like)
{
    struct work *w = malloc(sizeof *w);
    if (!w)
        abort(); /* a few hundred bytes: nothing sensible is left to do */
    *w = *like;
    w->client = c;
    *c->last = w;
    c->last = &w->next;
    if (c->first == w)
        start_work(c);
}

void client_work_save(struct client *c, const struct msg_finish *f)
{
    struct work w = {.kind = WORK_SAVE, .len = f->params.len, .params = malloc(f->params.len)};
    log_info("finished run=%s rounds=%" PRIu32, f->run_id, f->rounds);
    if (!w.params) {
        log_error("the final adapter is not saved: out of memory");
        return;
    }
    memcpy(w.params, f->params.data, w.len);
    push_work(c, &w);
}

void client_work_prepare(struct client *c, const struct msg_welcome *w)
{
    push_work(c, &(struct work){.kind = WORK_PREPARE, .welcome = w});
}

/* --- a training and the gates ---------------------------------------------------------------- */

static void train_if_open(struct client *c)
{
    if (!c->job || c->training || gatekeeper_why(&c->gates) != PAUSE_NONE)
        return;
    atomic_store(&c->cancel, false);
    c->training = true;
    push_work(c, &(struct work){.kind = WORK_TRAIN, .job = c->job});
}

static void tell_gate(struct client *c)
{
    enum msg_pause why = gatekeeper_why(&c->gates);
    agent_paused(c->agent, why);
    if (why != PAUSE_NONE)
        log_info("training waits round=%" PRIu32 " why=\"%s\"", c->job->round + 1,
                 msg_pause_text(why));
}

void client_work_gate(void *client)
{
    struct client *c = client;
    tell_gate(c);
    if (gatekeeper_why(&c->gates) != PAUSE_NONE)
        atomic_store(&c->cancel, true);
    else
        log_info("training may go on round=%" PRIu32, c->job->round + 1);
    train_if_open(c);
    client_drain(c);
}

void client_work_train(struct client *c, const struct agent_job *job)
{
    c->job = job;
    c->unwanted = false;
    gatekeeper_watch(&c->gates, true);
    if (gatekeeper_why(&c->gates) != PAUSE_NONE)
        tell_gate(c);
    train_if_open(c);
}

/* Before the agent is answered. */
static void leave_job(struct client *c)
{
    c->job = NULL;
    gatekeeper_watch(&c->gates, false);
    agent_paused(c->agent, PAUSE_NONE);
}

void client_work_cancel(struct client *c)
{
    static const struct err cancelled = {ERR_STATE, "cancelled before it went on"};
    c->unwanted = true;
    atomic_store(&c->cancel, true);
    if (c->training)
        return;
    leave_job(c);
    agent_failed(c->agent, &cancelled, client_now(c));
}
