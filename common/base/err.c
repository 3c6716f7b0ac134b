#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Text may quote a peer or a file; a control character in it must not break the line or the
 * terminal. */
static void one_line(char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            *s = ' ';
}

/* Formats aside first: the arguments may point into e->text. */
static void set_text(struct err *e, const char *fmt, va_list ap)
{
    char text[sizeof e->text];

    vsnprintf(text, sizeof text, fmt, ap);
    one_line(text);
    memcpy(e->text, text, strlen(text) + 1);
}

static void append(struct err *e, const char *more)
{
    size_t len = strlen(e->text);

    snprintf(e->text + len, sizeof e->text - len, "%s", more);
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
    va_list ap;

    if (!e)
        return code;
    va_start(ap, fmt);
    set_text(e, fmt, ap);
    va_end(ap);
    e->code = code;
    return code;
}

static const char *remedy(int errnum)
{
    switch (errnum) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return "; free some space or choose another folder";
    case EACCES:
    case EPERM:
        return "; check owner and permissions, or run as another user";
    case EROFS:
        return "; choose a folder that can be written";
    case EMFILE:
    case ENFILE:
        return "; raise the limit of open files (ulimit -n)";
    default:
        return "";
    }
}

int err_sys(struct err *e, int code, int errnum, const char *fmt, ...)
{
    char reason[128];
    va_list ap;

    if (!e)
        return code;
    va_start(ap, fmt);
    set_text(e, fmt, ap);
    va_end(ap);
    if (strerror_r(errnum, reason, sizeof reason))
        snprintf(reason, sizeof reason, "error %d", errnum);
    append(e, ": ");
    append(e, reason);
    append(e, remedy(errnum));
    e->code = code;
    return code;
}

int err_wrap(struct err *e, const char *fmt, ...)
{
    char old[sizeof e->text];
    va_list ap;

    if (!e)
        return ERR_INTERNAL;
    memcpy(old, e->text, sizeof old);
    va_start(ap, fmt);
    set_text(e, fmt, ap);
    va_end(ap);
    append(e, ": ");
    append(e, old);
    return e->code;
}
