#include "server/resume.h"
#include "stage_state.h"
#include <stdlib.h>

enum { DAY_MS = 24 * 3600 * 1000 };
#define RUN "0123456789abcdef"

struct event *stage_push(struct stage *s, int64_t after, enum event_kind kind, int k)
{
    cr_assert_lt(s->events, EVENTS);
    bool server = kind == EVENT_BEGIN || kind == EVENT_STORE || kind == EVENT_COMMIT ||
                  kind == EVENT_SERVER_BACK;
    struct event *x = &s->event[s->events++];
    *x = (struct event){.at = s->w.now + after,
                        .order = s->orders++,
                        .kind = kind,
                        .k = k,
                        .life = server ? s->life : s->actor[k].life};
    return x;
}

/* The next one, which leaves the table. */
static bool pop(struct stage *s, struct event *out)
{
    size_t first = 0;
    for (size_t i = 1; i < s->events; i++)
        if (s->event[i].at < s->event[first].at ||
            (s->event[i].at == s->event[first].at && s->event[i].order < s->event[first].order))
            first = i;
    if (s->events == 0)
        return false;
    *out = s->event[first];
    s->event[first] = s->event[--s->events];
    return true;
}

/* --- dying --- */

bool fault_kills(struct stage *s, enum fault_side side, int k, uint64_t step, bool *after,
                 int64_t *away)
{
    for (size_t i = 0; i < s->scenario->n; i++) {
        const struct fault *f = &s->scenario->fault[i];
        unsigned visits = 0;
        if (f->kind != FAULT_CRASH || f->from != side || (f->client >= 0 && f->client != k))
            continue;
        for (size_t p = 0; p < s->points; p++)
            visits += s->point[p] == step;
        if (visits > 1 || !fault_strikes(s, i))
            continue;
        cr_assert_lt(s->points, POINTS);
        s->point[s->points++] = step;
        *after = visits == 1;
        *away = f->ms;
        return true;
    }
    return false;
}

void stage_kill_server(struct stage *s, int64_t away)
{
    for (int r = 0; r < REASONS; r++)
        s->out->refused[r] += core_refusals(s->w.core)[r];
    core_close(s->w.core);
    store_close(s->store);
    s->w.core = NULL;
    s->store = NULL;
    s->life++;
    for (int k = 0; k < (int)s->scenario->clients; k++)
        if (s->actor[k].road.open[END_SERVER])
            network_close(s, k, END_SERVER);
    stage_push(s, away, EVENT_SERVER_BACK, 0);
}

void stage_kill_client(struct stage *s, int k, int64_t away)
{
    struct actor *a = &s->actor[k];
    agent_close(a->agent);
    a->agent = NULL;
    a->life++;
    if (a->road.open[END_CLIENT])
        network_close(s, k, END_CLIENT);
    stage_push(s, away, EVENT_CLIENT_BACK, k);
}

/* --- the server's process --- */

/* As server.c does it, from the store. */
void stage_start_server(struct stage *s)
{
    struct err e = {0};
    struct store_run run = {.run_id = RUN, .parameters = 5, .rounds = s->scenario->rounds};
    struct core_config c = world_config(&s->w);
    struct resumed resumed;
    float params[WORLD_VALUES];
    double state[1];
    uint32_t counted[WORLD_CLIENTS] = {0};
    char **names = NULL;
    cr_assert_eq(store_open(&s->store, folder_file(&s->folder, "db"), STORE_WRITE, &e), 0, "%s",
                 e.text);
    store_keep(s->store, 2, 0);
    cr_assert_eq(store_begin(s->store, &run, &e), 0, "%s", e.text);
    cr_assert_eq(store_roster(s->store, &names, &c.n_clients, &e), 0, "%s", e.text);
    c.client = (const char *const *)names;
    c.round = run.next;
    memcpy(params, s->w.theta, sizeof params);
    if (run.next > 0) {
        cr_assert_eq(store_params(s->store, &s->w.schema, run.next - 1, params, &e), 0);
        cr_assert_eq(store_counted(s->store, counted, c.n_clients, &e), 0);
        cr_assert_eq(store_carried(s->store, run.next - 1, state, 0, &e), 0, "%s", e.text);
        c.counted = counted;
    }
    c.params = params;
    cr_assert_eq(core_open(&s->w.core, &c, s->w.now, &e), 0, "%s", e.text);
    if (!core_finished(s->w.core))
        cr_assert_eq(resume_round(s->w.core, s->store, RUN, &s->w.schema.hash, run.next, s->w.now,
                                  &resumed, &e),
                     0, "%s", e.text);
    free(names);
}

