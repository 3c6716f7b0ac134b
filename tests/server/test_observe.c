/* What a running server shows of itself, asked for from outside: its page, its audit log, its end.
 */
#include "asking.h"
#include "server/http.h"
#include <sys/stat.h>

static const char *const with_page[] = {"metrics=127.0.0.1:0"};

/* --- its audit log --- */

/* One line a committed round, with the hash of the store. */
static void check_audited_rounds(const struct deployment *d, size_t rounds)
{
    json_t *status = status_of(d), *history = json_object_get(status, "history");
    json_t *lines = audited(d, "round_committed");
    cr_assert_eq(json_array_size(lines), rounds);
    for (size_t i = 0; i < rounds; i++) {
        const json_t *line = json_array_get(lines, i), *round = json_array_get(history, i);
        cr_assert_str_eq(json_string_value(json_object_get(line, "hash")),
                         json_string_value(json_object_get(round, "hash")));
        cr_assert_eq(json_integer_value(json_object_get(line, "round")), (json_int_t)i + 1);
        cr_assert_str_eq(json_string_value(json_object_get(line, "run")),
                         json_string_value(json_object_get(status, "run_id")));
    }
    json_decref(lines);
    json_decref(status);
}

/* --- the page --- */

static void play(struct deployment *d)
{
    struct robot r[ROBOTS] = {0};
    robots_play(d, r, 0);
    for (int k = 0; k < ROBOTS; k++)
        robot_release(&r[k]);
}

Test(observe, the_page_counts_what_three_robots_did)
{
    struct deployment d;
    deployment_make(&d, with_page, 1);
    play(&d);
    char *page = get(page_port(&d), "/metrics"), *body = strstr(page, "\r\n\r\n") + 4;
    cr_assert_not_null(strstr(page, "Content-Type: text/plain; version=0.0.4"));
    page_check(body);
    double size = 4.0 * (double)peft_schema(d.run.peft)->packed * ROBOTS * ROUNDS;
    cr_assert_eq(page_value(body, "fedpet_rounds_committed_total{run=\"default\"}"), ROUNDS);
    cr_assert_eq(page_value(body, "fedpet_run_rounds_done{run=\"default\"}"), ROUNDS);
    cr_assert_eq(page_value(body, "fedpet_run_finished{run=\"default\"}"), 1);
    cr_assert_eq(
        page_value(body, "fedpet_updates_total{run=\"default\",outcome=\"accepted\",reason=\"\"}"),
        ROBOTS * ROUNDS);
    cr_assert_eq(
        page_value(body, "fedpet_handshakes_total{port=\"clients\",outcome=\"completed\"}"),
        ROBOTS);
    cr_assert_eq(page_value(body, "fedpet_round_duration_seconds_count{run=\"default\"}"), ROUNDS);
    cr_assert_eq(page_value(body, "fedpet_commit_duration_seconds_count{run=\"default\"}"), ROUNDS);
    cr_assert_geq(page_value(body, "fedpet_journal_duration_seconds_count{run=\"default\"}"),
                  ROUNDS);
    cr_assert_eq(page_value(body, "fedpet_aggregation_duration_seconds_count{run=\"default\"}"),
                 ROBOTS * ROUNDS);
    cr_assert_gt(page_value(body, "fedpet_received_bytes_total{port=\"clients\"}"), size);
    cr_assert_eq(page_value(body, "fedpet_unsent_bytes{port=\"clients\"}"), 0);
    size_t own; /* what this process can be told of itself, the server can */
    cr_assert_eq(uv_resident_set_memory(&own), 0);
    double resident = page_value(body, "process_resident_memory_bytes");
    cr_assert(own > 0 ? resident > 1e6 : resident == -1, "%g", resident);
    cr_assert_gt(page_value(body, "process_open_fds"), 5);
    cr_assert_eq(page_value(body, "fedpet_audit_failures_total"), 0);
    free(page);
    cr_assert_eq(server_stop_by(&d, SIGTERM), 0);
    check_audited_rounds(&d, ROUNDS);
    cr_assert_eq(count_audited(&d, "started"), 1);
    cr_assert_eq(count_audited(&d, "stopped"), 1);
    deployment_remove(&d);
}

