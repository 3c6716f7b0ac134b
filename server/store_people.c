#include "server/store_state.h"
#include <stdlib.h>
#include <string.h>

int store_token(struct store *s, const struct hash *digest, const char *client, int64_t now,
                int64_t expires, struct err *e)
{
    return sql_run(&s->sql, "storing a token", e,
                   "INSERT INTO token(digest, client, created, expires) VALUES(?, ?, ?, ?)", "btii",
                   digest->byte, (size_t)HASH_BYTES, client, now, expires);
}

int store_token_check(struct store *s, const struct hash *digest, int64_t now, char **client,
                      struct err *e)
{
    sqlite3_stmt *st =
        sql_prepare(&s->sql, "SELECT client, expires, used FROM token WHERE digest = ?", "b",
                    digest->byte, (size_t)HASH_BYTES);
    int step = st != NULL ? sqlite3_step(st) : SQLITE_ERROR, rc = 0;
    char *name = NULL;
    if (step == SQLITE_DONE) {
        rc = err_set(e, ERR_REFUSED, "the server does not know this token");
    } else if (step != SQLITE_ROW) {
        rc = sql_fail(&s->sql, "reading a token", e);
    } else if (sqlite3_column_type(st, 2) != SQLITE_NULL) {
        rc = err_set(e, ERR_REFUSED, "this token has been used: ask for another one");
    } else if (sqlite3_column_int64(st, 1) <= now) {
        rc = err_set(e, ERR_REFUSED, "this token has expired: ask for another one");
    } else if (sqlite3_column_type(st, 0) != SQLITE_NULL) {
        name = strdup((const char *)sqlite3_column_text(st, 0));
        if (name == NULL)
            rc = err_set(e, ERR_NOMEM, "out of memory");
    }
    sqlite3_finalize(st);
    if (rc == 0)
        *client = name;
    return rc;
}

/* Enters the client. Without the right to replace, a name that exists is refused. */
static int put_client(struct store *s, const char *client, const struct hash *fingerprint,
                      int64_t now, bool replace, struct err *e)
{
    int rc = sql_run(
        &s->sql, "enrolling a client", e,
        replace ? "INSERT OR REPLACE INTO client(name, fingerprint, enrolled) VALUES(?, ?, ?)"
                : "INSERT OR IGNORE INTO client(name, fingerprint, enrolled) VALUES(?, ?, ?)",
        "tbi", client, fingerprint->byte, (size_t)HASH_BYTES, now);
    if (rc == 0 && sqlite3_changes(s->sql.db) == 0)
        rc =
            err_set(e, ERR_REFUSED,
                    "the name %s is taken: choose another, or ask for a token made for it", client);
    return rc;
}

int store_enroll(struct store *s, const struct hash *digest, const char *client,
                 const struct hash *fingerprint, int64_t now, struct err *e)
{
    char *bound = NULL;
    int rc = sql_script(&s->sql, "enrolling a client", "BEGIN IMMEDIATE", e);
    if (rc == 0)
        rc = store_token_check(s, digest, now, &bound, e);
    if (rc == 0 && bound != NULL && strcmp(bound, client) != 0)
        rc = err_set(e, ERR_REFUSED, "this token is for another client");
    if (rc == 0)
        rc = put_client(s, client, fingerprint, now, bound != NULL, e);
    if (rc == 0)
        rc = sql_run(&s->sql, "enrolling a client", e,
                     "UPDATE token SET used = ?, used_by = ? WHERE digest = ?", "itb", now, client,
                     digest->byte, (size_t)HASH_BYTES);
    if (rc == 0)
        rc = sql_script(&s->sql, "enrolling a client", "COMMIT", e);
    if (rc != 0)
        store_rollback(s);
    free(bound);
    return rc;
}

int store_revoked(struct store *s, const char *client, bool *revoked, struct err *e)
{
    sqlite3_stmt *st =
        sql_prepare(&s->sql, "SELECT revoked FROM client WHERE name = ?", "t", client);
    int step = st != NULL ? sqlite3_step(st) : SQLITE_ERROR;
    int rc = step == SQLITE_ROW || step == SQLITE_DONE ? 0 : sql_fail(&s->sql, "reading", e);
    if (rc == 0)
        *revoked = step == SQLITE_ROW && sqlite3_column_type(st, 0) != SQLITE_NULL;
    sqlite3_finalize(st);
    return rc;
}

