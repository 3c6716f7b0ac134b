/* Who is known and who is connected: the members of a run, sorted by name, and the sessions, sorted
 * by connection number. Plain tables; what messages do to them is core.c's business. */
#ifndef SERVER_ROSTER_H
#define SERVER_ROSTER_H

#include "base/arena.h"
#include "server/core.h"

/* A private CA vouches for every member; this only bounds memory (some 300 MB) if it should sign
 * without end. */
enum { ROSTER_MAX_MEMBERS = 1 << 20 };

/* A client by its certificate's name. Lives until the roster is released. */
struct member {
    const char *name;
    uint32_t index;          /* names its random streams (select_index) */
    bool known;              /* has been ready in this run: can be selected */
    struct session *session; /* NULL while away */
    struct slot *slot;       /* its place in the present round; NULL when not selected */
    bool accepted;           /* an update of it counted in accepted_round */
    uint32_t accepted_round;
    struct hash accepted_id;
    uint32_t counted; /* 1 + the last committed round that has an update of it; 0: none */
    /* MODE_ASYNC: 1 + the round of its last task; of the task that it works on, for which its place
     * is kept until `until`; 0: none. */
    uint32_t asked, doing;
    core_time until;
    bool overdue;      /* it works on, but its place is another's */
    uint64_t up, down; /* wire bytes since that task, while it has no place in the round */
};

enum session_state {
    SESSION_NEW,      /* TLS is up: a Hello must come */
    SESSION_WELCOMED, /* it prepares model and data: a Ready must come */
    SESSION_READY,    /* takes tasks */
    SESSION_LEAVING,  /* told to go; whatever it still sends is ignored */
    SESSION_STATES
};

/* What a session must be told, in the order in which it is told. */
enum due {
    DUE_PONG = 1,
    DUE_WELCOME = 2,
    DUE_RECEIPT = 4,
    DUE_PROCEED = 8,
    DUE_TASK = 16,
    DUE_FINISH = 32,
    DUE_GOODBYE = 64,
    DUE_CLOSE = 128
};

/* What an upload waits for: its session's question is then answered later. */
enum upload_wait {
    WAITS_NOT,
    WAITS_PLACE, /* in the intake */
    WAITS_ROOM,  /* all is here but the end: in memory, among the updates that wait for the disk */
    UPLOAD_WAITS
};

struct session {
    uint64_t conn;
    enum session_state state;
    struct member *member;
    enum msg_pause paused;      /* as the client says */
    bool observer;              /* takes no part: core_observe */
    core_time expires;          /* the present state must end before; CORE_NEVER */
    uint64_t in, out;           /* wire bytes as last reported */
    uint64_t codings;           /* that the client knows (codec/coding.h) */
    unsigned due;               /* set of enum due */
    bool listed;                /* in the list of sessions with something due */
    struct session *next;       /* in that list */
    struct msg_receipt receipt; /* DUE_RECEIPT; text is static */
    struct msg_proceed proceed; /* DUE_PROCEED */
    struct msg_goodbye goodbye; /* DUE_GOODBYE; text is static */
    enum upload_wait waits;
    struct msg_part asked; /* the question; run_id is the run's */
    size_t promised;       /* memory for the update that it was told to end; 0: none */
    core_time promise_ends;
};

struct roster {
    struct arena mem; /* members and their names */
    struct member **member;
    size_t members, member_cap;
    struct member **candidate; /* scratch for selection, as long as `member` ... */
    uint32_t *order;           /* ... so that opening a round allocates nothing */
    struct session **session;
    size_t sessions, session_cap;
    struct session *due_first, *due_last;
};

void roster_init(struct roster *r);
void roster_release(struct roster *r);
/* The member of that name, new if need be; NULL without memory. */
struct member *roster_member(struct roster *r, const char *name);
/* The member of that name; NULL: there is none. */
struct member *roster_known(const struct roster *r, const char *name);
/* A new session in SESSION_NEW; NULL when conn is taken, or without memory. */
struct session *roster_open(struct roster *r, uint64_t conn, struct member *m);
struct session *roster_find(const struct roster *r, uint64_t conn);
/* Ends and frees a session; what was due is dropped. */
void roster_close(struct roster *r, struct session *s);

/* Adds to what the session must be told. */
void roster_due(struct roster *r, struct session *s, unsigned due);
/* The first session with something due, and the first such thing, which is then done; NULL when
 * there is none. */
struct session *roster_next(struct roster *r, enum due *due);

/* Fills r->candidate with the members that have been ready in this run, in name order, and returns
 * their number; `now`: only those that are ready now. */
size_t roster_candidates(struct roster *r, bool now);
size_t roster_ready(const struct roster *r);

#endif
