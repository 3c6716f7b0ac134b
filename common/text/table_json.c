/* JSON lines. */
#include "text/table.h"

#include <stdio.h>
#include <string.h>

/* Room for the shortest decimal that reads back as the same double. */
enum { NUMBER_TEXT = 32 };

/* A wanted value as text: a string as it is, a number or truth value written into `number`. */
static const char *as_text(const json_t *value, char number[NUMBER_TEXT])
{
    if (json_is_string(value))
        return json_string_value(value);
    if (json_is_integer(value))
        snprintf(number, NUMBER_TEXT, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        snprintf(number, NUMBER_TEXT, "%.17g", json_real_value(value));
    else if (json_is_boolean(value))
        snprintf(number, NUMBER_TEXT, "%s", json_is_true(value) ? "true" : "false");
    else
        return NULL;
    return number;
}

static bool is_blank(const char *s, size_t len)
{
    return strspn(s, " \t\r\n") >= len;
}

/* Parses map[at..) up to the line end into t->json. */
static int parse_line(struct table *t, bool *blank, struct err *e)
{
    const char *line = (const char *)t->map.bytes + t->at;
    size_t left = t->map.len - t->at;
    const char *end = memchr(line, '\n', left);
    size_t len = end ? (size_t)(end - line) : left;

    t->at += len + (end != NULL);
    t->next_line += end != NULL;
    if (len > TABLE_MAX_ROW)
        return table_fault(t, e, "row of more than %d bytes", TABLE_MAX_ROW);
    memcpy(t->row, line, len);
    t->row[len] = 0;
    *blank = is_blank(t->row, len);
    if (*blank)
        return 0;
    json_error_t fault;
    json_decref(t->json);
    t->json = json_loadb(t->row, len, 0, &fault);
    if (!t->json)
        return table_fault(t, e, "column %d: broken JSON: %s", fault.column, fault.text);
    if (!json_is_object(t->json))
        return table_fault(t, e, "not a JSON object");
    return 0;
}

int table_json_row(struct table *t, bool *skipped, struct err *e)
{
    int rc = parse_line(t, skipped, e);

    if (rc || *skipped)
        return rc;
    for (size_t k = 0; k < TABLE_MAX_WANTED; k++) {
        if (!t->spec.wanted[k])
            continue;
        const json_t *value = json_object_get(t->json, t->spec.wanted[k]);
        /* The line has been parsed: its memory is free. */
        t->field[k] = as_text(value, t->row + k * NUMBER_TEXT);
        if (!t->field[k])
            return table_fault(t, e, "\"%s\" is %s", t->spec.wanted[k],
                               value ? "neither text nor number" : "missing");
    }
    return 0;
}
