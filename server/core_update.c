/* Updates: one that came whole, one that comes in parts, and what a client is told of it. */
#include "server/core_state.h"

void core_acknowledge(struct core *c, struct session *s, const struct msg_update *u,
                      enum msg_reason reason)
{
    s->receipt = (struct msg_receipt){
        .round = u->round,
        .update_id = u->update_id,
        .accepted = reason == REASON_NONE,
        .reason = reason,
        .text = core_reason_text(reason),
    };
    roster_due(&c->who, s, DUE_RECEIPT);
    const struct slot *slot = s->member->slot;
    bool awaited = slot != NULL && slot->pending == NULL && !slot->delivered && !slot->failed;
    if (reason == REASON_NONE && c->round.crowded && !awaited)
        core_send_away(c, s, REASON_NONE, "thank you, others are to have their turn");
}

/* What the gate said of an update of m, whose client may be gone. */
static void settled(struct core *c, struct member *m, struct session *s, const struct msg_update *u,
                    enum msg_reason reason)
{
    const struct slot *slot = m->slot;
    if (reason != REASON_NONE)
        c->refusals[reason]++;
    if (s != NULL && slot != NULL && (slot->delivered || slot->pending != NULL))
        s->due &= ~(unsigned)DUE_TASK; /* a kept update may come before the task is sent again */
    if (s != NULL && (reason != REASON_NONE || slot == NULL || slot->pending == NULL))
        core_acknowledge(c, s, u, reason);
    if (c->round.async && m->doing == u->round + 1)
        core_async_idle(c, m);
    if (round_complete(&c->round))
        core_close_round(c);
}

bool core_settle_update(struct core *c, struct member *m, uint64_t conn, const struct msg_update *u)
{
    struct session *s = roster_find(&c->who, conn);
    enum msg_reason reason = round_update(&c->round, m, u, conn);
    if (reason != REASON_INTERNAL)
        settled(c, m, s, u, reason);
    else if (s != NULL) /* unsettled: it comes again */
        core_refuse(c, s, reason);
    return reason != REASON_INTERNAL;
}

/* Its bytes are here, or nobody looks at them. False: it has to come again. */
static bool take_update(struct core *c, struct session *s, const struct msg_update *u)
{
    if (u->uploaded || !core_async_waits(c, s->member, u))
        return core_settle_update(c, s->member, s->conn, u);
    if (core_async_hold(c, s, u))
        return true;
    core_refuse(c, s, REASON_INTERNAL);
    return false;
}

void core_on_update(struct core *c, struct session *s, const struct msg *m)
{
    struct msg_update u = m->update;
    struct member *member = s->member;
    core_stop_waiting(c, s);
    if (core_async_holds(c, s, &u))
        return;
    enum msg_reason reason = REASON_NONE;
    if (u.uploaded && round_wants(&c->round, member, &u))
        reason = intake_whole(&c->intake, member, &u);
    if (reason != REASON_NONE)
        core_refuse(c, s, reason);
    else if (take_update(c, s, &u) && !u.uploaded)
        intake_drop(&c->intake, member);
    if (c->round.async)
        core_async_assign(c);
    core_continue_uploads(c);
}

/* --- uploads: what there is no place or room for waits for its answer --- */

/* What an update of that length takes, at most, while it waits for the disk. */
static size_t room_of(size_t length)
{
    enum { NAME = 64 };
    return pending_size(&(struct msg_update){.params.len = length}) + MSG_MAX_METRICS * NAME;
}

static bool has_room(const struct core *c, size_t bytes)
{
    size_t taken = c->round.waiting_bytes + c->held_bytes;
    for (size_t i = 0; i < c->who.sessions; i++)
        taken += c->who.session[i]->promised;
    return pending_fits(bytes, taken, c->round.max_waiting);
}

void core_stop_waiting(struct core *c, struct session *s)
{
    if (s->waits != WAITS_NOT)
        c->waits[s->waits]--;
    s->waits = WAITS_NOT;
    s->promised = 0;
}

static void let_wait(struct core *c, struct session *s, const struct msg_part *p,
                     enum upload_wait what)
{
    s->asked = (struct msg_part){.run_id = c->config.run_id,
                                 .round = p->round,
                                 .update_id = p->update_id,
                                 .length = p->length};
    s->waits = what;
    c->waits[what]++;
}

static void take_part(struct core *c, struct session *s, const struct msg_part *p,
                      const struct msg_update *u)
{
    struct member *member = s->member;
    size_t next, room = room_of(p->length);
    if (p->data.len == 0 && intake_full(&c->intake, member, c->now)) {
        let_wait(c, s, p, WAITS_PLACE);
        return;
    }
    enum msg_reason reason = intake_part(&c->intake, member, p, c->now, &next);
    if (reason == REASON_NONE && next == p->length && !has_room(c, room)) {
        let_wait(c, s, p, WAITS_ROOM);
    } else if (reason == REASON_NONE) {
        s->promised = next == p->length ? room : 0;
        s->promise_ends = c->now + INTAKE_STALLED_MS;
        s->proceed = (struct msg_proceed){p->update_id, next};
        roster_due(&c->who, s, DUE_PROCEED);
    } else if (reason == REASON_SHAPE) {
        round_refuse(&c->round, member);
        settled(c, member, s, u, reason);
    } else {
        core_refuse(c, s, reason);
    }
}

static void on_part(struct core *c, struct session *s, const struct msg_part *p)
{
    const struct msg_update u = {
        .run_id = p->run_id, .round = p->round, .update_id = p->update_id, .uploaded = true};
    core_stop_waiting(c, s);
    if (core_async_holds(c, s, &u))
        return;
    if (round_wants(&c->round, s->member, &u))
        take_part(c, s, p, &u);
    else /* now; maybe in the round's next attempt */
        (void)take_update(c, s, &u);
    if (c->round.async)
        core_async_assign(c);
}

void core_on_part(struct core *c, struct session *s, const struct msg *m)
{
    on_part(c, s, &m->part);
}

void core_continue_uploads(struct core *c)
{
    bool in_vain[UPLOAD_WAITS] = {false};
    for (size_t i = 0; c->waits[WAITS_PLACE] + c->waits[WAITS_ROOM] > 0 && i < c->who.sessions;
         i++) {
        struct session *s = c->who.session[i];
        enum upload_wait what = s->waits;
        if (what == WAITS_NOT || in_vain[what])
            continue;
        const struct msg_part question = s->asked;
        if (s->state == SESSION_READY)
            on_part(c, s, &question);
        else
            core_stop_waiting(c, s);
        in_vain[what] = s->waits == what;
    }
}

void core_sweep(struct core *c)
{
    struct intake *t = &c->intake;
    for (size_t i = 0; t->taken > 0 && i < t->places; i++) {
        const struct partial *p = &t->partial[i];
        const struct msg_update u = {
            .run_id = c->config.run_id, .round = p->round, .update_id = p->id};
        if (p->member != NULL && !round_wants(&c->round, p->member, &u))
            intake_drop(t, p->member);
    }
}
