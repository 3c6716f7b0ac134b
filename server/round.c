#include "server/round.h"
#include "codec/codec.h"
#include "codec/coding.h"
#include "server/select.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The schema of what travels: aggregating nothing else, a LOCAL tensor cannot even be touched. */
static int wire_schema(struct schema *wire, const struct schema *s, struct err *e)
{
    int rc = 0;
    schema_init(wire);
    for (size_t i = 0; rc == 0 && i < s->n; i++) {
        const struct tensor_spec *t = &s->tensor[i];
        if (t->scope == SCOPE_GLOBAL || t->scope == SCOPE_GROUP)
            rc = schema_add(wire, t->name, t->scope, t->decay, t->ndim, t->dim, e);
    }
    if (rc == 0)
        schema_seal(wire);
    return rc;
}

size_t core_carries(const struct run_spec *spec, const struct schema *schema)
{
    const struct federation_spec *f = &spec->federation;
    return (fedopt_find(f->optimizer)->vectors + (f->scaffold ? 1 : 0)) * schema->packed;
}

static bool allocate(struct round *r, const struct federation_spec *f, const struct schema *s)
{
    r->slot = calloc(r->places, sizeof *r->slot);
    r->row = calloc(r->places, sizeof *r->row);
    r->contribution = calloc(f->per_round, sizeof *r->contribution);
    r->selected = calloc(r->places, sizeof *r->selected);
    r->params = calloc(s->count, sizeof *r->params);
    r->next = calloc(s->count, sizeof *r->next);
    r->values = calloc(r->wire.count, sizeof *r->values);
    r->base = calloc(r->wire.count, sizeof *r->base);
    r->origin = r->async ? calloc(r->wire.count, sizeof *r->origin) : r->base;
    r->carried = calloc(r->n_carried + 1, sizeof *r->carried);
    if (f->best)
        r->best_params = calloc(s->count, sizeof *r->best_params);
    return r->slot != NULL && r->row != NULL && r->contribution != NULL && r->selected != NULL &&
           r->params != NULL && r->next != NULL && r->values != NULL && r->base != NULL &&
           r->origin != NULL && r->carried != NULL && (r->best_params != NULL || !f->best);
}

static int open_scaffold(struct round *r, struct err *e)
{
    size_t before = r->optimizer->vectors * r->wire.count;
    return r->spec->scaffold
               ? scaffold_open(&r->scaffold, &r->wire, r->spec->clients, r->carried + before, e)
               : 0;
}

/* What a stored run goes on with, or the beginning. */
static void restore(struct round *r, const struct core_config *c)
{
    memcpy(r->run_id, c->run_id, sizeof r->run_id);
    memcpy(r->params, c->params, c->schema->count * sizeof *r->params);
    if (c->state != NULL)
        memcpy(r->carried, c->state, r->n_carried * sizeof *r->carried);
    else
        fedopt_begin(r->optimizer, r->spec, r->carried, r->wire.count);
    if (r->best_params != NULL && c->best_params != NULL)
        memcpy(r->best_params, c->best_params, c->schema->count * sizeof *r->best_params);
    r->best = c->best;
    r->number = c->round;
    r->gathered = c->n_clients >= r->places;
}

/* Waits for the next round; or ends, and then the parameters are the run's result. */
static void go_on(struct round *r)
{
    bool over = r->ended || r->number >= r->spec->rounds || best_stale(&r->best, r->spec->patience);
    r->state = over ? ROUND_OVER : ROUND_GATHERING;
    if (over && r->spec->best && r->best.any)
        memcpy(r->params, r->best_params, r->schema->count * sizeof *r->params);
    tensorset_pack(r->schema, r->params, r->payload.plain);
    if (over)
        payload_result(&r->payload);
    else
        payload_task(&r->payload, r->number);
}

/* Copies what travels from one layout to another. ERR_PROTO when a value is not finite. */
static int transfer(const struct round *r, const struct schema *from, const float *values,
                    const struct schema *to, float *out, struct err *e)
{
    unsigned char *packed = r->payload.update; /* no update is at hand now */
    tensorset_pack(from, values, packed);
    return tensorset_unpack(to, packed, r->wire.count * sizeof(float), out, e);
}

/* Into r->base. */
static int begin_with(struct round *r, struct err *e)
{
    int rc = transfer(r, r->schema, r->params, &r->wire, r->base, e);
    if (rc == 0 && !aggregate_in_range(r->base, r->wire.count))
        rc = err_set(e, ERR_CONFIG,
                     "a parameter to begin with is not below 2^%d in magnitude: no update near it "
                     "could be counted",
                     FIXED_RANGE_BITS);
    return rc;
}

/* What a client keeps is what it was after the last round that counted: between rounds that overlap
 * there is no such thing. */
