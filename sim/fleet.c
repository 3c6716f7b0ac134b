#include "sim/fleet.h"
#include "base/rng.h"
#include "client/agent.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct member {
    struct fleet *fleet;
    struct agent *agent; /* NULL while it has nothing to do: see wake */
    uint32_t index;      /* of its Welcome */
    struct wire *wire;   /* NULL while not connected */
    uint64_t conn;
    struct local_pair state; /* opened when it first takes part */
    bool has_state;
    struct member *next_dirty;
    bool dirty;
};

struct fleet {
    const struct fleet_config *config;
    struct core *core;
    struct workers *workers;
    struct trust *trust;
    struct member *member; /* partition->clients */
    uint32_t n;
    struct member *dirty; /* agents that may have outputs, a stack */
    int64_t now;          /* virtual milliseconds: computing takes no time, waiting does */
    uint64_t conns;
    uint32_t largest; /* examples of the client that has most */
    uint32_t done;    /* updates of the present round */
    bool finished;
    char run_id[17];
    struct err trouble; /* of waking a client */
};

static void mark(struct member *m)
{
    if (m->dirty)
        return;
    m->dirty = true;
    m->next_dirty = m->fleet->dirty;
    m->fleet->dirty = m;
}

/* Connection numbers are never reused: the k-th client's are those congruent to k. */
static struct member *member_of(struct fleet *f, uint64_t conn)
{
    struct member *m = &f->member[conn % f->n];
    return m->conn == conn && m->wire ? m : NULL;
}

static uint32_t examples_of(const struct fleet *f, uint32_t k)
{
    const size_t *off = f->config->partition->off;
    return (uint32_t)(off[k + 1] - off[k]);
}

static int new_agent(struct member *m)
{
    struct fleet *f = m->fleet;
    uint32_t k = (uint32_t)(m - f->member);
    char name[PARTITION_NAME];
    partition_client_name(k, name);
    return agent_open(&m->agent, name, f->config->spec->federation.seed + k, f->now, &f->trouble);
}

static void tell_prepared(struct member *m)
{
    const struct fleet *f = m->fleet;
    const struct schema *s = peft_schema(f->config->peft);
    agent_prepared(m->agent, s->hash, s->packed, peft_model(f->config->peft)->hash,
                   examples_of(f, (uint32_t)(m - f->member)), f->now);
}

/* Of many clients few have something to do at a time, so an idle one's agent is closed. A new one
 * is brought to where that was, before or after its Welcome; the server has heard it all. */
static bool wake(struct member *m, bool welcomed)
{
    struct fleet *f = m->fleet;
    struct agent_out out;
    if (m->agent)
        return true;
    if (new_agent(m))
        return false;
    const struct msg welcome = {.type = MSG_WELCOME,
                                .welcome = {.protocol = MSG_PROTOCOL,
                                            .run_id = f->run_id,
                                            .spec = *f->config->spec,
                                            .schema = peft_schema(f->config->peft)->hash,
                                            .model = peft_model(f->config->peft)->hash,
                                            .index = m->index,
                                            .next_round = core_round(f->core)}};
    agent_tick(m->agent, f->now);
    agent_connected(m->agent, f->now);
    if (welcomed) {
        agent_message(m->agent, &welcome, f->now);
        tell_prepared(m);
    }
    while (agent_next(m->agent, &out))
        ;
    return true;
}

static void put_to_sleep(struct member *m)
{
    agent_close(m->agent);
    m->agent = NULL;
}

static void hang_up(struct member *m)
{
    struct err clean = {0};
    if (!wake(m, true))
        return;
    wire_close(m->wire);
    m->wire = NULL;
    core_disconnected(m->fleet->core, m->conn, m->fleet->now);
    agent_disconnected(m->agent, &clean, m->fleet->now);
    mark(m);
}

