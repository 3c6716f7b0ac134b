#include "base/arena.h"
#include "client/agent_state.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    RUN_MEMORY = 4 << 20, /* for the strings of a run; messages are far smaller */
};

static bool run_copy(struct run *r, const struct msg_welcome *w)
{
    *r = (struct run){.known = true, .welcome = *w};
    arena_init(&r->mem, RUN_MEMORY);
    if (msg_welcome_own(&r->welcome, &r->mem)) /* its name is the shell's business */
        return true;
    agent_drop_run(r);
    return false;
}

static bool same_run(const struct run *r, const struct msg_welcome *w)
{
    return r->known && strcmp(r->welcome.run_id, w->run_id) == 0 &&
           hash_same(&r->welcome.schema, &w->schema) && hash_same(&r->welcome.model, &w->model) &&
           r->welcome.index == w->index;
}

static bool is_task(const struct task *t, uint32_t round, const struct hash *base)
{
    return t->known && t->round == round && hash_same(&t->base, base);
}

/* --- messages ------------------------------------------------------------------------------- */

static void on_welcome(struct agent *a, const struct msg *m, agent_time now)
{
    const struct msg_welcome *w = &m->welcome;
    if (w->protocol != MSG_PROTOCOL) {
        err_set(&a->why, ERR_PROTO, "the server speaks protocol %" PRIu32 ", this client %d: %s",
                w->protocol, MSG_PROTOCOL, "update the older of the two");
        agent_say_goodbye(a, REASON_VERSION, a->why.text);
        agent_end(a);
        return;
    }
    a->since = now;
    a->floor = w->next_round;
    a->state = PREPARING;
    agent_drop_run(&a->next);
    if (same_run(&a->run, w)) {
        a->run.welcome.next_round = w->next_round;
        if (w->spec.federation.mode == MODE_SYNC)
            agent_withdraw(a, w->next_round);
        if (a->run.prepared)
            agent_announce(a);
        return;
    }
    if (!run_copy(&a->next, w)) {
        agent_break_off(a, REASON_INTERNAL, ERR_NOMEM, "out of memory", now);
        return;
    }
    agent_drop_task(&a->then);
    agent_drop_kept(&a->kept);
    a->finished = false;
    agent_cancel(a);
    agent_go_on(a);
}

/* NULL: the connection has been broken off. */
static unsigned char *decode(struct agent *a, uint32_t coding, struct msg_bytes params,
                             struct msg_bytes control, agent_time now)
{
    struct err e;
    unsigned char *values;
    int rc = agent_decode(a, coding, params, control, &values, &e);
    if (!rc)
        return values;
    agent_break_off(a, rc == ERR_NOMEM ? REASON_INTERNAL : REASON_SHAPE, rc, e.text, now);
    return NULL;
}

/* params, with the control variate behind them, are the agent's from here on. */
static void take_task(struct agent *a, const struct msg_task *t, unsigned char *params)
{
    size_t len = 4 * a->run.packed;
    struct hash base = hash_of(params, len);
    bool kept =
        a->kept.known && a->kept.update.round == t->round && hash_same(&a->kept.base, &base);
    bool at_work = a->work == TRAINING && !a->cancelled && is_task(&a->job, t->round, &base);
    if (kept && (!a->kept.sent || a->kept.settled))
        agent_offer(a);
    if (kept || at_work) {
        free(params);
        return;
    }
    agent_drop_task(&a->then);
    a->then = (struct task){.known = true,
                            .round = t->round,
                            .counted = t->counted,
                            .base = base,
                            .params = params,
                            .control = t->control.len ? params + len : NULL,
                            .len = len};
    agent_cancel(a);
    agent_go_on(a);
}

static void on_task(struct agent *a, const struct msg *m, agent_time now)
{
    const struct msg_task *t = &m->task;
    if (strcmp(t->run_id, a->run.welcome.run_id) != 0) {
        agent_break_off(a, REASON_RUN, ERR_PROTO, "task of another run", now);
        return;
    }
    if (t->round < a->floor) {
        agent_break_off(a, REASON_ROUND, ERR_PROTO, "task of a round that is over", now);
        return;
    }
    if (t->control.len != agent_control(a)) {
        agent_break_off(a, REASON_SHAPE, ERR_PROTO, "task with a wrong number of parameters", now);
        return;
    }
    unsigned char *params = decode(a, t->coding, t->params, t->control, now);
    if (params) {
        a->floor = t->round;
        take_task(a, t, params);
    }
}

