#include "server/status.h"
#include "base/file.h"
#include "server/runs.h"
#include "server/server.h"
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { ANSWER_LIMIT = 1 << 18, PATIENCE_S = 2 };

/* --- the live part --- */

/* What the server answers; NULL when none runs here, or it does not answer in time. */
json_t *status_live(const char *state)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = PATIENCE_S};
    size_t len = 0;
    ssize_t n = -1;
    char *text = malloc(ANSWER_LIMIT);
    int fd = text != NULL ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;
    if (fd < 0) {
        free(text);
        return NULL;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (file_join(at.sun_path, sizeof at.sun_path, state, SERVER_SOCKET, NULL) == 0 &&
        connect(fd, (const struct sockaddr *)&at, sizeof at) == 0)
        while ((n = read(fd, text + len, ANSWER_LIMIT - len)) > 0)
            len += (size_t)n;
    close(fd);
    json_t *live = n == 0 && len < ANSWER_LIMIT ? json_loadb(text, len, 0, NULL) : NULL;
    free(text);
    return live;
}

/* --- the stored part --- */

static void put_hash(json_t *j, const char *key, const struct hash *h)
{
    char hex[HASH_HEX];
    hash_hex(h, hex);
    json_object_set_new(j, key, json_string(hex));
}

static json_t *integer(uint64_t v)
{
    return json_integer((json_int_t)v);
}

static int add_contribution(void *ctx, const struct core_contribution *c)
{
    json_t *j = json_pack("{s:s, s:o, s:o, s:f, s:f, s:o, s:o}", "client", c->client, "samples",
                          integer(c->samples), "steps", integer(c->steps), "train_loss",
                          c->train_loss, "seconds", c->seconds, "bytes_up", integer(c->bytes_up),
                          "bytes_down", integer(c->bytes_down));
    put_hash(j, "update_id", &c->update_id);
    return json_array_append_new(ctx, j);
}

static int add_metric(void *ctx, const struct msg_metric *m)
{
    return json_object_set_new(ctx, m->name, json_real(m->value));
}

static int add_round(void *ctx, const struct store_round *r)
{
    json_t *j = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:f, s:f, s:o, s:o, s:o, s:o, s:o}", "round",
        integer(r->round + 1), "attempts", integer(r->attempt + 1), "updates", integer(r->updates),
        "selected", integer(r->selected), "refused", integer(r->refused), "samples",
        integer(r->samples), "train_loss", r->train_loss, "seconds", r->seconds, "committed_ms",
        integer((uint64_t)r->committed), "bytes_up", integer(r->bytes_up), "bytes_down",
        integer(r->bytes_down), "metrics", json_object(), "clients", json_array());
    put_hash(j, "hash", &r->hash);
    return json_array_append_new(ctx, j);
}

/* A second pass, because SQLite statements of one connection are best not nested in callbacks that
 * may fail. */
int status_history(struct store *store, uint32_t from, json_t *history, struct err *e)
{
    size_t i;
    json_t *round;
    int rc = store_rounds(store, from, add_round, history, e);
    json_array_foreach(history, i, round)
    {
        uint32_t number = (uint32_t)json_integer_value(json_object_get(round, "round")) - 1;
        if (rc == 0)
            rc = store_contributions(store, number, add_contribution,
                                     json_object_get(round, "clients"), e);
        if (rc == 0)
            rc = store_metrics(store, number, add_metric, json_object_get(round, "metrics"), e);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int add_best(struct store *store, json_t *status, struct err *e)
{
    struct store_best b;
    int rc = store_best(store, &b, e);
    if (rc != 0)
        return rc;
    json_t *j = b.best.any ? json_pack("{s:o, s:f, s:s}", "round", integer(b.best.round + 1),
                                       "score", b.best.score, "metric", b.metric)
                           : json_null();
    return json_object_set_new(status, "best", j) == 0 ? 0 : err_set(e, ERR_NOMEM, "out of memory");
}

/* What the running server says of a run; NULL: no server, or it does not know of it. */
static json_t *find_live(const json_t *live, const char *name)
{
    size_t i;
    json_t *run;
    json_array_foreach(json_object_get(live, "runs"), i, run)
    {
        const char *its = json_string_value(json_object_get(run, "name"));
        if (its != NULL && strcmp(its, name) == 0)
            return run;
    }
    return NULL;
}

static json_t *or_null(const json_t *live, const char *key)
{
    json_t *value = json_object_get(live, key);
    return value != NULL ? json_incref(value) : json_null();
}

/* What there is to say of each run in a line. */
static json_t *summarize(const struct runs_reader *r, const struct store_run *run,
                         enum runs_state state, const json_t *live)
{
    const struct run_spec *spec = &r->config->spec;
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o}", "name", r->name, "state",
                     runs_state_name(state), "task", spec->task.name, "method", spec->peft.method,
                     "rounds", integer(run->rounds), "done", integer(run->next), "now",
                     or_null(live, "now"), "trouble", or_null(live, "trouble"));
}

