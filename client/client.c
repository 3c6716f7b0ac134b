#include "base/file.h"
#include "client/client_state.h"
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    EXPIRY_WARNING_DAYS = 30,
    RENEWAL_MS = 60 * 60 * 1000, /* between looks at the certificate's age */
};

agent_time client_now(struct client *c)
{
    uv_update_time(&c->loop);
    return (agent_time)uv_now(&c->loop);
}

/* --- the connection ------------------------------------------------------------------------- */

static void send_message(struct client *c, const struct msg *m);

/* --- the certificate ------------------------------------------------------------------------ */

static void renew(struct client *c)
{
    struct msg m;
    struct err e;
    if (rotation_request(&c->identity, &m, &e)) {
        log_debug("not renewed: %s", e.text);
        return;
    }
    log_info("asking for a new certificate");
    send_message(c, &m);
}

static void renew_if_due(struct client *c)
{
    if (c->link_up && rotation_due(&c->identity, (int64_t)time(NULL)))
        renew(c);
}

/* The connection goes on with the old certificate; the next one begins with the new. */
static void take_identity(struct client *c, const struct msg_identity *m)
{
    struct tls_context *tls = NULL;
    struct err e;
    int rc = rotation_accept(&c->identity, m, &e);
    if (!rc)
        rc = rotation_tls(&c->identity, &tls, &e);
    if (rc) {
        log_warn("the new certificate is not used: %s", e.text);
        return;
    }
    tls_context_close(c->tls);
    c->tls = tls;
    log_info("certificate renewed days=%" PRId64, (c->identity.ends - (int64_t)time(NULL)) / 86400);
}

/* Messages about certificates are the daemon's own business; true: this was one. */
static bool about_identity(struct client *c, const struct msg *m)
{
    if (m->type == MSG_RENEW)
        renew(c);
    else if (m->type == MSG_IDENTITY)
        take_identity(c, &m->identity);
    else
        return false;
    return true;
}

static void on_renewal_timer(uv_timer_t *timer)
{
    struct client *c = timer->data;
    rotation_forget(&c->identity); /* an hour without an answer: there will be none */
    renew_if_due(c);
}

/* --- what the server says ------------------------------------------------------------------- */

static void on_up(struct link *l, const char *peer, void *ctx)
{
    struct client *c = ctx;
    if (l != c->link)
        return;
    log_info("connected server=%s certificate=%s", c->config->server, peer);
    c->link_up = true;
    agent_connected(c->agent, client_now(c));
    client_drain(c);
    renew_if_due(c);
}

static size_t on_limit(void *ctx, uint8_t type)
{
    if (type == MSG_RENEW || type == MSG_IDENTITY)
        return msg_limit((enum msg_type)type, 0);
    return agent_limit(((struct client *)ctx)->agent, type);
}

static void log_message(const struct msg *m)
{
    if (m->type == MSG_TASK)
        log_info("task round=%" PRIu32 " bytes=%zu", m->task.round + 1, m->task.params.len);
    else if (m->type == MSG_RECEIPT && m->receipt.accepted)
        log_info("accepted round=%" PRIu32, m->receipt.round + 1);
    else if (m->type == MSG_RECEIPT)
        log_warn("refused round=%" PRIu32 " reason=%s text=\"%s\"", m->receipt.round + 1,
                 msg_reason_name(m->receipt.reason), m->receipt.text ? m->receipt.text : "");
    else if (m->type == MSG_GOODBYE)
        log_info("goodbye reason=%s retry_after=%" PRIu32 " text=\"%s\"",
                 msg_reason_name(m->goodbye.reason), m->goodbye.retry_after_s,
                 m->goodbye.text ? m->goodbye.text : "");
    else
        log_debug("received message=%s", msg_type_name(m->type));
}

static int on_frame(struct link *l, const struct frame *f, void *ctx, struct err *e)
{
    struct client *c = ctx;
    struct arena mem;
    struct msg m;
    if (l != c->link)
        return 0;
    arena_init(&mem, f->len + MSG_SLACK);
    int rc = msg_decode((enum msg_type)f->type, f->payload, f->len, &mem, &m, e);
    if (!rc && !about_identity(c, &m)) {
        log_message(&m);
        c->welcomed |= m.type == MSG_WELCOME;
        agent_message(c->agent, &m, client_now(c));
        client_drain(c);
    }
    arena_release(&mem);
    return rc;
}

