/* What the stage's files share. */
#ifndef TESTS_SCENARIOS_STAGE_STATE_H
#define TESTS_SCENARIOS_STAGE_STATE_H

#include "../server/folder.h"
#include "../server/world.h"
#include "base/rng.h"
#include "client/agent.h"
#include "server/store.h"
#include "stage.h"

enum { LATENCY_MS = 20, DISK_MS = 5, PREPARE_MS = 200, TRAIN_MS = 4000, SILENT_MS = 120000 };

/* The two ends of a connection, which are also the two directions of its messages: from there. */
enum end { END_CLIENT, END_SERVER };

struct road {
    uint64_t conn;    /* 0: there is none */
    bool open[2];     /* as that end sees it */
    bool silent[2];   /* nothing that this end sends arrives any more */
    int64_t clear[2]; /* when all that this end has sent will have arrived */
};

/* The agent of a client for one run. */
struct actor {
    struct agent *agent; /* NULL: killed, not yet back */
    unsigned life;
    struct road road;
    bool has_result;
    struct hash result;
    /* Its disk: the update that it keeps. */
    bool kept;
    uint32_t kept_round;
    struct hash kept_base;
    struct hash job_base; /* of the training under way */
    unsigned char kept_params[4 * WORLD_VALUES];
};

enum event_kind {
    EVENT_MESSAGE,  /* arrives at the other end */
    EVENT_DIALLED,  /* a client's call is answered, or not */
    EVENT_BROKEN,   /* an end notices that its connection is gone */
    EVENT_PREPARED, /* the client's model and data are there */
    EVENT_TRAINED,  /* its training is over */
    EVENT_BEGIN,    /* the server's disk has what it was asked to store */
    EVENT_STORE,
    EVENT_COMMIT,
    EVENT_CLIENT_BACK,
    EVENT_SERVER_BACK,
};
struct event {
    int64_t at;
    uint64_t order; /* among those of one moment */
    enum event_kind kind;
    int k;         /* the actor; of what concerns a process, the first one of it */
    unsigned life; /* of the process that this is about: events of the dead do not happen */
    uint64_t conn;
    enum end end; /* EVENT_MESSAGE: who sent it; EVENT_BROKEN: who notices */
    enum msg_type type;
    unsigned char *bytes;
    size_t len;
    char name[16]; /* EVENT_STORE */
};

enum { EVENTS = 4096, POINTS = 4096, COUNTED = 1024 };

/* A run, as the server has it. */
struct play {
    const struct scenario_run *spec;
    struct world w; /* configuration and core; core NULL: killed, not yet back */
    char run_id[17];
    struct store *store;
    const struct core_attempt *attempt; /* being stored */
    const struct core_commit *commit;
    const struct core_update *update[WORLD_CLIENTS];
    /* Ids of updates: that rounds are made of, and that their clients were told so of. */
    struct hash counted[COUNTED], told[COUNTED];
    size_t n_counted, n_told;
    bool took_part[WORLD_CLIENTS];
};

struct stage {
    const struct scenario *scenario;
    bool calm;
    int64_t now;
    uint64_t last_conn;
    struct rng rng;
    struct folder folder;
    struct play play[SCENARIO_RUNS];
    unsigned life; /* the server's */
    int actors;    /* those of the first run, by client, then those of the second */
    struct actor actor[SCENARIO_RUNS * WORLD_CLIENTS];
    int64_t free_at[WORLD_CLIENTS]; /* when a client has trained all that it was asked for */
    struct event event[EVENTS];
    size_t events;
    uint64_t orders;
    uint64_t point[POINTS]; /* journal steps that somebody has died at; once a visit */
    size_t points;
    unsigned done[SCENARIO_FAULTS];
    struct outcome *out;
};

static inline int client_of(const struct stage *s, int k)
{
    return k % (int)s->scenario->clients;
}

static inline struct play *play_of(struct stage *s, int k)
{
    return &s->play[k / (int)s->scenario->clients];
}

/* stage.c */
struct event *stage_push(struct stage *s, int64_t after, enum event_kind kind, int k);
void stage_kill_server(struct stage *s, int64_t away);
void stage_start_client(struct stage *s, int client);
void stage_kill_client(struct stage *s, int client, int64_t away);

/* stage_server.c */
/* A server's process begins, from what its stores have. */
void server_start(struct stage *s);
/* Whatever its cores want. */
void server_drain(struct stage *s);
/* One step of a run's journal: stored, then reported; or the server dies there. */
void server_disk(struct stage *s, const struct event *x);

/* stage_network.c */
void network_dial(struct stage *s, int k);
void network_send(struct stage *s, int k, enum end from, const struct msg *m);
/* This end closes its connection; the other notices. */
void network_close(struct stage *s, int k, enum end by);
/* Whether the actor's client is cut off from the network. */
bool network_parted(struct stage *s, int k);
/* A message has arrived, or an end notices the end. */
void network_arrive(struct stage *s, const struct event *x);
void network_break(struct stage *s, const struct event *x);
void network_dialled(struct stage *s, const struct event *x);

/* Whether the fault strikes, which is then counted. */
bool fault_strikes(struct stage *s, size_t i);
/* Whether the process dies here. `step` tells this step of its journal from all others; *after:
 * when it is stored. *away: how long. */
bool fault_kills(struct stage *s, enum fault_side side, int k, uint64_t step, bool *after,
                 int64_t *away);

#endif
