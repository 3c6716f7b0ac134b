#include "client/progress.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WIDTH = 24 };
static const double REDRAW = 0.1; /* seconds */

static double clock_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

struct progress progress_begin(void)
{
    return (struct progress){.terminal = isatty(STDERR_FILENO), .began = clock_now()};
}

double progress_seconds(const struct progress *p)
{
    return clock_now() - p->began;
}

void progress_draw(struct progress *p, uint64_t done, uint64_t total, const char *fmt, ...)
{
    double now = clock_now();
    if (!p->terminal || done == 0 || (now - p->drawn < REDRAW && done < total))
        return;
    p->drawn = now;
    char bar[WIDTH + 1] = "";
    for (uint64_t i = 0; i < WIDTH; i++)
        bar[i] = i * total < done * WIDTH ? '#' : '.';
    uint64_t left = (uint64_t)((now - p->began) / (double)done * (double)(total - done) + 0.5);
    va_list args;
    va_start(args, fmt);
    fprintf(stderr, "\r\033[K[%s] %3u%%  ", bar, (unsigned)(100 * done / total));
    vfprintf(stderr, fmt, args);
    fprintf(stderr, "  %u:%02u left", (unsigned)(left / 60), (unsigned)(left % 60));
    va_end(args);
    fflush(stderr);
}

void progress_clear(const struct progress *p)
{
    if (p->terminal)
        fputs("\r\033[K", stderr);
}
