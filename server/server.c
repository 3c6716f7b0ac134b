#include "server/server.h"
#include "base/file.h"
#include "server/server_state.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

/* --- the state folder --- */

/* One server a folder: a second one would run rounds of its own. The kernel lets go of the lock
 * whatever kills us. */
static int take_lock(struct server *s, struct err *e)
{
    char path[PATH_MAX];
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

static int open_people(struct server *s, struct err *e)
{
    char path[PATH_MAX];
    int rc = file_join(path, sizeof path, s->config->state, SERVER_DATABASE, e);
    return rc == 0 ? store_open(&s->people, path, STORE_WRITE, e) : rc;
}

/* --- birth and death --- */

static void on_signal(uv_signal_t *handle, int number)
{
    struct server *s = handle->data;
    if (number == SIGHUP && !s->stopping) {
        reload_settings(s);
        admission_reload(s);
        runners_reload(s);
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
    uv_timer_init(&s->loop, &s->drain);
    uv_timer_init(&s->loop, &s->peers.patience);
    uv_timer_init(&s->loop, &s->peers.turn);
    uv_pipe_init(&s->loop, &s->status, 0);
    s->drain.data = s->peers.patience.data = s->peers.turn.data = s->status.data = s;
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
    runners_end(s);
    uv_close((uv_handle_t *)&s->drain, NULL);
    uv_close((uv_handle_t *)&s->peers.patience, NULL);
    uv_close((uv_handle_t *)&s->peers.turn, NULL);
    uv_close((uv_handle_t *)&s->status, NULL);
    for (int i = 0; i < SERVER_SIGNALS; i++)
        uv_close((uv_handle_t *)&s->signal[i], NULL);
}

void server_end_if_idle(struct server *s)
{
    if (s->stopping && s->peers.n == 0 && runners_idle(s))
        end(s);
}

const char *server_trouble(const struct server *s)
{
    const char *trouble = s->failure.code != 0 ? s->failure.text : NULL;
    for (size_t i = 0; i < s->runners.n && trouble == NULL; i++)
        trouble = runner_trouble(s->runners.runner[i]);
    return trouble;
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
    runners_drain(s);
    peers_close_strangers(s);
    server_end_if_idle(s);
}

static int open_all(struct server *s, struct err *e)
{
    int rc = take_lock(s, e);
    if (rc == 0)
        rc = open_people(s, e);
    if (rc == 0)
        rc = runners_open(s, e);
    if (rc == 0)
        rc = admission_open(s, e);
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
    runners_free(s);
    peers_release(s);
    admission_release(s);
    store_close(s->people);
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
        log_info("listening port=%u enroll_port=%u runs=%zu", s.port, s.enroll_port, s.runners.n);
        for (size_t i = 0; i < s.runners.n; i++)
            if (s.runners.runner[i]->core != NULL)
                peers_pump(s.runners.runner[i]);
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
