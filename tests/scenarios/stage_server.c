/* The server's process: a core and a store for each run. */
#include "server/resume.h"
#include "stage_state.h"
#include <stdlib.h>

/* As runner.c does it, from the store. */
static void start(struct stage *s, struct play *p)
{
    struct err e = {0};
    struct store_run run = {.parameters = 5, .rounds = p->spec->rounds};
    struct core_config c = world_config(&p->w);
    struct resumed resumed;
    float params[WORLD_VALUES];
    double state[1];
    uint32_t counted[WORLD_CLIENTS] = {0};
    char **names = NULL;
    memcpy(run.run_id, p->run_id, sizeof run.run_id);
    memcpy(c.run_id, p->run_id, sizeof c.run_id);
    cr_assert_eq(store_open(&p->store, folder_file(&s->folder, p->run_id), STORE_WRITE, &e), 0,
                 "%s", e.text);
    store_keep(p->store, 2, 0);
    cr_assert_eq(store_begin(p->store, &run, &e), 0, "%s", e.text);
    cr_assert_eq(store_roster(p->store, &names, &c.n_clients, &e), 0, "%s", e.text);
    c.client = (const char *const *)names;
    c.round = run.next;
    memcpy(params, p->w.theta, sizeof params);
    if (run.next > 0) {
        cr_assert_eq(store_params(p->store, &p->w.schema, run.next - 1, params, &e), 0);
        cr_assert_eq(store_counted(p->store, counted, c.n_clients, &e), 0);
        cr_assert_eq(store_carried(p->store, run.next - 1, state, 0, &e), 0, "%s", e.text);
        c.counted = counted;
    }
    c.params = params;
    cr_assert_eq(core_open(&p->w.core, &c, s->now, &e), 0, "%s", e.text);
    if (!core_finished(p->w.core))
        cr_assert_eq(resume_round(p->w.core, p->store, p->run_id, &p->w.schema.hash, run.next,
                                  s->now, &resumed, &e),
                     0, "%s", e.text);
    free(names);
}

void server_start(struct stage *s)
{
    for (size_t i = 0; i < s->scenario->runs; i++)
        start(s, &s->play[i]);
}

static int client_called(const struct play *p, const char *name)
{
    for (int k = 0; k < WORLD_CLIENTS; k++)
        if (strcmp(p->w.client[k].name, name) == 0)
            return k;
    cr_assert_fail("nobody is called %s", name);
    return -1;
}

/* -1: the connection is another one by now. */
static int actor_on(const struct stage *s, uint64_t conn)
{
    for (int k = 0; k < s->actors; k++)
        if (s->actor[k].road.conn == conn)
            return k;
    return -1;
}

static void note_receipt(struct play *p, const struct msg *m)
{
    if (m->type != MSG_RECEIPT || !m->receipt.accepted)
        return;
    cr_assert_lt(p->n_told, COUNTED);
    p->told[p->n_told++] = m->receipt.update_id;
}

static void obey(struct stage *s, struct play *p, const struct core_out *out)
{
    int k = actor_on(s, out->conn), first = (int)(p - s->play) * (int)s->scenario->clients;
    if (out->kind == OUT_SEND && k >= 0) {
        note_receipt(p, &out->msg);
        network_send(s, k, END_SERVER, &out->msg);
    } else if (out->kind == OUT_CLOSE) {
        if (k >= 0)
            network_close(s, k, END_SERVER);
        core_disconnected(p->w.core, out->conn, s->now);
    } else if (out->kind == OUT_BEGIN) {
        p->attempt = out->attempt;
        stage_push(s, DISK_MS, EVENT_BEGIN, first);
    } else if (out->kind == OUT_STORE) {
        struct event *x = stage_push(s, DISK_MS, EVENT_STORE, first);
        snprintf(x->name, sizeof x->name, "%s", out->update->client);
        p->update[client_called(p, x->name)] = out->update;
    } else if (out->kind == OUT_AGGREGATE) {
        p->w.now = s->now;
        world_aggregated(&p->w);
    } else if (out->kind == OUT_COMMIT) {
        p->commit = out->commit;
        stage_push(s, DISK_MS, EVENT_COMMIT, first);
    }
}

void server_drain(struct stage *s)
{
    struct core_out out;
    for (size_t i = 0; i < s->scenario->runs; i++)
        while (s->play[i].w.core != NULL && core_next(s->play[i].w.core, &out))
            obey(s, &s->play[i], &out);
}

/* No update is in two rounds, nor a client twice in one; and a round is whole. */
static void note_commit(struct stage *s, struct play *p)
{
    const struct core_commit *c = p->commit;
    bool here[WORLD_CLIENTS] = {false};
    cr_assert(c->n == p->spec->per_round ||
              (p->spec->quorum > 0 && c->n >= p->spec->quorum && c->n < p->spec->per_round));
    for (size_t i = 0; i < c->n; i++) {
        const struct core_contribution *one = &c->contribution[i];
        int client = client_called(p, one->client);
        cr_assert_not(here[client]);
        here[client] = p->took_part[client] = true;
        for (size_t j = 0; j < p->n_counted; j++)
            cr_assert_not(hash_same(&p->counted[j], &one->update_id));
        cr_assert_lt(p->n_counted, COUNTED);
        p->counted[p->n_counted++] = one->update_id;
    }
    s->out->run[p - s->play].rounds = c->round + 1;
    s->out->run[p - s->play].result = c->hash;
}

static void store_step(struct stage *s, struct play *p, const struct event *x)
{
    struct err e = {0};
    const char *names[WORLD_CLIENTS];
    size_t n = core_clients(p->w.core, names, WORLD_CLIENTS);
    int rc;
    if (x->kind == EVENT_BEGIN) {
        rc = store_attempt(p->store, p->attempt, names, n, &e);
    } else if (x->kind == EVENT_STORE) {
        rc = store_updates(p->store, &p->update[client_called(p, x->name)], 1, &e);
    } else {
        rc = store_commit(p->store, &p->w.schema, p->commit, names, n, &e);
        note_commit(s, p);
    }
    cr_assert_eq(rc, 0, "%s", e.text);
}

static void report_step(const struct stage *s, struct play *p, const struct event *x)
{
    if (x->kind == EVENT_BEGIN)
        core_begun(p->w.core, s->now);
    else if (x->kind == EVENT_STORE)
        core_stored(p->w.core, x->name, true, s->now);
    else
        core_committed(p->w.core, s->now);
}

void server_disk(struct stage *s, const struct event *x)
{
    struct play *p = play_of(s, x->k);
    bool after = false;
    int64_t away;
    uint64_t step = (uint64_t)p->spec->number << 40 | (uint64_t)core_round(p->w.core) << 16 |
                    (uint64_t)x->kind << 8 |
                    (x->kind == EVENT_STORE ? (uint64_t)client_called(p, x->name) : 0);
    bool dies = fault_kills(s, SIDE_SERVER, -1, step, &after, &away);
    if (!dies || after)
        store_step(s, p, x);
    if (dies)
        stage_kill_server(s, away);
    else
        report_step(s, p, x);
}
