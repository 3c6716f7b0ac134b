#include "server/server_state.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    HELLO_MS = 30 * 1000, /* from the handshake to the Hello */
    NO_RUN_S = 60,        /* when a client comes back to see whether there is a run for it */
    RESTART_S = 10,       /* when the server is going to be back */
    DOORSTEP = 256, /* connections above max_clients that are let in to be told when to come back,
                       or because their update is waited for */
    MOST_AT_ONCE = 32 << 20, /* bytes, of all runs */
};

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
    core_traffic(q->runner->core, q->number, link_bytes_in(q->link), link_bytes_out(q->link));
}

bool peers_seated(const struct server *s, const struct runner *r, const char *client)
{
    for (size_t i = 0; i < s->peers.n; i++)
        if (s->peers.peer[i]->runner == r && strcmp(s->peers.peer[i]->name, client) == 0)
            return true;
    return false;
}

static int by_client(const void *a, const void *b)
{
    const struct peer *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

size_t peers_clients(const struct server *s)
{
    const struct peer **known = malloc((s->peers.n + 1) * sizeof *known);
    size_t n = 0, clients = 0;
    for (size_t i = 0; known != NULL && i < s->peers.n; i++)
        if (s->peers.peer[i]->known)
            known[n++] = s->peers.peer[i];
    if (n > 0)
        qsort(known, n, sizeof *known, by_client);
    for (size_t i = 0; i < n; i++)
        clients += i == 0 || strcmp(known[i]->name, known[i - 1]->name) != 0;
    free(known);
    return clients;
}

/* The run that the client of a peer with a task works for, if that is another one. */
static const struct runner *busy_for(const struct peer *q)
{
    const struct peers *p = &q->server->peers;
    const struct peer *first = q;
    for (size_t i = 0; i < p->n; i++) {
        const struct peer *x = p->peer[i];
        if (x->task != 0 && x->task < first->task && strcmp(x->name, q->name) == 0)
            first = x;
    }
    return first->runner != q->runner ? first->runner : NULL;
}

void peers_busy(const struct runner *r, char *text, size_t size)
{
    enum { SHOWN = 3 };
    const struct peers *p = &r->server->peers;
    size_t len = strlen(text), busy = 0;
    for (size_t i = 0; i < p->n && r->server->runners.n > 1; i++) {
        const struct peer *q = p->peer[i];
        const struct runner *other = q->runner == r && q->task != 0 ? busy_for(q) : NULL;
        if (other != NULL && busy++ < SHOWN && len < size)
            len += (size_t)snprintf(text + len, size - len, "%s %s works for %s",
                                    busy == 1 ? ";" : ",", q->name, other->name);
    }
    if (busy > SHOWN && len < size)
        snprintf(text + len, size - len, ", %zu more are busy", busy - SHOWN);
}

static void *add_device(struct link *l, const char *address, void *ctx)
{
    struct peer *q = add(l, address, ctx);
    if (q != NULL)
        q->port = METRICS_ENROLMENT;
    return q;
}

/* --- sending --- */

/* That a message of this run may have to carry. */
static size_t values(const struct runner *r)
{
    if (r == NULL)
        return 0;
    return (r->run.spec.federation.scaffold ? 2 : 1) * peft_schema(r->run.peft)->packed;
}

/* Queues m: what is this client's own, and what it has in common with others by reference. */
static int post(struct peer *q, const struct msg *m, struct err *e)
{
    struct peers *p = &q->server->peers;
    struct shared *same = NULL;
    size_t limit = msg_limit(m->type, values(q->runner));
    buf_clear(&p->out);
    p->out.limit = limit;
    int rc = msg_encode_own(m, &p->out);
    if (rc != 0)
        return err_set(e, rc, "no memory to encode a %s", msg_type_name(m->type));
    if (q->runner != NULL)
        rc = handout_find(&q->runner->handout, m, limit, &same, e);
    if (rc == 0)
        rc = link_send_shared(q->link, (uint8_t)m->type, buf_bytes(&p->out), buf_size(&p->out),
                              same, e);
    p->burst += buf_size(&p->out) + (same != NULL ? same->len : 0);
    return rc;
}

void peers_post(struct peer *q, const struct msg *m)
{
    struct err e = {0};
    if (post(q, m, &e) == 0)
        return;
    log_warn("connection given up client=%s reason=\"%s\"", q->name, e.text);
    link_close(q->link);
}

static void list_runs(const struct server *s, char *name[MSG_MAX_RUNS], struct msg *m)
{
    *m = (struct msg){.type = MSG_RUNS, .runs = {name, 0}};
    for (size_t i = 0; i < s->runners.n; i++) {
        struct runner *r = s->runners.runner[i];
        if (r->core != NULL && !r->over)
            name[m->runs.n++] = r->name;
    }
}

void peers_announce(struct server *s)
{
    char *name[MSG_MAX_RUNS];
    struct msg m;
    list_runs(s, name, &m);
    for (size_t i = 0; i < s->peers.n; i++)
        if (s->peers.peer[i]->runner != NULL)
            peers_post(s->peers.peer[i], &m);
}

/* The core knows neither the name of its run nor the others. */
static void post_welcome(struct peer *q, struct msg m)
{
    char *name[MSG_MAX_RUNS];
    m.welcome.name = q->runner->name;
    peers_post(q, &m);
    list_runs(q->server, name, &m);
    peers_post(q, &m);
}

static void note(struct peer *q, const struct msg *m)
{
    if (m->type == MSG_TASK)
        q->task = ++q->server->peers.tasks;
    else if (m->type == MSG_RECEIPT || m->type == MSG_FINISH || m->type == MSG_GOODBYE)
        q->task = 0;
    if (m->type == MSG_RECEIPT && msg_withdraws(&m->receipt))
        log_info("task withdrawn client=%s name=%s round=%u", q->name, q->runner->name,
                 m->receipt.round + 1);
    else if (m->type == MSG_RECEIPT && !m->receipt.accepted)
        log_warn("update refused client=%s name=%s round=%u reason=%s", q->name, q->runner->name,
                 m->receipt.round + 1, msg_reason_name(m->receipt.reason));
    if (m->type == MSG_GOODBYE)
        log_info("goodbye client=%s reason=%s text=\"%s\"", q->name,
                 msg_reason_name(m->goodbye.reason), m->goodbye.text);
    log_debug("send client=%s message=%s", q->name, msg_type_name(m->type));
}

static bool unfit(enum msg_reason reason)
{
    return reason == REASON_MODEL || reason == REASON_SCHEMA || reason == REASON_DATA;
}

static void say(struct peer *q, const struct msg *m)
{
    observe_said(q, m);
    note(q, m);
    if (m->type == MSG_GOODBYE && q->runner != NULL && unfit(m->goodbye.reason))
        runner_note(q->runner, q->name, m->goodbye.reason);
    if (m->type == MSG_WELCOME)
        post_welcome(q, *m);
    else
        peers_post(q, m);
    if (q->runner != NULL)
        report_traffic(q);
}

static void obey(struct runner *r, const struct core_out *out)
{
    struct peer *q = find(&r->server->peers, out->conn);
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
        commit_attempt(r, out->attempt);
        break;
    case OUT_STORE:
        journal_put(r, out->update);
        break;
    case OUT_AGGREGATE:
        commit_aggregate(r);
        break;
    case OUT_COMMIT:
        commit_round(r, out->commit);
        break;
    case OUT_FINISHED:
        runner_finish(r, out->failure);
        break;
    }
}