static void on_down(struct link *l, const struct err *e, void *ctx)
{
    struct client *c = ctx;
    if (l != c->link)
        return;
    c->link = NULL;
    c->link_up = false;
    rotation_forget(&c->identity);
    if (e->code)
        log_warn("connection lost: %s", e->text);
    else
        log_info("connection closed by the server");
    /* Papers that were never good do not become good by waiting. */
    if (e->code == ERR_TLS && !c->welcomed) {
        c->fatal = *e;
        agent_stop(c->agent, client_now(c));
    } else {
        agent_disconnected(c->agent, e, client_now(c));
    }
    client_drain(c);
}

static const struct link_events events = {
    .up = on_up, .frame = on_frame, .limit = on_limit, .down = on_down};

static void dial(struct client *c)
{
    struct err e;
    log_debug("dialling server=%s", c->config->server);
    if (link_connect(&c->link, &c->loop, c->host, c->port, c->tls, &events, c, &e)) {
        log_warn("cannot dial: %s", e.text);
        agent_disconnected(c->agent, &e, client_now(c));
    }
}

static void send_message(struct client *c, const struct msg *m)
{
    struct buf out;
    struct err e;
    if (!c->link)
        return;
    size_t sent = m->type == MSG_UPDATE ? m->update.params.len + m->update.control.len : 0;
    buf_init(&out, msg_limit(m->type, sent / 4));
    int rc = msg_encode(m, &out);
    if (rc)
        err_set(&e, rc, "cannot encode %s", msg_type_name(m->type));
    else
        rc = link_send(c->link, (uint8_t)m->type, buf_bytes(&out), buf_size(&out), &e);
    if (rc)
        log_warn("not sent: %s", e.text);
    else if (m->type == MSG_UPDATE)
        log_info("sent update round=%" PRIu32 " bytes=%zu", m->update.round + 1, buf_size(&out));
    buf_release(&out);
}

static void hang_up(struct client *c)
{
    struct link *l = c->link;
    c->link = NULL; /* from here on its events mean nothing */
    c->link_up = false;
    rotation_forget(&c->identity);
    if (l)
        link_close(l);
}

/* --- decisions ------------------------------------------------------------------------------ */

static void shut_down(struct client *c, const struct err *why)
{
    c->end = why->code && c->unfit.code ? c->unfit : *why;
    hang_up(c);
    uv_close((uv_handle_t *)&c->timer, NULL);
    uv_close((uv_handle_t *)&c->renewal, NULL);
    gatekeeper_stop(&c->gates);
    for (int i = 0; i < 2; i++)
        uv_close((uv_handle_t *)&c->signal[i], NULL);
}

