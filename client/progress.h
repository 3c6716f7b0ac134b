/* A line for a person that says how far a job is and when it will be done; nothing when stderr is
 * no terminal. */
#ifndef CLIENT_PROGRESS_H
#define CLIENT_PROGRESS_H

#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

struct progress {
    bool terminal;
    double began, drawn; /* seconds of the monotonic clock */
};

struct progress progress_begin(void);
/* Redraws the line, at most ten times a second: bar, percentage, the text, time left. */
void progress_draw(struct progress *p, uint64_t done, uint64_t total, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
/* Clears the line, to print something else. */
void progress_clear(const struct progress *p);
/* Seconds since progress_begin. */
double progress_seconds(const struct progress *p);

#endif
