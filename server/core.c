#include "server/core_state.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    HELLO_MS = 30 * 1000,
    PREPARE_MS = 30 * 60 * 1000, /* a small device reads its model and data */
    RETRY_S = 60,                /* when a fault may pass */
    RESTART_S = 10,              /* when the server is going to be back */
    AGAIN_S = 6 * 3600,          /* when there may be another run for who has the result */
    READ_MS = 60 * 60 * 1000,    /* a result, over a slow link */
};

/* --- telling clients --- */

static void move(struct session *s, enum session_state state, core_time expires)
{
    s->state = state;
    s->expires = expires;
}

static void hang_up(struct core *c, struct session *s)
{
    s->expires = CORE_NEVER;
    roster_due(&c->who, s, DUE_CLOSE);
}

/* Goodbye, and nothing else any more. Who has been told already gets no more time to read. */
static void dismiss(struct core *c, struct session *s, enum msg_reason reason, const char *text,
                    uint32_t retry_s)
{
    if (s->state == SESSION_LEAVING) {
        hang_up(c, s);
        return;
    }
    move(s, SESSION_LEAVING, CORE_NEVER);
    s->goodbye = (struct msg_goodbye){reason, text, retry_s};
    s->due &= DUE_RECEIPT | DUE_FINISH; /* what settles something is still said */
    roster_due(&c->who, s, DUE_GOODBYE | DUE_CLOSE);
}

/* For good. */
static void reject(struct core *c, struct session *s, enum msg_reason reason)
{
    c->refusals[reason]++;
    dismiss(c, s, reason, core_reason_text(reason), 0);
}

/* For now. What has gone wrong may have gone wrong for all. */
void core_refuse(struct core *c, struct session *s, enum msg_reason reason)
{
    c->refusals[reason]++;
    dismiss(c, s, reason, core_reason_text(reason),
            pace_spread(&c->pace, RETRY_S, c->who.sessions));
}

/* Come back when it is your turn. */
void core_send_away(struct core *c, struct session *s, enum msg_reason reason, const char *text)
{
    size_t n = c->who.members > c->round.spec->clients ? c->who.members : c->round.spec->clients;
    dismiss(c, s, reason, text, pace_return(&c->pace, n, c->round.places));
}

static void count_population(struct core *c)
{
    uint32_t room = c->config.room;
    c->round.crowded = room > 0 && (c->who.members > room || c->round.spec->clients > room);
}

/* The server stops: come back when it is up again, or, after the last round, be content. */
static void see_off(struct core *c, struct session *s)
{
    if (c->round.state == ROUND_OVER)
        dismiss(c, s, REASON_NONE, "the run is complete", 0);
    else
        dismiss(c, s, REASON_STOPPING, core_reason_text(REASON_STOPPING),
                pace_spread(&c->pace, RESTART_S, c->who.sessions));
}

static void give_task(struct core *c, struct member *m)
{
    const struct session *s = m->session;
    if (s != NULL && s->state == SESSION_READY && !s->observer && m->slot != NULL &&
        !m->slot->delivered)
        roster_due(&c->who, m->session, DUE_TASK);
}

static void withdraw_tasks(struct core *c)
{
    if (c->round.async)
        core_async_withdraw(c);
    for (size_t i = 0; i < c->who.sessions; i++)
        c->who.session[i]->due &= ~(unsigned)DUE_TASK;
}

/* In a crowd, goodbye comes right behind it. The client hangs up when it has read both: a link that
 * we close has LINK_CLOSE_MS for all that waits. */
static void give_result(struct core *c, struct session *s)
{
    roster_due(&c->who, s, DUE_FINISH);
    if (!c->round.crowded)
        return;
    dismiss(c, s, REASON_NONE, "the run is complete",
            c->config.ends ? 0 : pace_spread(&c->pace, AGAIN_S, c->who.members));
    s->due &= ~(unsigned)DUE_CLOSE;
    s->expires = c->now + READ_MS;
}