static int actor_of(const struct stage *s, const char *name)
{
    for (int k = 0; k < WORLD_CLIENTS; k++)
        if (strcmp(s->w.client[k].name, name) == 0)
            return k;
    cr_assert_fail("nobody is called %s", name);
    return -1;
}

static int actor_on(const struct stage *s, uint64_t conn)
{
    for (int k = 0; k < WORLD_CLIENTS; k++)
        if (s->actor[k].road.conn == conn)
            return k;
    return -1;
}

/* Whatever the core wants. */
static void drain_server(struct stage *s)
{
    struct core_out out;
    while (s->w.core != NULL && core_next(s->w.core, &out)) {
        int k = actor_on(s, out.conn);
        if (out.kind == OUT_SEND && k >= 0) {
            network_send(s, k, END_SERVER, &out.msg);
        } else if (out.kind == OUT_CLOSE) {
            if (k >= 0)
                network_close(s, k, END_SERVER);
            core_disconnected(s->w.core, out.conn, s->w.now);
        } else if (out.kind == OUT_BEGIN) {
            s->attempt = out.attempt;
            stage_push(s, DISK_MS, EVENT_BEGIN, 0);
        } else if (out.kind == OUT_STORE) {
            struct event *x = stage_push(s, DISK_MS, EVENT_STORE, 0);
            snprintf(x->name, sizeof x->name, "%s", out.update->client);
            s->update[actor_of(s, x->name)] = out.update;
        } else if (out.kind == OUT_AGGREGATE) {
            world_aggregated(&s->w);
        } else if (out.kind == OUT_COMMIT) {
            s->commit = out.commit;
            stage_push(s, DISK_MS, EVENT_COMMIT, 0);
        }
    }
}

static void store_step(struct stage *s, const struct event *x)
{
    struct err e = {0};
    const char *names[WORLD_CLIENTS];
    size_t n = core_clients(s->w.core, names, WORLD_CLIENTS);
    int rc;
    if (x->kind == EVENT_BEGIN) {
        rc = store_attempt(s->store, s->attempt, names, n, &e);
    } else if (x->kind == EVENT_STORE) {
        rc = store_updates(s->store, &s->update[actor_of(s, x->name)], 1, &e);
    } else {
        rc = store_commit(s->store, &s->w.schema, s->commit, names, n, &e);
        s->out->rounds = s->commit->round + 1;
        s->out->result = s->commit->hash;
    }
    cr_assert_eq(rc, 0, "%s", e.text);
}

static void report_step(struct stage *s, const struct event *x)
{
    if (x->kind == EVENT_BEGIN)
        core_begun(s->w.core, s->w.now);
    else if (x->kind == EVENT_STORE)
        core_stored(s->w.core, x->name, true, s->w.now);
    else
        core_committed(s->w.core, s->w.now);
}

/* One step of the server's journal: stored, then reported; or it dies there. */
static void disk(struct stage *s, const struct event *x)
{
    bool after = false;
    int64_t away;
    uint64_t step = (uint64_t)core_round(s->w.core) << 16 | (uint64_t)x->kind << 8 |
                    (x->kind == EVENT_STORE ? (uint64_t)actor_of(s, x->name) : 0);
    bool dies = fault_kills(s, SIDE_SERVER, -1, step, &after, &away);
    if (!dies || after)
        store_step(s, x);
    if (dies)
        stage_kill_server(s, away);
    else
        report_step(s, x);
}

/* --- a client's process --- */

void stage_start_client(struct stage *s, int k)
{
    struct err e = {0};
    cr_assert_eq(agent_open(&s->actor[k].agent, s->w.client[k].name,
                            s->scenario->seed + (uint64_t)k, s->w.now, &e),
                 0);
    if (s->scenario->part_bytes > 0)
        agent_part_bytes(s->actor[k].agent, s->scenario->part_bytes);
}

static struct agent_result result_of(const struct stage *s, int k, const unsigned char *params)
{
    return (struct agent_result){.params = params,
                                 .len = 4 * s->w.schema.packed,
                                 .samples = 10 + (uint64_t)k,
                                 .steps = 3,
                                 .train_loss = 1.0 / (k + 1)};
}

