#include "base/log.h"
#include "client/client_state.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- what the server says ------------------------------------------------------------------- */

static void on_up(struct link *l, const char *peer, void *ctx)
{
    struct station *st = ctx;
    struct client *c = st->client;
    if (l != st->link)
        return;
    log_info("connected server=%s certificate=%s", c->config->server, peer);
    st->up = true;
    agent_connected(st->agent, client_now(c));
    station_drain(st);
    client_renew_if_due(c, st);
}

static size_t on_limit(void *ctx, uint8_t type)
{
    const struct station *st = ctx;
    if (type == MSG_RENEW || type == MSG_IDENTITY || type == MSG_RUNS)
        return msg_limit((enum msg_type)type, 0);
    return agent_limit(st->agent, type);
}

static void log_message(const struct station *st, const struct msg *m)
{
    if (m->type == MSG_TASK)
        log_info("task round=%" PRIu32 " bytes=%zu name=%s", m->task.round + 1, m->task.params.len,
                 st->name);
    else if (m->type == MSG_RECEIPT && m->receipt.accepted)
        log_info("accepted round=%" PRIu32 " name=%s", m->receipt.round + 1, st->name);
    else if (m->type == MSG_RECEIPT)
        log_warn("refused round=%" PRIu32 " name=%s reason=%s text=\"%s\"", m->receipt.round + 1,
                 st->name, msg_reason_name(m->receipt.reason),
                 m->receipt.text ? m->receipt.text : "");
    else if (m->type == MSG_GOODBYE)
        log_info("goodbye name=%s reason=%s retry_after=%" PRIu32 " text=\"%s\"", st->name,
                 msg_reason_name(m->goodbye.reason), m->goodbye.retry_after_s,
                 m->goodbye.text ? m->goodbye.text : "");
    else
        log_debug("received message=%s", msg_type_name(m->type));
}

/* Each run that is wanted has a connection of its own. */
static void take_runs(struct client *c, const struct msg_runs *runs)
{
    struct err e;
    for (size_t i = 0; i < runs->n && !c->stopping && c->config->runs.n == 0; i++)
        if (station_begin(c, runs->name[i], &e))
            log_warn("not taking part name=%s why=\"%s\"", runs->name[i], e.text);
}

static void take_message(struct station *st, const struct msg *m)
{
    struct client *c = st->client;
    log_message(st, m);
    if (m->type == MSG_WELCOME) {
        c->welcomed = true;
        if (!st->name[0] && m->welcome.name)
            snprintf(st->name, sizeof st->name, "%s", m->welcome.name);
    }
    agent_message(st->agent, m, client_now(c));
    station_drain(st);
}

static int on_frame(struct link *l, const struct frame *f, void *ctx, struct err *e)
{
    struct station *st = ctx;
    struct arena mem;
    struct msg m;
    if (l != st->link)
        return 0;
    arena_init(&mem, f->len + MSG_SLACK);
    int rc = msg_decode((enum msg_type)f->type, f->payload, f->len, &mem, &m, e);
    if (!rc && m.type == MSG_RUNS)
        take_runs(st->client, &m.runs);
    else if (!rc && !client_papers_message(st->client, st, &m))
        take_message(st, &m);
    arena_release(&mem);
    return rc;
}

static void on_down(struct link *l, const struct err *e, void *ctx)
{
    struct station *st = ctx;
    struct client *c = st->client;
    if (l != st->link)
        return;
    st->link = NULL;
    st->up = false;
    client_forget_request(c, st);
    if (e->code)
        log_warn("connection lost: %s", e->text);
    else
        log_info("connection closed by the server");
    /* Papers that were never good do not become good by waiting. */
    if (e->code == ERR_TLS && !c->welcomed) {
        c->fatal = *e;
        client_stop(c);
        return;
    }
    agent_disconnected(st->agent, e, client_now(c));
    station_drain(st);
}

static const struct link_events events = {
    .up = on_up, .frame = on_frame, .limit = on_limit, .down = on_down};

/* --- what is said to it --------------------------------------------------------------------- */

static void dial(struct station *st)
{
    struct client *c = st->client;
    struct err e;
    log_debug("dialling server=%s name=%s", c->config->server, st->name);
    if (link_connect(&st->link, &c->loop, c->host, c->port, c->tls, &events, st, &e)) {
        log_warn("cannot dial: %s", e.text);
        agent_disconnected(st->agent, &e, client_now(c));
    }
}

