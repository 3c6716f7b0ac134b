#include "server/server_state.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { RETRY_MS = 10 * 1000 };

static void store(struct runner *r);

/* On a worker thread: a disk that is slow to sync must not hold up the loop. The core does not
 * touch what is stored meanwhile. */
static void at_work(uv_work_t *work)
{
    struct runner *r = work->data;
    struct committer *k = &r->committer;
    uint64_t began = uv_hrtime();
    if (k->attempt != NULL)
        k->rc = store_attempt(r->rounds, k->attempt, k->client, k->n_clients, &k->err);
    else
        k->rc = store_commit(r->rounds, peft_schema(r->run.peft), k->commit, k->client,
                             k->n_clients, &k->err);
    k->seconds = (double)(uv_hrtime() - began) * 1e-9;
    if (k->rc == 0 && k->commit != NULL)
        observe_commit_stored(r, k->commit);
}

static void log_round(const struct runner *r, const struct core_commit *c)
{
    uint64_t up = 0, down = 0;
    char metrics[512] = "", hash[HASH_HEX];
    size_t len = 0;
    for (size_t i = 0; i < c->n; i++) {
        up += c->contribution[i].bytes_up;
        down += c->contribution[i].bytes_down;
    }
    for (size_t i = 0; i < c->n_metrics && len < sizeof metrics; i++)
        len += (size_t)snprintf(metrics + len, sizeof metrics - len, " %s=%.4f", c->metric[i].name,
                                c->metric[i].value);
    hash_hex(&c->hash, hash);
    log_info("round committed round=%u of=%u updates=%zu selected=%u refused=%u samples=%" PRIu64
             " train_loss=%.4f%s seconds=%.1f bytes_up_per_client=%" PRIu64
             " bytes_down_per_client=%" PRIu64 " parameter_bytes=%zu hash=%.16s name=%s",
             c->round + 1, r->run.spec.federation.rounds, c->n, c->selected, c->refused, c->samples,
             c->train_loss, metrics, (double)(c->ended - c->started) / 1000, up / c->n, down / c->n,
             4 * peft_schema(r->run.peft)->packed, hash, r->name);
}

const char *commit_trouble(const struct runner *r)
{
    const struct committer *k = &r->committer;
    return !commit_idle(r) && !k->working && !k->aggregating && k->rc != 0 ? k->err.text : NULL;
}

static void on_retry(uv_timer_t *timer)
{
    store(timer->data);
}

static void report(struct runner *r)
{
    struct committer *k = &r->committer;
    const struct core_commit *commit = k->commit;
    core_time now = (core_time)uv_now(&r->server->loop);
    bool begun = k->attempt != NULL;
    k->attempt = NULL;
    k->commit = NULL;
    if (begun) {
        core_begun(r->core, now);
    } else {
        log_round(r, commit);
        core_committed(r->core, now);
    }
    peers_pump(r);
}

static void settle(struct runner *r)
{
    struct committer *k = &r->committer;
    free(k->client);
    k->client = NULL;
    if (k->commit != NULL)
        observe_commit(r, k->commit, k->rc, k->seconds);
    if (k->rc == 0) {
        k->failing = false;
        report(r);
    } else if (r->server->stopping) {
        commit_abandon(r);
    } else {
        if (!k->failing)
            log_error("%s cannot be stored, trying again every %d s name=%s round=%u reason=\"%s\"",
                      k->attempt != NULL ? "a selection" : "a round", RETRY_MS / 1000, r->name,
                      core_round(r->core) + 1, k->err.text);
        k->failing = true;
        uv_timer_start(&k->retry, on_retry, RETRY_MS, 0);
    }
    server_end_if_idle(r->server);
}

static void stored(uv_work_t *work, int status)
{
    struct runner *r = work->data;
    (void)status; /* never cancelled */
    r->committer.working = false;
    settle(r);
}

static void store(struct runner *r)
{
    struct committer *k = &r->committer;
    k->err = (struct err){0};
    k->n_clients = core_clients(r->core, NULL, 0);
    k->client = malloc((k->n_clients + 1) * sizeof *k->client);
    if (k->client == NULL) {
        k->rc = err_set(&k->err, ERR_NOMEM, "no memory for the names of %zu clients", k->n_clients);
        settle(r);
        return;
    }
    core_clients(r->core, k->client, k->n_clients);
    k->work.data = r;
    k->working = true;
    uv_queue_work(&r->server->loop, &k->work, at_work, stored);
}

void commit_round(struct runner *r, const struct core_commit *commit)
{
    r->committer.commit = commit;
    store(r);
}

void commit_attempt(struct runner *r, const struct core_attempt *attempt)
{
    r->committer.attempt = attempt;
    store(r);
}

static void at_aggregate(uv_work_t *work)
{
    struct runner *r = work->data;
    core_aggregate(r->core);
}

static void aggregated(uv_work_t *work, int status)
{
    struct runner *r = work->data;
    (void)status; /* never cancelled */
    r->committer.aggregating = false;
    core_aggregated(r->core, (core_time)uv_now(&r->server->loop));
    peers_pump(r);
    server_end_if_idle(r->server);
}

void commit_aggregate(struct runner *r)
{
    struct committer *k = &r->committer;
    k->work.data = r;
    k->aggregating = true;
    uv_queue_work(&r->server->loop, &k->work, at_aggregate, aggregated);
}

bool commit_idle(const struct runner *r)
{
    const struct committer *k = &r->committer;
    return k->commit == NULL && k->attempt == NULL && !k->aggregating;
}

void commit_abandon(struct runner *r)
{
    struct committer *k = &r->committer;
    if (commit_idle(r) || k->working || k->aggregating)
        return;
    r->server->failure = k->err;
    err_wrap(&r->server->failure, "round %u of run %s is not stored and will be repeated",
             core_round(r->core) + 1, r->name);
    k->commit = NULL;
    k->attempt = NULL;
}
