#include "server/server_state.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Connections above max_clients that are let in to be told when to come back, or because their
 * update is waited for. */
enum { DOORSTEP = 256 };

static core_time now(struct server *s)
{
    return (core_time)uv_now(&s->loop);
}

/* --- the table --- */

static size_t place(const struct peers *p, uint64_t number)
{
    size_t low = 0, high = p->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (p->peer[mid]->number < number)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static struct peer *find(const struct peers *p, uint64_t number)
{
    size_t at = place(p, number);
    return at < p->n && p->peer[at]->number == number ? p->peer[at] : NULL;
}

static void *add(struct link *l, const char *address, void *ctx)
{
    struct server *s = ctx;
    struct peers *p = &s->peers;
    if (p->n == p->cap) {
        size_t cap = p->cap == 0 ? 64 : 2 * p->cap;
        struct peer **more = realloc(p->peer, cap * sizeof(struct peer *));
        if (more == NULL)
            return NULL;
        p->peer = more;
        p->cap = cap;
    }
    struct peer *q = calloc(1, sizeof *q);
    if (q == NULL)
        return NULL;
    *q = (struct peer){.server = s, .link = l, .number = ++p->last};
    snprintf(q->address, sizeof q->address, "%s", address);
    p->peer[p->n++] = q;
    return q;
}

static void drop(struct peer *q)
{
    struct peers *p = &q->server->peers;
    size_t at = place(p, q->number);
    memmove(p->peer + at, p->peer + at + 1, (p->n - at - 1) * sizeof(struct peer *));
    p->n--;
    free(q);
}

static void report_traffic(struct peer *q)
{
    core_traffic(q->server->core, q->number, link_bytes_in(q->link), link_bytes_out(q->link));
}

static void *add_device(struct link *l, const char *address, void *ctx)
{
    struct peer *q = add(l, address, ctx);
    if (q != NULL)
        q->port = METRICS_ENROLMENT;
    return q;
}

/* --- sending --- */

void peers_post(struct peer *q, const struct msg *m)
{
    struct server *s = q->server;
    struct buf *out = &s->peers.out;
    struct err e = {0};
    buf_clear(out);
    out->limit = msg_limit(m->type, (s->run.spec.federation.scaffold ? 2 : 1) *
                                        peft_schema(s->run.peft)->packed);
    int rc = msg_encode(m, out);
    if (rc != 0)
        err_set(&e, rc, "no memory to encode a %s", msg_type_name(m->type));
    else
        rc = link_send(q->link, (uint8_t)m->type, buf_bytes(out), buf_size(out), &e);
    if (rc != 0) {
        log_warn("connection given up client=%s reason=\"%s\"", q->name, e.text);
        link_close(q->link);
    }
}

static void say(struct peer *q, const struct msg *m)
{
    observe_said(q, m);
    if (m->type == MSG_RECEIPT && msg_withdraws(&m->receipt))
        log_info("task withdrawn client=%s round=%u", q->name, m->receipt.round + 1);
    else if (m->type == MSG_RECEIPT && !m->receipt.accepted)
        log_warn("update refused client=%s round=%u reason=%s", q->name, m->receipt.round + 1,
                 msg_reason_name(m->receipt.reason));
    if (m->type == MSG_GOODBYE)
        log_info("goodbye client=%s reason=%s text=\"%s\"", q->name,
                 msg_reason_name(m->goodbye.reason), m->goodbye.text);
    log_debug("send client=%s message=%s", q->name, msg_type_name(m->type));
    peers_post(q, m);
    report_traffic(q);
}

static void finish(struct server *s, const struct err *failure)
{
    const struct federation_spec *f = &s->run.spec.federation;
    const struct best *best = core_best(s->core);
    if (failure != NULL) {
        log_error("run failed run=%s reason=\"%s\"", s->stored.run_id, failure->text);
        s->failure = *failure;
        server_stop(s);
        return;
    }
    log_info("run complete run=%s rounds=%u of=%u", s->stored.run_id, core_round(s->core),
             f->rounds);
    if (best->any)
        log_info("best round=%u %s=%.4f result=%s", best->round + 1, metric_name(s->run.metric),
                 best->score, f->best ? "best" : "last");
    else if (f->best)
        log_warn("no client has scored a round, the result is the last one: give the clients data "
                 "to evaluate on");
    if (s->config->exit_when_done)
        server_stop(s);
}

static void obey(struct server *s, const struct core_out *out)
{
    struct peer *q = find(&s->peers, out->conn);
    switch (out->kind) {
    case OUT_SEND:
        if (q != NULL)
            say(q, &out->msg);
        break;
    case OUT_CLOSE:
        if (q != NULL)
            link_close(q->link);
        break;
    case OUT_BEGIN:
        commit_attempt(s, out->attempt);
        break;
    case OUT_STORE:
        journal_put(s, out->update);
        break;
    case OUT_AGGREGATE:
        commit_aggregate(s);
        break;
    case OUT_COMMIT:
        commit_round(s, out->commit);
        break;
    case OUT_FINISHED:
        finish(s, out->failure);
        break;
    }
}

static void on_deadline(uv_timer_t *timer)
{
    struct server *s = timer->data;
    char state[512];
    core_tick(s->core, now(s));
    core_status(s->core, now(s), state, sizeof state);
    log_info("time is up state=\"%s\"", state);
    peers_pump(s);
}

void peers_pump(struct server *s)
{
    struct core_out out;
    if (s->peers.pumping) /* a decision that is being carried out led here: the loop below goes on
                             with what it caused */
        return;
    s->peers.pumping = true;
    while (core_next(s->core, &out))
        obey(s, &out);
    s->peers.pumping = false;
    core_time deadline = core_deadline(s->core);
    if (s->ended || deadline == CORE_NEVER)
        uv_timer_stop(&s->timer);
    else
        uv_timer_start(&s->timer, on_deadline,
                       deadline > now(s) ? (uint64_t)(deadline - now(s)) : 0, 0);
}

/* --- clients --- */

static void client_up(struct link *l, const char *name, void *ctx)
{
    struct peer *q = ctx;
    struct server *s = q->server;
    const char *reason = "";
    observe_up(q);
    if (!admission_allows(q, name, &reason)) {
        log_warn("client turned away client=%s address=%s reason=\"%s\"", name, q->address, reason);
        observe_refused(q, name, reason);
        link_close(l);
        return;
    }
    snprintf(q->name, sizeof q->name, "%s", name);
    q->known = true;
    log_info("client connected client=%s address=%s", name, q->address);
    core_connected(s->core, q->number, name, now(s));
    if (s->live->observers.n > 0 && enroll_allows(&s->live->observers, name))
        core_observe(s->core, q->number);
    report_traffic(q);
    admission_urge(q);
    peers_pump(s);
}

static int client_frame(struct link *l, const struct frame *f, void *ctx, struct err *e)
{
    struct peer *q = ctx;
    struct server *s = q->server;
    struct arena mem;
    struct msg m;
    (void)l;
    arena_init(&mem, f->len + MSG_SLACK);
    int rc = msg_decode((enum msg_type)f->type, f->payload, f->len, &mem, &m, e);
    if (rc == 0 && m.type == MSG_RENEW) {
        admission_renew(q, &m.renew, &mem);
    } else if (rc == 0) {
        log_debug("receive client=%s message=%s bytes=%zu", q->name, msg_type_name(m.type), f->len);
        report_traffic(q);
        core_message(s->core, q->number, &m, now(s));
    }
    arena_release(&mem);
    if (rc == 0)
        peers_pump(s);
    return rc;
}

static size_t client_limit(void *ctx, uint8_t type)
{
    const struct peer *q = ctx;
    if (type == MSG_RENEW)
        return q->known ? msg_limit(MSG_RENEW, 0) : 0;
    return core_limit(q->server->core, q->number, type);
}

static void client_down(struct link *l, const struct err *e, void *ctx)
{
    struct peer *q = ctx;
    struct server *s = q->server;
    (void)l;
    observe_down(q, e);
    if (e->code != 0)
        log_warn("connection lost client=%s address=%s reason=\"%s\"", q->name, q->address,
                 e->text);
    else if (q->known)
        log_info("client left client=%s", q->name);
    if (q->known)
        core_disconnected(s->core, q->number, now(s));
    drop(q);
    peers_pump(s);
    server_end_if_idle(s);
}

static const struct link_events client_events = {client_up, client_frame, client_limit,
                                                 client_down};

/* --- devices that enrol --- */

static void device_up(struct link *l, const char *name, void *ctx)
{
    (void)l;
    (void)name;
    observe_up(ctx);
}

static int device_frame(struct link *l, const struct frame *f, void *ctx, struct err *e)
{
    struct peer *q = ctx;
    struct server *s = q->server;
    struct arena mem;
    struct msg request, answer;
    arena_init(&mem, f->len + MSG_SLACK);
    int rc = msg_decode((enum msg_type)f->type, f->payload, f->len, &mem, &request, e);
    if (rc == 0) {
        enroll_answer(&s->enroll, &request.enroll, (int64_t)time(NULL), &mem, &answer);
        observe_enrolment(q, &answer);
        peers_post(q, &answer);
        link_close(l);
    }
    arena_release(&mem);
    if (s->enroll.replaced)
        admission_reload(s);
    return rc;
}

static size_t device_limit(void *ctx, uint8_t type)
{
    (void)ctx;
    return type == MSG_ENROLL ? msg_limit(MSG_ENROLL, 0) : 0;
}

static void device_down(struct link *l, const struct err *e, void *ctx)
{
    struct peer *q = ctx;
    struct server *s = q->server;
    (void)l;
    observe_down(q, e);
    if (e->code != 0)
        log_warn("enrolment connection lost address=%s reason=\"%s\"", q->address, e->text);
    drop(q);
    server_end_if_idle(s);
}

static const struct link_events device_events = {device_up, device_frame, device_limit,
                                                 device_down};

/* --- listening --- */

int peers_listen(struct server *s, struct err *e)
{
    const struct server_config *c = s->config;
    struct link_limits limits = link_limits_default;
    buf_init(&s->peers.out, 0); /* each message sets its own limit */
    int rc = listener_open(&s->listener, &s->loop, c->listen, s->tls, c->max_clients + DOORSTEP,
                           &client_events, add, s, e);
    if (rc != 0)
        return err_wrap(e, "listen");
    limits.per_address = c->max_per_address;
    listener_set_limits(s->listener, &limits);
    s->port = listener_port(s->listener);
    rc = listener_open(&s->enroll_listener, &s->loop, c->enroll, s->enroll_tls, ENROLL_MAX_LINKS,
                       &device_events, add_device, s, e);
    if (rc != 0)
        return err_wrap(e, "enroll");
    limits = link_limits_default;
    limits.per_address = ENROLL_MAX_PER_ADDRESS;
    limits.pace_ms = limits.idle_ms = ENROLL_MS;
    listener_set_limits(s->enroll_listener, &limits);
    s->enroll_port = listener_port(s->enroll_listener);
    return 0;
}

void peers_close_strangers(struct server *s)
{
    for (size_t i = 0; i < s->peers.n; i++)
        if (!s->peers.peer[i]->known)
            link_close(s->peers.peer[i]->link);
}

void peers_release(struct server *s)
{
    buf_release(&s->peers.out);
    free(s->peers.peer);
}
