/* The aggregation server's brain: a function of (state, event, now) -> (state, outputs). No socket,
 * no clock, no disk, no thread. libuv (server.c), the simulator (sim/) and scripted tests are
 * shells around it: they report events by calls, then drain core_next().
 *
 * A run: wait for enough ready clients; select per_round of them, or more (over_select); send the
 * task; fold each accepted update into the aggregate; at per_round updates, or at the deadline with
 * quorum, close the round; begin the next.
 *
 * With federation.mode async nobody is selected: whoever is idle is given a task, up to
 * `concurrency` clients at a time, and a round is the next per_round updates that come (FedBuff;
 * Nguyen et al. 2022). An update is the difference to its task, and counts 1 / sqrt(1 + tau) when
 * tau rounds were committed since. Which updates make a round depends on time; what they make of it
 * does not depend on their order. docs/architecture.md, "Rounds that overlap", has the rules.
 *
 * Durability. What a restart must find again is stored before anybody acts on it. The shell stores
 * and reports: who is selected (OUT_BEGIN, core_begun) before tasks go out; an update that passed
 * the gate (OUT_STORE, core_stored) before it counts and is acknowledged; a round (OUT_COMMIT,
 * core_committed) before the next begins. A deadline waits for updates that are being stored. An
 * update that cannot be stored is not acknowledged: its client is told to come back with it. A run
 * that was interrupted in a round goes on in it by core_resume and core_refeed. A shell without a
 * disk reports at once. What is computed at a round's close is asked for in the same way
 * (OUT_AGGREGATE).
 *
 * Determinism. The first round waits until federation.clients are ready, so that all shells select
 * from the same population, whoever connected first. The selection is a pure function of (seed,
 * round, attempt) over the sorted names of all clients that have ever been ready in this run,
 * whether or not they are here just now. A client's index, which names its random streams, comes
 * from its name: the decimal number at its end ("client-0042" -> 42), or else 32 bits of its hash.
 * The sum is exact, so the order of arrival does not matter; but with over_select it says which
 * updates count. Those that do are exactly those that were stored.
 *
 * Robustness. Later rounds begin as soon as a quorum is ready (quorum 0 = per_round). A selected
 * client that is away gets its task when it comes back, and one that disconnects may come back and
 * deliver, until the deadline. A deadline without quorum restarts the same round as its next
 * attempt, with a selection among the clients that are then ready; a client selected again delivers
 * the update it has kept. An update refused for its content is not waited for until the deadline if
 * the others make a quorum. A second connection under a name replaces the first. A connection must
 * say Hello within 30 s and be Ready within 30 minutes.
 *
 * Pace. Whoever is sent away is told when to come back (server/pace.h). As long as all clients of
 * the run fit into core_config.room they stay connected, and this concerns faults and the end of
 * the server alone. Above that, clients come and go: a connection that is one too many is told to
 * come back, unless its update is waited for; who has delivered makes room, too; a round selects
 * among those who are here, and waits until they are as many as it selects. Who has the result is
 * told to come back hours later, when there may be another run, or not at all (core_config.ends).
 *
 * The best round. The parameters after a round may be scored: by what clients report with their
 * updates about the parameters they were sent, which scores the round before and never the last one
 * (core_config.metric), or by the shell (core_scored). With federation.patience the run ends early;
 * with federation.best its result is the best round's parameters, and not the last one's. A run of
 * which no round was scored ends with the last.
 *
 * Memory is bounded by the members, the connections, per_round and the parameters; copies of
 * updates that wait to be stored, by CORE_MAX_WAITING bytes or one update. Aggregators that need
 * all updates of a round at once keep them in a file (server/spool.h), and so do updates that come
 * in parts (server/intake.h). Outputs are derived from the state when they are asked for; the shell
 * drains core_next() after each event. */
#ifndef SERVER_CORE_H
#define SERVER_CORE_H

#include "base/err.h"
#include "base/spec.h"
#include "base/tensorset.h"
#include "proto/msg.h"
#include "server/best.h"
#include <stdbool.h>
#include <stdint.h>

/* Milliseconds of a monotonic clock. */
typedef int64_t core_time;
#define CORE_NEVER INT64_MAX

/* Bytes of places for uploads under way (server/intake.h) that all runs of a server may have, and
 * have. */
