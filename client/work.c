#include "base/file.h"
#include "base/log.h"
#include "client/client_state.h"
#include <inttypes.h>
#include <limits.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

/* What runs on the worker thread, one at a time and in order: the only user of sessions and
 * trainer. */
struct work {
    enum { WORK_PREPARE, WORK_TRAIN, WORK_SAVE, WORK_REST } kind;
    struct station *station;
    uv_work_t request;
    const struct msg_welcome *welcome; /* PREPARE; the agent's until it is answered */
    const struct agent_job *job;       /* TRAIN; the same */
    struct agent_result result;        /* of TRAIN */
    unsigned char *params;             /* SAVE: owned */
    size_t len;
    enum msg_reason reason; /* of a failed PREPARE */
    struct err error;
    struct work *next;
};

/* --- on the worker thread ----------------------------------------------------------------------
 */

static int prepare(struct work *w)
{
    struct station *st = w->station;
    struct client *c = st->client;
    char dir[PATH_MAX];
    session_close(st->session);
    st->session = NULL;
    w->reason = REASON_INTERNAL;
    int rc = file_join(dir, sizeof dir, c->config->state, st->name, &w->error);
    if (!rc)
        rc = file_mkdirs(dir, 0700, &w->error);
    return rc ? rc
              : session_open(&st->session, &c->backbone, c->config, dir, w->welcome, &w->reason,
                             &w->error);
}

static void at_work(uv_work_t *request)
{
    struct work *w = request->data;
    struct station *st = w->station;
    int rc = 0;
    switch (w->kind) {
    case WORK_PREPARE:
        rc = prepare(w);
        break;
    case WORK_TRAIN:
        rc = session_train(st->session, st->client->trainer, w->job, &st->cancel, &w->result,
                           &w->error);
        trainer_trim(st->client->trainer);
        if (rc) /* put off, if not worse */
            session_trim(st->session);
        break;
    case WORK_SAVE:
        rc = session_save(st->session, w->params, w->len, &w->error);
        break;
    case WORK_REST:
        if (st->session) /* else nothing is prepared, or that has failed */
            session_rest(st->session);
        backbone_rest(&st->client->backbone);
        break;
    }
    if (!rc)
        w->error.code = 0;
    (void)malloc_trim(0); /* it is long until the next work, and the device has other uses for it */
}

static void answer_prepare(struct station *st, const struct work *w)
{
    struct client *c = st->client;
    st->unfit = w->error;
    if (w->error.code) {
        agent_unfit(st->agent, w->reason, w->error.text, client_now(c));
        return;
    }
    const struct schema *s = session_schema(st->session);
    log_info("ready name=%s run=%s task=%s examples=%zu parameters=%zu", st->name,
             w->welcome->run_id, w->welcome->spec.task.name, session_samples(st->session),
             s->count);
    const struct outbox *o = session_outbox(st->session);
    if (o)
        agent_restore(st->agent, o->round, &o->base, &o->result);
    agent_prepared(st->agent, s->hash, s->packed, c->backbone.model->hash,
                   session_samples(st->session), client_now(c));
}

static void train_if_open(struct client *c);
static void leave_job(struct station *st);

static void answer_train(struct station *st, const struct work *w)
{
    st->training = false;
    if (w->error.code == ERR_STATE && atomic_load(&st->cancel) && !st->unwanted)
        return; /* a gate has shut: the agent need not know, and the job stays */
    leave_job(st);
    if (w->error.code) {
        log_warn("training ended early round=%" PRIu32 " name=%s why=\"%s\"", w->job->round + 1,
                 st->name, w->error.text);
        agent_failed(st->agent, &w->error, client_now(st->client));
        return;
    }
    const struct agent_result *r = &w->result;
    log_info("trained round=%" PRIu32 " steps=%" PRIu64 " loss=%.4f seconds=%.2f name=%s",
             w->job->round + 1, r->steps, r->train_loss, r->seconds, st->name);
    if (r->n_metrics > 0)
        log_info("held out round=%" PRIu32 " %s=%.4f examples=%" PRIu64 " name=%s",
                 w->job->round + 1, r->metric[0].name, r->metric[0].value, r->metric[0].weight,
                 st->name);
    agent_trained(st->agent, r, client_now(st->client));
}

static void answer_save(struct station *st, const struct work *w)
{
    struct client *c = st->client;
    if (w->error.code)
        log_error("the final adapter is not saved name=%s why=\"%s\"", st->name, w->error.text);
    else
        log_info("saved adapter=%s/%s/adapter", c->config->state, st->name);
    if (c->once) {
        c->fatal = w->error;
        agent_stop(st->agent, client_now(c));
    }
}

static void start_work(struct client *c);
static void push_work(struct station *st, const struct work *like);

static void on_quiet(uv_timer_t *timer)
{
    struct client *c = timer->data;
    if (c->first)
        return; /* its end starts the timer anew */
    for (size_t i = 0; i < c->n; i++)
        push_work(c->station[i], &(struct work){.kind = WORK_REST});
}

