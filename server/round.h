/* One round after another: who was selected, the gate that every update must pass, the running sum,
 * the commit. Knows nothing of sessions and messages to be sent: core.c tells clients what a round
 * decides. */
#ifndef SERVER_ROUND_H
#define SERVER_ROUND_H

#include "server/aggregate.h"
#include "server/fedopt.h"
#include "server/payload.h"
#include "server/pending.h"
#include "server/roster.h"
#include "server/scaffold.h"
#include "server/tally.h"

enum round_state {
    ROUND_GATHERING, /* waits for enough ready clients */
    ROUND_SELECTED,  /* the selection is being stored */
    ROUND_OPEN,      /* tasks are out, updates come in */
    ROUND_CLOSING,   /* the new parameters are being computed */
    ROUND_CLOSED,    /* the commit is being stored */
    ROUND_OVER,      /* no round is left: params are the result */
    ROUND_FAILED,    /* the step led nowhere: `failure` says why */
};

/* A selected client's place. */
struct slot {
    struct member *member;
    bool delivered;          /* its update is in the sum */
    struct pending *pending; /* its update is being stored; else NULL */
    bool failed; /* its update was refused for its content: it holds up nobody until the deadline */
    struct core_contribution
        record; /* bytes are counted from the start, the rest is set on delivery */
};

struct round {
    const struct federation_spec *spec;
    bool async; /* spec->mode */
    const struct schema *schema;
    struct schema wire; /* the tensors that travel, alone: its flat vector is what is averaged */
    const struct fedopt *optimizer;
    char run_id[17];

    enum round_state state;
    uint32_t number, attempt; /* both from 0; an attempt ends at a deadline without quorum */
    bool resumed;             /* it began before the server did: nobody knows how long it takes */
    bool crowded;  /* not all clients can be here at a time: a round is of those who are */
    bool ended;    /* by round_end */
    bool gathered; /* the whole population has been ready once: from now on, a quorum suffices to
                      begin */
    core_time started, deadline;
    uint32_t places;    /* spec_selected; MODE_ASYNC: per_round, taken as updates come */
    uint32_t inherited; /* MODE_ASYNC: 1 + the last round that a predecessor may have asked for */
    struct slot *slot;  /* places, n of them in use, in name order */
    struct tally_row *row; /* of each slot */
    struct tally tally;
    size_t n, delivered;
    const char **selected; /* names of the slots */
    struct core_attempt start;
    size_t waiting, waiting_bytes;                /* updates that are being stored */
    size_t max_waiting;                           /* of waiting_bytes */
    struct pending *pending_first, *pending_last; /* those not yet handed to the shell */
    uint64_t weight;                              /* of all updates that passed the gate */
    uint32_t refused;                             /* updates refused in this round, all attempts */

    float *params, *next;   /* schema->count: now, and after the commit in progress */
    float *base;            /* wire.count: what of params travels */
    float *values;          /* wire.count: the update at hand, and the mean */
    float *origin;          /* wire.count: what updates are seen from; base, or 0 with MODE_ASYNC */
    struct payload payload; /* params as they travel */
    struct aggregate aggregate;
    double *carried; /* n_carried: the optimiser's state, and SCAFFOLD's */
    size_t n_carried;
    struct scaffold scaffold;               /* its control variate lies behind that state */
    struct core_contribution *contribution; /* per_round: those of the commit */
    struct core_commit commit;

    const char *metric; /* the clients' that scores rounds; NULL: none */
    bool lower_is_better;
    struct best best;
    float *best_params; /* schema->count: after round best.round; NULL unless spec->best */
    struct err failure; /* ROUND_FAILED */
};

/* ERR_CONFIG: numbers of the federation that contradict each other, or parameters that no update
 * could be near; ERR_NOMEM; ERR_IO: no room for the updates of a round (aggregate_open). */
int round_init(struct round *r, const struct core_config *c, struct err *e) MUST_CHECK;
void round_release(struct round *r);

/* Updates without which this round cannot be committed, and clients without which it does not
 * begin. */
size_t round_quorum(const struct round *r);
size_t round_needs(const struct round *r);
/* ROUND_GATHERING -> ROUND_SELECTED: selects among all members ever ready on the first attempt,
 * among those ready now on later ones and when it is crowded; r->start says whom. */
void round_begin(struct round *r, struct roster *who, core_time now);
/* ROUND_GATHERING -> ROUND_SELECTED with a selection of old. ERR_STATE, ERR_NOMEM. */
int round_resume(struct round *r, struct roster *who, const struct core_attempt *a, core_time now,
                 struct err *e) MUST_CHECK;
/* ROUND_SELECTED -> ROUND_OPEN. */
void round_open(struct round *r, core_time now);

/* As many updates as the round takes are there or being stored: any other is late. */
bool round_full(const struct round *r);
/* Whether an update with this run, round and id is worth its bytes: it is this client's turn, and
 * no repeat; and the round is open, or with MODE_ASYNC maybe the next one. */
bool round_wants(const struct round *r, const struct member *m, const struct msg_update *u);
/* One that is wanted, but cannot be what it says. */
void round_refuse(struct round *r, const struct member *m);
/* The gate. REASON_NONE: the update is in the sum already (a repeat), or now waits to be stored, in
 * m->slot->pending; `conn` is to be told. REASON_INTERNAL: there is no room for it just now. */
enum msg_reason round_update(struct round *r, struct member *m, const struct msg_update *u,
                             uint64_t conn);
/* The next update to be stored; NULL: none. */
const struct core_update *round_next_update(struct round *r);
/* A slot's update is stored: it is in the sum; or it could not be: it is forgotten. */
void round_stored(struct round *r, struct slot *s, bool stored);
/* per_round updates are in the sum; or nothing more is to be hoped for before the deadline, and
 * there is a quorum. */
bool round_complete(const struct round *r);
/* ROUND_OPEN -> ROUND_CLOSING. */
void round_close(struct round *r, core_time now);
/* Computes what the updates come to. On any thread; meanwhile the round may be asked, and given
 * updates, which are late. */
void round_compute(struct round *r);
/* ROUND_CLOSING -> ROUND_CLOSED: next holds the new parameters; or -> ROUND_FAILED. */
void round_computed(struct round *r);
/* Completes r->commit with what each client contributed, once, when nothing more is to be counted;
 * scores the round before by it. */
void round_record(struct round *r);
/* core_scored. */
void round_scored(struct round *r, uint32_t round, double score);
/* ROUND_OPEN -> ROUND_GATHERING, same round, next attempt: what was delivered is forgotten. No
 * update is being stored. */
void round_restart(struct round *r);
/* ROUND_GATHERING -> ROUND_OVER: no round follows. */
void round_end(struct round *r);
/* ROUND_CLOSED -> ROUND_GATHERING or ROUND_OVER, after the last round or for want of a better one:
 * the commit is durable. */
void round_advance(struct round *r);

#endif
