#include "text/table.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int table_fault(const struct table *t, struct err *e, const char *fmt, ...)
{
    char text[512];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return err_set(e, ERR_DATA, "%s:%zu: %s", t->spec.path, t->line, text);
}

static bool has_named_columns(const struct table *t)
{
    return t->spec.format == TABLE_TSV || t->spec.format == TABLE_CSV;
}

static int name_columns(struct table *t, struct err *e)
{
    if (!has_named_columns(t))
        return 0;
    if (!t->spec.names[0])
        return table_delimited_header(t, e);
    while (t->n_columns < TABLE_MAX_NAMES && t->spec.names[t->n_columns])
        t->n_columns++;
    for (size_t k = 0; k < TABLE_MAX_WANTED; k++) {
        t->column[k] = SIZE_MAX;
        for (size_t c = 0; t->spec.wanted[k] && c < t->n_columns; c++)
            if (strcmp(t->spec.wanted[k], t->spec.names[c]) == 0)
                t->column[k] = c;
    }
    return 0;
}

static int check_columns(const struct table *t, struct err *e)
{
    for (size_t k = 0; k < TABLE_MAX_WANTED; k++)
        if (has_named_columns(t) && t->spec.wanted[k] && t->column[k] == SIZE_MAX)
            return table_fault(t, e, "no column \"%s\": check the column names of the task",
                               t->spec.wanted[k]);
    return 0;
}

static int open_file(struct table *t, struct err *e)
{
    static const unsigned char bom[] = {0xEF, 0xBB, 0xBF};
    int rc = file_map_open(&t->map, t->spec.path, e);

    if (rc)
        return rc;
    if (t->map.len > TABLE_MAX_FILE)
        return err_set(e, ERR_DATA, "%s: above 4 GiB: split the file", t->spec.path);
    if (t->map.len >= sizeof bom && memcmp(t->map.bytes, bom, sizeof bom) == 0)
        t->at = sizeof bom;
    if (t->at == t->map.len)
        return err_set(e, ERR_DATA, "%s: the file is empty", t->spec.path);
    t->row = malloc(TABLE_MAX_ROW + 1);
    return t->row ? 0 : err_set(e, ERR_NOMEM, "%s: no memory for a row", t->spec.path);
}

int table_open(struct table *t, const struct table_spec *spec, struct err *e)
{
    *t = (struct table){.spec = *spec, .line = 1, .next_line = 1};
    int rc = open_file(t, e);

    if (!rc)
        rc = name_columns(t, e);
    if (!rc)
        rc = check_columns(t, e);
    if (rc)
        table_close(t);
    return rc;
}

void table_close(struct table *t)
{
    json_decref(t->json);
    free(t->row);
    file_map_close(&t->map);
    *t = (struct table){0};
}

int table_next(struct table *t, bool *more, struct err *e)
{
    bool skipped = true;
    int rc = 0;

    while (!rc && skipped && t->at < t->map.len) {
        t->line = t->next_line;
        if (t->spec.format == TABLE_JSONL)
            rc = table_json_row(t, &skipped, e);
        else
            rc = table_delimited_row(t, &skipped, e);
    }
    if (!rc)
        *more = !skipped;
    return rc;
}