/* A run that the server has not served yet has no store. */
static int summarize_unserved(const struct server_config *c, const char *name, json_t **out,
                              struct err *e)
{
    struct runs_reader r = {0};
    struct store_run run = {0};
    snprintf(r.name, sizeof r.name, "%s", name);
    int rc = runs_spec(&r.conf, &r.config, c, name, e);
    if (rc != 0)
        return rc;
    run.rounds = r.config->spec.federation.rounds;
    *out = summarize(&r, &run, RUN_CREATED, NULL);
    runs_close(&r);
    return 0;
}

static int summarize_one(const struct server_config *c, const char *name, const json_t *live,
                         json_t **out, struct err *e)
{
    char path[PATH_MAX];
    struct runs_reader r;
    struct store_run run;
    enum runs_state state;
    int rc = runs_path(path, sizeof path, c->state, name, RUNS_DATABASE, e);
    if (rc == 0 && !file_exists(path))
        return summarize_unserved(c, name, out, e);
    if (rc != 0 || (rc = runs_read(&r, c, name, e)) != 0)
        return rc;
    rc = runs_state(&state, &run, r.store, &r.config->spec.federation, e);
    if (rc == 0)
        *out = summarize(&r, &run, state, find_live(live, name));
    runs_close(&r);
    return rc;
}

