#include "sim/deb822.h"

#include <string.h>
#include <strings.h>

int deb822_open(struct deb822 *d, const char *path, const char *const *field, struct err *e)
{
    *d = (struct deb822){.field = field};
    buf_init(&d->text, DEB822_MAX_VALUE);
    return lines_open(&d->lines, path, e);
}

void deb822_close(struct deb822 *d)
{
    lines_close(&d->lines);
    buf_release(&d->text);
}

const char *deb822_value(const struct deb822 *d, size_t i)
{
    return d->at[i] ? (const char *)buf_bytes(&d->text) + d->at[i] - 1 : NULL;
}

static bool is_blank(const char *line)
{
    return line[strspn(line, " \t")] == '\0';
}

/* Appends text and its NUL. */
static int append(struct deb822 *d, const char *text, struct err *e)
{
    if (buf_append(&d->text, text, strlen(text) + 1))
        return lines_fault(&d->lines, e, "a stanza of more than %d KiB", DEB822_MAX_VALUE >> 10);
    return 0;
}

/* Adds the present line to the value that was appended last. */
static int continue_value(struct deb822 *d, struct err *e)
{
    const char *line = d->lines.text + 1;

    d->text.data[d->text.len - 1] = '\n';
    return append(d, strcmp(line, ".") == 0 ? "" : line, e);
}

/* Reads "Name: value". *reading: the field is one of those asked for, and what continues it is to
 * be read, too. */
static int read_field(struct deb822 *d, bool *reading, struct err *e)
{
    const char *line = d->lines.text, *colon = strchr(line, ':');
    size_t i = 0;

    if (!colon || colon == line)
        return lines_fault(&d->lines, e, "no field; is this a package list?");
    size_t len = (size_t)(colon - line);
    while (d->field[i] && (strlen(d->field[i]) != len || strncasecmp(d->field[i], line, len) != 0))
        i++;
    *reading = d->field[i] != NULL;
    if (!*reading)
        return 0;
    d->at[i] = buf_size(&d->text) + 1;
    return append(d, colon + 1 + strspn(colon + 1, " \t"), e);
}

static int read_line(struct deb822 *d, bool *reading, struct err *e)
{
    char first = d->lines.text[0];

    if (first == '#')
        return 0;
    if (first != ' ' && first != '\t')
        return read_field(d, reading, e);
    return *reading ? continue_value(d, e) : 0;
}

int deb822_next(struct deb822 *d, bool *more, struct err *e)
{
    bool line, reading = false;
    int rc;

    buf_clear(&d->text);
    memset(d->at, 0, sizeof d->at);
    do {
        rc = lines_next(&d->lines, &line, e);
    } while (!rc && line && is_blank(d->lines.text));
    *more = line;
    while (!rc && line && !is_blank(d->lines.text)) {
        rc = read_line(d, &reading, e);
        if (!rc)
            rc = lines_next(&d->lines, &line, e);
    }
    return rc;
}