static void at_client(void *ctx, const struct msg *msg)
{
    struct member *m = ctx;
    if (!wake(m, msg->type != MSG_WELCOME))
        return;
    if (msg->type == MSG_WELCOME)
        m->index = msg->welcome.index;
    agent_message(m->agent, msg, m->fleet->now);
    if (msg->type == MSG_RECEIPT) /* a server that cannot die asks for nothing again */
        agent_forget(m->agent);
    mark(m);
}

static void report_traffic(struct member *m)
{
    core_traffic(m->fleet->core, m->conn, wire_bytes(m->wire, WIRE_CLIENT),
                 wire_bytes(m->wire, WIRE_SERVER));
}

static void at_server(void *ctx, const struct msg *msg)
{
    struct member *m = ctx;
    report_traffic(m);
    core_message(m->fleet->core, m->conn, msg, m->fleet->now);
}

static int connect_member(struct member *m, struct err *e)
{
    struct fleet *f = m->fleet;
    uint32_t k = (uint32_t)(m - f->member);
    char name[PARTITION_NAME];
    partition_client_name(k, name);
    size_t packed = peft_schema(f->config->peft)->packed;
    int rc = wire_open(&m->wire, f->config->wire, f->trust, name,
                       f->config->spec->federation.scaffold ? 2 * packed : packed, e);
    if (rc)
        return rc;
    m->conn = ++f->conns * f->n + k;
    core_connected(f->core, m->conn, name, f->now);
    agent_connected(m->agent, f->now);
    return 0;
}

/* Virtual milliseconds. */
static double duration(const struct fleet *f, uint32_t k, uint32_t round)
{
    struct rng r = rng_stream(f->config->spec->federation.seed, round, k, RNG_DURATION);
    return fabs(rng_normal(&r)) * 100 * examples_of(f, k) / f->largest;
}

static int start_training(struct member *m, const struct agent_job *job, struct err *e)
{
    struct fleet *f = m->fleet;
    const struct partition *p = f->config->partition;
    const struct run_spec *spec = f->config->spec;
    uint32_t k = (uint32_t)(m - f->member);
    struct local_state *state = NULL;
    bool lost;
    if (local_state_needed(spec) && !m->has_state) {
        int rc = local_pair_open(&m->state, spec, peft_schema(f->config->peft)->count, e);
        if (rc)
            return rc;
        m->has_state = true;
    }
    if (m->has_state)
        state = local_pair_begin(&m->state, job->counted, &lost);
    return workers_push(f->workers, job, (double)f->now + duration(f, k, job->round), state,
                        p->index + p->off[k], examples_of(f, k), e);
}

/* The agent no longer wants it. */
static void stop_training(struct member *m)
{
    struct fleet *f = m->fleet;
    const struct err why = {ERR_STATE, "cancelled"};
    workers_drop(f->workers, (uint32_t)(m - f->member));
    agent_failed(m->agent, &why, f->now);
}

static int obey_agent(struct member *m, const struct agent_out *out, struct err *e)
{
    struct fleet *f = m->fleet;
    switch (out->kind) {
    case AGENT_CONNECT:
        return connect_member(m, e);
    case AGENT_SEND:
        return m->wire ? wire_carry(m->wire, WIRE_CLIENT, &out->msg, at_server, m, e) : 0;
    case AGENT_DISCONNECT:
        if (m->wire)
            hang_up(m);
        return 0;
    case AGENT_PREPARE:
        tell_prepared(m);
        return 0;
    case AGENT_TRAIN:
        return start_training(m, out->job, e);
    case AGENT_CANCEL:
        stop_training(m);
        return 0;
    case AGENT_FINISHED:
        agent_forget(m->agent);
        return 0;
    case AGENT_STOPPED:
        if (f->finished || !out->why.code)
            return 0;
        *e = out->why;
        return err_wrap(e, "client %zu", (size_t)(m - f->member));
    }
    return 0;
}