static void finish(struct core *c)
{
    c->finish_due = true;
    core_sweep(c);
    core_async_drop_held(c);
    for (size_t i = 0; i < c->who.sessions; i++)
        if (c->who.session[i]->state == SESSION_READY)
            give_result(c, c->who.session[i]);
}

/* --- the round goes on --- */

/* The run is to end: the round under way is given up, unless it is being stored. */
static void end_if_asked(struct core *c)
{
    struct round *r = &c->round;
    if (!c->ending)
        return;
    if (r->state == ROUND_OPEN && r->waiting == 0) {
        withdraw_tasks(c);
        round_restart(r);
    }
    if (r->state == ROUND_GATHERING) {
        round_end(r);
        finish(c);
    }
}

static void begin_if_possible(struct core *c)
{
    struct round *r = &c->round;
    end_if_asked(c);
    if (r->state != ROUND_GATHERING || c->draining || c->paused ||
        roster_ready(&c->who) < round_needs(r))
        return;
    round_begin(r, &c->who, c->now);
    c->begin_due = true;
}

void core_withdraw(struct core *c, struct session *s, uint32_t round)
{
    if ((s->due & DUE_RECEIPT) != 0) /* it hears something of its update anyway */
        return;
    s->receipt = (struct msg_receipt){
        .round = round, .reason = REASON_LATE, .text = core_reason_text(REASON_LATE)};
    roster_due(&c->who, s, DUE_RECEIPT);
}

/* Those whose updates would come too late now: they may stop, and be ready for the next round. */
static void dismiss_stragglers(struct core *c)
{
    const struct round *r = &c->round;
    for (size_t i = 0; i < r->n; i++) {
        const struct slot *slot = &r->slot[i];
        struct session *s = slot->member->session;
        if (slot->delivered || slot->failed || s == NULL || s->state != SESSION_READY)
            continue;
        core_withdraw(c, s, r->number);
    }
}

void core_close_round(struct core *c)
{
    withdraw_tasks(c);
    dismiss_stragglers(c);
    round_close(&c->round, c->now);
    core_sweep(c);
    if (!c->round.resumed)
        pace_round(&c->pace, (double)(c->now - c->round.started) / 1000);
    c->aggregate_due = true;
}

static void deadline(struct core *c)
{
    struct round *r = &c->round;
    if (r->state != ROUND_OPEN || c->draining || c->now < r->deadline || r->waiting > 0 || r->async)
        return;
    if (r->delivered >= round_quorum(r)) {
        core_close_round(c);
        return;
    }
    withdraw_tasks(c);
    round_restart(r);
    begin_if_possible(c);
}

/* --- messages --- */

static void on_hello(struct core *c, struct session *s, const struct msg *m)
{
    if (m->hello.protocol != MSG_PROTOCOL) {
        reject(c, s, REASON_VERSION);
        return;
    }
    move(s, SESSION_WELCOMED, c->now + PREPARE_MS);
    roster_due(&c->who, s, DUE_WELCOME);
}

static void on_ready(struct core *c, struct session *s, const struct msg *m)
{
    const struct msg_ready *ready = &m->ready;
    if (!hash_same(&ready->model, &c->config.model)) {
        reject(c, s, REASON_MODEL);
    } else if (!hash_same(&ready->schema, &c->config.schema->hash)) {
        reject(c, s, REASON_SCHEMA);
    } else if (ready->samples < 1 && !s->observer) {
        reject(c, s, REASON_DATA);
    } else {
        move(s, SESSION_READY, CORE_NEVER);
        s->codings = ready->codings;
        s->member->known = !s->observer;
        if (c->round.state == ROUND_OVER)
            give_result(c, s);
        else if (c->round.async)
            core_async_ready(c, s, ready->at_work);
        else if (c->round.state == ROUND_OPEN)
            give_task(c, s->member);
        begin_if_possible(c);
    }
}

