#include "server/server.h"
#include "base/file.h"
#include "server/resume.h"
#include "server/server_state.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

/* --- the state folder --- */

/* One server a folder: a second one would run rounds of its own. The kernel lets go of the lock
 * whatever kills us. */
static int take_lock(struct server *s, struct err *e)
{
    char path[4096];
    int rc = file_mkdirs(s->config->state, 0700, e);
    if (rc == 0)
        rc = file_join(path, sizeof path, s->config->state, SERVER_LOCK, e);
    if (rc != 0)
        return rc;
    s->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->lock < 0)
        return err_sys(e, ERR_IO, errno, "%s", path);
    if (flock(s->lock, LOCK_EX | LOCK_NB) != 0)
        return err_set(
            e, ERR_STATE,
            "%s: another fedpet-server uses this state folder: stop it, or give another one",
            s->config->state);
    return 0;
}

static int make_run_id(char out[17], struct err *e)
{
    uint64_t id;
    if (getrandom(&id, sizeof id, 0) != sizeof id)
        return err_sys(e, ERR_IO, errno, "no randomness for a run id");
    snprintf(out, 17, "%016" PRIx64, id);
    return 0;
}

static int open_stores(struct server *s, struct err *e)
{
    char path[4096];
    int rc = file_join(path, sizeof path, s->config->state, SERVER_DATABASE, e);
    if (rc == 0)
        rc = store_open(&s->rounds, path, STORE_WRITE, e);
    if (rc == 0)
        rc = store_open(&s->people, path, STORE_WRITE, e);
    if (rc == 0)
        rc = make_run_id(s->stored.run_id, e);
    if (rc != 0)
        return rc;
    store_keep(s->rounds, s->config->journal_rounds, s->config->keep_rounds);
    s->stored.identity = s->run.identity;
    s->stored.parameters = peft_schema(s->run.peft)->packed;
    s->stored.rounds = s->run.spec.federation.rounds;
    rc = store_begin(s->rounds, &s->stored, e);
    if (rc == 0)
        rc = store_compact(s->rounds, e);
    return rc;
}

/* What the last commit left to go on with. */
struct legacy {
    char **names;
    size_t n;
    uint32_t *counted;
    double *state;
    float *best_params;
};

static int read_best(struct server *s, struct core_config *c, struct legacy *l, struct err *e)
{
    const struct schema *schema = c->schema;
    struct store_best stored;
    int rc = store_best(s->rounds, &stored, e);
    if (rc != 0 || strcmp(stored.metric, c->metric) != 0)
        return rc; /* scores by another metric do not compare */
    c->best = stored.best;
    if (!c->spec->federation.best || !stored.best.any)
        return 0;
    l->best_params = malloc(schema->count * sizeof *l->best_params);
    if (l->best_params == NULL)
        return err_set(e, ERR_NOMEM, "no memory for %zu parameters", schema->count);
    memcpy(l->best_params, s->run.params, schema->count * sizeof *l->best_params);
    c->best_params = l->best_params;
    return store_params(s->rounds, schema, stored.best.round, l->best_params, e);
}

static int read_legacy(struct server *s, struct core_config *c, struct legacy *l, struct err *e)
{
    size_t carried = core_carries(c->spec, c->schema);
    int rc = store_roster(s->rounds, &l->names, &l->n, e);
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
    rc = store_counted(s->rounds, l->counted, l->n, e);
    if (rc == 0)
        rc = store_params(s->rounds, c->schema, c->round - 1, s->run.params, e);
    if (rc == 0)
        rc = store_carried(s->rounds, c->round - 1, l->state, carried, e);
    return rc == 0 ? read_best(s, c, l, e) : rc;
}

/* The round that was under way when the last server ended. */
static int resume(struct server *s, const struct core_config *c, struct err *e)
{
    struct resumed r;
    if (core_finished(s->core))
        return 0;
    int rc = resume_round(s->core, s->rounds, c->run_id, &c->schema->hash, c->round,
                          (core_time)uv_now(&s->loop), &r, e);
    if (rc == 0 && r.begun)
        log_info("round goes on round=%u attempt=%u selected=%zu updates=%zu", c->round + 1,
                 r.attempt.attempt + 1, r.attempt.n, r.updates);
    return rc;
}

static int open_core(struct server *s, struct err *e)
{
    struct legacy legacy = {0};
    struct core_config c = {
        .spec = &s->run.spec,
        .schema = peft_schema(s->run.peft),
        .model = s->run.model->hash,
        .room = s->config->max_clients,
        .round = s->stored.next,
        .params = s->run.params,
        .metric = metric_name(s->run.metric),
        .lower_is_better = metric_lower_is_better(s->run.metric),
    };
    memcpy(c.run_id, s->stored.run_id, sizeof c.run_id);
    int rc = read_legacy(s, &c, &legacy, e);
    if (rc == 0)
        rc = core_open(&s->core, &c, (core_time)uv_now(&s->loop), e);
    if (rc == 0)
        rc = resume(s, &c, e);
    free(legacy.names);
    free(legacy.counted);
    free(legacy.state);
    free(legacy.best_params);
    return rc;
}

