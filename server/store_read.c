#include "server/store_state.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int finish(struct store *s, sqlite3_stmt *st, int step, struct err *e)
{
    int rc = step == SQLITE_DONE || step == SQLITE_ROW ? 0 : sql_fail(&s->sql, "reading", e);
    sqlite3_finalize(st);
    return rc;
}

/* How many names there are, and their bytes with each one's NUL. */
static int measure(struct store *s, const char *from, size_t *names, size_t *bytes, struct err *e)
{
    char text[160];
    int64_t rows = 0, sum = 0;
    snprintf(text, sizeof text, "SELECT count(*) FROM %s", from);
    int rc = sql_number(&s->sql, "reading", text, 0, &rows, e);
    snprintf(text, sizeof text, "SELECT sum(length(CAST(client AS BLOB)) + 1) FROM %s", from);
    if (rc == 0)
        rc = sql_number(&s->sql, "reading", text, 0, &sum, e);
    *names = (size_t)rows;
    *bytes = (size_t)sum;
    return rc;
}

int store_names(struct store *s, const char *from, char ***out, size_t *n, struct err *e)
{
    char query[128];
    size_t room = 0, bytes = 0, at = 0;
    int rc = measure(s, from, &room, &bytes, e);
    if (rc != 0)
        return rc;
    char **name = malloc(room * sizeof *name + bytes + 1);
    if (name == NULL)
        return err_set(e, ERR_NOMEM, "%s: no memory for %zu names", s->path, room);
    char *text = (char *)(name + room), *end = text + bytes;
    snprintf(query, sizeof query, "SELECT client FROM %s ORDER BY client", from);
    sqlite3_stmt *st = sql_prepare(&s->sql, query, "");
    int step = SQLITE_ERROR;
    while (st != NULL && (step = sqlite3_step(st)) == SQLITE_ROW && at < room) {
        size_t len = (size_t)sqlite3_column_bytes(st, 0) + 1;
        if (len > (size_t)(end - text))
            break;
        memcpy(text, sqlite3_column_text(st, 0), len);
        name[at++] = text;
        text += len;
    }
    rc = finish(s, st, step, e);
    if (rc != 0) {
        free(name);
        return rc;
    }
    *out = name;
    *n = at;
    return 0;
}

int store_roster(struct store *s, char ***out, size_t *n, struct err *e)
{
    return store_names(s, "roster", out, n, e);
}

int store_counted(struct store *s, uint32_t *counted, size_t n, struct err *e)
{
    sqlite3_stmt *st = sql_prepare(
        &s->sql,
        "SELECT ifnull(max(round) + 1, 0) FROM roster LEFT JOIN contribution USING(client)"
        " GROUP BY client ORDER BY client",
        "");
    int step = SQLITE_ERROR;
    for (size_t i = 0; st != NULL && (step = sqlite3_step(st)) == SQLITE_ROW && i < n; i++)
        counted[i] = (uint32_t)sqlite3_column_int64(st, 0);
    return finish(s, st, step, e);
}

int store_rounds(struct store *s, uint32_t from, int (*row)(void *ctx, const struct store_round *r),
                 void *ctx, struct err *e)
{
    sqlite3_stmt *st = sql_prepare(
        &s->sql,
        "SELECT number, attempt, selected, refused, round.samples, round.train_loss, round.seconds,"
        "  committed, hash, count(client), sum(bytes_up), sum(bytes_down)"
        " FROM round LEFT JOIN contribution ON number = contribution.round"
        " WHERE number >= ? GROUP BY number ORDER BY number",
        "i", (int64_t)from);
    int step = SQLITE_ERROR, stop = 0;
    while (st != NULL && stop == 0 && (step = sqlite3_step(st)) == SQLITE_ROW) {
        struct store_round r = {
            .round = (uint32_t)sqlite3_column_int64(st, 0),
            .attempt = (uint32_t)sqlite3_column_int64(st, 1),
            .selected = (uint32_t)sqlite3_column_int64(st, 2),
            .refused = (uint32_t)sqlite3_column_int64(st, 3),
            .samples = (uint64_t)sqlite3_column_int64(st, 4),
            .train_loss = sqlite3_column_double(st, 5),
            .seconds = sqlite3_column_double(st, 6),
            .committed = sqlite3_column_int64(st, 7),
            .updates = (uint32_t)sqlite3_column_int64(st, 9),
            .bytes_up = (uint64_t)sqlite3_column_int64(st, 10),
            .bytes_down = (uint64_t)sqlite3_column_int64(st, 11),
        };
        if (!store_hash(st, 8, &r.hash)) {
            sqlite3_finalize(st);
            return err_set(e, ERR_IO, "%s: the hash of round %u is damaged", s->path, r.round + 1);
        }
        stop = row(ctx, &r);
    }
    return finish(s, st, step, e);
}

int store_contributions(struct store *s, uint32_t round,
                        int (*row)(void *ctx, const struct core_contribution *c), void *ctx,
                        struct err *e)
{
    sqlite3_stmt *st = sql_prepare(
        &s->sql,
        "SELECT client, samples, steps, train_loss, seconds, bytes_up, bytes_down, update_id"
        " FROM contribution WHERE round = ? ORDER BY client",
        "i", (int64_t)round);
    int step = SQLITE_ERROR, stop = 0;
    while (st != NULL && stop == 0 && (step = sqlite3_step(st)) == SQLITE_ROW) {
        struct core_contribution c = {
            .client = (const char *)sqlite3_column_text(st, 0),
            .samples = (uint64_t)sqlite3_column_int64(st, 1),
            .steps = (uint64_t)sqlite3_column_int64(st, 2),
            .train_loss = sqlite3_column_double(st, 3),
            .seconds = sqlite3_column_double(st, 4),
            .bytes_up = (uint64_t)sqlite3_column_int64(st, 5),
            .bytes_down = (uint64_t)sqlite3_column_int64(st, 6),
        };
        if (!store_hash(st, 7, &c.update_id)) {
            sqlite3_finalize(st);
            return err_set(e, ERR_IO, "%s: a contribution to round %u is damaged", s->path,
                           round + 1);
        }
        stop = row(ctx, &c);
    }
    return finish(s, st, step, e);
}

int store_metrics(struct store *s, uint32_t round,
                  int (*row)(void *ctx, const struct msg_metric *m), void *ctx, struct err *e)
{
    sqlite3_stmt *st =
        sql_prepare(&s->sql, "SELECT name, value, weight FROM metric WHERE round = ? ORDER BY name",
                    "i", (int64_t)round);
    int step = SQLITE_ERROR, stop = 0;
    while (st != NULL && stop == 0 && (step = sqlite3_step(st)) == SQLITE_ROW) {
        struct msg_metric m = {
            .name = (const char *)sqlite3_column_text(st, 0),
            .value = sqlite3_column_double(st, 1),
            .weight = (uint64_t)sqlite3_column_int64(st, 2),
        };
        stop = row(ctx, &m);
    }
    return finish(s, st, step, e);
}
