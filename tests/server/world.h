/* A scripted federation around the real core: a virtual clock, clients without a mind of their own,
 * and a record of what the core said. */
#ifndef TESTS_SERVER_WORLD_H
#define TESTS_SERVER_WORLD_H

#include "server/core.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WORLD_VALUES = 6, WORLD_CLIENTS = 12, WORLD_COMMITS = 64 };

/* What one client heard last, and how often. */
struct puppet {
    char name[16];
    uint64_t conn; /* 0: not connected */
    unsigned heard[MSG_TYPES];
    unsigned withdrawn; /* of the receipts heard, those that withdraw a task */
    uint32_t task_round;
    uint64_t deadline_ms;
    float task[WORLD_VALUES];
    float control[WORLD_VALUES]; /* SCAFFOLD */
    uint32_t counted;
    float final[WORLD_VALUES]; /* of Finish */
    struct msg_receipt receipt;
    struct msg_proceed proceed;
    struct msg_goodbye goodbye;
    uint32_t index;
};

struct world {
    struct run_spec spec;
    struct schema schema;
    float theta[WORLD_VALUES];
    uint32_t room;                /* of core_config, from the next world_reopen on; ... */
    size_t max_waiting;           /* ... so, too, ... */
    struct core_uploads *uploads; /* ... and this */
    struct core *core;
    core_time now;
    uint64_t last_conn;
    bool hold;           /* commits stay in progress until world_commit */
    bool hold_updates;   /* updates stay in progress until world_stored */
    bool hold_aggregate; /* results stay in progress until world_aggregated */
    bool hold_begin;     /* selections stay in progress until core_begun */
    unsigned begins, stores;
    const double *score; /* by round: the accuracy that all report; NULL: each its own */
    double gain;         /* on what an update changes; 0: 1 */
    struct puppet client[WORLD_CLIENTS];
    unsigned commits, finished;
    struct err failure;
    struct {
        uint32_t round, attempt, selected, refused;
        size_t n;
        struct hash hash;
        float params[WORLD_VALUES];
        char client[WORLD_CLIENTS][16];
        struct core_contribution contribution[WORLD_CLIENTS];
        double train_loss;
        size_t n_metrics;
        double metric;
        size_t n_state;
        double state[2 * WORLD_VALUES];
        struct best best;
    } commit[WORLD_COMMITS];
};

/* A LOCAL tensor stands between the two that travel: its values must never change. */
static inline void world_schema(struct schema *s)
{
    schema_init(s);
    cr_assert_eq(schema_add(s, "a", SCOPE_GLOBAL, true, 1, (int64_t[]){2}, NULL), 0);
    cr_assert_eq(schema_add(s, "mine", SCOPE_LOCAL, true, 1, (int64_t[]){1}, NULL), 0);
    cr_assert_eq(schema_add(s, "b", SCOPE_GLOBAL, true, 1, (int64_t[]){3}, NULL), 0);
    schema_seal(s);
}

static inline struct core_config world_config(struct world *w)
{
    return (struct core_config){
        .spec = &w->spec,
        .schema = &w->schema,
        .model = hash_of("model", 5),
        .run_id = "0123456789abcdef",
        .params = w->theta,
        .room = w->room,
        .max_waiting = w->max_waiting,
        .uploads = w->uploads,
    };
}

static inline void world_open(struct world *w, uint32_t clients, uint32_t per_round,
                              uint32_t quorum, uint32_t rounds)
{
    *w = (struct world){.now = 1000};
    w->spec.federation = (struct federation_spec){
        .clients = clients,
        .per_round = per_round,
        .quorum = quorum,
        .rounds = rounds,
        .deadline_s = 60,
        .weighted = true,
        .seed = 42,
    };
    world_schema(&w->schema);
    for (int i = 0; i < WORLD_VALUES; i++)
        w->theta[i] = 0.25F * (float)i - 0.5F;
    for (uint32_t k = 0; k < WORLD_CLIENTS; k++)
        snprintf(w->client[k].name, sizeof w->client[k].name, "client-%04u", k);
    struct core_config c = world_config(w);
    struct err e = {0};
    cr_assert_eq(core_open(&w->core, &c, w->now, &e), 0, "%s", e.text);
}

/* Before anybody has come: the same world with a spec that has changed. */
static inline void world_reopen(struct world *w)
{
    struct err e = {0};
    struct core_config c = world_config(w);
    core_close(w->core);
    cr_assert_eq(core_open(&w->core, &c, w->now, &e), 0, "%s", e.text);
}