static int check_states(const struct run_spec *s, struct err *e)
{
    if (s->federation.mode == MODE_SYNC)
        return 0;
    if (s->local.carry_optimizer)
        return err_set(e, ERR_CONFIG,
                       "local.carry_optimizer does not go with federation.mode async");
    if (coding_codec(coding_upload(&s->federation))->feedback)
        return err_set(e, ERR_CONFIG,
                       "federation.upload %s, which keeps what it leaves out, does not go with "
                       "federation.mode async",
                       s->federation.upload);
    return 0;
}

int round_init(struct round *r, const struct core_config *c, struct err *e)
{
    const struct federation_spec *f = &c->spec->federation;
    *r = (struct round){
        .spec = f,
        .schema = c->schema,
        .optimizer = fedopt_find(f->optimizer),
        .metric = c->metric,
        .lower_is_better = c->lower_is_better,
        .async = f->mode == MODE_ASYNC,
        .places = spec_selected(f),
        .max_waiting = c->max_waiting > 0 ? c->max_waiting : CORE_MAX_WAITING,
        .inherited = c->n_clients > 0 ? c->round + 1 : 0,
        .n_carried = core_carries(c->spec, c->schema),
    };
    int rc = spec_check_federation(f, e);
    if (rc == 0)
        rc = check_states(c->spec, e);
    if (rc == 0)
        rc = wire_schema(&r->wire, c->schema, e);
    if (rc == 0 && !allocate(r, f, c->schema))
        rc = err_set(e, ERR_NOMEM, "no memory for rounds of %u clients and %zu parameters",
                     r->places, c->schema->count);
    if (rc == 0)
        rc = payload_open(&r->payload, f, r->wire.count, e);
    if (rc == 0)
        rc = aggregate_open(&r->aggregate, f, r->wire.count, e);
    if (rc == 0) {
        restore(r, c);
        rc = begin_with(r, e);
    }
    if (rc == 0)
        go_on(r);
    if (rc == 0)
        rc = open_scaffold(r, e);
    if (rc != 0)
        round_release(r);
    return rc;
}

void round_release(struct round *r)
{
    schema_release(&r->wire);
    for (size_t i = 0; i < r->n; i++)
        free(r->slot[i].pending);
    free(r->slot);
    free(r->row);
    free(r->contribution);
    free(r->selected);
    free(r->params);
    free(r->next);
    free(r->values);
    payload_close(&r->payload);
    if (r->origin != r->base)
        free(r->origin);
    free(r->base);
    aggregate_close(&r->aggregate);
    scaffold_close(&r->scaffold);
    free(r->carried);
    free(r->best_params);
    *r = (struct round){0};
}

size_t round_quorum(const struct round *r)
{
    return r->spec->quorum > 0 ? r->spec->quorum : r->spec->per_round;
}

size_t round_needs(const struct round *r)
{
    if (r->async && (r->gathered || r->crowded))
        return 1;
    if (r->crowded && r->attempt == 0)
        return r->places;
    return r->gathered || r->crowded ? round_quorum(r) : r->spec->clients;
}

/* Empties everything that an attempt fills. */
static void clear(struct round *r)
{
    memset(r->row, 0, r->places * sizeof *r->row);
    r->tally = (struct tally){0};
    aggregate_reset(&r->aggregate);
    scaffold_begin(&r->scaffold);
    r->n = r->delivered = 0;
    r->weight = 0;
}

static void seat(struct round *r, struct member *m)
{
    struct slot *s = &r->slot[r->n];
    *s = (struct slot){.member = m, .record.client = m->name};
    m->slot = s;
    r->selected[r->n++] = m->name;
}

static void settle(struct round *r)
{
    r->start = (struct core_attempt){r->number, r->attempt, r->n, r->selected};
    r->gathered = true;
    r->state = ROUND_SELECTED;
}

void round_begin(struct round *r, struct roster *who, core_time now)
{
    if (r->async) { /* nobody is selected: places are for whoever delivers */
        clear(r);
        r->started = now;
        settle(r);
        return;
    }
    bool among_present = r->attempt > 0 || r->crowded;
    size_t n = roster_candidates(who, among_present);
    size_t k = n < r->places ? n : r->places;
    select_clients(r->spec->seed, r->number, r->attempt, who->order, n, k);
    clear(r);
    for (size_t i = 0; i < k; i++)
        seat(r, who->candidate[who->order[i]]);
    if (r->attempt == 0) {
        r->started = now;
        r->resumed = false;
    }
    settle(r);
}

int round_resume(struct round *r, struct roster *who, const struct core_attempt *a, core_time now,
                 struct err *e)
{
    if (r->state != ROUND_GATHERING || a->round != r->number || a->n > r->places)
        return err_set(e, ERR_STATE, "the stored attempt at round %u is none of the next round's",
                       a->round + 1);
    r->attempt = a->attempt;
    r->inherited = r->number + 1;
    clear(r);
    for (size_t i = 0; i < a->n; i++) {
        struct member *m = roster_member(who, a->client[i]);
        if (m == NULL)
            return err_set(e, ERR_NOMEM, "no memory for %zu clients", a->n);
        m->known = true;
        seat(r, m);
    }
    r->started = now;
    r->resumed = true;
    settle(r);
    return 0;
}