static void on_receipt(struct agent *a, const struct msg *m, agent_time now)
{
    (void)now;
    const struct msg_receipt *r = &m->receipt;
    if (msg_withdraws(r)) {
        agent_withdraw(a, r->round + 1);
        return;
    }
    if (!a->kept.known || !hash_same(&r->update_id, &a->kept.update.update_id))
        return; /* of an update given up since */
    a->kept.settled = true;
    a->lost = 0;
    if (!r->accepted)
        err_set(&a->why, ERR_REFUSED, "update of round %" PRIu32 " refused: %s%s%s", r->round + 1,
                msg_reason_name(r->reason), r->text && *r->text ? ": " : "",
                r->text ? r->text : "");
}

static void on_proceed(struct agent *a, const struct msg *m, agent_time now)
{
    const struct msg_proceed *p = &m->proceed;
    struct kept *k = &a->kept;
    if (!k->known || !k->sent || k->settled || !hash_same(&p->update_id, &k->update.update_id))
        return; /* of an update given up since */
    if (p->offset > k->update.params.len + k->update.control.len) {
        agent_break_off(a, REASON_PART, ERR_PROTO, "an update is not as long as that", now);
        return;
    }
    if (p->offset > k->there) { /* a link that carries a part at a time is of use */
        k->there = p->offset;
        a->lost = 0;
    }
    agent_send_part(a, p->offset);
}

static void on_finish(struct agent *a, const struct msg *m, agent_time now)
{
    const struct msg_finish *f = &m->finish;
    if (strcmp(f->run_id, a->run.welcome.run_id) != 0) {
        agent_break_off(a, REASON_RUN, ERR_PROTO, "end of another run", now);
        return;
    }
    unsigned char *params = decode(a, f->coding, f->params, (struct msg_bytes){0}, now);
    if (!params)
        return;
    agent_drop_task(&a->then);
    agent_drop_kept(&a->kept);
    agent_cancel(a);
    if (a->finished) { /* said again after a reconnect */
        free(params);
        return;
    }
    free(a->final);
    a->final = params;
    a->finished = true;
    a->finish = (struct msg_finish){
        .run_id = a->run.welcome.run_id,
        .rounds = f->rounds,
        .params = {params, 4 * a->run.packed},
    };
    agent_emit(a, AGENT_FINISHED)->finish = &a->finish;
}

static void on_goodbye(struct agent *a, const struct msg *m, agent_time now)
{
    const struct msg_goodbye *g = &m->goodbye;
    const char *text = g->text ? g->text : "";
    bool refused = g->reason != REASON_NONE && !a->finished;
    err_set(&a->why, refused ? ERR_REFUSED : 0, "the server says goodbye: %s%s%s",
            msg_reason_name(g->reason), *text ? ": " : "", text);
    agent_emit(a, AGENT_DISCONNECT);
    if (g->retry_after_s == 0) {
        agent_end(a);
        return;
    }
    agent_come_back(a, g->retry_after_s, now);
}

static void on_ping(struct agent *a, const struct msg *m, agent_time now)
{
    (void)m, (void)now;
    agent_send(a, &(struct msg){.type = MSG_PONG});
}

static void on_pong(struct agent *a, const struct msg *m, agent_time now)
{
    (void)a, (void)m, (void)now;
}

/* What may come when: all else is a protocol violation, and its frames are refused unread. */
typedef void (*message_fn)(struct agent *a, const struct msg *m, agent_time now);
static const message_fn on_message[STATES][MSG_TYPES] = {
    [GREETING] = {[MSG_WELCOME] = on_welcome,
                  [MSG_GOODBYE] = on_goodbye,
                  [MSG_PING] = on_ping,
                  [MSG_PONG] = on_pong},
    [PREPARING] = {[MSG_GOODBYE] = on_goodbye, [MSG_PING] = on_ping, [MSG_PONG] = on_pong},
    [READY] = {[MSG_TASK] = on_task,
               [MSG_RECEIPT] = on_receipt,
               [MSG_PROCEED] = on_proceed,
               [MSG_FINISH] = on_finish,
               [MSG_GOODBYE] = on_goodbye,
               [MSG_PING] = on_ping,
               [MSG_PONG] = on_pong},
};

void agent_message(struct agent *a, const struct msg *m, agent_time now)
{
    if (!agent_linked(a))
        return; /* was under way when the connection was given up */
    message_fn handle = m->type < MSG_TYPES ? on_message[a->state][m->type] : NULL;
    if (handle)
        handle(a, m, now);
    else
        agent_break_off(a, REASON_UNEXPECTED, ERR_PROTO, "message out of turn", now);
}

size_t agent_limit(const struct agent *a, uint8_t type)
{
    if (type >= MSG_TYPES || !on_message[a->state][type])
        return 0;
    size_t control = type == MSG_TASK ? agent_control(a) / 4 : 0;
    return msg_limit((enum msg_type)type, a->run.packed + control);
}
