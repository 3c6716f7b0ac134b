#include "base/file.h"
#include "model/jsontext.h"
#include "server/server.h"
#include "server/server_state.h"
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct answer {
    uv_pipe_t pipe;
    uv_write_t write;
    char *text;
};

static json_t *refusals(const struct core *c)
{
    const uint64_t *count = core_refusals(c);
    json_t *j = json_object();
    for (int r = REASON_NONE + 1; r < REASONS; r++)
        if (count[r] > 0)
            json_object_set_new(j, msg_reason_name((enum msg_reason)r),
                                json_integer((json_int_t)count[r]));
    return j;
}

static json_t *absentees(const struct runner *r)
{
    json_t *j = json_object();
    for (size_t i = 0; i < r->absentees; i++)
        json_object_set_new(j, r->absentee[i].client,
                            json_string(msg_reason_name(r->absentee[i].reason)));
    return j;
}

void live_state(const struct runner *r, char *text, size_t size)
{
    if (r->core == NULL) {
        snprintf(text, size, "put aside: %.900s", r->failure.text);
        return;
    }
    core_status(r->core, (core_time)uv_now(&r->server->loop), text, size);
    peers_busy(r, text, size);
}

static json_t *describe_run(const struct runner *r)
{
    char state[LIVE_STATE];
    live_state(r, state, sizeof state);
    json_t *j = json_pack("{s:s, s:s, s:s?, s:b, s:o}", "name", r->name, "now", state, "trouble",
                          runner_trouble(r), "finished", r->core != NULL && core_finished(r->core),
                          "absent", absentees(r));
    if (r->core != NULL)
        json_object_set_new(j, "refusals", refusals(r->core));
    return j;
}

/* One JSON object, malloc'ed; NULL without memory. */
static char *describe(const struct server *s)
{
    json_t *runs = json_array();
    for (size_t i = 0; i < s->runners.n; i++)
        json_array_append_new(runs, describe_run(s->runners.runner[i]));
    json_t *j =
        json_pack("{s:i, s:s?, s:b, s:i, s:i, s:i, s:i, s:i, s:o}", "pid", (int)getpid(), "trouble",
                  server_trouble(s), "draining", s->stopping, "connections", (int)s->peers.n,
                  "clients", (int)peers_clients(s), "port", (int)s->port, "enroll_port",
                  (int)s->enroll_port, "metrics_port",
                  s->observe.http != NULL ? (int)http_port(s->observe.http) : 0, "runs", runs);
    char *text = jsontext(j, JSON_COMPACT);
    json_decref(j);
    return text;
}

static void answer_closed(uv_handle_t *handle)
{
    struct answer *a = handle->data;
    free(a->text);
    free(a);
}

static void answer_written(uv_write_t *write, int status)
{
    struct answer *a = write->data;
    (void)status; /* who asked has gone: nothing to be done */
    uv_close((uv_handle_t *)&a->pipe, answer_closed);
}

static void on_question(uv_stream_t *listening, int status)
{
    struct server *s = listening->data;
    struct answer *a = status == 0 ? calloc(1, sizeof *a) : NULL;
    if (a == NULL)
        return;
    uv_pipe_init(&s->loop, &a->pipe, 0);
    a->pipe.data = a;
    a->write.data = a;
    bool taken = uv_accept(listening, (uv_stream_t *)&a->pipe) == 0;
    a->text = taken ? describe(s) : NULL;
    uv_buf_t bytes = uv_buf_init(a->text, a->text != NULL ? (unsigned)strlen(a->text) : 0);
    if (a->text == NULL ||
        uv_write(&a->write, (uv_stream_t *)&a->pipe, &bytes, 1, answer_written) != 0)
        uv_close((uv_handle_t *)&a->pipe, answer_closed);
}

void live_open(struct server *s)
{
    /* libuv would cut a longer path short, and listen there. */
    char path[sizeof((struct sockaddr_un *)0)->sun_path];
    struct err e = {0};
    int rc = file_join(path, sizeof path, s->config->state, SERVER_SOCKET, &e);
    if (rc == 0) {
        unlink(path); /* of a server that was killed; the lock says that none is alive */
        rc = uv_pipe_bind(&s->status, path);
        if (rc == 0)
            rc = chmod(path, 0600) == 0 ? uv_listen((uv_stream_t *)&s->status, 8, on_question)
                                        : uv_translate_sys_error(errno);
        if (rc != 0)
            err_set(&e, ERR_IO, "%s: %s", path, uv_strerror(rc));
    }
    if (rc != 0)
        log_warn("`status` will show no live state: give a folder with a shorter name as `state` "
                 "reason=\"%s\"",
                 e.text);
}