static void on_paused(struct core *c, struct session *s, const struct msg *m)
{
    (void)c;
    s->paused = m->paused.why;
}

static void on_ping(struct core *c, struct session *s, const struct msg *m)
{
    (void)m;
    roster_due(&c->who, s, DUE_PONG);
}

/* The client ends the conversation; its reason counts when it could not take part. */
static void on_goodbye(struct core *c, struct session *s, const struct msg *m)
{
    if (m->goodbye.reason > REASON_NONE && m->goodbye.reason < REASONS)
        c->refusals[m->goodbye.reason]++;
    move(s, SESSION_LEAVING, CORE_NEVER);
    s->due = 0;
    roster_due(&c->who, s, DUE_CLOSE);
}

static void on_nothing(struct core *c, struct session *s, const struct msg *m)
{
    (void)c;
    (void)s;
    (void)m;
}

/* What may come when. NULL: it may not, and ends the connection. */
typedef void (*message_fn)(struct core *c, struct session *s, const struct msg *m);
static const message_fn allowed[SESSION_STATES][MSG_TYPES] = {
    [SESSION_NEW] = {[MSG_HELLO] = on_hello,
                     [MSG_GOODBYE] = on_goodbye,
                     [MSG_PING] = on_ping,
                     [MSG_PONG] = on_nothing},
    [SESSION_WELCOMED] = {[MSG_READY] = on_ready,
                          [MSG_GOODBYE] = on_goodbye,
                          [MSG_PING] = on_ping,
                          [MSG_PONG] = on_nothing},
    [SESSION_READY] = {[MSG_UPDATE] = core_on_update,
                       [MSG_PART] = core_on_part,
                       [MSG_PAUSED] = on_paused,
                       [MSG_GOODBYE] = on_goodbye,
                       [MSG_PING] = on_ping,
                       [MSG_PONG] = on_nothing},
    [SESSION_LEAVING] = {[MSG_READY] = on_nothing,
                         [MSG_UPDATE] = on_nothing,
                         [MSG_PART] = on_nothing,
                         [MSG_PAUSED] = on_nothing,
                         [MSG_GOODBYE] = on_nothing,
                         [MSG_PING] = on_nothing,
                         [MSG_PONG] = on_nothing},
};

/* --- events --- */

int core_open(struct core **out, const struct core_config *config, core_time now, struct err *e)
{
    struct core *c = calloc(1, sizeof *c);
    if (c == NULL)
        return err_set(e, ERR_NOMEM, "no memory for the run");
    *c = (struct core){.config = *config, .now = now, .expiry = CORE_NEVER};
    roster_init(&c->who);
    pace_init(&c->pace, config->spec->federation.seed);
    int rc = round_init(&c->round, config, e);
    if (rc == 0 && config->room > 0 && c->round.places > config->room)
        rc = err_set(e, ERR_CONFIG,
                     "max_clients is %" PRIu32 ", fewer than the %" PRIu32
                     " clients that a round selects",
                     config->room, c->round.places);
    intake_init(&c->intake,
                coder_room(config->schema->packed) +
                    (config->spec->federation.scaffold ? 4 * config->schema->packed : 0),
                config->uploads != NULL ? config->uploads : &c->own);
    for (size_t i = 0; rc == 0 && i < config->n_clients; i++) {
        struct member *m = roster_member(&c->who, config->client[i]);
        if (m == NULL)
            rc = err_set(e, ERR_NOMEM, "no memory for %zu clients", config->n_clients);
        else
            m->known = true;
        if (m != NULL && config->counted != NULL)
            m->counted = config->counted[i];
    }
    if (rc != 0) {
        core_close(c);
        return rc;
    }
    count_population(c);
    c->finish_due = c->round.state == ROUND_OVER;
    *out = c;
    return 0;
}