/* A damaged run says so and hides no other. */
static int summarize_all(json_t *list, const struct server_config *c, const json_t *live,
                         struct err *e)
{
    struct runs_names *names = malloc(sizeof *names);
    if (names == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    int rc = runs_list(names, c, e);
    for (size_t i = 0; rc == 0 && i < names->n; i++) {
        json_t *run = NULL;
        struct err why;
        if (summarize_one(c, names->name[i], live, &run, &why) != 0)
            run = json_pack("{s:s, s:s, s:s}", "name", names->name[i], "state", "damaged",
                            "trouble", why.text);
        json_array_append_new(list, run);
    }
    free(names);
    return rc;
}

static int add_run(json_t *j, struct runs_reader *r, const json_t *live, struct err *e)
{
    struct store_run run;
    enum runs_state state;
    json_t *history = json_array();
    int rc = store_freeze(r->store, e); /* or rounds might be in the history that are not done */
    if (rc == 0)
        rc = runs_state(&state, &run, r->store, &r->config->spec.federation, e);
    if (rc == 0) {
        json_t *summary = summarize(r, &run, state, live);
        json_object_update(j, summary);
        json_decref(summary);
        json_object_set_new(j, "run_id", json_string(run.run_id));
        json_object_set_new(j, "parameters", integer(run.parameters));
        json_object_set_new(j, "parameter_bytes", integer(4 * run.parameters));
        json_object_set_new(j, "refusals", or_null(live, "refusals"));
        json_object_set_new(j, "absent", or_null(live, "absent"));
        json_object_set(j, "history", history);
        rc = status_history(r->store, 0, history, e);
    }
    if (rc == 0)
        rc = add_best(r->store, j, e);
    json_decref(history);
    return rc;
}

int status_collect(json_t **out, const struct server_config *c, const char *name, struct err *e)
{
    json_t *j = json_object(), *list = json_array(), *live = status_live(c->state);
    struct runs_reader r;
    int rc = 0;
    if (name != NULL && (rc = runs_read(&r, c, name, e)) == 0) {
        rc = add_run(j, &r, find_live(live, name), e);
        runs_close(&r);
    }
    if (rc == 0)
        rc = summarize_all(list, c, live, e);
    json_object_del(live, "runs");
    json_object_set_new(j, "live", live != NULL ? live : json_null());
    if (json_object_set_new(j, "runs", list) != 0 && rc == 0)
        rc = err_set(e, ERR_NOMEM, "out of memory");
    if (rc != 0)
        json_decref(j);
    else
        *out = j;
    return rc;
}

/* --- for people --- */

static json_int_t number(const json_t *j, const char *key)
{
    return json_integer_value(json_object_get(j, key));
}

static double real_number(const json_t *j, const char *key)
{
    return json_number_value(json_object_get(j, key));
}

static const char *text(const json_t *j, const char *key)
{
    const char *s = json_string_value(json_object_get(j, key));
    return s != NULL ? s : "";
}

static void print_live(const json_t *live)
{
    if (!json_is_object(live)) {
        printf("server    none runs on this state folder\n");
        return;
    }
    if (text(live, "trouble")[0] != '\0')
        printf("trouble   %s\n", text(live, "trouble"));
    printf("clients   %" JSON_INTEGER_FORMAT " connected\n", number(live, "clients"));
    printf("server    pid %" JSON_INTEGER_FORMAT ", %" JSON_INTEGER_FORMAT
           " connections, ports %" JSON_INTEGER_FORMAT " (clients), %" JSON_INTEGER_FORMAT
           " (enrolment)",
           number(live, "pid"), number(live, "connections"), number(live, "port"),
           number(live, "enroll_port"));
    if (number(live, "metrics_port") != 0)
        printf(", %" JSON_INTEGER_FORMAT " (metrics)", number(live, "metrics_port"));
    printf("\n");
}

void status_print_runs(const json_t *status)
{
    size_t i;
    json_t *run;
    printf("%-16s %-9s %9s  %-10s %-10s %s\n", "run", "state", "rounds", "task", "method", "now");
    json_array_foreach(json_object_get(status, "runs"), i, run)
    {
        char rounds[48];
        const char *now = text(run, "trouble")[0] != '\0' ? text(run, "trouble") : text(run, "now");
        snprintf(rounds, sizeof rounds, "%" JSON_INTEGER_FORMAT "/%" JSON_INTEGER_FORMAT,
                 number(run, "done"), number(run, "rounds"));
        printf("%-16s %-9s %9s  %-10s %-10s %s\n", text(run, "name"), text(run, "state"), rounds,
               text(run, "task"), text(run, "method"), now);
    }
}

static void print_absent(const json_t *status)
{
    const char *name;
    json_t *value;
    json_object_foreach(json_object_get(status, "refusals"), name, value)
        printf("refused   %" JSON_INTEGER_FORMAT " for %s\n", json_integer_value(value), name);
    json_object_foreach(json_object_get(status, "absent"), name, value)
        printf("absent    %s cannot take part: %s\n", name, json_string_value(value));
}

void status_print_head(void)
{
    printf("Bytes are those of the TLS stream, the mean of a round's clients; in brackets, how "
           "much more than the parameters.\n"
           "round   updates  samples  train loss   seconds          bytes up              bytes "
           "down\n");
}

void status_print_round(const json_t *r, double parameter_bytes)
{
    double updates = real_number(r, "updates");
    double up = updates > 0 ? real_number(r, "bytes_up") / updates : 0,
           down = updates > 0 ? real_number(r, "bytes_down") / updates : 0;
    const char *name;
    json_t *value;
    printf("%5" JSON_INTEGER_FORMAT "  %4" JSON_INTEGER_FORMAT "/%-4" JSON_INTEGER_FORMAT
           "  %7" JSON_INTEGER_FORMAT "  %10.4f  %8.1f  %10.0f (%+.2f %%)  %10.0f (%+.2f %%)",
           number(r, "round"), number(r, "updates"), number(r, "selected"), number(r, "samples"),
           real_number(r, "train_loss"), real_number(r, "seconds"), up,
           100 * (up / parameter_bytes - 1), down, 100 * (down / parameter_bytes - 1));
    json_object_foreach(json_object_get(r, "metrics"), name, value)
        printf("  %s %.4f", name, json_number_value(value));
    printf("\n");
}

static void print_run(const json_t *status, size_t rounds)
{
    const json_t *history = json_object_get(status, "history");
    size_t done = json_array_size(history);
    double parameter_bytes = real_number(status, "parameter_bytes");
    printf("run       %s, %s, %s: %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT
           " rounds done (%s)\n",
           text(status, "name"), text(status, "task"), text(status, "method"),
           number(status, "done"), number(status, "rounds"), text(status, "run_id"));
    printf("state     %s\n", text(status, "state"));
    const json_t *best = json_object_get(status, "best");
    if (json_is_object(best))
        printf("best      round %" JSON_INTEGER_FORMAT ", %s %.4f by the clients' own data\n",
               number(best, "round"), json_string_value(json_object_get(best, "metric")),
               real_number(best, "score"));
    printf("tunable   %" JSON_INTEGER_FORMAT " parameters, %.0f bytes\n",
           number(status, "parameters"), parameter_bytes);
    if (text(status, "now")[0] != '\0')
        printf("now       %s\n", text(status, "now"));
    print_absent(status);
    print_live(json_object_get(status, "live"));
    if (done == 0)
        return;
    printf("\n");
    status_print_head();
    for (size_t i = done > rounds ? done - rounds : 0; i < done; i++)
        status_print_round(json_array_get(history, i), parameter_bytes);
}

void status_print(const json_t *status, size_t rounds)
{
    if (json_object_get(status, "history") != NULL) {
        print_run(status, rounds);
        return;
    }
    print_live(json_object_get(status, "live"));
    printf("\n");
    status_print_runs(status);
}
