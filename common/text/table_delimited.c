/* TSV and CSV rows. */
#include "text/table.h"

#include <string.h>

/* A walk over the fields of one row. */
struct cursor {
    struct table *t;
    size_t used; /* bytes of t->row */
    const char *field;
    bool last; /* `field` ends the row */
};

static bool at_line_end(const struct table *t)
{
    const unsigned char *p = t->map.bytes + t->at;
    size_t left = t->map.len - t->at;

    return left == 0 || p[0] == '\n' || (p[0] == '\r' && left > 1 && p[1] == '\n');
}

static void skip_line_end(struct table *t)
{
    if (t->at == t->map.len)
        return;
    t->at += t->map.bytes[t->at] == '\r' ? 2 : 1;
    t->next_line++;
}

static int put(struct cursor *c, unsigned char byte, struct err *e)
{
    if (c->used == TABLE_MAX_ROW)
        return table_fault(c->t, e, "row of more than %d bytes", TABLE_MAX_ROW);
    c->t->row[c->used++] = (char)byte;
    return 0;
}

static int put_text(struct cursor *c, unsigned char byte, struct err *e)
{
    if (byte == 0)
        return table_fault(c->t, e, "NUL byte: is this a text file?");
    return put(c, byte, e);
}

/* After the opening quote, up to and with the closing one. */
static int quoted(struct cursor *c, struct err *e)
{
    struct table *t = c->t;
    int rc = 0;

    while (!rc && t->at < t->map.len) {
        unsigned char byte = t->map.bytes[t->at++];
        if (byte == '"') {
            if (t->at == t->map.len || t->map.bytes[t->at] != '"')
                return 0;
            t->at++;
        }
        t->next_line += byte == '\n';
        rc = put_text(c, byte, e);
    }
    return rc ? rc : table_fault(t, e, "a quoted field does not end: double the quotes inside");
}

static int next_field(struct cursor *c, struct err *e)
{
    struct table *t = c->t;
    char separator = t->spec.format == TABLE_CSV ? ',' : '\t';
    size_t start = c->used;
    int rc = 0;

    if (t->spec.format == TABLE_CSV && t->at < t->map.len && t->map.bytes[t->at] == '"') {
        t->at++;
        rc = quoted(c, e);
        if (!rc && !at_line_end(t) && t->map.bytes[t->at] != separator)
            rc = table_fault(t, e, "text after a quoted field");
    }
    while (!rc && !at_line_end(t) && t->map.bytes[t->at] != separator)
        rc = put_text(c, t->map.bytes[t->at++], e);
    if (!rc)
        rc = put(c, 0, e);
    if (rc)
        return rc;
    c->field = t->row + start;
    c->last = at_line_end(t);
    if (c->last)
        skip_line_end(t);
    else
        t->at++;
    return 0;
}

int table_delimited_header(struct table *t, struct err *e)
{
    struct cursor c = {.t = t};

    for (size_t k = 0; k < TABLE_MAX_WANTED; k++)
        t->column[k] = SIZE_MAX;
    while (!c.last) {
        int rc = next_field(&c, e);
        if (rc)
            return rc;
        for (size_t k = 0; k < TABLE_MAX_WANTED; k++)
            if (t->spec.wanted[k] && strcmp(t->spec.wanted[k], c.field) == 0)
                t->column[k] = t->n_columns;
        t->n_columns++;
    }
    return 0;
}

int table_delimited_row(struct table *t, bool *skipped, struct err *e)
{
    struct cursor c = {.t = t};
    size_t n = 0;

    *skipped = at_line_end(t);
    if (*skipped) {
        skip_line_end(t);
        return 0;
    }
    for (; !c.last; n++) {
        int rc = next_field(&c, e);
        if (rc)
            return rc;
        for (size_t k = 0; k < TABLE_MAX_WANTED; k++)
            if (t->spec.wanted[k] && t->column[k] == n)
                t->field[k] = c.field;
    }
    *skipped = n < t->n_columns && t->spec.skip_short_rows;
    if (n != t->n_columns && !*skipped)
        return table_fault(t, e, "%zu columns where %zu are expected", n, t->n_columns);
    return 0;
}