void station_send(struct station *st, const struct msg *m)
{
    struct buf out;
    struct err e;
    if (!st->link)
        return;
    buf_init(&out, msg_limit(m->type, MSG_CHUNK / 4)); /* nothing that we send is longer */
    int rc = msg_encode(m, &out);
    if (rc)
        err_set(&e, rc, "cannot encode %s", msg_type_name(m->type));
    else
        rc = link_send(st->link, (uint8_t)m->type, buf_bytes(&out), buf_size(&out), &e);
    if (rc)
        log_warn("not sent: %s", e.text);
    else if (m->type == MSG_UPDATE)
        log_info("sent update round=%" PRIu32 " bytes=%zu name=%s", m->update.round + 1,
                 m->update.params.len + m->update.control.len, st->name);
    else if (m->type == MSG_PART)
        log_debug("sent part round=%" PRIu32 " offset=%zu bytes=%zu name=%s", m->part.round + 1,
                  m->part.offset, m->part.data.len, st->name);
    buf_release(&out);
}

/* The agent knows of no other run than the one that it is welcomed to. */
static void send_for_agent(struct station *st, struct msg m)
{
    if (m.type == MSG_HELLO && st->name[0])
        m.hello.run = st->name;
    station_send(st, &m);
}

static void hang_up(struct station *st)
{
    struct link *l = st->link;
    st->link = NULL; /* from here on its events mean nothing */
    st->up = false;
    client_forget_request(st->client, st);
    if (l)
        link_close(l);
}

/* --- decisions ------------------------------------------------------------------------------ */

static void end(struct station *st, const struct err *why)
{
    st->end = why->code && st->unfit.code ? st->unfit : *why;
    st->ended = true;
    hang_up(st);
    uv_close((uv_handle_t *)&st->timer, NULL);
    if (st->end.code)
        log_warn("no part in run name=%s why=\"%s\"", st->name, st->end.text);
    client_end_if_idle(st->client);
}

static void obey(struct station *st, const struct agent_out *out)
{
    switch (out->kind) {
    case AGENT_CONNECT:
        dial(st);
        break;
    case AGENT_SEND:
        send_for_agent(st, out->msg);
        break;
    case AGENT_DISCONNECT:
        hang_up(st);
        break;
    case AGENT_PREPARE:
        work_prepare(st, out->welcome);
        break;
    case AGENT_TRAIN:
        work_train(st, out->job);
        break;
    case AGENT_CANCEL:
        work_cancel(st);
        break;
    case AGENT_FINISHED:
        work_save(st, out->finish);
        break;
    case AGENT_STOPPED:
        end(st, &out->why);
        break;
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct station *st = timer->data;
    agent_tick(st->agent, client_now(st->client));
    station_drain(st);
}

void station_drain(struct station *st)
{
    struct agent_out out;
    while (agent_next(st->agent, &out))
        obey(st, &out);
    agent_time at = agent_deadline(st->agent);
    if (st->ended)
        return;
    uv_timer_stop(&st->timer);
    if (at != AGENT_NEVER) {
        agent_time wait = at - client_now(st->client);
        uv_timer_start(&st->timer, on_timer, wait > 0 ? (uint64_t)wait : 0, 0);
        if (!st->link && wait > 0)
            log_info("trying again seconds=%.1f name=%s", (double)wait / 1000, st->name);
    }
}

/* --- birth and death ------------------------------------------------------------------------ */

/* Names streams for back-off only: different for clients that lose the server together. */
static uint64_t jitter_seed(const char *name)
{
    struct hash h = hash_of(name, strlen(name));
    uint64_t seed;
    memcpy(&seed, h.byte, sizeof seed);
    return seed ^ uv_hrtime();
}

int station_begin(struct client *c, const char *name, struct err *e)
{
    for (size_t i = 0; i < c->n; i++)
        if (strcmp(c->station[i]->name, name) == 0)
            return 0;
    if (c->n == MSG_MAX_RUNS)
        return err_set(e, ERR_STATE, "it has taken part in %d runs: start it anew", MSG_MAX_RUNS);
    struct station *st = calloc(1, sizeof *st);
    if (!st)
        return err_set(e, ERR_NOMEM, "out of memory");
    int rc =
        agent_open(&st->agent, c->identity.name, jitter_seed(c->identity.name), client_now(c), e);
    if (rc) {
        free(st);
        return rc;
    }
    st->client = c;
    snprintf(st->name, sizeof st->name, "%s", name);
    uv_timer_init(&c->loop, &st->timer);
    st->timer.data = st;
    c->station[c->n++] = st;
    station_drain(st);
    return 0;
}

void station_free(struct station *st)
{
    agent_close(st->agent);
    session_close(st->session);
    free(st);
}