static void on_deadline(uv_timer_t *timer)
{
    struct runner *r = timer->data;
    char state[512];
    core_tick(r->core, now(r->server));
    core_status(r->core, now(r->server), state, sizeof state);
    log_info("time is up name=%s state=\"%s\"", r->name, state);
    peers_pump(r);
}

/* The loop has done what else there was to do. */
static void on_turn(uv_timer_t *timer)
{
    struct server *s = timer->data;
    s->peers.burst = 0;
    for (size_t i = 0; i < s->runners.n; i++)
        if (s->runners.runner[i]->core != NULL)
            peers_pump(s->runners.runner[i]);
}

void peers_pump(struct runner *r)
{
    struct server *s = r->server;
    struct core_out out;
    if (r->pumping) /* a decision that is being carried out led here: the loop below goes on with
                       what it caused */
        return;
    r->pumping = true;
    while (s->peers.burst < MOST_AT_ONCE && core_next(r->core, &out))
        obey(r, &out);
    r->pumping = false;
    if (s->peers.burst >= MOST_AT_ONCE && !s->ended)
        uv_timer_start(&s->peers.turn, on_turn, 0, 0);
    core_time deadline = core_deadline(r->core);
    if (s->ended || deadline == CORE_NEVER)
        uv_timer_stop(&r->timer);
    else
        uv_timer_start(&r->timer, on_deadline,
                       deadline > now(s) ? (uint64_t)(deadline - now(s)) : 0, 0);
}

/* --- clients --- */

