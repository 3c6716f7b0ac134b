#include "base/log.h"

#include "base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 4096, EVENT_MAX_BYTES = 128, SITES = 64 };

static const char *const level_name[] = {"error", "warn", "info", "debug"};

/* A place that warns: how often it did since `since`. */
struct site {
    const char *fmt; /* NULL: unused */
    enum log_level level;
    time_t since; /* of the monotonic clock */
    unsigned lines;
    uint64_t held;
};

static struct {
    pthread_mutex_t lock;
    const char *program;
    FILE *out;  /* NULL: stderr */
    FILE *file; /* NULL: none */
    enum log_level level;
    bool json;
    struct site site[SITES];
} sink = {.lock = PTHREAD_MUTEX_INITIALIZER, .program = "fedpet", .level = LOG_INFO};

/* A message may quote a peer: whatever could break the line, the JSON or the terminal is written as
 * an escape. C1 controls are U+0080..U+009F, two bytes that start with c2. */
static void put_text(FILE *out, const char *text, bool json)
{
    const unsigned char *s = (const unsigned char *)text;

    for (size_t n; *s; s += n ? n : 1) {
        n = utf8_length((const char *)s);
        if (n == 0)
            fprintf(out, json ? "\\ufffd" : "\\x%02x", *s);
        else if (*s < 0x20 || *s == 0x7f)
            fprintf(out, json ? "\\u%04x" : "\\x%02x", *s);
        else if (*s == 0xc2 && s[1] < 0xa0)
            fprintf(out, "\\u%04x", s[1]);
        else if (json && (*s == '"' || *s == '\\'))
            fprintf(out, "\\%c", *s);
        else
            fwrite(s, 1, n, out);
    }
}

/* The words of a format before its first value: what happened, without whom it happened to. */
static void name_event(const char *fmt, char event[EVENT_MAX_BYTES])
{
    size_t n = strcspn(fmt, "%=");
    if (fmt[n] != '\0')
        while (n > 0 && fmt[n] != ' ')
            n--;
    if (n >= EVENT_MAX_BYTES)
        n = EVENT_MAX_BYTES - 1;
    memcpy(event, fmt, n);
    event[n] = '\0';
}

static void put_human(FILE *out, const char *when, enum log_level level, const char *text)
{
    fprintf(out, "%.19sZ %s %s: ", when, sink.program, level_name[level]);
    put_text(out, text, false);
    fputc('\n', out);
}

static void put_json(FILE *out, const char *when, enum log_level level, const char *event,
                     const char *text)
{
    fprintf(out, "{\"time\":\"%sZ\",\"level\":\"%s\",\"program\":\"", when, level_name[level]);
    put_text(out, sink.program, true);
    fputs("\",\"event\":\"", out);
    put_text(out, event, true);
    fputs("\",\"message\":\"", out);
    put_text(out, text, true);
    fputs("\"}\n", out);
}

static void put_line(enum log_level level, const char *fmt, const char *text)
{
    char when[64], event[EVENT_MAX_BYTES];
    struct timespec now;
    struct tm tm;
    FILE *out = sink.out != NULL ? sink.out : stderr;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t len = strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(when + len, sizeof when - len, ".%03ld", now.tv_nsec / 1000000);
    name_event(fmt, event);
    if (sink.json)
        put_json(out, when, level, event, text);
    else
        put_human(out, when, level, text);
    fflush(out);
    if (sink.file != NULL) {
        put_json(sink.file, when, level, event, text);
        fflush(sink.file);
    }
}

/* --- lines held back --- */

static time_t monotonic(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

static void forget(struct site *s)
{
    char event[EVENT_MAX_BYTES], text[EVENT_MAX_BYTES + 64];
    if (s->held > 0) {
        name_event(s->fmt, event);
        snprintf(text, sizeof text, "lines held back count=%" PRIu64 " like=\"%s\"", s->held,
                 event);
        put_line(s->level, "lines held back", text);
    }
    *s = (struct site){0};
}

/* Of places whose time is over; `all`: of the others, too. */
static void forget_sites(time_t now, bool all)
{
    for (int i = 0; i < SITES; i++) {
        struct site *s = &sink.site[i];
        if (s->fmt != NULL && (all || now - s->since >= LOG_WINDOW_S))
            forget(s);
    }
}

/* A place that finds no room in the table is not limited. */
static bool admit(enum log_level level, const char *fmt, time_t now)
{
    struct site *s = NULL;
    if (level > LOG_WARN)
        return true;
    for (int i = 0; i < SITES && (s == NULL || s->fmt != fmt); i++)
        if (sink.site[i].fmt == fmt || (s == NULL && sink.site[i].fmt == NULL))
            s = &sink.site[i];
    if (s == NULL)
        return true;
    if (s->fmt == NULL)
        *s = (struct site){.fmt = fmt, .level = level, .since = now};
    if (s->lines == LOG_BURST) {
        s->held++;
        return false;
    }
    s->lines++;
    return true;
}

/* --- public --- */

static void set_sink(const char *program, FILE *out, enum log_level level, bool json)
{
    forget_sites(0, true);
    sink.program = program;
    sink.out = out;
    sink.level = level;
    sink.json = json;
}

void log_setup(const char *program, FILE *out, enum log_level level, bool json)
{
    pthread_mutex_lock(&sink.lock);
    set_sink(program, out, level, json);
    pthread_mutex_unlock(&sink.lock);
}

int log_begin(const char *program, const struct log_settings *s, struct err *e)
{
    FILE *file = NULL;
    if (s->file != NULL) {
        int fd = open(s->file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
        file = fd >= 0 ? fdopen(fd, "a") : NULL;
        if (file == NULL) {
            int rc = err_sys(e, ERR_IO, errno, "log.file: %s", s->file);
            if (fd >= 0)
                close(fd);
            return rc;
        }
    }
    pthread_mutex_lock(&sink.lock);
    set_sink(program, NULL, s->level, s->json);
    if (sink.file != NULL)
        fclose(sink.file);
    sink.file = file;
    pthread_mutex_unlock(&sink.lock);
    return 0;
}

void log_line(enum log_level level, const char *fmt, ...)
{
    char text[LINE_MAX_BYTES];
    va_list ap;

    va_start(ap, fmt);
    int len = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (len >= (int)sizeof text)
        memcpy(text + sizeof text - 4, "...", 4);
    pthread_mutex_lock(&sink.lock);
    if (level <= sink.level) {
        time_t now = monotonic();
        forget_sites(now, false);
        if (admit(level, fmt, now))
            put_line(level, fmt, text);
    }
    pthread_mutex_unlock(&sink.lock);
}
