#include "server/sql.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <unistd.h>

enum { PATIENCE_MS = 5000 };

int sql_fail(const struct sql *s, const char *doing, struct err *e)
{
    int code = sqlite3_errcode(s->db) & 0xff;
    const char *what = sqlite3_errmsg(s->db);
    switch (code) {
    case SQLITE_FULL:
        return err_set(e, ERR_IO, "%s: %s: disk full: free some space; nothing stored was lost",
                       s->path, doing);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return err_set(e, ERR_IO,
                       "%s: %s: the file is damaged (%s); it was left as it is: put a backup in "
                       "its place, or move it away to "
                       "start a new run",
                       s->path, doing, what);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return err_set(e, ERR_STATE, "%s: %s: another process holds the database", s->path, doing);
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_CANTOPEN:
        return err_set(e, ERR_IO,
                       "%s: %s: %s: check that the folder exists and belongs to this user", s->path,
                       doing, what);
    case SQLITE_NOMEM:
        return err_set(e, ERR_NOMEM, "%s: %s: out of memory", s->path, doing);
    case SQLITE_IOERR:
        if (access(s->path, W_OK) != 0 && errno == EROFS)
            return err_set(e, ERR_IO,
                           "%s: %s: the file system has become read-only: see what the kernel says "
                           "of its disk, and "
                           "mount it again; nothing stored was lost",
                           s->path, doing);
        return err_set(e, ERR_IO, "%s: %s: %s", s->path, doing, what);
    default:
        return err_set(e, ERR_IO, "%s: %s: %s", s->path, doing, what);
    }
}

/* SQLite would create the file readable by everybody. Only a file that is new is opened here: to
 * close one that SQLite has open would drop its locks (POSIX advisory locks belong to the process),
 * and another process could then remove the write-ahead log under our feet. */
static int create(const char *path, struct err *e)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno == EEXIST ? 0 : err_sys(e, ERR_IO, errno, "%s", path);
    close(fd);
    return 0;
}

int sql_open(struct sql *s, const char *path, bool write, struct err *e)
{
    int rc;
    *s = (struct sql){.path = path};
    if (write && (rc = create(path, e)) != 0)
        return rc;
    int flags = (write ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY) | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(path, &s->db, flags, NULL) != SQLITE_OK) {
        rc = sql_fail(s, "opening", e);
    } else {
        sqlite3_busy_timeout(s->db, PATIENCE_MS);
        rc = sql_script(
            s, "opening",
            write ? "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON"
                  : "PRAGMA query_only = ON",
            e);
    }
    if (rc != 0)
        sql_close(s);
    return rc;
}

void sql_close(struct sql *s)
{
    sqlite3_close(s->db);
    s->db = NULL;
}

int sql_script(const struct sql *s, const char *doing, const char *text, struct err *e)
{
    return sqlite3_exec(s->db, text, NULL, NULL, NULL) == SQLITE_OK ? 0 : sql_fail(s, doing, e);
}

static int bind(sqlite3_stmt *st, const char *types, va_list args)
{
    int rc = SQLITE_OK;
    for (int i = 1; types[i - 1] != '\0' && rc == SQLITE_OK; i++) {
        if (types[i - 1] == 'i') {
            rc = sqlite3_bind_int64(st, i, va_arg(args, int64_t));
        } else if (types[i - 1] == 'd') {
            rc = sqlite3_bind_double(st, i, va_arg(args, double));
        } else if (types[i - 1] == 't') {
            rc = sqlite3_bind_text(st, i, va_arg(args, const char *), -1, SQLITE_STATIC);
        } else {
            const void *bytes = va_arg(args, const void *);
            rc = sqlite3_bind_blob64(st, i, bytes, va_arg(args, size_t), SQLITE_STATIC);
        }
    }
    return rc;
}

static sqlite3_stmt *prepare(const struct sql *s, const char *text, const char *types, va_list args)
{
    sqlite3_stmt *st = NULL;
    if (sqlite3_prepare_v2(s->db, text, -1, &st, NULL) != SQLITE_OK)
        return NULL;
    if (bind(st, types, args) != SQLITE_OK) {
        sqlite3_finalize(st);
        return NULL;
    }
    return st;
}

sqlite3_stmt *sql_prepare(const struct sql *s, const char *text, const char *types, ...)
{
    va_list args;
    va_start(args, types);
    sqlite3_stmt *st = prepare(s, text, types, args);
    va_end(args);
    return st;
}

int sql_run(const struct sql *s, const char *doing, struct err *e, const char *text,
            const char *types, ...)
{
    va_list args;
    va_start(args, types);
    sqlite3_stmt *st = prepare(s, text, types, args);
    va_end(args);
    int rc = 0;
    if (st == NULL || sqlite3_step(st) != SQLITE_DONE)
        rc = sql_fail(s, doing, e);
    sqlite3_finalize(st);
    return rc;
}

int sql_number(const struct sql *s, const char *doing, const char *text, int64_t fallback,
               int64_t *out, struct err *e)
{
    int rc = 0;
    sqlite3_stmt *st = sql_prepare(s, text, "");
    int step = st != NULL ? sqlite3_step(st) : SQLITE_ERROR;
    if (step == SQLITE_ROW)
        *out = sqlite3_column_type(st, 0) == SQLITE_NULL ? fallback : sqlite3_column_int64(st, 0);
    else if (step == SQLITE_DONE)
        *out = fallback;
    else
        rc = sql_fail(s, doing, e);
    sqlite3_finalize(st);
    return rc;
}