static void prepared(struct stage *s, int k)
{
    struct actor *a = &s->actor[k];
    agent_prepared(a->agent, s->w.schema.hash, s->w.schema.packed, hash_of("model", 5), 10,
                   s->w.now);
    if (!a->kept)
        return;
    struct agent_result r = result_of(s, k, a->kept_params);
    agent_restore(a->agent, a->kept_round, &a->kept_base, &r);
}

/* What training gives is a function of the client, the round and what it began with. */
static void train(struct stage *s, int k, const struct agent_job *job, struct event *x)
{
    float theta[WORLD_VALUES];
    memcpy(theta, s->w.theta, sizeof theta);
    cr_assert_eq(tensorset_unpack(&s->w.schema, job->params, job->len, theta, NULL), 0);
    for (int i = 0; i < WORLD_VALUES; i++)
        theta[i] += 0.001F * (float)(k + 1) * (float)(i - 2) + 0.01F * (float)job->round;
    x->len = 4 * s->w.schema.packed;
    x->bytes = malloc(x->len);
    x->conn = job->round;
    tensorset_pack(&s->w.schema, theta, x->bytes);
    s->actor[k].job_base = hash_of(job->params, job->len);
}

static void trained(struct stage *s, const struct event *x)
{
    struct actor *a = &s->actor[x->k];
    bool after = false;
    int64_t away;
    bool dies = fault_kills(s, SIDE_CLIENT, x->k, x->conn << 8 | (uint64_t)x->k, &after, &away);
    if (!dies || after) {
        a->kept = true;
        a->kept_round = (uint32_t)x->conn;
        a->kept_base = a->job_base;
        memcpy(a->kept_params, x->bytes, x->len);
    }
    if (dies) {
        stage_kill_client(s, x->k, away);
        return;
    }
    struct agent_result r = result_of(s, x->k, x->bytes);
    agent_trained(a->agent, &r, s->w.now);
}

static void drain_client(struct stage *s, int k)
{
    struct actor *a = &s->actor[k];
    struct agent_out out;
    while (a->agent != NULL && agent_next(a->agent, &out)) {
        if (out.kind == AGENT_CONNECT) {
            network_dial(s, k);
        } else if (out.kind == AGENT_SEND) {
            network_send(s, k, END_CLIENT, &out.msg);
        } else if (out.kind == AGENT_DISCONNECT) {
            network_close(s, k, END_CLIENT);
        } else if (out.kind == AGENT_PREPARE) {
            stage_push(s, PREPARE_MS, EVENT_PREPARED, k);
        } else if (out.kind == AGENT_TRAIN) {
            train(s, k, out.job, stage_push(s, TRAIN_MS + 500 * k, EVENT_TRAINED, k));
        } else if (out.kind == AGENT_FINISHED) {
            s->out->finished += !a->has_result;
            a->has_result = true;
            a->result = hash_of(out.finish->params.data, out.finish->params.len);
            s->out->ms = s->w.now;
        } else if (out.kind == AGENT_STOPPED) {
            cr_assert_eq(out.why.code, 0, "client %d gave up: %s", k, out.why.text);
        }
    }
}

/* --- time --- */

static bool lives(const struct stage *s, const struct event *x)
{
    switch (x->kind) {
    case EVENT_BEGIN:
    case EVENT_STORE:
    case EVENT_COMMIT:
        return s->w.core != NULL && x->life == s->life;
    case EVENT_DIALLED:
    case EVENT_PREPARED:
    case EVENT_TRAINED:
        return s->actor[x->k].agent != NULL && x->life == s->actor[x->k].life;
    default:
        return true;
    }
}

static void happen(struct stage *s, const struct event *x)
{
    if (!lives(s, x))
        return;
    if (x->kind == EVENT_MESSAGE)
        network_arrive(s, x);
    else if (x->kind == EVENT_DIALLED)
        network_dialled(s, x);
    else if (x->kind == EVENT_BROKEN)
        network_break(s, x);
    else if (x->kind == EVENT_PREPARED)
        prepared(s, x->k);
    else if (x->kind == EVENT_TRAINED)
        trained(s, x);
    else if (x->kind == EVENT_CLIENT_BACK)
        stage_start_client(s, x->k);
    else if (x->kind == EVENT_SERVER_BACK)
        stage_start_server(s);
    else
        disk(s, x);
}

