#include "server/core_state.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Appends to a text of fixed size; what does not fit is cut. */
static void append(char *text, size_t size, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void append(char *text, size_t size, const char *fmt, ...)
{
    size_t len = strlen(text);
    va_list args;
    va_start(args, fmt);
    vsnprintf(text + len, size - len, fmt, args);
    va_end(args);
}

/* What there is to know of a client that has not delivered, in brackets. */
static void say_why(const struct slot *s, char *text, size_t size)
{
    const struct session *at = s->member->session;
    if (s->failed)
        append(text, size, " (refused)");
    else if (at == NULL || at->state != SESSION_READY)
        append(text, size, " (away)");
    else if (at->paused != PAUSE_NONE)
        append(text, size, " (paused: %s)", msg_pause_text(at->paused));
}

static void name_missing(const struct round *r, char *text, size_t size)
{
    enum { SHOWN = 3 };
    size_t missing = 0;
    for (size_t i = 0; i < r->n; i++) {
        const struct slot *s = &r->slot[i];
        if (s->delivered || s->pending != NULL || missing++ >= SHOWN)
            continue;
        append(text, size, "%s %s", missing == 1 ? "; waits for" : ",", s->member->name);
        say_why(s, text, size);
    }
    if (missing > SHOWN)
        append(text, size, " and %zu more", missing - SHOWN);
}

/* Connected, but not ready: they read their model and data. */
static size_t count_preparing(const struct core *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->who.sessions; i++)
        n += c->who.session[i]->state < SESSION_READY;
    return n;
}

/* MODE_ASYNC. */
static size_t count_overdue(const struct core *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->who.members; i++)
        n += c->who.member[i]->overdue;
    return n;
}

static void say_round(const struct core *c, core_time now, char *text, size_t size)
{
    const struct round *r = &c->round;
    append(text, size, "round %u of %u", r->number + 1, r->spec->rounds);
    if (r->attempt > 0)
        append(text, size, ", attempt %u", r->attempt + 1);
    if (r->state == ROUND_GATHERING && c->paused) {
        append(text, size, ": waiting to be resumed");
    } else if (r->state == ROUND_GATHERING) {
        append(text, size, ": waiting for clients: %zu of %zu ready", roster_ready(&c->who),
               round_needs(r));
        if (count_preparing(c) > 0)
            append(text, size, ", %zu preparing", count_preparing(c));
    } else if (r->state == ROUND_SELECTED && r->async) {
        append(text, size, ": storing its beginning");
    } else if (r->state == ROUND_SELECTED) {
        append(text, size, ": storing the selection of %zu clients", r->n);
    } else if (r->state == ROUND_CLOSING) {
        append(text, size, ": computing the result");
    } else if (r->state == ROUND_CLOSED) {
        append(text, size, ": storing the result");
    } else if (r->async) {
        append(text, size, ": %zu of %u updates, %zu clients train", r->delivered,
               r->spec->per_round, c->training);
        if (count_overdue(c) > 0)
            append(text, size, ", %zu more for longer than deadline_s", count_overdue(c));
        if (r->waiting > 0)
            append(text, size, ", %zu being stored", r->waiting);
    } else {
        core_time left = r->deadline > now ? (r->deadline - now + 999) / 1000 : 0;
        append(text, size, ": %zu of %zu updates, %lld s left", r->delivered, r->n,
               (long long)left);
        if (r->waiting > 0)
            append(text, size, ", %zu being stored", r->waiting);
        name_missing(r, text, size);
    }
}

void core_status(const struct core *c, core_time now, char *text, size_t size)
{
    const struct round *r = &c->round;
    if (size == 0)
        return;
    text[0] = '\0';
    if (c->draining)
        append(text, size, "stopping; ");
    if (c->paused && r->state != ROUND_OVER && r->state != ROUND_FAILED)
        append(text, size, "paused%s; ", r->state != ROUND_GATHERING ? " after this round" : "");
    if (r->state == ROUND_OVER && r->ended)
        append(text, size, "stopped after %u of %u rounds", r->number, r->spec->rounds);
    else if (r->state == ROUND_OVER && r->number < r->spec->rounds)
        append(text, size, "ended early, after %u of %u rounds: %u brought none better", r->number,
               r->spec->rounds, r->best.since);
    else if (r->state == ROUND_OVER)
        append(text, size, "all %u rounds are done", r->spec->rounds);
    else if (r->state == ROUND_FAILED)
        append(text, size, "failed: %s", r->failure.text);
    else
        say_round(c, now, text, size);
    if (r->best.any)
        append(text, size, "; best so far: round %u (%s%s%.4f)", r->best.round + 1,
               r->metric != NULL ? r->metric : "", r->metric != NULL ? " " : "", r->best.score);
}

const float *core_params(const struct core *c)
{
    return c->round.params;
}

const struct best *core_best(const struct core *c)
{
    return &c->round.best;
}

uint32_t core_round(const struct core *c)
{
    return c->round.number;
}

bool core_finished(const struct core *c)
{
    return c->round.state == ROUND_OVER;
}

size_t core_clients(const struct core *c, const char **name, size_t room)
{
    size_t n = 0;
    for (size_t i = 0; i < c->who.members; i++) {
        if (!c->who.member[i]->known)
            continue;
        if (n < room)
            name[n] = c->who.member[i]->name;
        n++;
    }
    return n;
}

const uint64_t *core_refusals(const struct core *c)
{
    return c->refusals;
}

core_time core_deadline(const struct core *c)
{
    const struct round *r = &c->round;
    bool runs = r->state == ROUND_OPEN && !c->draining;
    bool waits = r->waiting > 0 && r->deadline <= c->now; /* for the disk, then acts at once */
    core_time t = runs && !waits ? r->deadline : CORE_NEVER;
    if (runs && c->expiry < t)
        t = c->expiry;
    for (size_t i = 0; i < c->who.sessions; i++) {
        const struct session *s = c->who.session[i];
        t = s->expires < t ? s->expires : t;
        t = s->promised > 0 && s->promise_ends < t ? s->promise_ends : t;
    }
    core_time idle = intake_deadline(&c->intake);
    if (c->waits[WAITS_PLACE] > 0)
        idle = intake_gives_way(&c->intake, c->now);
    return idle < t ? idle : t;
}
