#include "net/fileset.h"

#include "base/buf.h"
#include "base/file.h"
#include "net/openssl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { JOURNAL_MAX = 1 << 20, JOURNAL_MODE = 0600 };

static const char magic[] = "fedpet fileset 1\n";

int fileset_init(struct fileset *s, const char *const *path, const mode_t *mode, size_t n,
                 struct err *e)
{
    struct fileset set = {.n = n};
    for (size_t i = 0; i < n; i++) {
        set.file[i].path = path[i];
        set.file[i].mode = mode[i];
    }
    if (snprintf(set.journal, sizeof set.journal, "%s.next", path[0]) >= (int)sizeof set.journal)
        return err_set(e, ERR_IO, "%s: the name is too long", path[0]);
    *s = set;
    return 0;
}

/* "PLACE LENGTH\n" and so many bytes, for each file that changes. */
static int write_journal(const struct fileset *s, const char *const *text, struct err *e)
{
    struct buf b;
    buf_init(&b, JOURNAL_MAX);
    int rc = buf_printf(&b, "%s", magic);
    for (size_t i = 0; i < s->n && !rc; i++)
        if (text[i])
            rc = buf_printf(&b, "%zu %zu\n%s", i, strlen(text[i]), text[i]);
    if (rc)
        err_set(e, rc, "no memory for the new contents of %s", s->file[0].path);
    else
        rc = file_write(s->journal, buf_bytes(&b), buf_size(&b), JOURNAL_MODE, e);
    if (b.cap)
        OPENSSL_cleanse(b.data, b.cap);
    buf_release(&b);
    return rc;
}

static int broken(const struct fileset *s, struct err *e)
{
    return err_set(e, ERR_IO, "%s: not what was left of an interrupted replacement; remove it",
                   s->journal);
}

/* Carries out a journal of `len` bytes, NUL-terminated. */
static int redo(const struct fileset *s, const char *at, size_t len, struct err *e)
{
    const char *end = at + len;
    int rc = 0;
    if (strncmp(at, magic, sizeof magic - 1) != 0)
        return broken(s, e);
    at += sizeof magic - 1;
    while (at < end && !rc) {
        size_t i, n;
        int head = 0;
        if (sscanf(at, "%zu %zu%n", &i, &n, &head) != 2 || at[head] != '\n' || i >= s->n ||
            n > (size_t)(end - at - head - 1))
            return broken(s, e);
        at += head + 1;
        rc = file_write(s->file[i].path, at, n, s->file[i].mode, e);
        at += n;
    }
    return rc;
}

int fileset_recover(const struct fileset *s, struct err *e)
{
    char *text;
    size_t len;
    if (!file_exists(s->journal))
        return 0;
    int rc = file_read(s->journal, JOURNAL_MAX, &text, &len, e);
    if (rc)
        return rc;
    rc = redo(s, text, len, e);
    OPENSSL_cleanse(text, len);
    free(text);
    if (!rc && unlink(s->journal) != 0 && errno != ENOENT)
        rc = err_sys(e, ERR_IO, errno, "%s", s->journal);
    return rc;
}

int fileset_replace(const struct fileset *s, const char *const *text, struct err *e)
{
    int rc = write_journal(s, text, e);
    return rc ? rc : fileset_recover(s, e);
}
