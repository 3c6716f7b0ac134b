#include "base/log.h"

#include "base/utf8.h"

#include <pthread.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

enum { LINE_MAX_BYTES = 4096 };

static const char *const level_name[] = {"error", "warn", "info", "debug"};

static struct {
    pthread_mutex_t lock;
    const char *program;
    FILE *out; /* NULL: stderr */
    enum log_level level;
    bool json;
} sink = {.lock = PTHREAD_MUTEX_INITIALIZER, .program = "fedpet", .level = LOG_INFO};

void log_setup(const char *program, FILE *out, enum log_level level, bool json)
{
    pthread_mutex_lock(&sink.lock);
    sink.program = program;
    sink.out = out;
    sink.level = level;
    sink.json = json;
    pthread_mutex_unlock(&sink.lock);
}

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

static void put_line(FILE *out, enum log_level level, const char *text)
{
    char when[32];
    struct timespec now;
    struct tm tm;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &tm);
    if (sink.json) {
        fprintf(out, "{\"time\":\"%s.%03ldZ\",\"level\":\"%s\",\"program\":\"", when,
                now.tv_nsec / 1000000, level_name[level]);
        put_text(out, sink.program, true);
        fputs("\",\"message\":\"", out);
        put_text(out, text, true);
        fputs("\"}\n", out);
    } else {
        fprintf(out, "%sZ %s %s: ", when, sink.program, level_name[level]);
        put_text(out, text, false);
        fputc('\n', out);
    }
    fflush(out);
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
    if (level <= sink.level)
        put_line(sink.out ? sink.out : stderr, level, text);
    pthread_mutex_unlock(&sink.lock);
}
