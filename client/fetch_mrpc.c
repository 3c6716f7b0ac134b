#include "client/fetch_mrpc.h"
#include "base/buf.h"
#include "base/file.h"
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BYTES = 16 << 20, COLUMNS = 5, FILE_MODE = 0644 };

/* A row's columns; each points at its text, which ends at the next tab or the line's end. */
struct row {
    const char *column[COLUMNS];
    size_t len[COLUMNS];
};

struct writer {
    const char *ids;         /* "\nID1\tID2\n...", train file only */
    struct buf *train, *dev; /* dev NULL: test file */
};

static int split_row(const char *line, size_t len, struct row *out)
{
    for (int c = 0; c < COLUMNS; c++) {
        const char *tab = memchr(line, '\t', len);
        if ((tab == NULL) != (c == COLUMNS - 1))
            return ERR_DATA;
        out->column[c] = line;
        out->len[c] = tab ? (size_t)(tab - line) : len;
        len -= out->len[c] + (tab ? 1 : 0);
        line += out->len[c] + 1;
    }
    return 0;
}

static bool is_dev(const char *ids, const struct row *r)
{
    char needle[64];
    int n = snprintf(needle, sizeof needle, "\n%.*s\t%.*s\n", (int)r->len[1], r->column[1],
                     (int)r->len[2], r->column[2]);
    return n < (int)sizeof needle && strstr(ids, needle) != NULL;
}

static int put_line(struct buf *to, const char *line, size_t len)
{
    return buf_append(to, line, len) || buf_append(to, "\n", 1);
}

/* One line of a file; `index` counts from 0, the header. */
static int put_row(const struct writer *w, const char *line, size_t len, size_t index)
{
    struct row r;
    if (split_row(line, len, &r) != 0)
        return ERR_DATA;
    if (w->dev && index == 0)
        return put_line(w->train, line, len) || put_line(w->dev, line, len) ? ERR_NOMEM : 0;
    if (w->dev)
        return put_line(is_dev(w->ids, &r) ? w->dev : w->train, line, len) ? ERR_NOMEM : 0;
    int rc =
        index == 0 ? buf_printf(w->train, "index\t") : buf_printf(w->train, "%zu\t", index - 1);
    return rc || put_line(w->train, r.column[1], len - r.len[0] - 1) ? ERR_NOMEM : 0;
}

static int put_file(const struct writer *w, const char *path, struct err *e)
{
    char *text;
    size_t number = 0;
    int rc = file_read(path, MOST_BYTES, &text, NULL, e);
    if (rc)
        return rc;
    const char *line = strncmp(text, "\xef\xbb\xbf", 3) == 0 ? text + 3 : text;
    while (!rc && *line) {
        size_t len = strcspn(line, "\n"), shown = len - (len > 0 && line[len - 1] == '\r');
        rc = put_row(w, line, shown, number++);
        line += len + (line[len] == '\n');
    }
    free(text);
    if (rc == ERR_NOMEM)
        return err_set(e, rc, "%s: no memory", path);
    if (rc || number < 2)
        return err_set(e, ERR_DATA, "%s:%zu: a pair has five columns", path, rc ? number : 1);
    return 0;
}

/* The list of ids as one text in which a pair can be searched for. */
static int read_ids(const char *path, char **out, struct err *e)
{
    char *text;
    size_t len, n = 1;
    int rc = file_read(path, MOST_BYTES, &text, &len, e);
    if (rc)
        return rc;
    char *ids = malloc(len + 3);
    if (ids) {
        ids[0] = '\n';
        for (size_t i = 0; i < len; i++)
            if (text[i] != '\r')
                ids[n++] = text[i];
        ids[n++] = '\n';
        ids[n] = '\0';
    }
    free(text);
    *out = ids;
    return ids ? 0 : err_set(e, ERR_NOMEM, "%s: no memory", path);
}

static int save(const struct buf *b, const char *dir, const char *name, struct err *e)
{
    char path[PATH_MAX];
    int rc = file_join(path, sizeof path, dir, name, e);
    return rc ? rc : file_write(path, buf_bytes(b), buf_size(b), FILE_MODE, e);
}

int fetch_mrpc_split(const char *train, const char *test, const char *dev_ids, const char *dir,
                     struct err *e)
{
    struct buf out[3];
    char *ids = NULL;
    for (int i = 0; i < 3; i++)
        buf_init(&out[i], MOST_BYTES);
    int rc = read_ids(dev_ids, &ids, e);
    if (!rc)
        rc = put_file(&(struct writer){ids, &out[0], &out[1]}, train, e);
    if (!rc)
        rc = put_file(&(struct writer){NULL, &out[2], NULL}, test, e);
    if (!rc)
        rc = save(&out[1], dir, "dev.tsv", e);
    if (!rc)
        rc = save(&out[2], dir, "test.tsv", e);
    if (!rc)
        rc = save(&out[0], dir, "train.tsv", e);
    for (int i = 0; i < 3; i++)
        buf_release(&out[i]);
    free(ids);
    return rc;
}