/* Whoever has set himself an alarm for now. */
static void tick(struct stage *s)
{
    if (s->w.core != NULL && core_deadline(s->w.core) <= s->w.now)
        core_tick(s->w.core, s->w.now);
    for (int k = 0; k < (int)s->scenario->clients; k++)
        if (s->actor[k].agent != NULL && agent_deadline(s->actor[k].agent) <= s->w.now)
            agent_tick(s->actor[k].agent, s->w.now);
}

static int64_t next_alarm(const struct stage *s)
{
    int64_t at = s->w.core != NULL ? core_deadline(s->w.core) : CORE_NEVER;
    for (int k = 0; k < (int)s->scenario->clients; k++) {
        int64_t own = s->actor[k].agent != NULL ? agent_deadline(s->actor[k].agent) : CORE_NEVER;
        at = own < at ? own : at;
    }
    for (size_t i = 0; i < s->events; i++)
        at = s->event[i].at < at ? s->event[i].at : at;
    return at;
}

static void drain_all(struct stage *s)
{
    drain_server(s);
    for (int k = 0; k < (int)s->scenario->clients; k++)
        drain_client(s, k);
    drain_server(s);
}

static void stand_still(const struct stage *s)
{
    char why[256] = "no server";
    if (s->w.core != NULL)
        core_status(s->w.core, s->w.now, why, sizeof why);
    cr_assert_fail("after %d ms nothing more will happen: %s", (int)s->w.now, why);
}

/* The first event whose time has come. */
static bool due(struct stage *s, struct event *x)
{
    for (size_t i = 0; i < s->events; i++)
        if (s->event[i].at <= s->w.now)
            return pop(s, x);
    return false;
}

static void play(struct stage *s)
{
    struct event x;
    drain_all(s);
    while (s->out->finished < s->scenario->clients && s->w.now < DAY_MS) {
        int64_t at = next_alarm(s);
        if (at == CORE_NEVER)
            stand_still(s);
        s->w.now = at > s->w.now ? at : s->w.now;
        tick(s);
        drain_all(s);
        if (due(s, &x)) {
            happen(s, &x);
            free(x.bytes);
            drain_all(s);
        }
    }
}

/* What a Welcome must say to be one; nobody here trains by it. */
static void specify(struct run_spec *spec, uint32_t deadline_s)
{
    static char task[] = "sst2", method[] = "lora";
    spec->task = (struct task_spec){.name = task, .n_labels = 2};
    spec->peft = (struct peft_spec){.method = method, .r = 2, .alpha = 4};
    spec->local = (struct local_spec){.epochs = 1,
                                      .batch_size = 8,
                                      .accumulate = 1,
                                      .max_length = 16,
                                      .beta1 = 0.9,
                                      .beta2 = 0.999,
                                      .eps = 1e-8};
    spec->federation.deadline_s = deadline_s;
}

void stage_play(const struct scenario *scenario, bool calm, struct outcome *out)
{
    struct stage *s = calloc(1, sizeof *s);
    *out = (struct outcome){0};
    s->scenario = scenario;
    s->calm = calm;
    s->out = out;
    s->folder = folder_make();
    s->rng = rng_stream(scenario->seed, 0, 0, RNG_TEST);
    world_open(&s->w, scenario->clients, scenario->per_round, scenario->quorum, scenario->rounds);
    specify(&s->w.spec, scenario->deadline_s);
    if (scenario->asked > 0)
        s->w.spec.federation.over_select = (double)scenario->asked / scenario->per_round;
    core_close(s->w.core);
    stage_start_server(s);
    for (int k = 0; k < (int)scenario->clients; k++)
        stage_start_client(s, k);
    play(s);
    for (int k = 1; k < (int)scenario->clients; k++)
        cr_assert(!s->actor[k].has_result || !s->actor[0].has_result ||
                  hash_same(&s->actor[k].result, &s->actor[0].result));
    for (int r = 0; r < REASONS && s->w.core != NULL; r++)
        out->refused[r] += core_refusals(s->w.core)[r];
    for (int k = 0; k < (int)scenario->clients; k++)
        agent_close(s->actor[k].agent);
    for (size_t i = 0; i < s->events; i++)
        free(s->event[i].bytes);
    store_close(s->store);
    world_close(&s->w);
    folder_remove(&s->folder);
    free(s);
}
