/* SQLite with errors that a person can act on, and statements bound in one call. */
#ifndef SERVER_SQL_H
#define SERVER_SQL_H

#include "base/err.h"
#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sql {
    sqlite3 *db;
    const char *path; /* for messages; borrowed */
};

/* Opens a database file, created with mode 0600 when `write` and it is not there: write-ahead log,
 * full fsync on commit, foreign keys, 5 s patience with another connection's lock. ERR_IO. */
int sql_open(struct sql *s, const char *path, bool write, struct err *e) MUST_CHECK;
void sql_close(struct sql *s);

/* The error of the last call on the database: disk full, damaged, locked, not writable, each with
 * its remedy. `doing`: "storing round 3". */
int sql_fail(const struct sql *s, const char *doing, struct err *e);

/* Runs statements without parameters or results, separated by ';'. */
int sql_script(const struct sql *s, const char *doing, const char *text, struct err *e) MUST_CHECK;

/* A statement with its parameters bound by `types`, one letter a parameter: i int64_t, d double, t
 * const char * (NULL allowed), b const void * and size_t. Texts and blobs are borrowed until it is
 * finished with. NULL on failure, for sql_fail. */
sqlite3_stmt *sql_prepare(const struct sql *s, const char *text, const char *types, ...) MUST_CHECK;
/* The same, run to its end, for statements without results. */
int sql_run(const struct sql *s, const char *doing, struct err *e, const char *text,
            const char *types, ...) MUST_CHECK;

/* A single integer, as of "PRAGMA user_version" or "SELECT count(*) ..."; fallback when there is no
 * row or it is NULL. */
int sql_number(const struct sql *s, const char *doing, const char *text, int64_t fallback,
               int64_t *out, struct err *e) MUST_CHECK;

#endif