void round_open(struct round *r, core_time now)
{
    r->deadline = r->async ? CORE_NEVER : now + (core_time)r->spec->deadline_s * 1000;
    r->state = ROUND_OPEN;
}

bool round_complete(const struct round *r)
{
    size_t pending = 0;
    for (size_t i = 0; i < r->n; i++)
        pending += !r->slot[i].delivered && !r->slot[i].failed;
    return r->state == ROUND_OPEN && (r->delivered == r->spec->per_round ||
                                      (pending == 0 && r->delivered >= round_quorum(r)));
}

void round_close(struct round *r, core_time now)
{
    r->commit = (struct core_commit){
        .round = r->number,
        .attempt = r->attempt,
        .params = r->next,
        .contribution = r->contribution,
        .scored_by = r->metric,
        .state = r->carried,
        .n_state = r->n_carried,
        .selected = (uint32_t)r->n,
        .refused = r->refused,
        .started = r->started,
        .ended = now,
    };
    r->state = ROUND_CLOSING;
}

/* MODE_ASYNC: r->values is the mean change: the parameters that it leads to. */
static int apply_mean(struct round *r, struct err *e)
{
    for (size_t i = 0; i < r->wire.count; i++)
        r->values[i] = (float)((double)r->base[i] + (double)r->values[i]);
    if (aggregate_in_range(r->values, r->wire.count))
        return 0;
    return err_set(
        e, ERR_STATE,
        "its updates drive a parameter out of range (the limit is 2^%d): start a new run "
        "with a lower local.lr",
        FIXED_RANGE_BITS);
}

void round_compute(struct round *r)
{
    int rc = aggregate_finish(&r->aggregate, r->values, &r->failure);
    if (rc == 0 && r->async)
        rc = apply_mean(r, &r->failure);
    if (rc == 0)
        rc = fedopt_step(r->optimizer, r->spec, r->carried, r->base, r->values, r->wire.count,
                         &r->failure);
    memcpy(r->next, r->params, r->schema->count * sizeof *r->next);
    if (rc == 0)
        rc = transfer(r, &r->wire, r->values, r->schema, r->next, &r->failure);
    if (rc != 0)
        err_wrap(&r->failure, "round %u", r->number + 1);
    else
        r->commit.hash = tensorset_hash(r->schema, r->next);
    memcpy(r->base, r->values, r->wire.count * sizeof *r->base);
    scaffold_step(&r->scaffold);
}

void round_computed(struct round *r)
{
    r->state = r->failure.code == 0 ? ROUND_CLOSED : ROUND_FAILED;
}

void round_record(struct round *r)
{
    struct core_commit *c = &r->commit;
    double loss = 0;
    for (size_t i = 0; i < r->n; i++) {
        const struct slot *s = &r->slot[i];
        if (!s->delivered)
            continue;
        r->contribution[c->n++] = s->record;
        c->samples += s->record.samples;
        loss += s->record.train_loss * (double)s->record.samples;
    }
    c->train_loss = loss / (double)c->samples;
    c->n_metrics = tally_means(&r->tally, r->row, r->n, c->metric);
    for (size_t i = 0; i < c->n_metrics && r->metric != NULL && r->number > 0; i++)
        if (strcmp(c->metric[i].name, r->metric) == 0)
            round_scored(r, r->number - 1, c->metric[i].value);
    c->best = r->best;
}

void round_scored(struct round *r, uint32_t round, double score)
{
    const float *params;
    if (r->state == ROUND_CLOSED && round == r->number)
        params = r->next;
    else if (r->state != ROUND_OVER && round + 1 == r->number)
        params = r->params;
    else
        return;
    if (best_enter(&r->best, round, score, r->lower_is_better) && r->best_params != NULL)
        memcpy(r->best_params, params, r->schema->count * sizeof *r->best_params);
}

static void release_slots(struct round *r, bool forget)
{
    for (size_t i = 0; i < r->n; i++) {
        struct member *m = r->slot[i].member;
        m->slot = NULL;
        if (!forget && r->slot[i].delivered)
            m->counted = r->number + 1;
        if (forget && r->slot[i].delivered)
            m->accepted = false;
    }
    r->n = 0;
    r->delivered = 0;
}

void round_restart(struct round *r)
{
    release_slots(r, true);
    r->attempt++;
    r->state = ROUND_GATHERING;
}

void round_end(struct round *r)
{
    r->ended = true;
    go_on(r);
}

void round_advance(struct round *r)
{
    float *old = r->params;
    release_slots(r, false);
    r->params = r->next;
    r->next = old;
    r->number++;
    r->attempt = 0;
    r->refused = 0;
    go_on(r);
}
