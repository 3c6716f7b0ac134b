#include "client/cmd.h"
#include "base/file.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIGITS = 9 }; /* a float survives the way to text and back */

static char *dump(json_t *json, size_t flags)
{
    char *text = json ? json_dumps(json, flags | JSON_REAL_PRECISION(DIGITS)) : NULL;
    json_decref(json);
    return text;
}

int cmd_print_json(json_t *json, bool indent, struct err *e)
{
    char *text = dump(json, indent ? JSON_INDENT(2) : 0);
    if (!text)
        return err_set(e, ERR_NOMEM, "out of memory");
    int rc = 0;
    if (puts(text) == EOF)
        rc = err_sys(e, ERR_IO, errno, "standard output");
    free(text);
    return rc;
}

int cmd_write_json(json_t *json, const char *path, struct err *e)
{
    char *text = dump(json, JSON_INDENT(2));
    if (!text)
        return err_set(e, ERR_NOMEM, "out of memory");
    int rc = file_write(path, text, strlen(text), 0644, e);
    free(text);
    return rc;
}
