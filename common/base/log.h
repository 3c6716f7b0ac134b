/* Log: one line an event, `message key=value ...`. Human on a terminal, JSON lines when asked. The
 * sink is the only mutable global of the product. Never log keys, tokens, parameters or training
 * text. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/err.h"
#include <stdbool.h>
#include <stdio.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* As configurations have it: under the key log (conf_log_fields). */
struct log_settings {
    enum log_level level;
    bool json;
};

/* Where lines go (default: stderr, LOG_INFO, human). `program` is borrowed. */
void log_setup(const char *program, FILE *out, enum log_level level, bool json);
void log_line(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

#endif
