#include "server/runner.h"
#include "base/file.h"
#include "server/resume.h"
#include "server/server_state.h"
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- what the last commit left --- */

/* What the last commit left to go on with. */
struct legacy {
    char **names;
    size_t n;
    uint32_t *counted;
    double *state;
    float *best_params;
};

static int read_best(struct runner *r, struct core_config *c, struct legacy *l, struct err *e)
{
    const struct schema *schema = c->schema;
    struct store_best stored;
    int rc = store_best(r->rounds, &stored, e);
    if (rc != 0 || strcmp(stored.metric, c->metric) != 0)
        return rc; /* scores by another metric do not compare */
    c->best = stored.best;
    if (!c->spec->federation.best || !stored.best.any)
        return 0;
    l->best_params = malloc(schema->count * sizeof *l->best_params);
    if (l->best_params == NULL)
        return err_set(e, ERR_NOMEM, "no memory for %zu parameters", schema->count);
    memcpy(l->best_params, r->run.params, schema->count * sizeof *l->best_params);
    c->best_params = l->best_params;
    return store_params(r->rounds, schema, stored.best.round, l->best_params, e);
}

static int read_legacy(struct runner *r, struct core_config *c, struct legacy *l, struct err *e)
{
    size_t carried = core_carries(c->spec, c->schema);
    int rc = store_roster(r->rounds, &l->names, &l->n, e);
    if (rc != 0)
        return rc;
    c->client = (const char *const *)l->names;
    c->n_clients = l->n;
    if (c->round == 0)
        return 0;
    l->counted = calloc(l->n + 1, sizeof *l->counted);
    l->state = malloc((carried + 1) * sizeof *l->state);
    if (l->counted == NULL || l->state == NULL)
        return err_set(e, ERR_NOMEM, "no memory for %zu values of the server's state", carried);
    c->counted = l->counted;
    c->state = l->state;
    rc = store_counted(r->rounds, l->counted, l->n, e);
    if (rc == 0)
        rc = store_params(r->rounds, c->schema, c->round - 1, r->run.params, e);
    if (rc == 0)
        rc = store_carried(r->rounds, c->round - 1, l->state, carried, e);
    return rc == 0 ? read_best(r, c, l, e) : rc;
}

/* The round that was under way when the last server ended. */
static int resume(struct runner *r, const struct core_config *c, struct err *e)
{
    struct resumed was;
    if (core_finished(r->core))
        return 0;
    int rc = resume_round(r->core, r->rounds, c->run_id, &c->schema->hash, c->round,
                          (core_time)uv_now(&r->server->loop), &was, e);
    if (rc == 0 && was.begun)
        log_info("round goes on round=%u attempt=%u selected=%zu updates=%zu name=%s", c->round + 1,
                 was.attempt.attempt + 1, was.attempt.n, was.updates, r->name);
    return rc;
}

static void wish(struct runner *r, enum store_wish wish)
{
    core_time now = (core_time)uv_now(&r->server->loop);
    core_pause(r->core, wish == WISH_PAUSE, now);
    if (wish == WISH_STOP)
        core_end(r->core, now);
    r->stored.wish = wish;
}

static int open_core(struct runner *r, struct err *e)
{
    struct legacy legacy = {0};
    struct core_config c = {
        .spec = &r->run.spec,
        .schema = peft_schema(r->run.peft),
        .model = r->run.model->hash,
        .room = r->server->config->max_clients,
        .ends = r->server->config->exit_when_done,
        .round = r->stored.next,
        .params = r->run.params,
        .metric = metric_name(r->run.metric),
        .lower_is_better = metric_lower_is_better(r->run.metric),
        .uploads = &r->server->uploads,
    };
    memcpy(c.run_id, r->stored.run_id, sizeof c.run_id);
    int rc = read_legacy(r, &c, &legacy, e);
    if (rc == 0)
        rc = core_open(&r->core, &c, (core_time)uv_now(&r->server->loop), e);
    if (rc == 0) {
        wish(r, r->stored.wish);
        rc = resume(r, &c, e);
    }
    free(legacy.names);
    free(legacy.counted);
    free(legacy.state);
    free(legacy.best_params);
    return rc;
}

/* --- opening --- */

static int open_store(struct runner *r, struct err *e)
{
    const struct server_config *c = r->server->config;
    char path[PATH_MAX];
    int rc = runs_path(path, sizeof path, c->state, r->name, NULL, e);
    if (rc == 0)
        rc = file_mkdirs(path, 0700, e);
    if (rc == 0)
        rc = runs_path(path, sizeof path, c->state, r->name, RUNS_DATABASE, e);
    if (rc == 0)
        rc = store_open(&r->rounds, path, STORE_WRITE, e);
    if (rc != 0)
        return rc;
    store_keep(r->rounds, c->journal_rounds, c->keep_rounds);
    rc = runs_begin(r->rounds, &r->run, &r->stored, e);
    return rc == 0 ? store_compact(r->rounds, e) : rc;
}

static void put_aside(struct runner *r)
{
    handout_release(&r->handout);
    core_close(r->core);
    store_close(r->rounds);
    run_close(&r->run);
    conf_free(r->conf);
    r->core = NULL;
    r->rounds = NULL;
    r->conf = NULL;
    r->config = NULL;
}

