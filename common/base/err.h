/* Errors: an int code that doubles as the exit status, and one line of text for a person.
 *
 * A function that can fail returns 0 or an enum err_code, writes the text into the caller's struct
 * err, and leaves its outputs untouched. The text names what is wrong, where, and what to do next.
 * Context is prepended on the way up with err_wrap(). Kernels cannot fail and return void. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))

/* name, exit status, meaning. README.md and --help print this table. */
#define ERR_TABLE(X)                                                                               \
    X(ERR_INTERNAL, 1, "internal error: please report it")                                         \
    X(ERR_USAGE, 2, "wrong command line")                                                          \
    X(ERR_CONFIG, 3, "wrong configuration: unknown key, wrong type or value out of range")         \
    X(ERR_DATA, 4, "bad data set")                                                                 \
    X(ERR_MODEL, 5, "bad model, tokenizer or adapter")                                             \
    X(ERR_IO, 6, "file system: missing file, permission, disk full")                               \
    X(ERR_NET, 7, "network: cannot listen, connect or resolve")                                    \
    X(ERR_TLS, 8, "certificate or TLS")                                                            \
    X(ERR_REFUSED, 9, "refused by the peer")                                                       \
    X(ERR_PROTO, 10, "protocol violation by the peer")                                             \
    X(ERR_NOMEM, 11, "out of memory, or over a memory limit")                                      \
    X(ERR_STATE, 12, "not possible in the present state")

enum err_code {
#define ERR_ENUM(name, status, text) name = status,
    ERR_TABLE(ERR_ENUM)
#undef ERR_ENUM
};

struct err {
    int code;        /* 0: no error */
    char text[1024]; /* one line, no trailing newline */
};

/* Sets code and text; returns code, so that `return err_set(e, ...)` reads well. `e` may be
 * NULL. */
int err_set(struct err *e, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* As err_set, with ": strerror(errnum)" appended, and a remedy where one is known. */
int err_sys(struct err *e, int code, int errnum, const char *fmt, ...) PRINTF_LIKE(4, 5);

/* Prepends "context: " to the text; keeps and returns the code. */
int err_wrap(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