static int revoke_all(struct store *s, const char *client, int64_t now, struct err *e)
{
    int rc = sql_run(&s->sql, "revoking a client", e,
                     "UPDATE client SET revoked = coalesce(revoked, ?) WHERE name = ?", "it", now,
                     client);
    int known = rc == 0 ? sqlite3_changes(s->sql.db) : 0;
    if (rc == 0)
        rc = sql_run(&s->sql, "revoking a client", e,
                     "UPDATE certificate SET revoked = coalesce(revoked, ?) WHERE client = ?", "it",
                     now, client);
    if (rc == 0 && known + sqlite3_changes(s->sql.db) == 0)
        rc = err_set(e, ERR_USAGE, "no client is called %s", client);
    return rc;
}

int store_revoke(struct store *s, const char *client, int64_t now, struct err *e)
{
    int rc = sql_script(&s->sql, "revoking a client", "BEGIN IMMEDIATE", e);
    if (rc == 0)
        rc = revoke_all(s, client, now, e);
    if (rc == 0)
        rc = sql_script(&s->sql, "revoking a client", "COMMIT", e);
    if (rc != 0)
        store_rollback(s);
    return rc;
}

int store_revoke_serial(struct store *s, const char *serial, int64_t now, struct err *e)
{
    int rc = sql_run(&s->sql, "revoking a certificate", e,
                     "UPDATE certificate SET revoked = coalesce(revoked, ?) WHERE serial = ?", "it",
                     now, serial);
    if (rc == 0 && sqlite3_changes(s->sql.db) == 0)
        rc = err_set(e, ERR_USAGE, "no certificate has the serial number %s", serial);
    return rc;
}

/* --- certificates --- */

int store_certificate(struct store *s, const struct store_certificate *c, struct err *e)
{
    return sql_run(
        &s->sql, "entering a certificate", e,
        "INSERT INTO certificate(serial, client, issuer, given, expires) VALUES(?, ?, ?, ?, ?)",
        "ttbii", c->serial, c->client, c->issuer.byte, (size_t)HASH_BYTES, c->given, c->expires);
}

int store_supersede(struct store *s, const char *client, const char *serial, int64_t now, bool *any,
                    struct err *e)
{
    int rc = sql_run(&s->sql, "revoking certificates", e,
                     "UPDATE certificate SET revoked = ? WHERE client = ? AND serial <> ? AND "
                     "revoked IS NULL",
                     "itt", now, client, serial);
    if (rc == 0)
        *any = sqlite3_changes(s->sql.db) > 0;
    return rc;
}

static bool read_certificate(sqlite3_stmt *st, struct store_certificate *c)
{
    *c = (struct store_certificate){
        .client = (const char *)sqlite3_column_text(st, 1),
        .given = sqlite3_column_int64(st, 3),
        .expires = sqlite3_column_int64(st, 4),
        .revoked = sqlite3_column_int64(st, 5),
    };
    const char *serial = (const char *)sqlite3_column_text(st, 0);
    if (serial == NULL || c->client == NULL || !identity_serial_ok(serial))
        return false;
    memcpy(c->serial, serial, strlen(serial) + 1);
    return store_hash(st, 2, &c->issuer);
}

int store_certificates(struct store *s, int64_t now,
                       int (*row)(void *ctx, const struct store_certificate *c), void *ctx,
                       struct err *e)
{
    sqlite3_stmt *st = sql_prepare(&s->sql,
                                   "SELECT serial, client, issuer, given, expires, "
                                   "coalesce(revoked, 0) FROM certificate WHERE expires > ? "
                                   "ORDER BY client, given, serial",
                                   "i", now);
    int step = st != NULL ? sqlite3_step(st) : SQLITE_ERROR, rc = 0;
    for (; rc == 0 && step == SQLITE_ROW; step = rc == 0 ? sqlite3_step(st) : step) {
        struct store_certificate c;
        rc = read_certificate(st, &c)
                 ? row(ctx, &c)
                 : err_set(e, ERR_IO, "%s: the row of a certificate is damaged", s->path);
    }
    if (rc == 0 && step != SQLITE_DONE)
        rc = sql_fail(&s->sql, "reading certificates", e);
    sqlite3_finalize(st);
    return rc;
}