int runner_open(struct runner *r, struct err *e)
{
    int rc = runs_spec(&r->conf, &r->config, r->server->config, r->name, e);
    if (rc == 0)
        rc = run_open(&r->run, r->config, e);
    if (rc == 0)
        rc = open_store(r, e);
    if (rc == 0)
        rc = open_core(r, e);
    r->failure = rc == 0 ? (struct err){0} : *e;
    r->over = rc == 0 && core_finished(r->core);
    if (rc != 0)
        put_aside(r);
    else
        log_info("run name=%s run=%s round=%u of=%u parameters=%" PRIu64, r->name, r->stored.run_id,
                 r->stored.next + 1, r->stored.rounds, r->stored.parameters);
    return rc;
}

/* --- life --- */

void runner_heed(struct runner *r)
{
    struct store *store = NULL;
    struct store_run stored = {0};
    struct err e = {0};
    char path[PATH_MAX];
    bool found = false;
    /* The worker thread may be writing by r->rounds: another connection reads. */
    int rc = runs_path(path, sizeof path, r->server->config->state, r->name, RUNS_DATABASE, &e);
    if (rc == 0)
        rc = store_open(&store, path, STORE_READ, &e);
    if (rc == 0)
        rc = store_run(store, &stored, &found, &e);
    store_close(store);
    if (rc != 0)
        log_error("run goes on as it was name=%s reason=\"%s\"", r->name, e.text);
    if (rc != 0 || !found || stored.wish == r->stored.wish)
        return;
    log_info("run %s name=%s",
             stored.wish == WISH_STOP    ? "stops"
             : stored.wish == WISH_PAUSE ? "pauses"
                                         : "resumes",
             r->name);
    wish(r, stored.wish);
    peers_pump(r);
}

static void report(struct runner *r)
{
    const struct federation_spec *f = &r->run.spec.federation;
    const struct best *best = core_best(r->core);
    bool stopped = r->stored.wish == WISH_STOP && core_round(r->core) < f->rounds;
    log_info("run %s name=%s run=%s rounds=%u of=%u", stopped ? "stopped" : "complete", r->name,
             r->stored.run_id, core_round(r->core), f->rounds);
    if (best->any)
        log_info("best round=%u %s=%.4f result=%s name=%s", best->round + 1,
                 metric_name(r->run.metric), best->score, f->best ? "best" : "last", r->name);
    else if (f->best)
        log_warn("no client has scored a round, the result is the last one: give the clients data "
                 "to evaluate on name=%s",
                 r->name);
}

void runner_finish(struct runner *r, const struct err *failure)
{
    struct server *s = r->server;
    if (!r->over) /* and was not when it was opened */
        observe_finish(r, failure);
    r->over = true;
    if (failure != NULL) {
        r->failure = *failure;
        log_error("run failed name=%s run=%s reason=\"%s\"", r->name, r->stored.run_id,
                  failure->text);
    } else {
        report(r);
    }
    if (!runners_over(s))
        return;
    for (size_t i = 0; i < s->runners.n && s->failure.code == 0; i++)
        if (s->runners.runner[i]->core != NULL)
            s->failure = s->runners.runner[i]->failure;
    if (s->failure.code != 0 || s->config->exit_when_done)
        server_stop(s);
}

bool runner_idle(const struct runner *r)
{
    return commit_idle(r) && !r->journal.working;
}

const char *runner_trouble(const struct runner *r)
{
    const char *commit = commit_trouble(r);
    if (r->failure.code != 0)
        return r->failure.text;
    return commit != NULL ? commit : journal_trouble(r);
}

/* Forgets a client, if it is there. */
static void forget(struct runner *r, const char *client)
{
    for (size_t i = 0; i < r->absentees; i++)
        if (strcmp(r->absentee[i].client, client) == 0) {
            r->absentees--;
            memmove(r->absentee + i, r->absentee + i + 1, (r->absentees - i) * sizeof *r->absentee);
            return;
        }
}

void runner_note(struct runner *r, const char *client, enum msg_reason reason)
{
    forget(r, client);
    if (reason == REASON_NONE)
        return;
    if (r->absentees == RUNNER_ABSENTEES)
        forget(r, r->absentee[0].client); /* the oldest */
    struct absentee *a = &r->absentee[r->absentees++];
    a->reason = reason;
    snprintf(a->client, sizeof a->client, "%s", client);
}

/* --- birth and death --- */

struct runner *runner_make(struct server *s, const char *name)
{
    struct runner *r = calloc(1, sizeof *r);
    if (r == NULL)
        return NULL;
    r->server = s;
    snprintf(r->name, sizeof r->name, "%s", name);
    metrics_init(&r->metrics);
    uv_timer_init(&s->loop, &r->timer);
    uv_timer_init(&s->loop, &r->committer.retry);
    r->timer.data = r->committer.retry.data = r;
    return r;
}

void runner_end(struct runner *r)
{
    uv_close((uv_handle_t *)&r->timer, NULL);
    uv_close((uv_handle_t *)&r->committer.retry, NULL);
}

void runner_free(struct runner *r)
{
    put_aside(r);
    journal_release(&r->journal);
    free(r);
}
