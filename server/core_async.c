/* federation.mode async: tasks for whoever is idle, at any time, and updates that wait for the next
 * round. */
#include "server/core_state.h"
#include "server/select.h"
#include <stdlib.h>
#include <string.h>

static bool has_place(const struct member *m)
{
    return m->doing != 0 && !m->overdue;
}

static void set_doing(struct core *c, struct member *m, uint32_t doing)
{
    c->training -= has_place(m);
    m->doing = doing;
    m->overdue = false;
    c->training += has_place(m);
    if (doing == 0)
        return;
    m->until = c->now + (core_time)c->round.spec->deadline_s * 1000;
    if (m->until < c->expiry)
        c->expiry = m->until;
}

/* Its update has come, or will not. */
void core_async_idle(struct core *c, struct member *m)
{
    set_doing(c, m, 0);
}

/* Its update for this round was refused: it is asked once more, but not before its time is up. */
static bool is_barred(const struct core *c, const struct member *m)
{
    return m->asked == c->round.number + 1 && m->until > c->now;
}

static bool is_idle(const struct core *c, const struct session *s)
{
    const struct member *m = s->member;
    return s->state == SESSION_READY && !s->observer && m->doing == 0 && m->slot == NULL &&
           !is_barred(c, m);
}

void core_async_assign(struct core *c)
{
    const struct round *r = &c->round;
    struct roster *who = &c->who;
    uint32_t places = spec_concurrency(r->spec);
    size_t n = 0;
    if (r->state != ROUND_OPEN || round_full(r) || c->draining || c->training >= places)
        return;
    for (size_t i = 0; i < who->sessions; i++)
        if (is_idle(c, who->session[i]))
            who->candidate[n++] = who->session[i]->member;
    size_t free_places = places - c->training, k = free_places < n ? free_places : n;
    if (k == 0)
        return;
    select_clients(r->spec->seed, r->number, c->draws++, who->order, n, k);
    for (size_t i = 0; i < k; i++) {
        struct member *m = who->candidate[who->order[i]];
        m->asked = r->number + 1;
        m->up = m->down = 0;
        set_doing(c, m, m->asked);
        roster_due(who, m->session, DUE_TASK);
    }
}

static bool is_stale(const struct core *c, uint32_t doing)
{
    return c->round.number + 1 - doing > c->round.spec->max_staleness;
}

/* What a client that has come back is at, by its own account: a task of a former life of the
 * server, maybe. */
void core_async_ready(struct core *c, struct session *s, uint32_t at_work)
{
    struct member *m = s->member;
    bool known = at_work > m->counted && at_work <= c->round.number + 1;
    if (s->observer)
        return;
    set_doing(c, m, 0);
    if (at_work == 0 && m->slot == NULL)
        m->asked = 0; /* it has forgotten its task */
    else if (known && is_stale(c, at_work))
        core_withdraw(c, s, at_work - 1);
    else if (known)
        set_doing(c, m, at_work);
    core_async_assign(c);
}

void core_async_tick(struct core *c)
{
    if (c->now < c->expiry)
        return;
    c->expiry = CORE_NEVER;
    for (size_t i = 0; i < c->who.members; i++) {
        struct member *m = c->who.member[i];
        if (has_place(m) && m->until <= c->now) {
            m->overdue = true; /* a new task would make it begin anew, and it would never end */
            c->training--;
        } else if ((has_place(m) || is_barred(c, m)) && m->until < c->expiry) {
            c->expiry = m->until;
        }
    }
    core_async_assign(c);
}

/* --- updates between two rounds --- */

bool core_async_waits(const struct core *c, const struct member *m, const struct msg_update *u)
{
    const struct round *r = &c->round;
    return r->async && r->state != ROUND_FAILED && (r->state != ROUND_OPEN || round_full(r)) &&
           round_wants(r, m, u);
}

static void let_go(struct core *c, struct pending **at)
{
    struct pending *p = *at;
    *at = p->next;
    c->held_bytes -= pending_size(&p->update);
    free(p);
}

bool core_async_holds(struct core *c, const struct session *s, const struct msg_update *u)
{
    for (struct pending *p = c->held; p != NULL; p = p->next) {
        if (strcmp(p->out.client, s->member->name) == 0 &&
            hash_same(&p->update.update_id, &u->update_id)) {
            p->conn = s->conn;
            return true;
        }
    }
    return false;
}

bool core_async_hold(struct core *c, const struct session *s, const struct msg_update *u)
{
    struct pending **at = &c->held;
    size_t size = pending_size(u);
    while (*at != NULL)
        if (strcmp((*at)->out.client, s->member->name) == 0)
            let_go(c, at); /* another one of its: the last word counts */
        else
            at = &(*at)->next;
    if (!pending_fits(size, c->held_bytes, c->round.max_waiting))
        return false;
    *at = pending_make(u, c->round.run_id);
    if (*at == NULL)
        return false;
    (*at)->conn = s->conn;
    (*at)->out.client = s->member->name;
    c->held_bytes += size;
    return true;
}

void core_async_take_held(struct core *c)
{
    const struct round *r = &c->round;
    while (c->held != NULL && r->state == ROUND_OPEN && !round_full(r)) {
        struct pending *p = c->held;
        (void)core_settle_update(c, roster_known(&c->who, p->out.client), p->conn, &p->update);
        let_go(c, &c->held);
    }
}

void core_async_opened(struct core *c)
{
    c->draws = 0;
    core_async_take_held(c);
    for (size_t i = 0; i < c->who.members; i++) {
        struct member *m = c->who.member[i];
        if (m->doing == 0 || !is_stale(c, m->doing))
            continue;
        if (m->session != NULL && m->session->state == SESSION_READY)
            core_withdraw(c, m->session, m->doing - 1);
        set_doing(c, m, 0);
    }
    core_sweep(c);
    core_async_assign(c);
}

/* Tasks that are due, but have not gone out, were for a round that is over. */
void core_async_withdraw(struct core *c)
{
    for (size_t i = 0; i < c->who.sessions; i++) {
        struct session *s = c->who.session[i];
        if ((s->due & DUE_TASK) == 0)
            continue;
        s->due &= ~(unsigned)DUE_TASK;
        s->member->asked = 0;
        set_doing(c, s->member, 0);
    }
}

void core_async_drop_held(struct core *c)
{
    while (c->held != NULL)
        let_go(c, &c->held);
}
