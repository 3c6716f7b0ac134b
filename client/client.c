#include "client/client.h"
#include "base/file.h"
#include "base/log.h"
#include "client/client_state.h"
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
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

/* --- the certificate ------------------------------------------------------------------------ */

static void renew(struct client *c, struct station *st)
{
    struct msg m;
    struct err e;
    if (rotation_request(&c->identity, &m, &e)) {
        log_debug("not renewed: %s", e.text);
        return;
    }
    log_info("asking for a new certificate");
    c->asking = st;
    station_send(st, &m);
}

void client_renew_if_due(struct client *c, struct station *st)
{
    if (st->up && rotation_due(&c->identity, (int64_t)time(NULL)))
        renew(c, st);
}

void client_forget_request(struct client *c, const struct station *st)
{
    if (c->asking != st)
        return;
    rotation_forget(&c->identity);
    c->asking = NULL;
}

/* The connection goes on with the old certificate; the next one begins with the new. */
static void take_identity(struct client *c, const struct msg_identity *m)
{
    struct tls_context *tls = NULL;
    struct err e;
    int rc = rotation_accept(&c->identity, m, &e);
    c->asking = NULL;
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

bool client_papers_message(struct client *c, struct station *st, const struct msg *m)
{
    if (m->type == MSG_RENEW)
        renew(c, st);
    else if (m->type == MSG_IDENTITY && c->asking == st)
        take_identity(c, &m->identity);
    return m->type == MSG_RENEW || m->type == MSG_IDENTITY;
}

static void on_renewal_timer(uv_timer_t *timer)
{
    struct client *c = timer->data;
    client_forget_request(c, c->asking); /* an hour without an answer: there will be none */
    for (size_t i = 0; i < c->n && !c->asking; i++)
        client_renew_if_due(c, c->station[i]);
}

/* --- signals and the end -------------------------------------------------------------------- */

void client_stop(struct client *c)
{
    c->stopping = true;
    for (size_t i = 0; i < c->n; i++) {
        agent_stop(c->station[i]->agent, client_now(c));
        station_drain(c->station[i]);
    }
    client_end_if_idle(c);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct client *c = handle->data;
    log_info("stopping signal=%d", number);
    client_stop(c);
}

void client_end_if_idle(struct client *c)
{
    for (size_t i = 0; i < c->n; i++)
        if (!c->station[i]->ended)
            return;
    if (uv_is_closing((uv_handle_t *)&c->renewal))
        return;
    uv_close((uv_handle_t *)&c->renewal, NULL);
    uv_close((uv_handle_t *)&c->quiet, NULL);
    gatekeeper_stop(&c->gates);
    for (int i = 0; i < 2; i++)
        uv_close((uv_handle_t *)&c->signal[i], NULL);
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

static int open_parts(struct client *c, struct err *e)
{
    const struct client_config *f = c->config;
    const struct memory memory = {f->memory, f->memory_limit};
    const char *name = c->identity.name;
    int rc = link_parse_address(f->server, c->host, &c->port, e);
    if (!rc)
        rc = open_identity(c, e);
    if (!rc)
        rc = file_mkdirs(f->state, 0700, e);
    if (!rc && access(f->state, W_OK))
        rc = err_sys(e, ERR_IO, errno, "state: %s", f->state);
    if (!rc)
        rc = gatekeeper_open(&c->gates, &f->gates, work_gate, c, e);
    if (!rc)
        rc = backbone_open(&c->backbone, f->model, e);
    if (!rc)
        rc = trainer_open(&c->trainer, client_threads(f->threads), &memory, e);
    if (!rc)
        log_info("started name=%s server=%s model=%s threads=%u", name, f->server, f->model,
                 client_threads(f->threads));
    return rc;
}

static int begin_all(struct client *c, struct err *e)
{
    const struct run_list *runs = &c->config->runs;
    int rc = runs->n ? 0 : station_begin(c, "", e);
    for (uint32_t i = 0; i < runs->n && !rc; i++)
        rc = station_begin(c, runs->name[i], e);
    return rc;
}

static int run_loop(struct client *c, struct err *e)
{
    static const int numbers[2] = {SIGTERM, SIGINT};
    uv_timer_init(&c->loop, &c->renewal);
    uv_timer_init(&c->loop, &c->quiet);
    c->renewal.data = c->quiet.data = c;
    gatekeeper_start(&c->gates, &c->loop);
    uv_timer_start(&c->renewal, on_renewal_timer, RENEWAL_MS, RENEWAL_MS);
    for (int i = 0; i < 2; i++) {
        uv_signal_init(&c->loop, &c->signal[i]);
        c->signal[i].data = c;
        uv_signal_start(&c->signal[i], on_signal, numbers[i]);
    }
    work_rest_later(c); /* the server may be away for long */
    int rc = begin_all(c, e);
    if (rc)
        client_stop(c);
    uv_run(&c->loop, UV_RUN_DEFAULT);
    return rc;
}

/* Why the daemon ended: the first run that it could have no part in. */
static const struct err *why_ended(const struct client *c)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->station[i]->end.code)
            return &c->station[i]->end;
    return &c->fatal;
}

int client_run(const struct client_config *config, bool once, struct err *e)
{
    struct client c = {.config = config, .once = once};
    c.last = &c.first;
    /* malloc_trim gives back the top of the first arena alone, and work is done on any thread. */
    mallopt(M_ARENA_MAX, 1);
    int rc = uv_loop_init(&c.loop);
    if (rc)
        return err_set(e, ERR_INTERNAL, "cannot make an event loop: %s", uv_strerror(rc));
    signal(SIGPIPE, SIG_IGN);
    rc = open_parts(&c, e);
    if (!rc)
        rc = run_loop(&c, e);
    if (!rc) {
        const struct err *end = why_ended(&c);
        rc = end->code;
        if (rc)
            *e = *end;
        log_info("stopped");
    }
    for (size_t i = 0; i < c.n; i++)
        station_free(c.station[i]);
    trainer_close(c.trainer);
    backbone_close(&c.backbone);
    tls_context_close(c.tls);
    rotation_release(&c.identity);
    uv_loop_close(&c.loop);
    return rc;
}