/* The same for another aggregator. */
static inline void world_aggregate(struct world *w, enum aggregation how)
{
    w->spec.federation.aggregator = how;
    w->spec.federation.clip_norm = 0.005;
    w->spec.federation.krum_keep = 1;
    world_reopen(w);
}

static inline void world_close(struct world *w)
{
    core_close(w->core);
    schema_release(&w->schema);
}

static inline struct puppet *world_puppet(struct world *w, uint64_t conn)
{
    for (int k = 0; k < WORLD_CLIENTS; k++)
        if (w->client[k].conn == conn)
            return &w->client[k];
    return NULL;
}

static inline void world_hear(struct world *w, const struct core_out *out)
{
    struct puppet *p = world_puppet(w, out->conn);
    if (p == NULL) /* a replaced connection */
        return;
    p->heard[out->msg.type]++;
    if (out->msg.type == MSG_WELCOME) {
        p->index = out->msg.welcome.index;
        cr_assert_null(out->msg.welcome.spec.task.data);
    } else if (out->msg.type == MSG_TASK) {
        memcpy(p->task, w->theta, sizeof p->task);
        cr_assert_eq(tensorset_unpack(&w->schema, out->msg.task.params.data,
                                      out->msg.task.params.len, p->task, NULL),
                     0);
        if (w->spec.federation.scaffold)
            cr_assert_eq(tensorset_unpack(&w->schema, out->msg.task.control.data,
                                          out->msg.task.control.len, p->control, NULL),
                         0);
        p->counted = out->msg.task.counted;
        p->task_round = out->msg.task.round;
        p->deadline_ms = out->msg.task.deadline_ms;
    } else if (out->msg.type == MSG_FINISH) {
        memcpy(p->final, w->theta, sizeof p->final);
        cr_assert_eq(tensorset_unpack(&w->schema, out->msg.finish.params.data,
                                      out->msg.finish.params.len, p->final, NULL),
                     0);
    } else if (out->msg.type == MSG_RECEIPT) {
        p->receipt = out->msg.receipt;
        p->withdrawn += msg_withdraws(&out->msg.receipt);
    } else if (out->msg.type == MSG_PROCEED) {
        p->proceed = out->msg.proceed;
    } else if (out->msg.type == MSG_GOODBYE) {
        p->goodbye = out->msg.goodbye;
    }
}

static inline void world_note(struct world *w, const struct core_commit *c)
{
    cr_assert_lt(w->commits, WORLD_COMMITS);
    size_t at = w->commits++;
    w->commit[at].round = c->round;
    w->commit[at].attempt = c->attempt;
    w->commit[at].selected = c->selected;
    w->commit[at].refused = c->refused;
    w->commit[at].n = c->n;
    w->commit[at].hash = c->hash;
    w->commit[at].train_loss = c->train_loss;
    w->commit[at].n_metrics = c->n_metrics;
    w->commit[at].metric = c->n_metrics > 0 ? c->metric[0].value : 0;
    w->commit[at].best = c->best;
    w->commit[at].n_state = c->n_state;
    cr_assert_leq(c->n_state, 2 * WORLD_VALUES);
    memcpy(w->commit[at].state, c->state, c->n_state * sizeof *c->state);
    memcpy(w->commit[at].params, c->params, sizeof w->commit[at].params);
    for (size_t i = 0; i < c->n; i++) {
        w->commit[at].contribution[i] = c->contribution[i];
        snprintf(w->commit[at].client[i], sizeof w->commit[at].client[i], "%s",
                 c->contribution[i].client);
    }
}

static inline void world_aggregated(struct world *w)
{
    core_aggregate(w->core);
    core_aggregated(w->core, w->now);
}

static inline void world_drain(struct world *w)
{
    struct core_out out;
    while (core_next(w->core, &out)) {
        struct puppet *p = world_puppet(w, out.conn);
        if (out.kind == OUT_SEND) {
            world_hear(w, &out);
        } else if (out.kind == OUT_CLOSE) {
            if (p != NULL)
                p->conn = 0;
            core_disconnected(w->core, out.conn, w->now);
        } else if (out.kind == OUT_BEGIN) {
            w->begins++;
            if (!w->hold_begin)
                core_begun(w->core, w->now);
        } else if (out.kind == OUT_STORE) {
            w->stores++;
            if (!w->hold_updates)
                core_stored(w->core, out.update->client, true, w->now);
        } else if (out.kind == OUT_AGGREGATE) {
            if (!w->hold_aggregate)
                world_aggregated(w);
        } else if (out.kind == OUT_COMMIT) {
            world_note(w, out.commit);
            if (!w->hold)
                core_committed(w->core, w->now);
        } else {
            w->finished++;
            if (out.failure != NULL)
                w->failure = *out.failure;
        }
    }
}