int core_resume(struct core *c, const struct core_attempt *a, core_time now, struct err *e)
{
    c->now = now;
    int rc = round_resume(&c->round, &c->who, a, now, e);
    if (rc == 0)
        round_open(&c->round, now);
    return rc;
}

/* Stored is the round that it counts in; what its id and its values belong to is that of its task.
 */
static struct msg_update as_it_came(const struct core *c, const struct core_update *u)
{
    struct msg_update came = *u->update;
    if (c->round.async)
        came.round = u->attempt;
    return came;
}

enum msg_reason core_refeed(struct core *c, const struct core_update *u, core_time now)
{
    c->now = now;
    struct member *m = roster_member(&c->who, u->client);
    if (m == NULL)
        return REASON_INTERNAL;
    const struct msg_update came = as_it_came(c, u);
    enum msg_reason reason = round_update(&c->round, m, &came, 0);
    if (reason != REASON_NONE || m->slot == NULL || m->slot->pending == NULL)
        return reason;
    m->slot->record.bytes_up = u->bytes_up;
    m->slot->record.bytes_down = u->bytes_down;
    if (round_next_update(&c->round) != NULL)
        round_stored(&c->round, m->slot, true);
    if (round_complete(&c->round))
        core_close_round(c);
    return REASON_NONE;
}

void core_close(struct core *c)
{
    if (c == NULL)
        return;
    core_async_drop_held(c);
    round_release(&c->round);
    intake_release(&c->intake);
    roster_release(&c->who);
    free(c);
}

void core_connected(struct core *c, uint64_t conn, const char *client, core_time now)
{
    c->now = now;
    struct member *m = roster_member(&c->who, client);
    struct session *s = roster_open(&c->who, conn, m);
    if (s == NULL)
        return;
    s->expires = now + HELLO_MS;
    if (m == NULL) {
        core_refuse(c, s, REASON_INTERNAL);
        return;
    }
    if (m->session != NULL) /* the network may have lost the old connection without telling us */
        dismiss(c, m->session, REASON_DUPLICATE, "another connection took over this client's name",
                RETRY_S);
    m->session = s;
    count_population(c);
    bool awaited = m->doing != 0 || (m->slot != NULL && !m->slot->delivered);
    if (c->draining) {
        see_off(c, s);
    } else if (c->round.crowded && c->who.sessions > c->config.room && !awaited) {
        c->refusals[REASON_FULL]++;
        core_send_away(c, s, REASON_FULL, core_reason_text(REASON_FULL));
    }
}

void core_observe(struct core *c, uint64_t conn)
{
    struct session *s = roster_find(&c->who, conn);
    if (s != NULL)
        s->observer = true;
}

void core_message(struct core *c, uint64_t conn, const struct msg *m, core_time now)
{
    c->now = now;
    struct session *s = roster_find(&c->who, conn);
    if (s == NULL)
        return;
    message_fn handle = m->type > 0 && m->type < MSG_TYPES ? allowed[s->state][m->type] : NULL;
    if (handle != NULL)
        handle(c, s, m);
    else
        core_refuse(c, s, REASON_UNEXPECTED);
}

void core_disconnected(struct core *c, uint64_t conn, core_time now)
{
    c->now = now;
    struct session *s = roster_find(&c->who, conn);
    if (s == NULL)
        return;
    core_stop_waiting(c, s);
    roster_close(&c->who, s);
    core_continue_uploads(c);
}

void core_begun(struct core *c, core_time now)
{
    struct round *r = &c->round;
    c->now = now;
    if (r->state != ROUND_SELECTED || !c->begin_out)
        return;
    c->begin_out = false;
    round_open(r, now);
    end_if_asked(c);
    for (size_t i = 0; i < r->n && !r->async; i++)
        give_task(c, r->slot[i].member);
    if (r->async)
        core_async_opened(c);
    core_continue_uploads(c);
}