Test(observe, the_page_takes_get_and_head_and_nothing_else)
{
    struct deployment d;
    static char big[1 << 15];
    deployment_make(&d, with_page, 1);
    server_start(&d);
    unsigned port = page_port(&d);
    char *health = get(port, "/healthz");
    cr_assert_not_null(strstr(health, "\"status\":\"ok\""), "%s", health);
    cr_assert_not_null(strstr(health, "0 of 3 ready"), "%s", health);
    expect_status(health, 200);
    expect_status(get(port, "/"), 404);
    expect_status(get(port, "/metrics/../../etc/passwd"), 404);
    char *head = ask(port, "HEAD /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    cr_assert_str_eq(strstr(head, "\r\n\r\n"), "\r\n\r\n");
    expect_status(head, 200);
    expect_status(ask(port, "DELETE /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
                  405);
    memset(big, 'a', sizeof big - 1);
    char *answer = ask(port, big); /* an answer or none, but an end */
    cr_assert(answer[0] == '\0' || strstr(answer, " 200 ") == NULL, "%.60s", answer);
    free(answer);
    free(ask(port, "\x16\x03\x01 this is no HTTP\r\n\r\n"));
    expect_status(get(port, "/healthz"), 200);
    cr_assert_eq(server_stop_by(&d, SIGTERM), 0);
    deployment_remove(&d);
}

Test(observe, more_connections_than_allowed_wait_or_end_and_harm_nobody)
{
    enum { CROWD = 3 * HTTP_MAX_CONNECTIONS };
    struct deployment d;
    int fd[CROWD];
    deployment_make(&d, with_page, 1);
    server_start(&d);
    unsigned port = page_port(&d);
    for (int i = 0; i < CROWD; i++) {
        fd[i] = dial(port);
        cr_assert_eq(write(fd[i], "GET /", 5), 5);
    }
    await_state(&d, NULL, "0 of 3 ready"); /* it goes on */
    for (int i = 0; i < CROWD; i++)
        close(fd[i]);
    expect_status(get(port, "/healthz"), 200);
    cr_assert_eq(server_stop_by(&d, SIGTERM), 0);
    deployment_remove(&d);
}

Test(observe, an_address_that_cannot_be_had_is_named)
{
    static const char *const bad[] = {"metrics=192.0.2.1:1"};
    struct deployment d;
    struct err e = {0};
    deployment_make(&d, bad, 1);
    cr_assert_eq(server_run(d.config, &e), ERR_NET);
    cr_assert_not_null(strstr(e.text, "192.0.2.1:1"), "%s", e.text);
    deployment_remove(&d);
}

/* --- the audit log --- */

Test(observe, a_stranger_is_entered_and_counted)
{
    struct deployment d;
    deployment_make(&d, with_page, 1);
    server_start(&d);
    int fd = dial(d.port);
    cr_assert_eq(write(fd, "GET / HTTP/1.0\r\n\r\n", 18), 18);
    free(hear(fd));
    await_audited(&d, "refused", 1);
    json_t *lines = audited(&d, "refused");
    const json_t *line = json_array_get(lines, 0);
    cr_assert_eq(strncmp(json_string_value(json_object_get(line, "address")), "127.0.0.1", 9), 0);
    json_decref(lines);
    char *page = get(page_port(&d), "/metrics");
    cr_assert_eq(page_value(page, "fedpet_handshakes_total{port=\"clients\",outcome=\"failed\"}"),
                 1);
    free(page);
    cr_assert_eq(server_stop_by(&d, SIGTERM), 0);
    deployment_remove(&d);
}

/* Cuts the log before the n-th line of an event (from 0), and leaves `torn` bytes of that line. */
static void cut_before(const struct deployment *d, const char *event, size_t n, size_t torn)
{
    char *text, pattern[64];
    cr_assert_eq(file_read(audit_path(d), 1 << 20, &text, NULL, NULL), 0);
    snprintf(pattern, sizeof pattern, "\"event\":\"%s\"", event);
    const char *at = text;
    for (at = strstr(text, pattern); n > 0 && at != NULL; n--)
        at = strstr(at + 1, pattern);
    cr_assert_not_null(at);
    while (at > text && at[-1] != '\n')
        at--;
    cr_assert_eq(truncate(audit_path(d), at - text + (off_t)torn), 0);
    free(text);
}

Test(observe, a_killed_server_leaves_a_line_that_the_next_one_repairs_and_completes)
{
    struct deployment d;
    deployment_make(&d, NULL, 0);
    play(&d);
    kill(d.server, SIGKILL);
    waitpid(d.server, NULL, 0);
    cut_before(&d, "round_committed", 1, 17);
    server_start(&d);
    await_audited(&d, "started", 2);
    check_audited_rounds(&d, ROUNDS);
    json_t *repaired = audited(&d, "repaired"), *rounds = audited(&d, "round_committed");
    cr_assert_eq(json_array_size(repaired), 1);
    cr_assert_eq(json_integer_value(json_object_get(json_array_get(repaired, 0), "bytes")), 17);
    cr_assert_null(json_object_get(json_array_get(rounds, 0), "late"));
    cr_assert(json_is_true(json_object_get(json_array_get(rounds, 1), "late")));
    cr_assert(json_is_true(json_object_get(json_array_get(rounds, 2), "late")));
    json_decref(repaired);
    json_decref(rounds);
    cr_assert_eq(server_stop_by(&d, SIGTERM), 0);
    deployment_remove(&d);
}

/* --- SIGHUP --- */

static void configure(const struct deployment *d, const char *more)
{
    FILE *out = fopen(folder_file(&d->folder, "server.yaml"), "a");
    cr_assert_not_null(out);
    fputs(more, out);
    fclose(out);
}

static bool has(const json_t *line, const char *key, const char *word)
{
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(line, key), i, item)
    {
        if (strcmp(json_string_value(item), word) == 0)
            return true;
    }
    return false;
}

Test(observe, sighup_takes_over_what_it_can_and_names_the_rest)
{
    struct deployment d;
    deployment_make(&d, NULL, 0);
    server_start(&d);
    cr_assert_eq(page_port(&d), 0);
    configure(&d, "metrics: 127.0.0.1:0\nmax_clients: 77\n");
    kill(d.server, SIGHUP);
    await_audited(&d, "reloaded", 1);
    json_t *lines = audited(&d, "reloaded");
    const json_t *line = json_array_get(lines, 0);
    cr_assert(has(line, "applied", "metrics"));
    cr_assert(has(line, "deferred", "max_clients"));
    cr_assert_eq(json_array_size(json_object_get(line, "applied")), 1);
    cr_assert_eq(json_array_size(json_object_get(line, "deferred")), 1);
    json_decref(lines);
    expect_status(get(page_port(&d), "/healthz"), 200);
    configure(&d, "no_such_key: 1\n");
    kill(d.server, SIGHUP);
    await_audited(&d, "reload_failed", 1);
    expect_status(get(page_port(&d), "/healthz"), 200);
    cr_assert_eq(server_stop_by(&d, SIGTERM), 0);
    deployment_remove(&d);
}

/* Who has a good certificate, and is not on the list, is out: at once, and when it comes again. */
Test(observe, sighup_cuts_and_turns_away_who_is_not_on_the_list)
{
    struct deployment d;
    struct robot in = {0}, out = {0}, late = {0};
    uv_loop_t loop;
    size_t i;
    json_t *line;
    deployment_make(&d, NULL, 0);
    server_start(&d);
    uv_loop_init(&loop);
    robot_dial(&in, &loop, &d, 0);
    robot_dial(&out, &loop, &d, 1);
    await_state(&d, &loop, "2 of 3 ready");
    configure(&d, "allow: [client-0000]\n");
    kill(d.server, SIGHUP);
    while (!out.down)
        uv_run(&loop, UV_RUN_ONCE);
    robot_dial(&late, &loop, &d, 2);
    while (!late.down)
        uv_run(&loop, UV_RUN_ONCE);
    cr_assert_str_eq(late.name, ""); /* it has not been welcomed to anything */
    cr_assert_not(in.down);
    await_state(&d, &loop, "1 of 3 ready");
    await_audited(&d, "refused", 2);
    json_t *lines = audited(&d, "refused");
    json_array_foreach(lines, i, line)
    {
        cr_assert_str_eq(json_string_value(json_object_get(line, "client")),
                         i == 0 ? "client-0001" : "client-0002");
        cr_assert_str_eq(json_string_value(json_object_get(line, "reason")), "not on the list");
    }
    json_decref(lines);
    cr_assert_eq(server_stop_by(&d, SIGTERM), 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    robot_release(&in);
    robot_release(&out);
    robot_release(&late);
    uv_loop_close(&loop);
    deployment_remove(&d);
}

Test(observe, sighup_opens_a_rotated_log_file_anew)
{
    struct deployment d;
    char key[320], path[256], old[256];
    struct stat st;
    deployment_make(&d, NULL, 0);
    snprintf(path, sizeof path, "%s", folder_file(&d.folder, "server.log"));
    snprintf(old, sizeof old, "%s", folder_file(&d.folder, "server.log.1"));
    snprintf(key, sizeof key, "log: {file: %s}\n", path);
    configure(&d, key);
    server_start(&d);
    for (size_t n = 1; n <= 2; n++) {
        kill(d.server, SIGHUP);
        await_audited(&d, "reloaded", n);
        cr_assert_eq(stat(path, &st), 0);
        cr_assert_eq(rename(path, old), 0);
    }
    cr_assert_eq(server_stop_by(&d, SIGTERM), 0);
    deployment_remove(&d);
}

/* --- SIGTERM --- */

/* A server that says goodbye to a client who does not listen: it lingers. */
static void linger(struct deployment *d, struct robot *r, uv_loop_t *loop)
{
    server_start(d);
    uv_loop_init(loop);
    robot_dial(r, loop, d, 1);
    await_state(d, loop, "1 of 3 ready");
    kill(d->server, SIGTERM);
    await_state(d, NULL, "stopping");
}

static void unlinger(struct deployment *d, struct robot *r, uv_loop_t *loop)
{
    uv_run(loop, UV_RUN_DEFAULT);
    cr_assert(r->down);
    cr_assert_eq(r->goodbye.reason, REASON_STOPPING);
    robot_release(r);
    uv_loop_close(loop);
    deployment_remove(d);
}

Test(observe, a_drain_ends_at_its_deadline)
{
    static const char *const soon[] = {"drain_s=1"};
    struct deployment d;
    struct robot r = {0};
    uv_loop_t loop;
    deployment_make(&d, soon, 1);
    linger(&d, &r, &loop);
    cr_assert_eq(server_wait(&d), ERR_STATE);
    cr_assert_eq(count_audited(&d, "killed"), 1);
    unlinger(&d, &r, &loop);
}

Test(observe, while_it_drains_it_says_so_and_a_second_signal_ends_it_at_once)
{
    struct deployment d;
    struct robot r = {0};
    uv_loop_t loop;
    int how;
    deployment_make(&d, with_page, 1);
    linger(&d, &r, &loop);
    char *health = get(page_port(&d), "/healthz");
    cr_assert_not_null(strstr(health, "\"status\":\"draining\""), "%s", health);
    expect_status(health, 503);
    kill(d.server, SIGHUP); /* nothing to reload for */
    kill(d.server, SIGTERM);
    cr_assert_eq(waitpid(d.server, &how, 0), d.server);
    cr_assert(WIFSIGNALED(how) && WTERMSIG(how) == SIGTERM);
    cr_assert_eq(count_audited(&d, "killed"), 1);
    unlinger(&d, &r, &loop);
}
