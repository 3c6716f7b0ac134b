/* Updates of a run that come in parts: those that are under way, in a file without a name, so that
 * they take no memory and go with the process. What a client has sent survives its connection: it
 * asks where to go on. A killed server forgets all of them, and clients begin anew.
 *
 * A client has one place at most, of the longest update's size. All runs of a server together have
 * INTAKE_BYTES of places, but each one in any case; when all are taken, the one of this run that
 * has been silent for longest gives way, if its client is away or has said nothing for
 * INTAKE_STALLED_MS; else others have to wait (intake_full). What nobody has added to for
 * INTAKE_IDLE_MS is dropped. The file grows with what comes, in $TMPDIR or
 * /var/tmp, and is empty again when nobody uploads. */
#ifndef SERVER_INTAKE_H
#define SERVER_INTAKE_H

#include "proto/msg.h"
#include "server/roster.h"

#define INTAKE_BYTES ((size_t)1 << 30)
enum { INTAKE_STALLED_MS = 60 * 1000, INTAKE_IDLE_MS = 60 * 60 * 1000, INTAKE_LOOK_MS = 5 * 1000 };

struct partial {
    struct member *member; /* whose; NULL: a free place */
    uint32_t round;
    struct hash id;
    size_t length, have; /* of the update; of them, here, from its beginning */
    core_time touched;   /* when its client said something last */
    void *map;           /* the whole of it, once it was asked for */
};
struct intake {
    size_t most;  /* bytes of the longest update */
    size_t place; /* of a place: whole pages */
    int fd;       /* -1: there has been none yet */
    struct partial *partial;
    size_t places, taken;
    struct core_uploads *all; /* the server's */
};

/* most: bytes of the longest update; all: borrowed. */
void intake_init(struct intake *t, size_t most, struct core_uploads *all);
void intake_release(struct intake *t);

/* There is no place for an upload of this client now; and when to look again: when a silent one
 * gives way, and every INTAKE_LOOK_MS where it is other runs that have the room. */
bool intake_full(const struct intake *t, const struct member *m, core_time now);
core_time intake_gives_way(const struct intake *t, core_time now);
/* Takes a part, or the question where to go on, which gives the client a place when it has none, or
 * one for another update. *next: where its next part begins. SHAPE: an update of impossible length;
 * PART: no part that comes next, of an update that was asked for: what is here stays as it is;
 * INTERNAL: no place, disk or memory: it may come again. */
enum msg_reason intake_part(struct intake *t, struct member *m, const struct msg_part *p,
                            core_time now, size_t *next);
/* Puts the bytes into an update whose bytes came in parts: read-only, until intake_drop. PART: not
 * all of them are here; INTERNAL. */
enum msg_reason intake_whole(struct intake *t, const struct member *m, struct msg_update *u);
/* Forgets what came of the update of this client. */
void intake_drop(struct intake *t, const struct member *m);
/* Forgets what has been idle for too long; and when there will be such a one next: CORE_NEVER. */
void intake_expire(struct intake *t, core_time now);
core_time intake_deadline(const struct intake *t);

#endif