void work_rest_later(struct client *c)
{
    if (c->config->rest_after_s > 0)
        uv_timer_start(&c->quiet, on_quiet, c->config->rest_after_s * UINT64_C(1000), 0);
}

static void work_done(uv_work_t *request, int status)
{
    (void)status; /* nothing cancels a request */
    struct work *w = request->data;
    struct station *st = w->station;
    struct client *c = st->client;
    const bool asked = w->kind != WORK_REST; /* by the agent */
    c->first = w->next;
    if (!c->first)
        c->last = &c->first;
    switch (w->kind) {
    case WORK_PREPARE:
        answer_prepare(st, w);
        break;
    case WORK_TRAIN:
        answer_train(st, w);
        break;
    case WORK_SAVE:
        answer_save(st, w);
        break;
    case WORK_REST:
        log_debug("at rest name=%s", st->name);
        break;
    }
    if (asked)
        work_rest_later(c);
    free(w->params);
    free(w);
    if (c->first)
        start_work(c);
    train_if_open(c); /* the gate may be open again by now */
    if (asked)
        station_drain(st);
}

static void start_work(struct client *c)
{
    struct work *w = c->first;
    w->request.data = w;
    uv_queue_work(&c->loop, &w->request, at_work, work_done);
}

static void push_work(struct station *st, const struct work *like)
{
    struct client *c = st->client;
    struct work *w = malloc(sizeof *w);
    if (!w)
        abort(); /* a few hundred bytes: nothing sensible is left to do */
    *w = *like;
    w->station = st;
    *c->last = w;
    c->last = &w->next;
    if (c->first == w)
        start_work(c);
}

void work_prepare(struct station *st, const struct msg_welcome *w)
{
    push_work(st, &(struct work){.kind = WORK_PREPARE, .welcome = w});
}

void work_save(struct station *st, const struct msg_finish *f)
{
    struct work w = {.kind = WORK_SAVE, .len = f->params.len, .params = malloc(f->params.len)};
    log_info("finished name=%s run=%s rounds=%" PRIu32, st->name, f->run_id, f->rounds);
    if (!w.params) {
        log_error("the final adapter is not saved: out of memory");
        return;
    }
    memcpy(w.params, f->params.data, w.len);
    push_work(st, &w);
}

/* --- trainings and the gates ----------------------------------------------------------------- */

static bool any_job(const struct client *c)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->station[i]->job)
            return true;
    return false;
}

/* Whose job came first, of those that are not with the worker; NULL: there is none. */
static struct station *next_in_turn(struct client *c)
{
    struct station *next = NULL;
    for (size_t i = 0; i < c->n; i++) {
        struct station *st = c->station[i];
        if (st->job && !st->training && (!next || st->turn < next->turn))
            next = st;
    }
    return next;
}

static void train_if_open(struct client *c)
{
    struct station *st;
    while (gatekeeper_why(&c->gates) == PAUSE_NONE && (st = next_in_turn(c))) {
        atomic_store(&st->cancel, false);
        st->training = true;
        push_work(st, &(struct work){.kind = WORK_TRAIN, .job = st->job});
    }
}

static void tell_gate(struct station *st)
{
    enum msg_pause why = gatekeeper_why(&st->client->gates);
    agent_paused(st->agent, why);
    if (why != PAUSE_NONE)
        log_info("training waits round=%" PRIu32 " name=%s why=\"%s\"", st->job->round + 1,
                 st->name, msg_pause_text(why));
}

void work_gate(void *client)
{
    struct client *c = client;
    bool open = gatekeeper_why(&c->gates) == PAUSE_NONE;
    for (size_t i = 0; i < c->n; i++) {
        struct station *st = c->station[i];
        if (!st->job)
            continue;
        tell_gate(st);
        if (!open)
            atomic_store(&st->cancel, true);
        else
            log_info("training may go on round=%" PRIu32 " name=%s", st->job->round + 1, st->name);
        station_drain(st);
    }
    train_if_open(c);
}

void work_train(struct station *st, const struct agent_job *job)
{
    struct client *c = st->client;
    if (!any_job(c))
        gatekeeper_watch(&c->gates, true);
    st->job = job;
    st->turn = ++c->turns;
    st->unwanted = false;
    if (gatekeeper_why(&c->gates) != PAUSE_NONE)
        tell_gate(st);
    train_if_open(c);
}

/* Before the agent is answered. */
static void leave_job(struct station *st)
{
    struct client *c = st->client;
    st->job = NULL;
    if (!any_job(c))
        gatekeeper_watch(&c->gates, false);
    agent_paused(st->agent, PAUSE_NONE);
}

void work_cancel(struct station *st)
{
    static const struct err cancelled = {ERR_STATE, "cancelled before it went on"};
    st->unwanted = true;
    atomic_store(&st->cancel, true);
    if (st->training)
        return;
    leave_job(st);
    agent_failed(st->agent, &cancelled, client_now(st->client));
}
