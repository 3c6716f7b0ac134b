#include "server/replay.h"
#include "server/resume.h"
#include "server/run.h"
#include <stdlib.h>
#include <string.h>

struct replay {
    struct store *store;
    struct run run;
    struct run_spec spec; /* the run's, but for what only says when a round ends */
    struct store_run stored;
    struct core_config config;
    double *state; /* before the round, then as committed with it */
    size_t n_state;
    struct core *core;
    size_t contributions;
    bool same;
};

static int open_run(struct replay *r, const struct runs_reader *from, uint32_t round, struct err *e)
{
    bool found;
    int rc = store_run(r->store, &r->stored, &found, e);
    if (rc != 0)
        return rc;
    if (!found || round > r->stored.next || r->stored.next == 0)
        return err_set(e, ERR_STATE, "run %s: only %u rounds are committed", from->name,
                       r->stored.next);
    rc = run_open(&r->run, from->config, e);
    if (rc == 0 && !hash_same(&r->run.identity, &r->stored.identity))
        rc = runs_differ(from, e);
    return rc;
}

/* The parameters and the state that the round began with. */
static int read_before(struct replay *r, uint32_t round, struct err *e)
{
    const struct schema *schema = peft_schema(r->run.peft);
    r->n_state = core_carries(&r->spec, schema);
    r->state = malloc((r->n_state + 1) * sizeof *r->state);
    if (r->state == NULL)
        return err_set(e, ERR_NOMEM, "no memory for %zu values of the server's state", r->n_state);
    r->config = (struct core_config){
        .spec = &r->spec,
        .schema = schema,
        .model = r->run.model->hash,
        .round = round,
        .params = r->run.params,
    };
    memcpy(r->config.run_id, r->stored.run_id, sizeof r->config.run_id);
    if (round == 0)
        return 0;
    int rc = store_params(r->store, schema, round - 1, r->run.params, e);
    if (rc == 0)
        rc = store_carried(r->store, round - 1, r->state, r->n_state, e);
    r->config.state = r->state;
    return rc;
}

static int count(void *ctx, const struct core_contribution *c)
{
    (void)c;
    ++*(size_t *)ctx;
    return 0;
}

static int need_journal(struct replay *r, uint32_t round, struct err *e)
{
    struct store_selection selection;
    bool kept;
    int rc = store_selection(r->store, round, &selection, &kept, e);
    if (rc != 0)
        return rc;
    if (!kept)
        return err_set(e, ERR_USAGE,
                       "the updates of round %u are no longer kept: see journal_rounds", round + 1);
    free(selection.names);
    return 0;
}

static int feed_updates(struct replay *r, uint32_t round, struct err *e)
{
    struct resumed fed;
    int rc = need_journal(r, round, e);
    if (rc == 0)
        rc = store_contributions(r->store, round, count, &r->contributions, e);
    if (rc != 0)
        return rc;
    r->spec = r->run.spec;
    if (r->spec.federation.mode == MODE_SYNC)
        r->spec.federation.quorum = (uint32_t)r->contributions;
    r->spec.federation.rounds = round + 1;
    r->spec.federation.patience = 0;
    r->spec.federation.best = false;
    rc = read_before(r, round, e);
    if (rc == 0)
        rc = core_open(&r->core, &r->config, 0, e);
    if (rc == 0)
        rc = resume_round(r->core, r->store, r->stored.run_id, &r->config.schema->hash, round, 0,
                          &fed, e);
    if (rc != 0)
        return rc;
    if (fed.damaged > 0 || fed.updates != r->contributions)
        return err_set(e, ERR_IO, "round %u: %zu of its %zu updates are damaged or missing",
                       round + 1, r->contributions - fed.updates, r->contributions);
    return 0;
}

struct check {
    const struct core_commit *commit;
    size_t at;
    bool same;
};

static int compare_contribution(void *ctx, const struct core_contribution *stored)
{
    struct check *k = ctx;
    const struct core_contribution *now =
        k->at < k->commit->n ? &k->commit->contribution[k->at] : NULL;
    k->same &= now != NULL && strcmp(now->client, stored->client) == 0 &&
               hash_same(&now->update_id, &stored->update_id) && now->samples == stored->samples;
    k->at++;
    return 0;
}

static int take_hash(void *ctx, const struct store_round *r)
{
    *(struct hash *)ctx = r->hash;
    return 1;
}

static int compare(struct replay *r, const struct core_commit *commit, struct replayed *out,
                   struct err *e)
{
    struct check check = {.commit = commit, .same = true};
    int rc = store_rounds(r->store, commit->round, take_hash, &out->committed, e);
    if (rc == 0)
        rc = store_contributions(r->store, commit->round, compare_contribution, &check, e);
    if (rc == 0)
        rc = store_carried(r->store, commit->round, r->state, r->n_state, e);
    if (rc != 0)
        return rc;
    out->round = commit->round;
    out->updates = commit->n;
    out->computed = commit->hash;
    out->same = check.same && check.at == commit->n && hash_same(&out->committed, &commit->hash) &&
                memcmp(r->state, commit->state, r->n_state * sizeof *r->state) == 0;
    return 0;
}

/* What the core does when its time is up; the sum is complete. */
static int finish_round(struct replay *r, struct replayed *out, struct err *e)
{
    struct core_out o;
    core_tick(r->core, (core_time)r->spec.federation.deadline_s * 1000);
    while (core_next(r->core, &o)) {
        if (o.kind == OUT_AGGREGATE) {
            core_aggregate(r->core);
            core_aggregated(r->core, 0);
        }
        if (o.kind == OUT_COMMIT)
            return compare(r, o.commit, out, e);
        if (o.kind == OUT_FINISHED && o.failure != NULL) {
            *e = *o.failure;
            return e->code;
        }
    }
    return err_set(e, ERR_INTERNAL, "the round came to no end");
}

int replay_round(const struct runs_reader *from, uint32_t round, struct replayed *out,
                 struct err *e)
{
    struct replay r = {.store = from->store};
    int rc = open_run(&r, from, round, e);
    if (rc == 0)
        rc = feed_updates(&r, round > 0 ? round - 1 : r.stored.next - 1, e);
    if (rc == 0)
        rc = finish_round(&r, out, e);
    core_close(r.core);
    free(r.state);
    run_close(&r.run);
    return rc;
}