/* --- birth and death --- */

static void on_signal(uv_signal_t *handle, int number)
{
    struct server *s = handle->data;
    if (number == SIGHUP && !s->stopping) {
        reload_settings(s);
        admission_reload(s);
    }
    if (number == SIGHUP)
        return;
    if (s->stopping)
        drain_now(s, number);
    log_info("stopping signal=%s", number == SIGTERM ? "TERM" : "INT");
    server_stop(s);
}

static void open_handles(struct server *s)
{
    static const int number[SERVER_SIGNALS] = {SIGTERM, SIGINT, SIGHUP};
    uv_timer_init(&s->loop, &s->timer);
    uv_timer_init(&s->loop, &s->drain);
    uv_timer_init(&s->loop, &s->committer.retry);
    uv_pipe_init(&s->loop, &s->status, 0);
    s->timer.data = s->drain.data = s->committer.retry.data = s->status.data = s;
    for (int i = 0; i < SERVER_SIGNALS; i++) {
        uv_signal_init(&s->loop, &s->signal[i]);
        s->signal[i].data = s;
        uv_signal_start(&s->signal[i], on_signal, number[i]);
    }
}

static void end(struct server *s)
{
    if (s->ended)
        return;
    s->ended = true;
    observe_page_close(s);
    uv_close((uv_handle_t *)&s->timer, NULL);
    uv_close((uv_handle_t *)&s->drain, NULL);
    uv_close((uv_handle_t *)&s->committer.retry, NULL);
    uv_close((uv_handle_t *)&s->status, NULL);
    for (int i = 0; i < SERVER_SIGNALS; i++)
        uv_close((uv_handle_t *)&s->signal[i], NULL);
}

void server_end_if_idle(struct server *s)
{
    if (s->stopping && s->peers.n == 0 && commit_idle(s) && !s->journal.working)
        end(s);
}

const char *server_trouble(const struct server *s)
{
    const char *commit = commit_trouble(s);
    if (s->failure.code != 0)
        return s->failure.text;
    return commit != NULL ? commit : journal_trouble(s);
}

void server_stop(struct server *s)
{
    if (s->stopping)
        return;
    s->stopping = true;
    drain_begin(s);
    if (s->listener != NULL)
        listener_close(s->listener);
    if (s->enroll_listener != NULL)
        listener_close(s->enroll_listener);
    s->listener = s->enroll_listener = NULL;
    if (s->core != NULL) {
        core_drain(s->core, (core_time)uv_now(&s->loop));
        peers_pump(s);
    }
    peers_close_strangers(s);
    commit_abandon(s);
    server_end_if_idle(s);
}

static int open_all(struct server *s, struct err *e)
{
    const struct server_config *c = s->config;
    int rc = take_lock(s, e);
    if (rc == 0)
        rc = run_open(&s->run, c, e);
    if (rc == 0)
        rc = open_stores(s, e);
    if (rc == 0)
        rc = admission_open(s, e);
    if (rc == 0)
        rc = open_core(s, e);
    if (rc == 0)
        rc = observe_open(s, e);
    if (rc == 0)
        rc = peers_listen(s, e);
    if (rc != 0)
        return rc;
    live_open(s);
    return 0;
}

static void close_all(struct server *s)
{
    observe_release(s);
    core_close(s->core);
    peers_release(s);
    admission_release(s);
    journal_release(&s->journal);
    store_close(s->people);
    store_close(s->rounds);
    run_close(&s->run);
    conf_free(s->fresh);
    if (s->lock >= 0)
        close(s->lock);
}

int server_run(const struct server_config *c, struct err *e)
{
    struct server s = {.config = c, .live = c, .lock = -1};
    signal(SIGPIPE, SIG_IGN); /* a peer that is gone shows as an error of the write ... */
    signal(SIGXFSZ, SIG_IGN); /* ... and so does a limit on the size of files */
    int rc = uv_loop_init(&s.loop);
    if (rc != 0)
        return err_set(e, ERR_INTERNAL, "event loop: %s", uv_strerror(rc));
    open_handles(&s);
    rc = open_all(&s, e);
    if (rc == 0) {
        log_info("listening port=%u enroll_port=%u run=%s round=%u of=%u parameters=%" PRIu64,
                 s.port, s.enroll_port, s.stored.run_id, s.stored.next + 1, s.stored.rounds,
                 s.stored.parameters);
        peers_pump(&s);
    } else {
        server_stop(&s);
    }
    uv_run(&s.loop, UV_RUN_DEFAULT);
    uv_loop_close(&s.loop);
    close_all(&s);
    if (rc == 0 && s.failure.code != 0) {
        *e = s.failure;
        rc = s.failure.code;
    }
    if (rc == 0)
        log_info("stopped");
    return rc;
}
