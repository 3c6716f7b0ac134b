/* The inside of the core, shared by core.c (events), core_update.c (updates, whole or in parts),
 * core_async.c, core_output.c and core_status.c. Nobody else includes it. */
#ifndef SERVER_CORE_STATE_H
#define SERVER_CORE_STATE_H

#include "server/core.h"
#include "server/intake.h"
#include "server/pace.h"
#include "server/round.h"

struct core {
    struct core_config config;
    struct round round;
    struct roster who;
    struct pace pace;
    struct core_uploads own; /* where there is no other run */
    struct intake intake;
    core_time now; /* of the last event */
    bool draining, paused, ending, begin_due, begin_out, aggregate_due, aggregate_out, commit_due,
        commit_out, finish_due;
    uint64_t refusals[REASONS];
    size_t waits[UPLOAD_WAITS]; /* uploads that wait, of each kind */
    /* federation.mode async */
    size_t training;      /* members that work on a task, but for overdue ones */
    core_time expiry;     /* nobody's task ends before */
    uint32_t draws;       /* in this round */
    struct pending *held; /* updates that wait for the next round, first come first */
    size_t held_bytes;
};

/* core_reason.c: what a person reads about a refusal. */
const char *core_reason_text(enum msg_reason reason);

/* core.c */
/* Tells a client that its task of that round is no longer wanted. */
void core_withdraw(struct core *c, struct session *s, uint32_t round);
/* Goodbye for now. What has gone wrong may have gone wrong for all. */
void core_refuse(struct core *c, struct session *s, enum msg_reason reason);
/* Come back when it is your turn. */
void core_send_away(struct core *c, struct session *s, enum msg_reason reason, const char *text);
void core_close_round(struct core *c);

/* core_update.c */
void core_on_update(struct core *c, struct session *s, const struct msg *m);
/* An update that the run does not want is answered before its bytes have come. */
void core_on_part(struct core *c, struct session *s, const struct msg *m);
void core_acknowledge(struct core *c, struct session *s, const struct msg_update *u,
                      enum msg_reason reason);
/* Takes an update of m to the gate, and answers on conn if that is still there. False: there is no
 * room for it just now, and it has to come again. */
bool core_settle_update(struct core *c, struct member *m, uint64_t conn,
                        const struct msg_update *u);
/* Forgets uploads under way that nobody waits for any more. */
void core_sweep(struct core *c);
/* Something has gone, or time has: answers uploads that waited for it. */
void core_continue_uploads(struct core *c);
/* A session is about to be closed. */
void core_stop_waiting(struct core *c, struct session *s);

/* core_async.c, for federation.mode async alone. */
/* Gives tasks to clients that have none, as many as there are places for. */
void core_async_assign(struct core *c);
void core_async_ready(struct core *c, struct session *s, uint32_t at_work);
void core_async_idle(struct core *c, struct member *m);
void core_async_tick(struct core *c);
/* A round has opened: takes what waited for it, and withdraws what has become too stale. */
void core_async_opened(struct core *c);
void core_async_withdraw(struct core *c);
/* Whether an update that is wanted comes between two rounds; then it is held, one of each client:
 * false without room. */
bool core_async_waits(const struct core *c, const struct member *m, const struct msg_update *u);
/* Whether it is held already; then s is told what becomes of it. */
bool core_async_holds(struct core *c, const struct session *s, const struct msg_update *u);
bool core_async_hold(struct core *c, const struct session *s, const struct msg_update *u);
/* Takes to the gate what is held, as much as the round has places for. */
void core_async_take_held(struct core *c);
/* There is no round for it: Finish, or the end of the connection, is its client's answer. */
void core_async_drop_held(struct core *c);

#endif