static inline void world_commit(struct world *w)
{
    core_committed(w->core, w->now);
    world_drain(w);
}

static inline void world_stored(struct world *w, int k, bool stored)
{
    core_stored(w->core, w->client[k].name, stored, w->now);
    world_drain(w);
}

static inline void world_say(struct world *w, int k, const struct msg *m)
{
    core_message(w->core, w->client[k].conn, m, w->now);
    world_drain(w);
}

static inline void world_connect(struct world *w, int k)
{
    struct puppet *p = &w->client[k];
    p->conn = ++w->last_conn;
    core_connected(w->core, p->conn, p->name, w->now);
    world_drain(w);
}

static inline void world_disconnect(struct world *w, int k)
{
    core_disconnected(w->core, w->client[k].conn, w->now);
    w->client[k].conn = 0;
    world_drain(w);
}

static inline void world_hello(struct world *w, int k)
{
    world_say(w, k, &(struct msg){.type = MSG_HELLO, .hello = {MSG_PROTOCOL, "test"}});
}

static inline void world_ready(struct world *w, int k)
{
    world_say(w, k,
              &(struct msg){.type = MSG_READY, .ready = {w->schema.hash, hash_of("model", 5), 10}});
}

/* Connects, says Hello and Ready. */
static inline void world_join(struct world *w, int k)
{
    world_connect(w, k);
    world_hello(w, k);
    world_ready(w, k);
}

static inline void world_join_all(struct world *w, int n)
{
    for (int k = 0; k < n; k++)
        world_join(w, k);
}

/* An update as client k makes it for a round: its task's values plus something of its own. `packed`
 * backs the params. */
static inline struct msg world_update(struct world *w, int k, uint32_t round,
                                      unsigned char packed[4 * WORLD_VALUES])
{
    struct puppet *p = &w->client[k];
    float theta[WORLD_VALUES];
    for (int i = 0; i < WORLD_VALUES; i++)
        theta[i] =
            p->task[i] + (w->gain != 0 ? (float)w->gain : 1) *
                             (0.001F * (float)(k + 1) * (float)(i - 2) + 0.01F * (float)round);
    for (int i = 0; i < WORLD_VALUES && w->spec.federation.mode == MODE_ASYNC; i++)
        theta[i] -= p->task[i];
    tensorset_pack(&w->schema, theta, packed);
    struct msg m = {.type = MSG_UPDATE};
    m.update = (struct msg_update){
        .run_id = "0123456789abcdef",
        .round = round,
        .schema = w->schema.hash,
        .samples = 10 + (uint64_t)k,
        .steps = 3,
        .train_loss = 1.0 / (k + 1),
        .seconds = 0.5,
        .n_metrics = 1,
        .metric = {{"accuracy", w->score != NULL ? w->score[round] : 0.5 + 0.01 * k, 20}},
        .params = {packed, 4 * w->schema.packed},
    };
    m.update.update_id = msg_update_id(&m.update, p->name);
    return m;
}

static inline void world_deliver(struct world *w, int k, uint32_t round)
{
    unsigned char packed[4 * WORLD_VALUES];
    struct msg m = world_update(w, k, round, packed);
    world_say(w, k, &m);
}

/* Delivers for every client that holds a task of `round`, in the given order of clients. Returns
 * their number. */
static inline unsigned world_play(struct world *w, uint32_t round, const int *order, int n)
{
    unsigned delivered = 0;
    for (int i = 0; i < n; i++) {
        struct puppet *p = &w->client[order[i]];
        if (p->conn != 0 && p->heard[MSG_TASK] > 0 && p->task_round == round) {
            world_deliver(w, order[i], round);
            delivered++;
        }
    }
    return delivered;
}

static inline void world_pass(struct world *w, core_time ms)
{
    w->now += ms;
    core_tick(w->core, w->now);
    world_drain(w);
}

#endif
