/* The gate that every update must pass, and its way into the sum. */
#include "server/round.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SAMPLES                                                                                \
    ((uint64_t)1 << 32) /* of one client: 2^8 of the largest fill the sum's weight */

/* Finite, and so small that means over a round are, too. */
static bool number_ok(double x)
{
    return fabs(x) <= 1e30;
}

static bool numbers_ok(const struct msg_update *u)
{
    if (!number_ok(u->train_loss) || !number_ok(u->seconds) || u->n_metrics > MSG_MAX_METRICS)
        return false;
    for (size_t i = 0; i < u->n_metrics; i++)
        if (!number_ok(u->metric[i].value) || u->metric[i].weight > MAX_SAMPLES)
            return false;
    return true;
}

/* What is in the journal counts: so no more goes there than the round takes. */
bool round_full(const struct round *r)
{
    return r->delivered + r->waiting >= r->spec->per_round;
}

/* Is this update one that the round waits for? */
static enum msg_reason check_turn(const struct round *r, const struct member *m,
                                  const struct msg_update *u)
{
    if (strcmp(u->run_id, r->run_id) != 0)
        return REASON_RUN;
    if (u->round != r->number || r->state == ROUND_OVER)
        return r->number > 0 && u->round == r->number - 1 ? REASON_LATE : REASON_ROUND;
    if (m->slot == NULL)
        return r->state == ROUND_OPEN || r->attempt == 0 ? REASON_NOT_SELECTED : REASON_LATE;
    if (m->slot->delivered || m->slot->pending != NULL)
        return REASON_DUPLICATE;
    return r->state == ROUND_OPEN && !round_full(r) ? REASON_NONE : REASON_LATE;
}

/* The same with MODE_ASYNC. A task is given for rounds after the last that its client's update
 * counted in, so no update counts twice; and once a round, so that no client has more of it than
 * another. */
static enum msg_reason check_turn_async(const struct round *r, const struct member *m,
                                        const struct msg_update *u)
{
    uint32_t asked = m->asked > r->inherited ? m->asked : r->inherited;
    if (strcmp(u->run_id, r->run_id) != 0)
        return REASON_RUN;
    if (u->round > r->number || r->state == ROUND_OVER)
        return REASON_ROUND;
    if (m->slot != NULL || u->round < m->counted)
        return REASON_DUPLICATE;
    if (r->number - u->round > r->spec->max_staleness)
        return REASON_LATE;
    return u->round < asked ? REASON_NONE : REASON_NOT_SELECTED;
}

bool round_wants(const struct round *r, const struct member *m, const struct msg_update *u)
{
    return (r->async ? check_turn_async(r, m, u) : check_turn(r, m, u)) == REASON_NONE;
}

static uint64_t weight_of(const struct round *r, const struct msg_update *u)
{
    return r->spec->weighted ? u->samples : 1;
}

/* What the sum takes: it cannot refuse an update that is stored. */
static bool in_range(const struct round *r, const struct msg_update *u)
{
    return aggregate_in_range(r->values, r->wire.count) &&
           weight_of(r, u) <= ((uint64_t)1 << FIXED_WEIGHT_BITS) - r->weight;
}

/* Into r->values: as they came, and what their client lacked. */
static enum msg_reason read_values(struct round *r, const struct msg_update *u)
{
    struct msg_bytes params;
    enum msg_reason reason = payload_update(&r->payload, u, &params);
    if (reason == REASON_NONE &&
        tensorset_unpack(&r->wire, params.data, params.len, r->values, NULL) != 0)
        reason = REASON_NOT_FINITE;
    if (reason == REASON_NONE)
        payload_complete(&r->payload, r->values);
    return reason;
}

static bool norm_ok(const struct round *r)
{
    double bound = r->spec->max_update_norm;
    return bound == 0 || sqrt(aggregate_distance2(r->values, r->origin, r->wire.count)) <= bound;
}

/* Is it sound? Leaves its values in r->values and r->scaffold. */
static enum msg_reason check_content(struct round *r, const struct member *m,
                                     const struct msg_update *u)
{
    if (!hash_same(&u->schema, &r->schema->hash))
        return REASON_SCHEMA;
    if (u->samples < 1 || u->samples > MAX_SAMPLES)
        return REASON_SAMPLES;
    enum msg_reason reason = read_values(r, u);
    if (reason != REASON_NONE)
        return reason;
    if (!numbers_ok(u) || !in_range(r, u))
        return REASON_NOT_FINITE;
    struct hash id = msg_update_id(u, m->name);
    if (!hash_same(&id, &u->update_id))
        return REASON_IDENTITY;
    if (!norm_ok(r))
        return REASON_NORM;
    return scaffold_check(&r->scaffold, u->control);
}

static void record(struct round *r, struct member *m, const struct msg_update *u)
{
    struct slot *s = m->slot;
    s->delivered = true;
    s->record.samples = u->samples;
    s->record.steps = u->steps;
    s->record.train_loss = u->train_loss;
    s->record.seconds = u->seconds;
    s->record.update_id = u->update_id;
    if (u->round == r->number) /* others measured the result of an earlier round */
        tally_enter(&r->tally, &r->row[s - r->slot], u->metric, u->n_metrics);
    m->accepted = true;
    m->accepted_round = u->round;
    m->accepted_id = u->update_id;
    r->delivered++;
}

