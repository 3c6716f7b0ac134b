/* Asking a running server from outside: its page over HTTP, its status, its audit log. */
#ifndef TESTS_SERVER_ASKING_H
#define TESTS_SERVER_ASKING_H

#include "page.h"
#include "robots.h"
#include "server/audit.h"
#include <arpa/inet.h>
#include <sys/socket.h>

/* --- asking --- */

static inline int dial(unsigned port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    cr_assert_eq(connect(fd, (const struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

static inline char *hear(int fd)
{
    char *text = calloc(1, 1 << 18);
    size_t len = 0;
    for (ssize_t n; (n = read(fd, text + len, (1 << 18) - 1 - len)) > 0;)
        len += (size_t)n;
    close(fd);
    return text;
}

/* The whole answer, its head included. */
static inline char *ask(unsigned port, const char *request)
{
    int fd = dial(port);
    cr_assert_eq(write(fd, request, strlen(request)), (ssize_t)strlen(request));
    return hear(fd);
}

static inline char *get(unsigned port, const char *path)
{
    char request[128];
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
             path);
    return ask(port, request);
}

/* Frees the answer. */
static inline void expect_status(char *answer, int status)
{
    cr_assert_eq(strncmp(answer, "HTTP/1.1 ", 9), 0, "%.60s", answer);
    cr_assert_eq(strtol(answer + 9, NULL, 10), status, "%.60s", answer);
    free(answer);
}

static inline unsigned page_port(const struct deployment *d)
{
    json_t *status = status_of(d);
    unsigned port = (unsigned)json_integer_value(
        json_object_get(json_object_get(status, "live"), "metrics_port"));
    json_decref(status);
    return port;
}

/* Waits until what the server says of its state has these words; `loop` keeps a robot alive. */
static inline void await_state(const struct deployment *d, uv_loop_t *loop, const char *words)
{
    for (int waited = 0; waited < PATIENCE_MS; waited += STEP_MS) {
        if (loop != NULL)
            uv_run(loop, UV_RUN_NOWAIT);
        json_t *status = status_of(d);
        const char *state = json_string_value(json_object_get(status, "now"));
        bool there = state != NULL && strstr(state, words) != NULL;
        json_decref(status);
        if (there)
            return;
        usleep(STEP_MS * 1000);
    }
    cr_assert_fail("the server never said \"%s\"", words);
}

/* --- its audit log --- */

static inline void keep(void *ctx, const char *line, const json_t *record)
{
    (void)line;
    json_array_append_new(ctx, json_deep_copy(record));
}

static inline const char *audit_path(const struct deployment *d)
{
    return folder_file(&d->folder, "state/" AUDIT_FILE);
}

/* All lines of an event; the chain must be whole. */
static inline json_t *audited(const struct deployment *d, const char *event)
{
    struct audit_summary sum;
    struct err e = {0};
    json_t *all = json_array(), *some = json_array(), *line;
    size_t i;
    cr_assert_eq(audit_verify(audit_path(d), NULL, keep, all, &sum, &e), 0, "%s", e.text);
    cr_assert_eq(sum.torn, 0);
    json_array_foreach(all, i, line)
    {
        if (strcmp(json_string_value(json_object_get(line, "event")), event) == 0)
            json_array_append(some, line);
    }
    json_decref(all);
    return some;
}

static inline size_t count_audited(const struct deployment *d, const char *event)
{
    json_t *lines = audited(d, event);
    size_t n = json_array_size(lines);
    json_decref(lines);
    return n;
}

static inline void await_audited(const struct deployment *d, const char *event, size_t n)
{
    for (int waited = 0; count_audited(d, event) < n; waited += STEP_MS) {
        cr_assert_lt(waited, PATIENCE_MS, "no line \"%s\"", event);
        usleep(STEP_MS * 1000);
    }
}

#endif
