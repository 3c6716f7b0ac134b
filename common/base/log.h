/* Log: one line an event, `message key=value ...`. For people on stderr, JSON lines when asked, and
 * JSON lines in a file. The sink is the only mutable global of the product. Never log keys, tokens,
 * parameters or training text.
 *
 * Errors and warnings of one place in the code, that is of one format string, are held back after
 * LOG_BURST lines in LOG_WINDOW_S seconds, since a peer can cause them at will; their number is
 * said with the first line after that time. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/err.h"
#include <stdbool.h>
#include <stdio.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum { LOG_BURST = 20, LOG_WINDOW_S = 10 };

/* As configurations have it: under the key log (conf_log_fields). */
struct log_settings {
    enum log_level level;
    bool json;
    char *file; /* every line is appended to it as JSON, too; NULL: none */
};

/* Where lines go (default: stderr, LOG_INFO, human), besides the file. Says first what was held
 * back. `program` is borrowed. */
void log_setup(const char *program, FILE *out, enum log_level level, bool json);
/* log_setup to stderr as configured, and the file opened (mode 0640), or opened anew when it is
 * open: what rotated it has moved the old one away. ERR_IO: nothing has changed. */
int log_begin(const char *program, const struct log_settings *s, struct err *e) MUST_CHECK;
void log_line(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

#endif
