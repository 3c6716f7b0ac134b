#include "text/corpus.h"

#include <stdint.h>
#include <string.h>

int corpus_unit_named(const char *name, enum corpus_unit *out, struct err *e)
{
    if (strcmp(name, "paragraph") == 0)
        *out = CORPUS_PARAGRAPHS;
    else if (strcmp(name, "line") == 0)
        *out = CORPUS_LINES;
    else
        return err_set(e, ERR_USAGE, "a document is a paragraph or a line, not \"%s\"", name);
    return 0;
}

static bool ends_with(const char *s, size_t len, const char *end)
{
    size_t n = strlen(end);

    return len > n && memcmp(s + len - n, end, n) == 0;
}

static bool is_jsonl(const char *path)
{
    static const char *const compressed[] = {".zst", ".gz", ".xz", ".bz2", ".lz4"};
    size_t len = strlen(path);

    for (size_t i = 0; i < sizeof compressed / sizeof *compressed; i++)
        if (ends_with(path, len, compressed[i])) {
            len -= strlen(compressed[i]);
            break;
        }
    return ends_with(path, len, ".jsonl");
}

static bool is_blank(const char *line)
{
    return line[strspn(line, " \t\v\f\r")] == '\0';
}

static int open_file(struct corpus *c, struct err *e)
{
    c->documents = 0;
    return lines_open(&c->lines, c->spec.path[c->file], e);
}

int corpus_open(struct corpus *c, const struct corpus_spec *spec, struct err *e)
{
    if (spec->n == 0)
        return err_set(e, ERR_USAGE, "no text: name one file or more");
    *c = (struct corpus){.spec = *spec};
    if (!c->spec.field)
        c->spec.field = "text";
    buf_init(&c->joined, CORPUS_MAX_DOCUMENT + 1);
    return open_file(c, e);
}

void corpus_close(struct corpus *c)
{
    lines_close(&c->lines);
    buf_release(&c->joined);
    json_decref(c->row);
    *c = (struct corpus){0};
}

/* The next line that is not blank; *more is false at the end of the file. */
static int skip_blank(struct corpus *c, bool *more, struct err *e)
{
    int rc;

    do {
        rc = lines_next(&c->lines, more, e);
    } while (!rc && *more && is_blank(c->lines.text));
    c->line = c->lines.number;
    return rc;
}

static int next_line(struct corpus *c, bool *more, struct err *e)
{
    int rc = skip_blank(c, more, e);

    c->text = c->lines.text;
    c->len = c->lines.len;
    return rc;
}

static int join(struct corpus *c, struct err *e)
{
    if (buf_size(&c->joined) + c->lines.len >= CORPUS_MAX_DOCUMENT)
        return lines_fault(&c->lines, e,
                           "a paragraph of more than %d MiB; take each line as a document",
                           CORPUS_MAX_DOCUMENT >> 20);
    if (buf_append(&c->joined, c->lines.text, c->lines.len) || buf_append(&c->joined, "\n", 1))
        return err_set(e, ERR_NOMEM, "%s: no memory for a paragraph", c->lines.path);
    return 0;
}

static int next_paragraph(struct corpus *c, bool *more, struct err *e)
{
    bool line;
    int rc = skip_blank(c, more, e);

    if (rc || !*more)
        return rc;
    buf_clear(&c->joined);
    do {
        rc = join(c, e);
        if (!rc)
            rc = lines_next(&c->lines, &line, e);
        if (rc)
            return rc;
    } while (line && !is_blank(c->lines.text));
    c->len = buf_size(&c->joined) - 1; /* without the last LF, which the NUL replaces */
    c->joined.data[c->joined.start + c->len] = '\0';
    c->text = (const char *)buf_bytes(&c->joined);
    return 0;
}

/* Rows with an empty text are left out. */
static int next_row(struct corpus *c, bool *more, struct err *e)
{
    do {
        json_error_t fault;
        int rc = skip_blank(c, more, e);
        if (rc || !*more)
            return rc;
        json_decref(c->row);
        c->row = json_loadb(c->lines.text, c->lines.len, 0, &fault);
        if (!c->row)
            return lines_fault(&c->lines, e, "%s", fault.text);
        const json_t *field = json_object_get(c->row, c->spec.field);
        if (!json_is_string(field))
            return lines_fault(&c->lines, e, "no text \"%s\"", c->spec.field);
        c->text = json_string_value(field);
        c->len = json_string_length(field);
    } while (c->len == 0);
    return 0;
}

static int next_in_file(struct corpus *c, bool *more, struct err *e)
{
    int rc = is_jsonl(c->lines.path)             ? next_row(c, more, e)
             : c->spec.unit == CORPUS_PARAGRAPHS ? next_paragraph(c, more, e)
                                                 : next_line(c, more, e);
    if (rc)
        return rc;
    c->documents += *more;
    if (c->documents == 0)
        return err_set(e, ERR_DATA, "%s: no text in it", c->lines.path);
    return 0;
}

int corpus_next(struct corpus *c, bool *more, struct err *e)
{
    for (;;) {
        int rc = next_in_file(c, more, e);
        if (rc || *more)
            return rc;
        lines_close(&c->lines);
        bool last = ++c->file == c->spec.n;
        if (last)
            c->file = 0;
        rc = open_file(c, e);
        if (rc || last)
            return rc;
    }
}
