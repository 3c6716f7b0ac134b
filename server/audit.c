#include "server/audit.h"
#include "base/file.h"
#include "model/jsontext.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { TAIL = 2 * AUDIT_MAX_LINE }; /* holds the last whole line and an unfinished one */

struct audit {
    pthread_mutex_t lock; /* flock() is between processes, not threads */
    char *path;
    int fd;
    off_t end; /* of the file when head and lines were read */
    uint64_t lines;
    struct hash head;
};

/* --- one line --- */

static void say_time(int64_t now, char out[32])
{
    time_t seconds = (time_t)(now / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    size_t len = strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + len, 32 - len, ".%03dZ", (int)(now % 1000));
}

/* The line without its newline, malloc'ed; NULL without memory. */
static char *compose(const struct audit *a, int64_t now, const char *event, json_t *detail)
{
    char when[32], prev[HASH_HEX];
    say_time(now, when);
    hash_hex(&a->head, prev);
    json_t *j = json_pack("{s:I, s:s, s:s, s:s}", "seq", (json_int_t)(a->lines + 1), "time", when,
                          "prev", prev, "event", event);
    char *text = NULL;
    if (j != NULL && (detail == NULL || json_object_update(j, detail) == 0))
        text = jsontext(j, JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(j);
    return text;
}

static int write_line(struct audit *a, char *text, bool sync, struct err *e)
{
    size_t len = strlen(text);
    if (len >= AUDIT_MAX_LINE)
        return err_set(e, ERR_NOMEM, "%s: a line of %zu bytes is too long", a->path, len);
    struct hash head = hash_of(text, len);
    text[len] = '\n';
    errno = 0;
    ssize_t n = write(a->fd, text, len + 1);
    if (n != (ssize_t)len + 1) {
        int why = n < 0 ? errno : ENOSPC;
        if (n > 0 && ftruncate(a->fd, a->end) != 0)
            why = errno;
        return err_sys(e, ERR_IO, why, "%s", a->path);
    }
    a->end += n;
    a->lines++;
    a->head = head;
    return sync && fdatasync(a->fd) != 0 ? err_sys(e, ERR_IO, errno, "%s", a->path) : 0;
}

static int append(struct audit *a, int64_t now, const char *event, json_t *detail, bool sync,
                  struct err *e)
{
    char *text = compose(a, now, event, detail);
    int rc = text != NULL ? write_line(a, text, sync, e) : err_set(e, ERR_NOMEM, "out of memory");
    free(text);
    return rc;
}

/* --- the end of the file --- */

static int no_record(const struct audit *a, struct err *e)
{
    return err_set(
        e, ERR_DATA,
        "%s: the last line is no record: ask `fedpet-server audit verify` what happened, "
        "and move the file away to begin a new one",
        a->path);
}

/* Number and hash of the last whole line, `text` of `len` bytes. */
static int take_last(struct audit *a, const char *text, size_t len, struct err *e)
{
    json_t *j = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    json_int_t seq = json_integer_value(json_object_get(j, "seq"));
    json_decref(j);
    if (seq < 1)
        return no_record(a, e);
    a->lines = (uint64_t)seq;
    a->head = hash_of(text, len);
    return 0;
}

/* How many of the file's last n bytes lie behind the last newline. */
static size_t unfinished(const char *tail, size_t n)
{
    size_t torn = 0;
    while (torn < n && tail[n - torn - 1] != '\n')
        torn++;
    return torn;
}

/* Reads the end anew; *torn: bytes behind the last whole line. */
static int read_end(struct audit *a, off_t size, size_t *torn, struct err *e)
{
    char tail[TAIL];
    off_t from = size > TAIL ? size - TAIL : 0;
    ssize_t n = pread(a->fd, tail, sizeof tail, from);
    if (n != size - from)
        return err_sys(e, ERR_IO, n < 0 ? errno : EIO, "%s", a->path);
    size_t cut = unfinished(tail, (size_t)n), whole = (size_t)n - cut;
    if (whole == 0 && from > 0)
        return no_record(a, e);
    a->lines = 0;
    a->head = (struct hash){0};
    *torn = cut;
    a->end = size - (off_t)cut;
    if (whole == 0)
        return 0;
    size_t len = unfinished(tail, whole - 1);
    return take_last(a, tail + whole - 1 - len, len, e);
}

/* What other processes have appended, or left unfinished. */
static int catch_up(struct audit *a, int64_t now, struct err *e)
{
    struct stat st;
    size_t torn = 0;
    if (fstat(a->fd, &st) != 0)
        return err_sys(e, ERR_IO, errno, "%s", a->path);
    if (st.st_size == a->end)
        return 0;
    int rc = read_end(a, st.st_size, &torn, e);
    if (rc != 0 || torn == 0)
        return rc;
    if (ftruncate(a->fd, a->end) != 0)
        return err_sys(e, ERR_IO, errno, "%s", a->path);
    json_t *detail = json_pack("{s:I}", "bytes", (json_int_t)torn);
    rc = append(a, now, "repaired", detail, true, e);
    json_decref(detail);
    return rc;
}

/* --- public --- */

int audit_open(struct audit **out, const char *path, int64_t now, struct err *e)
{
    struct audit *a = calloc(1, sizeof *a);
    if (a == NULL || (a->path = strdup(path)) == NULL) {
        free(a);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    pthread_mutex_init(&a->lock, NULL);
    a->fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    int rc = a->fd < 0 || flock(a->fd, LOCK_EX) != 0 ? err_sys(e, ERR_IO, errno, "%s", path) : 0;
    if (rc == 0) {
        rc = catch_up(a, now, e);
        flock(a->fd, LOCK_UN);
    }
    if (rc != 0) {
        audit_close(a);
        return rc;
    }
    *out = a;
    return 0;
}

void audit_close(struct audit *a)
{
    if (a == NULL)
        return;
    if (a->fd >= 0)
        close(a->fd);
    pthread_mutex_destroy(&a->lock);
    free(a->path);
    free(a);
}

int audit_append(struct audit *a, int64_t now, const char *event, json_t *detail, bool sync,
                 struct err *e)
{
    pthread_mutex_lock(&a->lock);
    int rc = flock(a->fd, LOCK_EX) != 0 ? err_sys(e, ERR_IO, errno, "%s", a->path) : 0;
    if (rc == 0) {
        rc = catch_up(a, now, e);
        if (rc == 0)
            rc = append(a, now, event, detail, sync, e);
        flock(a->fd, LOCK_UN);
    }
    pthread_mutex_unlock(&a->lock);
    json_decref(detail);
    return rc;
}

int audit_once(const char *state, int64_t now, const char *event, json_t *detail, struct err *e)
{
    char path[4096];
    struct audit *a = NULL;
    int rc = file_join(path, sizeof path, state, AUDIT_FILE, e);
    if (rc == 0)
        rc = audit_open(&a, path, now, e);
    if (rc == 0)
        rc = audit_append(a, now, event, json_incref(detail), true, e);
    audit_close(a);
    json_decref(detail);
    return rc;
}
