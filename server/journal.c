#include "server/server_state.h"
#include <stdlib.h>

static void start(struct runner *r);

/* On a worker thread. Updates that came while the disk was busy with others share one transaction,
 * so that the number of clients does not multiply what a sync costs. */
static void store_batch(uv_work_t *work)
{
    struct runner *r = work->data;
    struct journal *j = &r->journal;
    uint64_t began = uv_hrtime();
    j->rc = store_updates(r->rounds, j->batch.update, j->batch.n, &j->err);
    j->seconds = (double)(uv_hrtime() - began) * 1e-9;
}

/* A disk that is full says so once, and once when it no longer is. */
static void log_change(struct runner *r)
{
    struct journal *j = &r->journal;
    if (j->rc != 0 && !j->failing)
        log_error(
            "updates cannot be stored, clients will come back with them name=%s reason=\"%s\"",
            r->name, j->err.text);
    if (j->rc == 0 && j->failing)
        log_info("updates are stored again name=%s", r->name);
    j->failing = j->rc != 0;
}

static void batch_stored(uv_work_t *work, int status)
{
    struct runner *r = work->data;
    struct journal *j = &r->journal;
    (void)status; /* never cancelled */
    j->working = false;
    log_change(r);
    observe_journal(r, j->rc, j->seconds);
    for (size_t i = 0; i < j->batch.n; i++) {
        uint64_t began = uv_hrtime();
        core_stored(r->core, j->batch.update[i]->client, j->rc == 0,
                    (core_time)uv_now(&r->server->loop));
        if (j->rc == 0)
            observe_aggregated(r, (double)(uv_hrtime() - began) * 1e-9);
    }
    j->batch.n = 0;
    if (j->queue.n > 0)
        start(r);
    peers_pump(r);
    server_end_if_idle(r->server);
}

static void start(struct runner *r)
{
    struct journal *j = &r->journal;
    struct updates batch = j->batch;
    j->batch = j->queue;
    j->queue = batch;
    j->err = (struct err){0};
    j->work.data = r;
    j->working = true;
    uv_queue_work(&r->server->loop, &j->work, store_batch, batch_stored);
}

static bool append(struct updates *u, const struct core_update *update)
{
    if (u->n == u->cap) {
        size_t cap = u->cap == 0 ? 16 : 2 * u->cap;
        const struct core_update **more = realloc(u->update, cap * sizeof *more);
        if (more == NULL)
            return false;
        u->update = more;
        u->cap = cap;
    }
    u->update[u->n++] = update;
    return true;
}

void journal_put(struct runner *r, const struct core_update *update)
{
    if (!append(&r->journal.queue, update))
        core_stored(r->core, update->client, false, (core_time)uv_now(&r->server->loop));
    else if (!r->journal.working)
        start(r);
}

const char *journal_trouble(const struct runner *r)
{
    const struct journal *j = &r->journal;
    if (!j->failing)
        return NULL;
    return j->working ? "updates cannot be stored" : j->err.text; /* else the worker writes there */
}

void journal_release(struct journal *j)
{
    free(j->queue.update);
    free(j->batch.update);
}