/* Those that are connected and have not said which run they are for. */
static void on_patience(uv_timer_t *timer)
{
    struct server *s = timer->data;
    uint64_t at = uv_now(&s->loop), wait = 0;
    for (size_t i = 0; i < s->peers.n; i++) {
        struct peer *q = s->peers.peer[i];
        if (!q->known || q->runner != NULL)
            continue;
        if (at - q->since >= HELLO_MS)
            link_close(q->link);
        else if (wait == 0)
            wait = q->since + HELLO_MS - at; /* the eldest: numbers ascend */
    }
    if (wait > 0)
        uv_timer_start(timer, on_patience, wait, 0);
}

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
    q->since = uv_now(&s->loop);
    log_info("client connected client=%s address=%s", name, q->address);
    admission_urge(q);
    if (!s->ended && !uv_is_active((uv_handle_t *)&s->peers.patience))
        uv_timer_start(&s->peers.patience, on_patience, HELLO_MS, 0);
}

/* There is no run for it. */
static void turn_away(struct peer *q, const char *wanted)
{
    struct msg m = {.type = MSG_GOODBYE,
                    .goodbye = {REASON_NONE, "there is no run at present", NO_RUN_S}};
    if (wanted != NULL)
        m.goodbye = (struct msg_goodbye){REASON_RUN, "there is no run of this name", NO_RUN_S};
    say(q, &m);
    link_close(q->link);
}

static void begin(struct peer *q, const struct msg *m)
{
    struct server *s = q->server;
    struct runner *r = m->type == MSG_HELLO ? runners_find(s, m->hello.run, q->name) : NULL;
    if (m->type != MSG_HELLO)
        link_close(q->link); /* a goodbye */
    else if (r == NULL)
        turn_away(q, m->hello.run);
    if (r == NULL)
        return;
    q->runner = r;
    core_connected(r->core, q->number, q->name, now(s));
    if (s->live->observers.n > 0 && enroll_allows(&s->live->observers, q->name))
        core_observe(r->core, q->number);
    report_traffic(q);
    core_message(r->core, q->number, m, now(s));
}

static void take(struct peer *q, const struct msg *m)
{
    struct runner *r = q->runner;
    if (m->type == MSG_READY)
        runner_note(r, q->name, REASON_NONE);
    else if (m->type == MSG_GOODBYE && unfit(m->goodbye.reason))
        runner_note(r, q->name, m->goodbye.reason);
    report_traffic(q);
    core_message(r->core, q->number, m, now(q->server));
}

static int client_frame(struct link *l, const struct frame *f, void *ctx, struct err *e)
{
    struct peer *q = ctx;
    struct arena mem;
    struct msg m;
    (void)l;
    arena_init(&mem, f->len + MSG_SLACK);
    int rc = msg_decode((enum msg_type)f->type, f->payload, f->len, &mem, &m, e);
    if (rc == 0)
        log_debug("receive client=%s message=%s bytes=%zu", q->name, msg_type_name(m.type), f->len);
    if (rc == 0 && m.type == MSG_RENEW)
        admission_renew(q, &m.renew, &mem);
    else if (rc == 0 && q->runner == NULL)
        begin(q, &m);
    else if (rc == 0)
        take(q, &m);
    arena_release(&mem);
    if (rc == 0 && q->runner != NULL)
        peers_pump(q->runner);
    return rc;
}

static size_t client_limit(void *ctx, uint8_t type)
{
    const struct peer *q = ctx;
    bool first = type == MSG_HELLO || type == MSG_GOODBYE;
    if (type == MSG_RENEW || q->runner == NULL)
        return q->known && (type == MSG_RENEW || first) ? msg_limit((enum msg_type)type, 0) : 0;
    return core_limit(q->runner->core, q->number, type);
}

static void client_down(struct link *l, const struct err *e, void *ctx)
{
    struct peer *q = ctx;
    struct server *s = q->server;
    struct runner *r = q->runner;
    (void)l;
    observe_down(q, e);
    if (e->code != 0)
        log_warn("connection lost client=%s address=%s reason=\"%s\"", q->name, q->address,
                 e->text);
    else if (q->known)
        log_info("client left client=%s", q->name);
    if (r != NULL)
        core_disconnected(r->core, q->number, now(s));
    drop(q);
    if (r != NULL)
        peers_pump(r);
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
    static const struct msg stopping = {
        .type = MSG_GOODBYE, .goodbye = {REASON_STOPPING, "the server is stopping", RESTART_S}};
    for (size_t i = 0; i < s->peers.n; i++) {
        struct peer *q = s->peers.peer[i];
        if (q->runner != NULL)
            continue;
        if (q->known)
            say(q, &stopping);
        link_close(q->link);
    }
}

void peers_release(struct server *s)
{
    buf_release(&s->peers.out);
    free(s->peers.peer);
}
