/* A run as the server serves it: its core, its store, what writes to the disk for it, its counters.
 * One that cannot be opened is put aside: it says why, and the others go on. */
#ifndef SERVER_RUNNER_H
#define SERVER_RUNNER_H

#include "server/core.h"
#include "server/handout.h"
#include "server/metrics.h"
#include "server/run.h"
#include "server/runs.h"
#include "server/store.h"
#include <uv.h>

struct server;

/* What is tried until it is stored: the selection or the end of a round, once it is computed. */
struct committer {
    uv_work_t work;
    bool aggregating;
    uv_timer_t retry;
    const struct core_attempt *attempt; /* being stored, or to be tried again; NULL: none */
    const struct core_commit *commit;   /* the same */
    bool working, failing;
    const char **client;
    size_t n_clients;
    int rc;
    double seconds; /* that the last attempt took */
    struct err err;
};

struct updates {
    const struct core_update **update; /* the core's until it is told */
    size_t n, cap;
};
struct journal {
    uv_work_t work;
    struct updates queue, batch; /* to be stored; being stored */
    bool working, failing;
    int rc;
    double seconds; /* that the last batch took */
    struct err err;
};

/* A client that said, or was told, that it cannot take part. */
struct absentee {
    char client[IDENTITY_MAX_NAME + 1];
    enum msg_reason reason;
};
enum { RUNNER_ABSENTEES = 8 }; /* the last ones are remembered */

struct runner {
    struct server *server;
    char name[SPEC_MAX_NAME + 1];
    struct conf *conf; /* owns what config points to; NULL: the server's configuration does */
    const struct run_config *config;
    struct run run;
    struct store_run stored;
    struct store *rounds; /* for the worker thread alone while it stores */
    struct core *core;    /* NULL: put aside, because of `failure` */
    struct handout handout;
    uv_timer_t timer;
    struct committer committer;
    struct journal journal;
    struct run_metrics metrics;
    struct absentee absentee[RUNNER_ABSENTEES];
    size_t absentees;
    uint32_t audited;   /* rounds in the audit log, as of observe_catch_up */
    bool over;          /* finished, stopped or failed, and said so */
    bool pumping;       /* peers_pump is at work */
    struct err failure; /* code 0: none */
};

/* A runner put aside, its timers ready; NULL without memory. */
struct runner *runner_make(struct server *s, const char *name);
/* Opens what was put aside: goes on with the stored run, in the middle of a round too. On failure
 * it stays aside. ERR_STATE: the folder holds another run; errors of runs_spec, run_open,
 * store_open, core_open. */
int runner_open(struct runner *r, struct err *e) MUST_CHECK;
/* The core has nothing more to do; because of `failure`, or NULL. */
void runner_finish(struct runner *r, const struct err *failure);
/* Does what the operator wants by now, as the store has it. */
void runner_heed(struct runner *r);
bool runner_idle(const struct runner *r);
/* What keeps the run from going on, for people; NULL: nothing. */
const char *runner_trouble(const struct runner *r);
/* A client cannot take part, or (REASON_NONE) can after all. */
void runner_note(struct runner *r, const char *client, enum msg_reason reason);
/* Closes handles, so that the loop can end; then, after the loop, everything else. */
void runner_end(struct runner *r);
void runner_free(struct runner *r);

#endif