static int drain_agents(struct fleet *f, struct err *e)
{
    while (f->dirty) {
        struct member *m = f->dirty;
        f->dirty = m->next_dirty;
        m->dirty = false;
        struct agent_out out;
        while (agent_next(m->agent, &out)) {
            int rc = obey_agent(m, &out, e);
            if (rc)
                return rc;
        }
        if (agent_idle(m->agent))
            put_to_sleep(m);
    }
    return 0;
}

static int obey_core(struct fleet *f, const struct core_out *out, struct err *e)
{
    struct member *m;
    double score = NAN;
    int rc;
    switch (out->kind) {
    case OUT_SEND:
        m = member_of(f, out->conn);
        rc = m ? wire_carry(m->wire, WIRE_SERVER, &out->msg, at_client, m, e) : 0;
        if (m)
            report_traffic(m);
        return rc;
    case OUT_CLOSE:
        m = member_of(f, out->conn);
        if (m)
            hang_up(m);
        return 0;
    case OUT_BEGIN: /* nothing here outlives the process */
        core_begun(f->core, f->now);
        return 0;
    case OUT_STORE:
        core_stored(f->core, out->update->client, true, f->now);
        return 0;
    case OUT_AGGREGATE:
        core_aggregate(f->core);
        core_aggregated(f->core, f->now);
        return 0;
    case OUT_COMMIT:
        rc = f->config->committed(f->config->ctx, out->commit, &score, e);
        if (rc)
            return rc;
        if (!isnan(score))
            core_scored(f->core, out->commit->round, score);
        f->done = 0;
        core_committed(f->core, f->now);
        return 0;
    case OUT_FINISHED:
        f->finished = true;
        if (!out->failure)
            return 0;
        *e = *out->failure;
        return e->code;
    }
    return 0;
}

/* Carries out decisions on both sides until there are none. */
static int settle(struct fleet *f, struct err *e)
{
    struct core_out out;
    int rc = 0;
    while (!rc && core_next(f->core, &out)) {
        rc = obey_core(f, &out, e);
        if (!rc && f->trouble.code) {
            *e = f->trouble;
            rc = e->code;
        }
        if (!rc)
            rc = drain_agents(f, e);
    }
    return rc;
}

static int interrupted(const struct fleet *f, struct err *e)
{
    return err_set(e, ERR_STATE, "interrupted after %u of %u rounds", core_round(f->core),
                   f->config->spec->federation.rounds);
}

static int take_result(struct fleet *f, struct err *e)
{
    int64_t due = (int64_t)workers_due(f->workers);
    const struct work *w = workers_pop(f->workers);
    const uint32_t round = w->job->round;
    f->now = due > f->now ? due : f->now;
    if (w->error.code && f->config->cancel && atomic_load(f->config->cancel))
        return interrupted(f, e);
    if (w->error.code) {
        *e = w->error;
        return err_wrap(e, "client %u, round %u", w->client, round + 1);
    }
    struct agent_result r = {.params = w->update,
                             .len = w->len,
                             .coding = w->coding,
                             .control = w->control,
                             .control_len =
                                 w->control ? 4 * peft_schema(f->config->peft)->packed : 0,
                             .samples = w->n,
                             .steps = w->result.steps,
                             .train_loss = w->result.loss,
                             .seconds = w->result.seconds};
    struct member *m = &f->member[w->client];
    if (m->has_state)
        local_pair_end(&m->state, round);
    agent_trained(m->agent, &r, f->now);
    mark(m);
    f->done++;
    if (f->config->progress)
        f->config->progress(f->config->ctx, round, f->done, f->config->spec->federation.per_round);
    return 0;
}

static int64_t next_deadline(const struct fleet *f)
{
    int64_t next = core_deadline(f->core);
    for (uint32_t k = 0; k < f->n; k++) {
        int64_t at = f->member[k].agent ? agent_deadline(f->member[k].agent) : AGENT_NEVER;
        next = at < next ? at : next;
    }
    return next;
}