void core_stored(struct core *c, const char *client, bool stored, core_time now)
{
    c->now = now;
    const struct member *m = roster_known(&c->who, client);
    const struct pending *p = m != NULL && m->slot != NULL ? m->slot->pending : NULL;
    if (p == NULL || !p->handed)
        return;
    struct session *s = roster_find(&c->who, p->conn);
    if (s != NULL && s->state != SESSION_READY)
        s = NULL;
    if (s != NULL && stored)
        core_acknowledge(c, s, &p->update, REASON_NONE);
    else if (s != NULL)
        core_refuse(c, s, REASON_INTERNAL);
    round_stored(&c->round, m->slot, stored);
    end_if_asked(c);
    if (round_complete(&c->round))
        core_close_round(c);
    else
        deadline(c);
    if (c->round.async && !stored)
        core_async_take_held(c);
    if (c->round.async)
        core_async_assign(c);
    core_continue_uploads(c);
}

void core_aggregate(struct core *c)
{
    round_compute(&c->round);
}

void core_aggregated(struct core *c, core_time now)
{
    c->now = now;
    if (c->round.state != ROUND_CLOSING || !c->aggregate_out)
        return;
    c->aggregate_out = false;
    round_computed(&c->round);
    c->commit_due = c->round.state == ROUND_CLOSED;
    c->finish_due = c->round.state == ROUND_FAILED;
}

void core_committed(struct core *c, core_time now)
{
    c->now = now;
    if (c->round.state != ROUND_CLOSED || !c->commit_out)
        return;
    c->commit_out = false;
    round_advance(&c->round);
    if (c->round.state == ROUND_OVER)
        finish(c);
    else
        begin_if_possible(c);
}

void core_scored(struct core *c, uint32_t round, double score)
{
    round_scored(&c->round, round, score);
}

void core_traffic(struct core *c, uint64_t conn, uint64_t in, uint64_t out)
{
    struct session *s = roster_find(&c->who, conn);
    if (s == NULL || s->member == NULL)
        return;
    struct slot *slot = s->member->slot;
    if (slot != NULL && s->member->session == s) {
        slot->record.bytes_up += in - s->in;
        slot->record.bytes_down += out - s->out;
    } else if (slot == NULL) {
        s->member->up += in - s->in;
        s->member->down += out - s->out;
    }
    s->in = in;
    s->out = out;
}

void core_tick(struct core *c, core_time now)
{
    c->now = now;
    for (size_t i = 0; i < c->who.sessions; i++) {
        struct session *s = c->who.session[i];
        if (s->expires <= now && s->state == SESSION_LEAVING)
            hang_up(c, s);
        else if (s->expires <= now)
            core_refuse(c, s, REASON_LATE);
        if (s->promise_ends <= now) /* it has stalled: others are not to wait for it */
            s->promised = 0;
    }
    intake_expire(&c->intake, now);
    deadline(c);
    if (c->round.async)
        core_async_tick(c);
    core_continue_uploads(c);
}

void core_pause(struct core *c, bool paused, core_time now)
{
    c->now = now;
    c->paused = paused;
    begin_if_possible(c);
}

void core_end(struct core *c, core_time now)
{
    c->now = now;
    c->ending = true;
    end_if_asked(c);
}

void core_drain(struct core *c, core_time now)
{
    c->now = now;
    c->draining = true;
    for (size_t i = 0; i < c->who.sessions; i++)
        see_off(c, c->who.session[i]);
}

/* --- questions --- */

size_t core_limit(const struct core *c, uint64_t conn, uint8_t type)
{
    const struct session *s = roster_find(&c->who, conn);
    if (s == NULL || type >= MSG_TYPES || allowed[s->state][type] == NULL)
        return 0;
    size_t control = scaffold_control(&c->round.scaffold).len / sizeof(float);
    return msg_limit((enum msg_type)type, c->round.wire.count + control);
}
