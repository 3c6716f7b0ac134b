#include "server/roster.h"
#include "server/select.h"
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 16 };

void roster_init(struct roster *r)
{
    *r = (struct roster){0};
    arena_init(&r->mem, ARENA_NO_CAP);
}

void roster_release(struct roster *r)
{
    for (size_t i = 0; i < r->sessions; i++)
        free(r->session[i]);
    free(r->session);
    free(r->member);
    free(r->candidate);
    free(r->order);
    arena_release(&r->mem);
    *r = (struct roster){0};
}

static size_t larger(size_t cap)
{
    return cap == 0 ? FIRST_CAPACITY : 2 * cap;
}

/* Room for one more member in the table and in the scratch tables of its size; false without
 * memory. */
static bool grow_members(struct roster *r)
{
    if (r->members < r->member_cap)
        return true;
    size_t cap = larger(r->member_cap);
    struct member **member = realloc(r->member, cap * sizeof *member);
    if (member != NULL)
        r->member = member;
    struct member **candidate = realloc(r->candidate, cap * sizeof *candidate);
    if (candidate != NULL)
        r->candidate = candidate;
    uint32_t *order = realloc(r->order, cap * sizeof *order);
    if (order != NULL)
        r->order = order;
    if (member == NULL || candidate == NULL || order == NULL)
        return false;
    r->member_cap = cap;
    return true;
}

static bool grow_sessions(struct roster *r)
{
    if (r->sessions < r->session_cap)
        return true;
    size_t cap = larger(r->session_cap);
    struct session **session = realloc(r->session, cap * sizeof *session);
    if (session == NULL)
        return false;
    r->session = session;
    r->session_cap = cap;
    return true;
}

/* Where a name is, or belongs. */
static size_t member_place(const struct roster *r, const char *name)
{
    size_t low = 0, high = r->members;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (strcmp(r->member[mid]->name, name) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct member *roster_known(const struct roster *r, const char *name)
{
    size_t at = member_place(r, name);
    return at < r->members && strcmp(r->member[at]->name, name) == 0 ? r->member[at] : NULL;
}

struct member *roster_member(struct roster *r, const char *name)
{
    struct member *old = roster_known(r, name);
    if (old != NULL)
        return old;
    size_t at = member_place(r, name);
    if (r->members == ROSTER_MAX_MEMBERS || !grow_members(r))
        return NULL;
    struct member *m = arena_calloc(&r->mem, 1, sizeof *m);
    char *copy = arena_strdup(&r->mem, name);
    if (m == NULL || copy == NULL)
        return NULL;
    *m = (struct member){.name = copy, .index = select_index(name)};
    memmove(r->member + at + 1, r->member + at, (r->members - at) * sizeof *r->member);
    r->member[at] = m;
    r->members++;
    return m;
}

static size_t session_place(const struct roster *r, uint64_t conn)
{
    size_t low = 0, high = r->sessions;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (r->session[mid]->conn < conn)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct session *roster_find(const struct roster *r, uint64_t conn)
{
    size_t at = session_place(r, conn);
    return at < r->sessions && r->session[at]->conn == conn ? r->session[at] : NULL;
}

struct session *roster_open(struct roster *r, uint64_t conn, struct member *m)
{
    size_t at = session_place(r, conn);
    if (at < r->sessions && r->session[at]->conn == conn)
        return NULL;
    struct session *s = malloc(sizeof *s);
    if (s == NULL || !grow_sessions(r)) {
        free(s);
        return NULL;
    }
    *s = (struct session){.conn = conn, .member = m, .expires = CORE_NEVER};
    memmove(r->session + at + 1, r->session + at, (r->sessions - at) * sizeof *r->session);
    r->session[at] = s;
    r->sessions++;
    return s;
}

static void unlist(struct roster *r, struct session *s)
{
    struct session *before = NULL, *at = r->due_first;
    while (at != s) {
        before = at;
        at = at->next;
    }
    if (before != NULL)
        before->next = s->next;
    else
        r->due_first = s->next;
    if (r->due_last == s)
        r->due_last = before;
    s->listed = false;
    s->next = NULL;
}

void roster_close(struct roster *r, struct session *s)
{
    size_t at = session_place(r, s->conn);
    if (s->listed)
        unlist(r, s);
    if (s->member != NULL && s->member->session == s)
        s->member->session = NULL;
    memmove(r->session + at, r->session + at + 1, (r->sessions - at - 1) * sizeof *r->session);
    r->sessions--;
    free(s);
}

void roster_due(struct roster *r, struct session *s, unsigned due)
{
    s->due |= due;
    if (s->listed || s->due == 0)
        return;
    s->listed = true;
    s->next = NULL;
    if (r->due_last != NULL)
        r->due_last->next = s;
    else
        r->due_first = s;
    r->due_last = s;
}

struct session *roster_next(struct roster *r, enum due *due)
{
    struct session *s;
    while ((s = r->due_first) != NULL && s->due == 0) /* what was due has been withdrawn */
        unlist(r, s);
    if (s == NULL)
        return NULL;
    unsigned first = s->due & -s->due;
    s->due &= ~first;
    if (s->due == 0)
        unlist(r, s);
    *due = (enum due)first;
    return s;
}

size_t roster_candidates(struct roster *r, bool now)
{
    size_t n = 0;
    for (size_t i = 0; i < r->members; i++) {
        struct member *m = r->member[i];
        bool ready = m->session != NULL && m->session->state == SESSION_READY;
        if (m->known && (ready || !now))
            r->candidate[n++] = m;
    }
    return n;
}

size_t roster_ready(const struct roster *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->sessions; i++)
        n += r->session[i]->state == SESSION_READY && !r->session[i]->observer;
    return n;
}