static void obey(struct client *c, const struct agent_out *out)
{
    switch (out->kind) {
    case AGENT_CONNECT:
        dial(c);
        break;
    case AGENT_SEND:
        send_message(c, &out->msg);
        break;
    case AGENT_DISCONNECT:
        hang_up(c);
        break;
    case AGENT_PREPARE:
        client_work_prepare(c, out->welcome);
        break;
    case AGENT_TRAIN:
        client_work_train(c, out->job);
        break;
    case AGENT_CANCEL:
        client_work_cancel(c);
        break;
    case AGENT_FINISHED:
        client_work_save(c, out->finish);
        break;
    case AGENT_STOPPED:
        shut_down(c, &out->why);
        break;
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct client *c = timer->data;
    agent_tick(c->agent, client_now(c));
    client_drain(c);
}

void client_drain(struct client *c)
{
    struct agent_out out;
    while (agent_next(c->agent, &out))
        obey(c, &out);
    agent_time at = agent_deadline(c->agent);
    if (uv_is_closing((uv_handle_t *)&c->timer))
        return;
    uv_timer_stop(&c->timer);
    if (at != AGENT_NEVER) {
        agent_time wait = at - client_now(c);
        uv_timer_start(&c->timer, on_timer, wait > 0 ? (uint64_t)wait : 0, 0);
        if (!c->link && wait > 0)
            log_info("trying again seconds=%.1f", (double)wait / 1000);
    }
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct client *c = handle->data;
    log_info("stopping signal=%d", number);
    agent_stop(c->agent, client_now(c));
    client_drain(c);
}

/* --- start and end -------------------------------------------------------------------------- */

static int open_identity(struct client *c, struct err *e)
{
    int rc = rotation_init(&c->identity, c->config->identity, e);
    if (!rc)
        rc = rotation_read(&c->identity, e);
    if (rc)
        return err_wrap(e, "identity (run `fedpet-client enroll` first)");
    int64_t days = (c->identity.ends - (int64_t)time(NULL)) / 86400;
    if (days < EXPIRY_WARNING_DAYS)
        log_warn("the certificate ends soon: it is renewed when the server is reached days=%" PRId64
                 " file=%s",
                 days, c->identity.path[ROTATION_CERT]);
    return rotation_tls(&c->identity, &c->tls, e);
}

/* Names streams for back-off only: different for clients that lose the server together. */
static uint64_t jitter_seed(const char *name)
{
    struct hash h = hash_of(name, strlen(name));
    uint64_t seed;
    memcpy(&seed, h.byte, sizeof seed);
    return seed ^ uv_hrtime();
}

static int open_parts(struct client *c, struct err *e)
{
    const struct client_config *f = c->config;
    const char *name = c->identity.name;
    int rc = link_parse_address(f->server, c->host, &c->port, e);
    if (!rc)
        rc = open_identity(c, e);
    if (!rc)
        rc = file_mkdirs(f->state, 0700, e);
    if (!rc && access(f->state, W_OK))
        rc = err_sys(e, ERR_IO, errno, "state: %s", f->state);
    if (!rc)
        rc = gatekeeper_open(&c->gates, &f->gates, client_work_gate, c, e);
    if (!rc)
        rc = backbone_open(&c->backbone, f->model, e);
    if (!rc)
        rc = trainer_open(&c->trainer, client_threads(f->threads),
                          (size_t)f->memory_limit_mib << 20, e);
    if (!rc)
        rc = agent_open(&c->agent, name, jitter_seed(name), client_now(c), e);
    if (!rc)
        log_info("started name=%s server=%s model=%s threads=%u", name, f->server, f->model,
                 client_threads(f->threads));
    return rc;
}

static void run_loop(struct client *c)
{
    static const int numbers[2] = {SIGTERM, SIGINT};
    uv_timer_init(&c->loop, &c->timer);
    uv_timer_init(&c->loop, &c->renewal);
    c->timer.data = c->renewal.data = c;
    gatekeeper_start(&c->gates, &c->loop);
    uv_timer_start(&c->renewal, on_renewal_timer, RENEWAL_MS, RENEWAL_MS);
    for (int i = 0; i < 2; i++) {
        uv_signal_init(&c->loop, &c->signal[i]);
        c->signal[i].data = c;
        uv_signal_start(&c->signal[i], on_signal, numbers[i]);
    }
    client_drain(c);
    uv_run(&c->loop, UV_RUN_DEFAULT);
}

int client_run(const struct client_config *config, bool once, struct err *e)
{
    struct client c = {.config = config, .once = once};
    c.last = &c.first;
    int rc = uv_loop_init(&c.loop);
    if (rc)
        return err_set(e, ERR_INTERNAL, "cannot make an event loop: %s", uv_strerror(rc));
    signal(SIGPIPE, SIG_IGN);
    rc = open_parts(&c, e);
    if (!rc) {
        run_loop(&c);
        const struct err *end = c.end.code ? &c.end : &c.fatal;
        rc = end->code;
        if (rc)
            *e = *end;
        log_info("stopped");
    }
    agent_close(c.agent);
    session_close(c.session);
    trainer_close(c.trainer);
    backbone_close(&c.backbone);
    tls_context_close(c.tls);
    rotation_release(&c.identity);
    uv_loop_close(&c.loop);
    return rc;
}