struct core_uploads {
    size_t room, taken; /* room 0: INTAKE_BYTES */
};

struct core_config {
    const struct run_spec *spec; /* borrowed */
    const struct schema *schema; /* borrowed */
    struct hash model;
    char run_id[17];
    /* Connections that the server wants at a time, its max_clients; 0: any number. */
    uint32_t room;
    bool ends;           /* the server ends with its runs: who has the result need not come back */
    uint32_t round;      /* first round to do: 0, or where a stored run goes on */
    const float *params; /* schema->count values: initial, or of the last commit; copied */
    /* Names that were ready earlier in this run (core_clients), when a stored run goes on; copied.
     */
    const char *const *client;
    size_t n_clients;
    /* Of each of them, 1 + the last round that an update of it counted in; 0: none. NULL: none at
     * all. */
    const uint32_t *counted;
    /* The clients' metric that scores rounds, by name; NULL: core_scored alone. Borrowed. */
    const char *metric;
    bool lower_is_better;
    /* Of the last commit, when a stored run goes on: its state (NULL: the beginning), its best, and
     * the parameters after round best.round (NULL unless federation.best and best.any); copied. */
    const double *state;
    struct best best;
    const float *best_params;
    /* Bytes of updates that may wait for the disk; 0: CORE_MAX_WAITING. One fits in any case. */
    size_t max_waiting;
    struct core_uploads *uploads; /* borrowed; NULL: this run is the only one */
};

/* What one client contributed to a round, for the record. */
struct core_contribution {
    const char *client;
    uint64_t samples, steps;
    double train_loss, seconds;
    /* On the wire between task and receipt; 0 when the shell does not count. */
    uint64_t bytes_up, bytes_down;
    struct hash update_id;
};
struct core_commit {
    uint32_t round;      /* the round now complete, from 0 */
    uint32_t attempt;    /* deadlines without quorum that this round has seen */
    const float *params; /* schema->count: global values after it; valid until core_committed */
    struct hash hash;    /* tensorset_hash of params */
    size_t n;            /* contributions, sorted by client name */
    const struct core_contribution *contribution;
    uint64_t samples;
    double train_loss; /* sample-weighted mean */
    size_t n_metrics;  /* what clients measured, weighted means by name (server/tally.h) */
    struct msg_metric metric[MSG_MAX_METRICS];
    /* n_state values that the server carries to the next round beside the parameters: its
     * optimiser's (server/fedopt.h), then SCAFFOLD's control variate (server/scaffold.h). Valid as
     * params are. */
    const double *state;
    size_t n_state;
    struct best best;      /* so far, this round's metrics included */
    const char *scored_by; /* core_config.metric */
    uint32_t selected, refused;
    core_time started, ended;
};

/* A round is begun, or begun anew after a deadline without quorum. */
struct core_attempt {
    uint32_t round, attempt;
    size_t n; /* selected clients, sorted by name */
    const char *const *client;
};
/* An update that passed the gate. */
struct core_update {
    const char *client;
    uint32_t round; /* that it counts in */
    /* In which it came; MODE_ASYNC: the round of its task, which is update->round, too. */
    uint32_t attempt;
    uint64_t bytes_up, bytes_down; /* of its client in this round so far */
    const struct msg_update *update;
};
#define CORE_MAX_WAITING ((size_t)256 << 20)

enum core_out_kind {
    OUT_SEND,  /* msg to conn; params inside point into core memory, valid until the next call but
                  core_next. All Tasks of a round, and all Finishes, have the same params and control
                  in one of two codings: plain, or the run's */
    OUT_CLOSE, /* end conn after what was sent */
    OUT_BEGIN, /* store this attempt durably, then core_begun() */
    OUT_STORE, /* store this update durably, then core_stored(); several may be under way */
    OUT_AGGREGATE, /* core_aggregate() on whatever thread, then core_aggregated() */
    OUT_COMMIT,    /* store this round durably, then core_committed(). What is to be stored does not
                      change until the shell has reported. */
    OUT_FINISHED,  /* the run is over: all rounds done, or ended early, or failed */
};
struct core_out {
    enum core_out_kind kind;
    uint64_t conn;
    struct msg msg;
    const struct core_attempt *attempt; /* OUT_BEGIN */
    const struct core_update *update;   /* OUT_STORE */
    const struct core_commit *commit;   /* OUT_COMMIT */
    /* OUT_FINISHED: NULL, or why the run cannot go on: the server's step led out of the range of
     * parameters. The round is not committed, and the shell should end. */
    const struct err *failure;
};

