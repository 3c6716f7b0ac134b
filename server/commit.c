#include "server/server_state.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { RETRY_MS = 10 * 1000 };

static void store(struct server *s);

/* On a worker thread: a disk that is slow to sync must not hold up the loop. The core does not
 * touch what is stored meanwhile. */
static void at_work(uv_work_t *work)
{
    struct server *s = work->data;
    struct committer *k = &s->committer;
    uint64_t began = uv_hrtime();
    if (k->attempt != NULL)
        k->rc = store_attempt(s->rounds, k->attempt, k->client, k->n_clients, &k->err);
    else
        k->rc = store_commit(s->rounds, peft_schema(s->run.peft), k->commit, k->client,
                             k->n_clients, &k->err);
    k->seconds = (double)(uv_hrtime() - began) * 1e-9;
    if (k->rc == 0 && k->commit != NULL)
        observe_commit_stored(s, k->commit);
}

static void log_round(const struct server *s, const struct core_commit *c)
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
             " bytes_down_per_client=%" PRIu64 " parameter_bytes=%zu hash=%.16s",
             c->round + 1, s->run.spec.federation.rounds, c->n, c->selected, c->refused, c->samples,
             c->train_loss, metrics, (double)(c->ended - c->started) / 1000, up / c->n, down / c->n,
             4 * peft_schema(s->run.peft)->packed, hash);
}

const char *commit_trouble(const struct server *s)
{
    const struct committer *k = &s->committer;
    return !commit_idle(s) && !k->working && !k->aggregating && k->rc != 0 ? k->err.text : NULL;
}

static void on_retry(uv_timer_t *timer)
{
    store(timer->data);
}

static void report(struct server *s)
{
    struct committer *k = &s->committer;
    const struct core_commit *commit = k->commit;
    core_time now = (core_time)uv_now(&s->loop);
    bool begun = k->attempt != NULL;
    k->attempt = NULL;
    k->commit = NULL;
    if (begun) {
        core_begun(s->core, now);
    } else {
        log_round(s, commit);
        core_committed(s->core, now);
    }
    peers_pump(s);
}

static void settle(struct server *s)
{
    struct committer *k = &s->committer;
    free(k->client);
    k->client = NULL;
    if (k->commit != NULL)
        observe_commit(s, k->commit, k->rc, k->seconds);
    if (k->rc == 0) {
        k->failing = false;
        report(s);
    } else if (s->stopping) {
        commit_abandon(s);
    } else {
        if (!k->failing)
            log_error("%s cannot be stored, trying again every %d s round=%u reason=\"%s\"",
                      k->attempt != NULL ? "a selection" : "a round", RETRY_MS / 1000,
                      core_round(s->core) + 1, k->err.text);
        k->failing = true;
        uv_timer_start(&k->retry, on_retry, RETRY_MS, 0);
    }
    server_end_if_idle(s);
}

static void stored(uv_work_t *work, int status)
{
    struct server *s = work->data;
    (void)status; /* never cancelled */
    s->committer.working = false;
    settle(s);
}

static void store(struct server *s)
{
    struct committer *k = &s->committer;
    k->err = (struct err){0};
    k->n_clients = core_clients(s->core, NULL, 0);
    k->client = malloc((k->n_clients + 1) * sizeof *k->client);
    if (k->client == NULL) {
        k->rc = err_set(&k->err, ERR_NOMEM, "no memory for the names of %zu clients", k->n_clients);
        settle(s);
        return;
    }
    core_clients(s->core, k->client, k->n_clients);
    k->work.data = s;
    k->working = true;
    uv_queue_work(&s->loop, &k->work, at_work, stored);
}

void commit_round(struct server *s, const struct core_commit *commit)
{
    s->committer.commit = commit;
    store(s);
}

void commit_attempt(struct server *s, const struct core_attempt *attempt)
{
    s->committer.attempt = attempt;
    store(s);
}

static void at_aggregate(uv_work_t *work)
{
    struct server *s = work->data;
    core_aggregate(s->core);
}

static void aggregated(uv_work_t *work, int status)
{
    struct server *s = work->data;
    (void)status; /* never cancelled */
    s->committer.aggregating = false;
    core_aggregated(s->core, (core_time)uv_now(&s->loop));
    peers_pump(s);
    server_end_if_idle(s);
}

void commit_aggregate(struct server *s)
{
    struct committer *k = &s->committer;
    k->work.data = s;
    k->aggregating = true;
    uv_queue_work(&s->loop, &k->work, at_aggregate, aggregated);
}

bool commit_idle(const struct server *s)
{
    const struct committer *k = &s->committer;
    return k->commit == NULL && k->attempt == NULL && !k->aggregating;
}

void commit_abandon(struct server *s)
{
    struct committer *k = &s->committer;
    if (commit_idle(s) || k->working || k->aggregating)
        return;
    s->failure = k->err;
    err_wrap(&s->failure, "round %u is not stored and will be repeated", core_round(s->core) + 1);
    k->commit = NULL;
    k->attempt = NULL;
}
