#include "client/cmd.h"
#include "model/jsonfile.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int cmd_print_json(json_t *json, bool indent, struct err *e)
{
    int rc = jsonfile_print(json, CMD_JSON_DIGITS | (indent ? JSON_INDENT(2) : 0), e);
    json_decref(json);
    return rc;
}

int cmd_each_text(cmd_text_fn each, void *ctx, struct err *e)
{
    char *line = NULL;
    size_t cap = 0, number = 0;
    ssize_t len;
    int rc = 0;
    while (!rc && (len = getline(&line, &cap, stdin)) >= 0) {
        size_t n = (size_t)len - (len > 0 && line[len - 1] == '\n');
        const char *tab = memchr(line, '\t', n);
        size_t a = tab ? (size_t)(tab - line) : n;
        number++;
        rc = each(ctx, line, a, tab ? tab + 1 : NULL, tab ? n - a - 1 : 0, e);
        if (rc)
            err_wrap(e, "standard input:%zu", number);
    }
    free(line);
    if (!rc && ferror(stdin))
        rc = err_sys(e, ERR_IO, errno, "standard input");
    return rc;
}
