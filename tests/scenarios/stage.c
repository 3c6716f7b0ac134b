#include "stage_state.h"
#include <stdlib.h>

enum { DAY_MS = 24 * 3600 * 1000 };

struct event *stage_push(struct stage *s, int64_t after, enum event_kind kind, int k)
{
    cr_assert_lt(s->events, EVENTS);
    bool server = kind == EVENT_BEGIN || kind == EVENT_STORE || kind == EVENT_COMMIT ||
                  kind == EVENT_SERVER_BACK;
    struct event *x = &s->event[s->events++];
    *x = (struct event){.at = s->now + after,
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
        if (f->kind != FAULT_CRASH || f->from != side ||
            (f->client >= 0 && f->client != client_of(s, k)))
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

static void count_refusals(struct stage *s, const struct play *p)
{
    for (int r = 0; r < REASONS && p->w.core != NULL; r++)
        s->out->refused[r] += core_refusals(p->w.core)[r];
}

void stage_kill_server(struct stage *s, int64_t away)
{
    for (size_t i = 0; i < s->scenario->runs; i++) {
        struct play *p = &s->play[i];
        count_refusals(s, p);
        core_close(p->w.core);
        store_close(p->store);
        p->w.core = NULL;
        p->store = NULL;
    }
    s->life++;
    for (int k = 0; k < s->actors; k++)
        if (s->actor[k].road.open[END_SERVER])
            network_close(s, k, END_SERVER);
    stage_push(s, away, EVENT_SERVER_BACK, 0);
}

void stage_kill_client(struct stage *s, int client, int64_t away)
{
    for (int k = client; k < s->actors; k += (int)s->scenario->clients) {
        struct actor *a = &s->actor[k];
        agent_close(a->agent);
        a->agent = NULL;
        a->life++;
        if (a->road.open[END_CLIENT])
            network_close(s, k, END_CLIENT);
    }
    s->free_at[client] = s->now;
    stage_push(s, away, EVENT_CLIENT_BACK, client);
}

/* --- a client's process --- */

void stage_start_client(struct stage *s, int client)
{
    struct err e = {0};
    for (int k = client; k < s->actors; k += (int)s->scenario->clients) {
        struct actor *a = &s->actor[k];
        cr_assert_eq(agent_open(&a->agent, s->play[0].w.client[client].name,
                                s->scenario->seed + (uint64_t)k, s->now, &e),
                     0);
        if (s->scenario->part_bytes > 0)
            agent_part_bytes(a->agent, s->scenario->part_bytes);
    }
}

static struct agent_result result_of(struct stage *s, int k, const unsigned char *params)
{
    k = client_of(s, k);
    return (struct agent_result){.params = params,
                                 .len = 4 * s->play[0].w.schema.packed,
                                 .samples = 10 + (uint64_t)k,
                                 .steps = 3,
                                 .train_loss = 1.0 / (k + 1)};
}

static void prepared(struct stage *s, int k)
{
    struct actor *a = &s->actor[k];
    const struct schema *schema = &play_of(s, k)->w.schema;
    agent_prepared(a->agent, schema->hash, schema->packed, hash_of("model", 5), 10, s->now);
    if (!a->kept)
        return;
    struct agent_result r = result_of(s, k, a->kept_params);
    agent_restore(a->agent, a->kept_round, &a->kept_base, &r);
}

/* What training gives is a function of the run, the client, the round and what it began with. A
 * client trains for one run at a time, in the order in which it is asked. */
static void train(struct stage *s, int k, const struct agent_job *job)
{
    const struct play *p = play_of(s, k);
    int client = client_of(s, k);
    int64_t begins = s->free_at[client] > s->now ? s->free_at[client] : s->now;
    float theta[WORLD_VALUES] = {0};
    if (p->spec->mode == MODE_SYNC) /* else the difference travels */
        cr_assert_eq(tensorset_unpack(&p->w.schema, job->params, job->len, theta, NULL), 0);
    for (int i = 0; i < WORLD_VALUES; i++)
        theta[i] += 0.001F * (float)(client + 1) * (float)(i - 2) +
                    0.01F * (float)(job->round + 3 * p->spec->number);
    s->free_at[client] = begins + TRAIN_MS + 500 * client;
    struct event *x = stage_push(s, s->free_at[client] - s->now, EVENT_TRAINED, k);
    x->len = 4 * p->w.schema.packed;
    x->bytes = malloc(x->len);
    x->conn = job->round;
    tensorset_pack(&p->w.schema, theta, x->bytes);
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
        stage_kill_client(s, client_of(s, x->k), away);
        return;
    }
    struct agent_result r = result_of(s, x->k, x->bytes);
    agent_trained(a->agent, &r, s->now);
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
            train(s, k, out.job);
        } else if (out.kind == AGENT_FINISHED) {
            s->out->run[play_of(s, k) - s->play].finished += !a->has_result;
            a->has_result = true;
            a->result = hash_of(out.finish->params.data, out.finish->params.len);
            s->out->ms = s->now;
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
        return s->play[0].w.core != NULL && x->life == s->life;
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
        server_start(s);
    else
        server_disk(s, x);
}

/* Whoever has set himself an alarm for now. */
static void tick(struct stage *s)
{
    for (size_t i = 0; i < s->scenario->runs; i++) {
        struct core *core = s->play[i].w.core;
        if (core != NULL && core_deadline(core) <= s->now)
            core_tick(core, s->now);
    }
    for (int k = 0; k < s->actors; k++)
        if (s->actor[k].agent != NULL && agent_deadline(s->actor[k].agent) <= s->now)
            agent_tick(s->actor[k].agent, s->now);
}

static int64_t next_alarm(const struct stage *s)
{
    int64_t at = CORE_NEVER;
    for (size_t i = 0; i < s->scenario->runs; i++) {
        const struct core *core = s->play[i].w.core;
        int64_t own = core != NULL ? core_deadline(core) : CORE_NEVER;
        at = own < at ? own : at;
    }
    for (int k = 0; k < s->actors; k++) {
        int64_t own = s->actor[k].agent != NULL ? agent_deadline(s->actor[k].agent) : CORE_NEVER;
        at = own < at ? own : at;
    }
    for (size_t i = 0; i < s->events; i++)
        at = s->event[i].at < at ? s->event[i].at : at;
    return at;
}

static void drain_all(struct stage *s)
{
    server_drain(s);
    for (int k = 0; k < s->actors; k++)
        drain_client(s, k);
    server_drain(s);
}

static void stand_still(const struct stage *s)
{
    char why[256] = "no server";
    for (size_t i = 0; i < s->scenario->runs; i++)
        if (s->play[i].w.core != NULL && !core_finished(s->play[i].w.core))
            core_status(s->play[i].w.core, s->now, why, sizeof why);
    cr_assert_fail("after %d ms nothing more will happen: %s", (int)s->now, why);
}

/* The first event whose time has come. */
static bool due(struct stage *s, struct event *x)
{
    for (size_t i = 0; i < s->events; i++)
        if (s->event[i].at <= s->now)
            return pop(s, x);
    return false;
}

static bool everybody_has_the_result(const struct stage *s)
{
    for (int k = 0; k < s->actors; k++)
        if (!s->actor[k].has_result)
            return false;
    return true;
}

static void play(struct stage *s)
{
    struct event x;
    drain_all(s);
    while (!everybody_has_the_result(s) && s->now < DAY_MS) {
        int64_t at = next_alarm(s);
        if (at == CORE_NEVER)
            stand_still(s);
        s->now = at > s->now ? at : s->now;
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
static void specify(struct run_spec *spec, const struct scenario_run *run)
{
    static char task[] = "sst2", method[] = "lora";
    struct federation_spec *f = &spec->federation;
    spec->task = (struct task_spec){.name = task, .n_labels = 2};
    spec->peft = (struct peft_spec){.method = method, .r = 2, .alpha = 4};
    spec->local = (struct local_spec){.epochs = 1,
                                      .batch_size = 8,
                                      .accumulate = 1,
                                      .max_length = 16,
                                      .beta1 = 0.9,
                                      .beta2 = 0.999,
                                      .eps = 1e-8};
    f->deadline_s = run->deadline_s;
    f->mode = (enum round_mode)run->mode;
    f->concurrency = run->concurrency;
    f->max_staleness = run->max_staleness;
    if (run->asked > 0)
        f->over_select = (double)run->asked / run->per_round;
}

static void open_play(struct play *p, const struct scenario *scenario,
                      const struct scenario_run *run)
{
    p->spec = run;
    snprintf(p->run_id, sizeof p->run_id, "0123456789abcde%u", run->number);
    world_open(&p->w, scenario->clients, run->per_round, run->quorum, run->rounds);
    specify(&p->w.spec, run);
    core_close(p->w.core);
    p->w.core = NULL;
}

static struct stage *open_stage(const struct scenario *scenario, bool calm, struct outcome *out)
{
    struct stage *s = calloc(1, sizeof *s);
    *out = (struct outcome){0};
    s->scenario = scenario;
    s->calm = calm;
    s->out = out;
    s->now = 1000;
    s->folder = folder_make();
    s->rng = rng_stream(scenario->seed, 0, 0, RNG_TEST);
    s->actors = (int)(scenario->runs * scenario->clients);
    for (size_t i = 0; i < scenario->runs; i++)
        open_play(&s->play[i], scenario, &scenario->run[i]);
    server_start(s);
    for (int client = 0; client < (int)scenario->clients; client++)
        stage_start_client(s, client);
    return s;
}

/* All have the same result, and what they were told is true. */
static void check_play(struct stage *s, struct play *p, int first)
{
    for (int k = first; k < first + (int)s->scenario->clients; k++) {
        cr_assert(!s->actor[k].has_result || !s->actor[first].has_result ||
                  hash_same(&s->actor[k].result, &s->actor[first].result));
        s->out->run[p - s->play].counted += p->took_part[client_of(s, k)];
    }
    for (size_t i = 0; i < p->n_told && p->spec->mode == MODE_ASYNC; i++) {
        size_t at = 0;
        while (at < p->n_counted && !hash_same(&p->counted[at], &p->told[i]))
            at++;
        cr_assert_lt(at, p->n_counted, "an update that was acknowledged is in no round");
    }
}

void stage_play(const struct scenario *scenario, bool calm, struct outcome *out)
{
    struct stage *s = open_stage(scenario, calm, out);
    play(s);
    for (int k = 0; k < s->actors; k++)
        agent_close(s->actor[k].agent);
    for (size_t i = 0; i < scenario->runs; i++) {
        struct play *p = &s->play[i];
        check_play(s, p, (int)(i * scenario->clients));
        count_refusals(s, p);
        store_close(p->store);
        world_close(&p->w);
    }
    for (size_t i = 0; i < s->events; i++)
        free(s->event[i].bytes);
    folder_remove(&s->folder);
    free(s);
}
