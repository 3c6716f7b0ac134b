#include "server/status.h"
#include "base/file.h"
#include "server/server.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { ANSWER_LIMIT = 1 << 16, PATIENCE_S = 2 };

/* --- the live part --- */

/* What the server answers; NULL when none runs here, or it does not answer in time. */
json_t *status_live(const char *state)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    char text[ANSWER_LIMIT];
    struct timeval patience = {.tv_sec = PATIENCE_S};
    size_t len = 0;
    ssize_t n = -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return NULL;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (file_join(at.sun_path, sizeof at.sun_path, state, SERVER_SOCKET, NULL) == 0 &&
        connect(fd, (const struct sockaddr *)&at, sizeof at) == 0)
        while ((n = read(fd, text + len, sizeof text - len)) > 0)
            len += (size_t)n;
    close(fd);
    return n == 0 ? json_loadb(text, len, 0, NULL) : NULL;
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
static int add_details(struct store *store, json_t *history, struct err *e)
{
    size_t i;
    json_t *round;
    int rc = 0;
    json_array_foreach(history, i, round)
    {
        uint32_t number = (uint32_t)json_integer_value(json_object_get(round, "round")) - 1;
        rc = store_contributions(store, number, add_contribution, json_object_get(round, "clients"),
                                 e);
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

int status_collect(json_t **out, struct store *store, const char *state, struct err *e)
{
    struct store_run run = {0};
    bool found;
    int rc = store_run(store, &run, &found, e);
    if (rc != 0)
        return rc;
    json_t *history = json_array(), *live = status_live(state);
    json_t *j = json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "run_id", run.run_id, "rounds",
                          integer(run.rounds), "done", integer(run.next), "parameters",
                          integer(run.parameters), "parameter_bytes", integer(4 * run.parameters),
                          "live", live != NULL ? live : json_null(), "history", history);
    if (j == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    rc = store_rounds(store, 0, add_round, history, e);
    if (rc == 0)
        rc = add_details(store, history, e);
    if (rc == 0)
        rc = add_best(store, j, e);
    if (rc != 0) {
        json_decref(j);
        return rc;
    }
    *out = j;
    return 0;
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

static void print_live(const json_t *live)
{
    const char *name;
    json_t *count;
    if (!json_is_object(live)) {
        printf("now       no server runs on this state folder\n");
        return;
    }
    const char *trouble = json_string_value(json_object_get(live, "trouble"));
    printf("now       %s\n", json_string_value(json_object_get(live, "state")));
    if (trouble != NULL)
        printf("trouble   %s\n", trouble);
    printf("clients   %" JSON_INTEGER_FORMAT " connected\n", number(live, "clients"));
    printf("server    pid %" JSON_INTEGER_FORMAT ", %" JSON_INTEGER_FORMAT
           " connections, ports %" JSON_INTEGER_FORMAT " (clients), %" JSON_INTEGER_FORMAT
           " (enrolment)",
           number(live, "pid"), number(live, "connections"), number(live, "port"),
           number(live, "enroll_port"));
    if (number(live, "metrics_port") != 0)
        printf(", %" JSON_INTEGER_FORMAT " (metrics)", number(live, "metrics_port"));
    printf("\n");
    json_object_foreach(json_object_get(live, "refusals"), name, count)
        printf("refused   %" JSON_INTEGER_FORMAT " for %s\n", json_integer_value(count), name);
}

static void print_round(const json_t *r, double parameter_bytes)
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

void status_print(const json_t *status, size_t rounds)
{
    const json_t *history = json_object_get(status, "history");
    size_t done = json_array_size(history);
    double parameter_bytes = real_number(status, "parameter_bytes");
    if (number(status, "rounds") == 0) {
        printf("no run has been started\n");
        return;
    }
    printf("run       %s: %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT " rounds done\n",
           json_string_value(json_object_get(status, "run_id")), number(status, "done"),
           number(status, "rounds"));
    const json_t *best = json_object_get(status, "best");
    if (json_is_object(best))
        printf("best      round %" JSON_INTEGER_FORMAT ", %s %.4f by the clients' own data\n",
               number(best, "round"), json_string_value(json_object_get(best, "metric")),
               real_number(best, "score"));
    printf("tunable   %" JSON_INTEGER_FORMAT " parameters, %.0f bytes\n",
           number(status, "parameters"), parameter_bytes);
    print_live(json_object_get(status, "live"));
    if (done == 0)
        return;
    printf("\nBytes are those of the TLS stream, the mean of a round's clients; in brackets, how "
           "much more than the parameters.\n"
           "round   updates  samples  train loss   seconds          bytes up              bytes "
           "down\n");
    for (size_t i = done > rounds ? done - rounds : 0; i < done; i++)
        print_round(json_array_get(history, i), parameter_bytes);
}