/* Nothing is to be said: time passes until a training is done or a deadline has come. */
static int let_time_pass(struct fleet *f, struct err *e)
{
    int64_t next = next_deadline(f);
    if (workers_due(f->workers) <= (double)next)
        return take_result(f, e);
    if (next == CORE_NEVER) {
        char why[256];
        core_status(f->core, f->now, why, sizeof why);
        return err_set(e, ERR_INTERNAL, "the simulation stands still: %s", why);
    }
    f->now = next > f->now ? next : f->now;
    core_tick(f->core, f->now);
    for (uint32_t k = 0; k < f->n; k++) {
        if (!f->member[k].agent)
            continue;
        agent_tick(f->member[k].agent, f->now);
        mark(&f->member[k]);
    }
    return 0;
}

/* One after the other, so that no more than one is awake; each is woken by its Welcome. */
static int connect_all(struct fleet *f, struct err *e)
{
    int rc = 0;
    for (uint32_t k = f->n; !rc && k-- > 0;) {
        if (new_agent(&f->member[k])) {
            *e = f->trouble;
            return e->code;
        }
        agent_tick(f->member[k].agent, f->now);
        mark(&f->member[k]);
        rc = drain_agents(f, e);
        put_to_sleep(&f->member[k]);
    }
    return rc;
}

static int fleet_loop(struct fleet *f, struct err *e)
{
    int rc = connect_all(f, e);
    if (rc)
        return rc;
    for (;;) {
        rc = drain_agents(f, e);
        if (!rc)
            rc = settle(f, e);
        if (rc || f->finished)
            return rc;
        if (f->config->cancel && atomic_load(f->config->cancel))
            return interrupted(f, e);
        if (f->dirty)
            continue;
        rc = let_time_pass(f, e);
        if (rc)
            return rc;
    }
}

static void fleet_release(struct fleet *f)
{
    workers_close(f->workers);
    for (uint32_t k = 0; f->member && k < f->n; k++) {
        wire_close(f->member[k].wire);
        agent_close(f->member[k].agent);
        local_pair_close(&f->member[k].state);
    }
    free(f->member);
    trust_close(f->trust);
    core_close(f->core);
}

static int open_members(struct fleet *f, struct err *e)
{
    f->member = calloc(f->n, sizeof *f->member);
    if (!f->member)
        return err_set(e, ERR_NOMEM, "no memory for %u clients", f->n);
    for (uint32_t k = 0; k < f->n; k++)
        f->largest = examples_of(f, k) > f->largest ? examples_of(f, k) : f->largest;
    for (uint32_t k = 0; k < f->n; k++)
        f->member[k].fleet = f;
    return 0;
}

int fleet_run(const struct fleet_config *c, float *theta, struct err *e)
{
    struct fleet f = {.config = c, .n = c->partition->clients};
    const struct schema *s = peft_schema(c->peft);
    struct core_config core = {.spec = c->spec,
                               .schema = s,
                               .model = peft_model(c->peft)->hash,
                               .params = theta,
                               .lower_is_better = c->lower_is_better};
    struct workers_config workers = {.peft = c->peft,
                                     .data = c->train,
                                     .spec = c->spec,
                                     .initial = theta,
                                     .threads = c->threads,
                                     .memory = c->memory,
                                     .cancel = c->cancel};
    snprintf(core.run_id, sizeof core.run_id, "%016llx",
             (unsigned long long)c->spec->federation.seed);
    memcpy(f.run_id, core.run_id, sizeof f.run_id);
    int rc = core_open(&f.core, &core, f.now, e);
    if (!rc && c->wire == WIRE_TLS)
        rc = trust_open(&f.trust, e);
    if (!rc)
        rc = workers_open(&f.workers, &workers, e);
    if (!rc)
        rc = open_members(&f, e);
    if (!rc)
        rc = fleet_loop(&f, e);
    if (!rc)
        memcpy(theta, core_params(f.core), s->count * sizeof *theta);
    fleet_release(&f);
    return rc;
}