/* How many values a run carries beside the parameters: core_commit.n_state. */
size_t core_carries(const struct run_spec *spec, const struct schema *schema);

struct core;
int core_open(struct core **out, const struct core_config *c, core_time now,
              struct err *e) MUST_CHECK;
void core_close(struct core *c);
/* The round that a stored run was in: goes on with the attempt that was stored last. Between
 * core_open and the first event; no OUT_BEGIN follows, and the deadline begins anew. ERR_STATE: not
 * an attempt of the next round of this run; ERR_NOMEM. */
int core_resume(struct core *c, const struct core_attempt *a, core_time now,
                struct err *e) MUST_CHECK;
/* An update that was stored in that attempt. It passes the gate once more, and counts at once.
 * REASON_NONE, or why it does not: the client is then asked again. */
enum msg_reason core_refeed(struct core *c, const struct core_update *u, core_time now);

/* Events. `conn` is the shell's number for a connection, never reused; `client` the certificate's
 * name. */
void core_connected(struct core *c, uint64_t conn, const char *client, core_time now);
/* Of a connection before its Ready: its client only watches. It is no member of the population, is
 * never selected, needs no samples, and gets the result when the run is over. */
void core_observe(struct core *c, uint64_t conn);
void core_message(struct core *c, uint64_t conn, const struct msg *m, core_time now);
void core_disconnected(struct core *c, uint64_t conn, core_time now);
void core_begun(struct core *c, core_time now);
/* OUT_STORE's answer for the update of `client`: on disk, or it could not be stored. */
void core_stored(struct core *c, const char *client, bool stored, core_time now);
/* Computes the round's result from its updates: for some aggregators a matter of many seconds
 * (server/krum.c), so a server does it on a worker thread, while it goes on with all other calls.
 */
void core_aggregate(struct core *c);
void core_aggregated(struct core *c, core_time now);
void core_committed(struct core *c, core_time now);
/* The shell's score of the parameters after `round` (from 0): of the round being committed, before
 * core_committed, or of the one before it. Others are ignored, and so is a run that is over. */
void core_scored(struct core *c, uint32_t round, double score);
/* Wire bytes of a connection so far (link_bytes_in/out); call before core_message and after
 * sending. */
void core_traffic(struct core *c, uint64_t conn, uint64_t in, uint64_t out);
void core_tick(struct core *c, core_time now);
/* SIGTERM: select no more, finish nothing new; goodbye to all, with retry unless the run is
 * complete. */
void core_drain(struct core *c, core_time now);

/* While paused, no round begins, and none is tried again; one that is under way ends as ever. */
void core_pause(struct core *c, bool paused, core_time now);
/* Ends the run for good: as if the last committed round had been its last. The round under way is
 * given up, once what is being stored of it is stored; one whose commit is under way counts. Right
 * after core_open, for a stored run that was ended. */
void core_end(struct core *c, core_time now);

/* The next output; false when there is none. */
bool core_next(struct core *c, struct core_out *out);
/* When core_tick wants to be called next; CORE_NEVER. */
core_time core_deadline(const struct core *c);
/* The longest payload of a type now acceptable from conn; 0: none (net/link). */
size_t core_limit(const struct core *c, uint64_t conn, uint8_t type);

/* What the run is waiting for, in words: "round 3 of 20: 7 of 10 updates, 42 s left", "waiting for
 * clients: 3 of 5 ready, 1 preparing". */
void core_status(const struct core *c, core_time now, char *text, size_t size);
/* The global parameters: after the last committed round, and once the run is over its result. */
const float *core_params(const struct core *c);
/* The best round so far, by core_config.metric or the shell. */
const struct best *core_best(const struct core *c);
uint32_t core_round(const struct core *c);
bool core_finished(const struct core *c); /* but not failed */
/* Names of all clients that have been ready in this run, sorted: up to `room` of them to `name`;
 * returns how many there are. The strings live as long as the core. */
size_t core_clients(const struct core *c, const char **name, size_t room);
/* Refusals so far by enum msg_reason; REASONS entries. */
const uint64_t *core_refusals(const struct core *c);

#endif