static bool repeats(const struct hash *id, uint32_t round, const struct msg_update *u)
{
    return round == u->round && hash_same(id, &u->update_id);
}

/* Takes a copy of an update that passed the gate. */
static bool take(struct round *r, struct member *m, const struct msg_update *u, uint64_t conn)
{
    size_t size = pending_size(u);
    if (!pending_fits(size, r->waiting_bytes, r->max_waiting))
        return false;
    struct pending *p = pending_make(u, r->run_id);
    if (p == NULL)
        return false;
    p->conn = conn;
    p->out = (struct core_update){.client = m->name,
                                  .round = r->number,
                                  .attempt = r->async ? u->round : r->attempt,
                                  .bytes_up = m->slot->record.bytes_up,
                                  .bytes_down = m->slot->record.bytes_down,
                                  .update = &p->update};
    m->slot->pending = p;
    if (r->pending_last != NULL)
        r->pending_last->next = p;
    else
        r->pending_first = p;
    r->pending_last = p;
    r->waiting++;
    r->waiting_bytes += size;
    r->weight += weight_of(r, u);
    return true;
}

/* MODE_ASYNC: a place for an update that passed the gate, in the order of names, so that nothing
 * depends on the order of arrival. */
static void seat_by_name(struct round *r, struct member *m)
{
    size_t at = r->n++;
    for (; at > 0 && strcmp(r->slot[at - 1].member->name, m->name) > 0; at--) {
        r->slot[at] = r->slot[at - 1];
        r->row[at] = r->row[at - 1];
        r->slot[at].member->slot = &r->slot[at];
    }
    r->slot[at] = (struct slot){
        .member = m, .record = {.client = m->name, .bytes_up = m->up, .bytes_down = m->down}};
    r->row[at] = (struct tally_row){0};
    m->slot = &r->slot[at];
}

static void unseat(struct round *r, struct slot *s)
{
    s->member->slot = NULL;
    for (size_t at = (size_t)(s - r->slot); at + 1 < r->n; at++) {
        r->slot[at] = r->slot[at + 1];
        r->row[at] = r->row[at + 1];
        r->slot[at].member->slot = &r->slot[at];
    }
    r->n--;
}

enum msg_reason round_update(struct round *r, struct member *m, const struct msg_update *u,
                             uint64_t conn)
{
    struct pending *p = m->slot != NULL ? m->slot->pending : NULL;
    bool ours = strcmp(u->run_id, r->run_id) == 0;
    if (ours && m->accepted && repeats(&m->accepted_id, m->accepted_round, u))
        return REASON_NONE;
    if (ours && p != NULL && repeats(&p->update.update_id, p->update.round, u)) {
        p->conn = conn;
        return REASON_NONE;
    }
    enum msg_reason reason = r->async ? check_turn_async(r, m, u) : check_turn(r, m, u);
    if (r->async && reason == REASON_NONE && (r->state != ROUND_OPEN || round_full(r)))
        reason = REASON_LATE;
    if (reason == REASON_NONE) {
        reason = check_content(r, m, u);
        if (r->async && reason == REASON_NONE)
            seat_by_name(r, m);
        else if (!r->async)
            m->slot->failed = reason != REASON_NONE;
        if (reason == REASON_NONE && !take(r, m, u, conn)) {
            if (r->async)
                unseat(r, m->slot);
            return REASON_INTERNAL;
        }
    }
    if (reason != REASON_NONE)
        r->refused++;
    return reason;
}

void round_refuse(struct round *r, const struct member *m)
{
    if (m->slot != NULL)
        m->slot->failed = true;
    r->refused++;
}

const struct core_update *round_next_update(struct round *r)
{
    struct pending *p = r->pending_first;
    if (p == NULL)
        return NULL;
    r->pending_first = p->next;
    if (p->next == NULL)
        r->pending_last = NULL;
    p->handed = true;
    return &p->out;
}

/* The gate has seen these bytes: it finds nothing to refuse in them now. */
static void add(struct round *r, const struct slot *s, const struct msg_update *u)
{
    bool read = read_values(r, u) == REASON_NONE;
    aggregate_prepare(&r->aggregate, r->origin, r->values);
    if (r->async && u->round < r->number) {
        double weight = spec_staleness_weight(r->number - u->round);
        for (size_t i = 0; i < r->wire.count; i++)
            r->values[i] = (float)(weight * (double)r->values[i]);
    }
    if (!read || scaffold_check(&r->scaffold, u->control) != REASON_NONE ||
        aggregate_add(&r->aggregate, (size_t)(s - r->slot), r->values, weight_of(r, u), NULL) != 0)
        abort();
    scaffold_add(&r->scaffold);
}

void round_stored(struct round *r, struct slot *s, bool stored)
{
    struct pending *p = s->pending;
    s->pending = NULL;
    r->waiting--;
    r->waiting_bytes -= pending_size(&p->update);
    if (stored) {
        add(r, s, &p->update);
        record(r, s->member, &p->update);
    } else {
        r->weight -= weight_of(r, &p->update);
        if (r->async)
            unseat(r, s);
    }
    free(p);
}
