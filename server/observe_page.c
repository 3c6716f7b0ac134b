#include "model/jsontext.h"
#include "server/observe.h"
#include "server/server_state.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { HTTP_OK = 200, HTTP_UNAVAILABLE = 503 };

/* --- /metrics --- */

/* Entries of /proc/self/fd, less the one that counting takes; -1: unknown. */
static double count_fds(void)
{
    double n = -1;
    DIR *d = opendir("/proc/self/fd");
    if (d == NULL)
        return -1;
    for (const struct dirent *x; (x = readdir(d)) != NULL;)
        n += x->d_name[0] != '.';
    closedir(d);
    return n;
}

static double seconds(uv_timeval_t t)
{
    return (double)t.tv_sec + (double)t.tv_usec * 1e-6;
}

static void measure_process(const struct observe *o, struct metrics_now *now)
{
    size_t rss;
    uv_rusage_t used;
    struct rlimit files;
    /* An emulator's /proc may say 0. */
    now->rss_bytes = uv_resident_set_memory(&rss) == 0 && rss > 0 ? (double)rss : -1;
    now->cpu_seconds =
        uv_getrusage(&used) == 0 ? seconds(used.ru_utime) + seconds(used.ru_stime) : -1;
    now->max_fds = getrlimit(RLIMIT_NOFILE, &files) == 0 ? (double)files.rlim_cur : -1;
    now->open_fds = count_fds();
    now->started = (double)o->started / 1000;
}

static void count_connections(const struct peers *p, struct metrics_now *now)
{
    for (size_t i = 0; i < p->n; i++) {
        const struct peer *q = p->peer[i];
        now->connections[q->port]++;
        now->bytes_in[q->port] += link_bytes_in(q->link);
        now->bytes_out[q->port] += link_bytes_out(q->link);
        now->held[q->port] += link_held(q->link);
    }
}

static void describe_run(const struct runner *r, struct metrics_run *out)
{
    *out = (struct metrics_run){
        .name = r->name,
        .counted = &r->metrics,
        .rounds = r->stored.rounds,
        .failing = runner_trouble(r) != NULL,
    };
    if (r->core == NULL)
        return;
    out->round = core_round(r->core);
    out->finished = core_finished(r->core);
    out->refusals = core_refusals(r->core);
}

static int write_metrics(struct server *s, struct buf *out)
{
    struct metrics_run run[MSG_MAX_RUNS];
    struct metrics_now now = {
        .run = run,
        .n_runs = s->runners.n,
        .draining = s->stopping,
        .connected = peers_clients(s),
        .audit_failures = atomic_load(&s->observe.audit_failures),
    };
    for (size_t i = 0; i < s->runners.n; i++)
        describe_run(s->runners.runner[i], &run[i]);
    count_connections(&s->peers, &now);
    measure_process(&s->observe, &now);
    return metrics_write(&s->observe.metrics, &now, out);
}

/* --- /healthz --- */

static const char *health(const struct server *s, const char *trouble)
{
    return trouble != NULL ? "failing" : s->stopping ? "draining" : "ok";
}

/* {"name": what it waits for} */
static json_t *state_of_all(const struct server *s)
{
    json_t *j = json_object();
    for (size_t i = 0; i < s->runners.n; i++) {
        char state[LIVE_STATE];
        live_state(s->runners.runner[i], state, sizeof state);
        json_object_set_new(j, s->runners.runner[i]->name, json_string(state));
    }
    return j;
}

/* Of one run, or of all of them (NULL). */
static int write_health(const struct server *s, const struct runner *r, struct http_page *page)
{
    char state[LIVE_STATE];
    const char *trouble = r != NULL ? runner_trouble(r) : server_trouble(s);
    json_t *j = json_pack("{s:s, s:s*}", "status", health(s, trouble), "trouble", trouble);
    if (r != NULL) {
        live_state(r, state, sizeof state);
        json_object_set_new(j, "now", json_string(state));
    } else {
        json_object_set_new(j, "runs", state_of_all(s));
    }
    page->status = trouble != NULL || s->stopping ? HTTP_UNAVAILABLE : HTTP_OK;
    page->type = "application/json";
    char *text = jsontext(j, JSON_COMPACT);
    int rc = text != NULL ? buf_printf(&page->body, "%s\n", text) : ERR_NOMEM;
    free(text);
    json_decref(j);
    return rc;
}

/* --- the page --- */

static int answer(void *ctx, const char *path, struct http_page *page)
{
    static const char one[] = "/healthz/";
    struct server *s = ctx;
    if (strcmp(path, "/metrics") == 0) {
        page->status = HTTP_OK;
        page->type = METRICS_CONTENT_TYPE;
        return write_metrics(s, &page->body);
    }
    if (strcmp(path, "/healthz") == 0)
        return write_health(s, NULL, page);
    if (strncmp(path, one, sizeof one - 1) != 0)
        return 0;
    for (size_t i = 0; i < s->runners.n; i++)
        if (strcmp(path + sizeof one - 1, s->runners.runner[i]->name) == 0)
            return write_health(s, s->runners.runner[i], page);
    return 0;
}

int observe_page_open(struct server *s, struct err *e)
{
    const char *address = s->live->metrics;
    struct http *http = NULL;
    if (address == NULL)
        return 0;
    int rc = http_open(&http, &s->loop, address, answer, s, e);
    if (rc != 0)
        return err_wrap(e, "metrics");
    s->observe.http = http;
    log_info("metrics port=%u", http_port(http));
    if (!http_loopback(http))
        log_warn("/metrics and /healthz are open to whoever reaches their address address=%s",
                 address);
    return 0;
}

void observe_page_move(struct server *s, const char *before)
{
    const char *after = s->live->metrics;
    struct http *old = s->observe.http;
    struct err e = {0};
    if (before == after || (before != NULL && after != NULL && strcmp(before, after) == 0))
        return;
    s->observe.http = NULL;
    if (observe_page_open(s, &e) == 0) {
        http_close(old);
        return;
    }
    s->observe.http = old;
    log_error("metrics are not served at their new address reason=\"%s\"", e.text);
}

void observe_page_close(struct server *s)
{
    http_close(s->observe.http);
    s->observe.http = NULL;
}
