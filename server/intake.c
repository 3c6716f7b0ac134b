#include "server/intake.h"
#include "base/file.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MOST_PLACES = 1024 };

static size_t room_of(const struct core_uploads *all)
{
    return all->room > 0 ? all->room : INTAKE_BYTES;
}

void intake_init(struct intake *t, size_t most, struct core_uploads *all)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    *t = (struct intake){
        .most = most, .place = (most + page - 1) / page * page, .fd = -1, .all = all};
    t->places = room_of(all) / (t->place + 1);
    t->places = t->places < 1 ? 1 : t->places > MOST_PLACES ? MOST_PLACES : t->places;
}

/* The place stays taken. */
static void forget(struct partial *p)
{
    if (p->map != NULL)
        munmap(p->map, p->length);
    *p = (struct partial){0};
}

static void empty(struct intake *t, struct partial *p)
{
    forget(p);
    t->all->taken -= t->place;
    if (--t->taken == 0 && ftruncate(t->fd, 0) != 0)
        return; /* the space is used again all the same */
}

void intake_release(struct intake *t)
{
    for (size_t i = 0; t->partial != NULL && i < t->places; i++)
        if (t->partial[i].member != NULL)
            empty(t, &t->partial[i]);
    free(t->partial);
    if (t->fd >= 0)
        close(t->fd);
    *t = (struct intake){.fd = -1};
}

/* At the first update that is long enough. */
static bool ready(struct intake *t)
{
    if (t->partial == NULL)
        t->partial = calloc(t->places, sizeof *t->partial);
    return t->partial != NULL && (t->fd >= 0 || file_nameless(&t->fd, NULL) == 0);
}

static struct partial *find(const struct intake *t, const struct member *m)
{
    for (size_t i = 0; t->partial != NULL && i < t->places; i++)
        if (t->partial[i].member == m)
            return &t->partial[i];
    return NULL;
}

static bool away(const struct member *m)
{
    return m->session == NULL || m->session->state != SESSION_READY;
}

/* Whether the server has room for another place of this run. */
static bool may_grow(const struct intake *t)
{
    return t->taken == 0 || t->all->taken + t->place <= room_of(t->all);
}

/* A place that is free, or of a client that is away or has stalled; NULL: there is none. */
static struct partial *best_place(const struct intake *t, core_time now)
{
    struct partial *oldest = NULL;
    bool grows = may_grow(t);
    for (size_t i = 0; i < t->places; i++) {
        struct partial *p = &t->partial[i];
        if (p->member == NULL && grows)
            return p;
        if (p->member == NULL)
            continue;
        bool gives_way = away(p->member) || now - p->touched >= INTAKE_STALLED_MS;
        if (gives_way && (oldest == NULL || p->touched < oldest->touched))
            oldest = p;
    }
    return oldest;
}

static struct partial *make_room(struct intake *t, core_time now)
{
    struct partial *p = best_place(t, now);
    if (p != NULL && p->member != NULL)
        empty(t, p);
    return p;
}

bool intake_full(const struct intake *t, const struct member *m, core_time now)
{
    return t->taken > 0 && find(t, m) == NULL && best_place(t, now) == NULL;
}

core_time intake_gives_way(const struct intake *t, core_time now)
{
    core_time next = t->taken < t->places ? now + INTAKE_LOOK_MS : CORE_NEVER;
    for (size_t i = 0; t->taken > 0 && i < t->places; i++)
        if (t->partial[i].member != NULL && t->partial[i].touched + INTAKE_STALLED_MS < next)
            next = t->partial[i].touched + INTAKE_STALLED_MS;
    return next;
}

static bool is_of(const struct partial *p, const struct msg_part *m)
{
    return p->round == m->round && p->length == m->length && hash_same(&p->id, &m->update_id);
}

static off_t offset(const struct intake *t, const struct partial *p, size_t at)
{
    return (off_t)((size_t)(p - t->partial) * t->place + at);
}

static bool put(const struct intake *t, const struct partial *p, struct msg_bytes b)
{
    off_t at = offset(t, p, p->have);
    while (b.len > 0) {
        ssize_t n = pwrite(t->fd, b.data, b.len, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        b.data += n;
        b.len -= (size_t)n;
        at += n;
    }
    return true;
}

/* A place for a client that has none; NULL: there is none. */
static struct partial *take_place(struct intake *t, core_time now)
{
    struct partial *p = ready(t) ? make_room(t, now) : NULL;
    if (p == NULL)
        return NULL;
    t->taken++;
    t->all->taken += t->place;
    return p;
}

/* The place of this update, new if need be; NULL: there is none. Another update of its client gives
 * its own place to it, whatever other runs have taken meanwhile. */
static struct partial *begin(struct intake *t, struct member *m, const struct msg_part *part,
                             core_time now)
{
    struct partial *p = find(t, m);
    if (p != NULL && is_of(p, part))
        return p;
    if (p != NULL)
        forget(p);
    else
        p = take_place(t, now);
    if (p != NULL)
        *p = (struct partial){
            .member = m, .round = part->round, .id = part->update_id, .length = part->length};
    return p;
}

enum msg_reason intake_part(struct intake *t, struct member *m, const struct msg_part *part,
                            core_time now, size_t *next)
{
    if (part->length > t->most)
        return REASON_SHAPE;
    struct partial *p = part->data.len > 0 ? find(t, m) : begin(t, m, part, now);
    if (part->data.len == 0 && p == NULL)
        return REASON_INTERNAL;
    if (part->data.len > 0) {
        if (p == NULL || !is_of(p, part) || part->offset != p->have)
            return REASON_PART;
        if (!put(t, p, part->data))
            return REASON_INTERNAL;
        p->have += part->data.len;
    }
    p->touched = now;
    *next = p->have;
    return REASON_NONE;
}

enum msg_reason intake_whole(struct intake *t, const struct member *m, struct msg_update *u)
{
    struct partial *p = find(t, m);
    if (p == NULL || p->round != u->round || !hash_same(&p->id, &u->update_id) ||
        p->have != p->length || u->params.len > p->length ||
        u->control.len != p->length - u->params.len)
        return REASON_PART;
    if (p->map == NULL) {
        void *map = mmap(NULL, p->length, PROT_READ, MAP_SHARED, t->fd, offset(t, p, 0));
        if (map == MAP_FAILED)
            return REASON_INTERNAL;
        p->map = map;
    }
    u->uploaded = false;
    u->params.data = p->map;
    u->control.data = u->params.data + u->params.len;
    return REASON_NONE;
}

void intake_drop(struct intake *t, const struct member *m)
{
    struct partial *p = find(t, m);
    if (p != NULL)
        empty(t, p);
}

void intake_expire(struct intake *t, core_time now)
{
    for (size_t i = 0; t->taken > 0 && i < t->places; i++)
        if (t->partial[i].member != NULL && now - t->partial[i].touched >= INTAKE_IDLE_MS)
            empty(t, &t->partial[i]);
}

core_time intake_deadline(const struct intake *t)
{
    core_time next = CORE_NEVER;
    for (size_t i = 0; t->taken > 0 && i < t->places; i++)
        if (t->partial[i].member != NULL && t->partial[i].touched + INTAKE_IDLE_MS < next)
            next = t->partial[i].touched + INTAKE_IDLE_MS;
    return next;
}
