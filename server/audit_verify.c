#include "server/audit.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

/* What line n says about the one before: a changed line shows in the next one, a missing one in its
 * number. */
static int check_links(const char *path, uint64_t n, const json_t *record, const struct hash *prev,
                       struct err *e)
{
    char hex[HASH_HEX];
    json_int_t seq = json_integer_value(json_object_get(record, "seq"));
    const char *said = json_string_value(json_object_get(record, "prev"));
    if (seq < 1 || said == NULL)
        return err_set(e, ERR_DATA, "%s:%" PRIu64 ": line %" PRIu64 " is no record", path, n, n);
    if ((uint64_t)seq > n)
        return err_set(e, ERR_DATA,
                       "%s:%" PRIu64 ": here stands record %" JSON_INTEGER_FORMAT ": line %" PRIu64
                       " was removed, or moved",
                       path, n, seq, n);
    if ((uint64_t)seq < n)
        return err_set(e, ERR_DATA,
                       "%s:%" PRIu64 ": here stands record %" JSON_INTEGER_FORMAT
                       " again, or out of order, in place of line %" PRIu64,
                       path, n, seq, n);
    hash_hex(prev, hex);
    if (strcmp(said, hex) == 0)
        return 0;
    if (n == 1)
        return err_set(e, ERR_DATA, "%s:1: line 1 was changed: nothing comes before it", path);
    return err_set(e, ERR_DATA,
                   "%s:%" PRIu64 ": line %" PRIu64
                   " was changed: it does not have the SHA-256 that "
                   "line %" PRIu64 " gives for it",
                   path, n - 1, n - 1, n);
}

struct reader {
    const char *path;
    const struct hash *expect;
    void (*line)(void *ctx, const char *text, const json_t *record);
    void *ctx;
};

/* `text` without its newline. */
static int check_line(const struct reader *r, const char *text, struct audit_summary *sum,
                      struct err *e)
{
    json_t *record = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    int rc = check_links(r->path, sum->lines + 1, record, &sum->head, e);
    if (rc == 0) {
        sum->lines++;
        sum->head = hash_of(text, strlen(text));
        sum->expected |= r->expect != NULL && hash_same(r->expect, &sum->head);
        if (r->line != NULL)
            r->line(r->ctx, text, record);
    }
    json_decref(record);
    return rc;
}

static int read_lines(const struct reader *r, FILE *in, struct audit_summary *sum, struct err *e)
{
    char text[AUDIT_MAX_LINE + 1];
    int rc = 0;
    while (rc == 0 && fgets(text, sizeof text, in) != NULL) {
        size_t len = strlen(text);
        if (len > 0 && text[len - 1] == '\n') {
            text[len - 1] = '\0';
            rc = check_line(r, text, sum, e);
        } else if (fgetc(in) == EOF) {
            sum->torn = len;
        } else {
            rc = err_set(e, ERR_DATA, "%s:%" PRIu64 ": line %" PRIu64 " is no record", r->path,
                         sum->lines + 1, sum->lines + 1);
        }
    }
    return rc != 0 || !ferror(in) ? rc : err_sys(e, ERR_IO, errno, "%s", r->path);
}

int audit_verify(const char *path, const struct hash *expect,
                 void (*line)(void *ctx, const char *text, const json_t *record), void *ctx,
                 struct audit_summary *out, struct err *e)
{
    const struct reader r = {path, expect, line, ctx};
    char hex[HASH_HEX];
    FILE *in = fopen(path, "re");
    *out = (struct audit_summary){0};
    if (in == NULL)
        return err_sys(e, ERR_IO, errno, "%s", path);
    int rc = 0;
    if (flock(fileno(in), LOCK_SH) != 0) /* nobody is in the middle of a line */
        rc = err_sys(e, ERR_IO, errno, "%s", path);
    if (rc == 0)
        rc = read_lines(&r, in, out, e);
    fclose(in);
    if (rc != 0 || expect == NULL || out->expected)
        return rc;
    hash_hex(expect, hex);
    return err_set(e, ERR_DATA, "%s: no line has the SHA-256 %s: lines were removed at the end",
                   path, hex);
}
