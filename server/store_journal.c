#include "server/store_state.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char storing[] = "storing an update";

/* --- writing --- */

int store_put_roster(struct store *s, const char *const *client, size_t n, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = sql_run(&s->sql, "storing the clients", e, "INSERT OR IGNORE INTO roster VALUES(?)",
                     "t", client[i]);
    return rc;
}

/* Forgets the round's former attempt and what came in it. */
static int put_attempt(struct store *s, const struct core_attempt *a, struct err *e)
{
    static const char doing[] = "storing a selection";
    static const char *const tables[] = {"DELETE FROM journal WHERE round = ?",
                                         "DELETE FROM journal_metric WHERE round = ?",
                                         "DELETE FROM selected WHERE round = ?"};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof tables / sizeof *tables; i++)
        rc = sql_run(&s->sql, doing, e, tables[i], "i", (int64_t)a->round);
    if (rc == 0)
        rc = sql_run(&s->sql, doing, e, "INSERT OR REPLACE INTO attempt VALUES(?, ?)", "ii",
                     (int64_t)a->round, (int64_t)a->attempt);
    for (size_t i = 0; rc == 0 && i < a->n; i++)
        rc = sql_run(&s->sql, doing, e, "INSERT INTO selected VALUES(?, ?)", "it",
                     (int64_t)a->round, a->client[i]);
    return rc;
}

int store_attempt(struct store *s, const struct core_attempt *a, const char *const *client,
                  size_t n, struct err *e)
{
    int rc = sql_script(&s->sql, "storing a selection", "BEGIN IMMEDIATE", e);
    if (rc == 0)
        rc = put_attempt(s, a, e);
    if (rc == 0)
        rc = store_put_roster(s, client, n, e);
    if (rc == 0)
        rc = sql_script(&s->sql, "storing a selection", "COMMIT", e);
    if (rc != 0)
        store_rollback(s);
    return rc;
}

static int put_update(struct store *s, const struct core_update *k, struct err *e)
{
    const struct msg_update *u = k->update;
    int rc =
        sql_run(&s->sql, storing, e,
                "INSERT OR REPLACE INTO journal VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                "itiiiddiibbbi", (int64_t)k->round, k->client, (int64_t)k->attempt,
                (int64_t)u->samples, (int64_t)u->steps, u->train_loss, u->seconds,
                (int64_t)k->bytes_up, (int64_t)k->bytes_down, u->update_id.byte, (size_t)HASH_BYTES,
                u->params.data, u->params.len, u->control.data, u->control.len, (int64_t)u->coding);
    for (size_t i = 0; rc == 0 && i < u->n_metrics; i++)
        rc = sql_run(&s->sql, storing, e,
                     "INSERT OR REPLACE INTO journal_metric VALUES(?, ?, ?, ?, ?, ?)", "ititdi",
                     (int64_t)k->round, k->client, (int64_t)i, u->metric[i].name,
                     u->metric[i].value, (int64_t)u->metric[i].weight);
    return rc;
}

int store_updates(struct store *s, const struct core_update *const *update, size_t n, struct err *e)
{
    int rc = sql_script(&s->sql, storing, "BEGIN IMMEDIATE", e);
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = put_update(s, update[i], e);
    if (rc == 0)
        rc = sql_script(&s->sql, storing, "COMMIT", e);
    if (rc != 0)
        store_rollback(s);
    return rc;
}

/* --- what is kept --- */

void store_keep(struct store *s, uint32_t journal_rounds, uint32_t params_rounds)
{
    s->journal_rounds = journal_rounds;
    s->params_rounds = params_rounds;
}

int store_prune(struct store *s, uint32_t round, const struct best *best, struct err *e)
{
    static const char doing[] = "removing old rounds";
    /* Rounds up to the first of these have no journal any more. What the server carried is needed
     * from one round earlier: a replay begins with it. */
    static const char *const tables[] = {
        "DELETE FROM journal WHERE round <= ?", "DELETE FROM journal_metric WHERE round <= ?",
        "DELETE FROM selected WHERE round <= ?", "DELETE FROM attempt WHERE round <= ?",
        "DELETE FROM carried WHERE round < ?"};
    int64_t last = (int64_t)round - s->journal_rounds;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof tables / sizeof *tables; i++)
        rc = sql_run(&s->sql, doing, e, tables[i], "i", last);
    uint32_t keep = s->params_rounds;
    if (rc != 0 || keep == 0)
        return rc;
    if (keep <= s->journal_rounds) /* a replay begins with the round before */
        keep = s->journal_rounds + 1;
    return sql_run(&s->sql, doing, e,
                   "UPDATE round SET params = x'' WHERE number <= ? AND number <> ? AND "
                   "length(params) > 0",
                   "ii", (int64_t)round - keep, best->any ? (int64_t)best->round : -1);
}

int store_compact(struct store *s, struct err *e)
{
    static const char doing[] = "compacting";
    int64_t pages = 0, free_pages = 0;
    int rc = sql_number(&s->sql, doing, "PRAGMA page_count", 0, &pages, e);
    if (rc == 0)
        rc = sql_number(&s->sql, doing, "PRAGMA freelist_count", 0, &free_pages, e);
    if (rc == 0 && free_pages > pages / 2)
        rc = sql_script(&s->sql, doing, "VACUUM", e);
    return rc;
}

/* --- reading --- */

static int failed(struct store *s, sqlite3_stmt *st, int step, struct err *e)
{
    int rc = step == SQLITE_DONE || step == SQLITE_ROW ? 0 : sql_fail(&s->sql, "reading", e);
    sqlite3_finalize(st);
    return rc;
}

int store_selection(struct store *s, uint32_t round, struct store_selection *out, bool *found,
                    struct err *e)
{
    sqlite3_stmt *st =
        sql_prepare(&s->sql, "SELECT attempt FROM attempt WHERE round = ?", "i", (int64_t)round);
    int step = st != NULL ? sqlite3_step(st) : SQLITE_ERROR;
    bool any = step == SQLITE_ROW;
    uint32_t attempt = any ? (uint32_t)sqlite3_column_int64(st, 0) : 0;
    int rc = failed(s, st, step, e);
    char **name = NULL;
    size_t n = 0;
    char from[64];
    snprintf(from, sizeof from, "selected WHERE round = %" PRIu32, round);
    if (rc == 0 && any)
        rc = store_names(s, from, &name, &n, e);
    if (rc != 0)
        return rc;
    *found = any;
    if (any)
        *out = (struct store_selection){.attempt = {round, attempt, n, (const char *const *)name},
                                        .names = name};
    return 0;
}

/* The metrics of one update; their names live in `mem`. */
static int read_metrics(struct store *s, const char *client, struct msg_update *u,
                        struct arena *mem, struct err *e)
{
    sqlite3_stmt *st = sql_prepare(&s->sql,
                                   "SELECT name, value, weight FROM journal_metric WHERE round = ? "
                                   "AND client = ? ORDER BY number",
                                   "it", (int64_t)u->round, client);
    int step = SQLITE_ERROR;
    bool room = true;
    while (st != NULL && room && (step = sqlite3_step(st)) == SQLITE_ROW) {
        const unsigned char *name = sqlite3_column_text(st, 0);
        char *copy = name != NULL ? arena_strdup(mem, (const char *)name) : NULL;
        room = copy != NULL && u->n_metrics < MSG_MAX_METRICS;
        if (room)
            u->metric[u->n_metrics++] = (struct msg_metric){copy, sqlite3_column_double(st, 1),
                                                            (uint64_t)sqlite3_column_int64(st, 2)};
    }
    if (room)
        return failed(s, st, step, e);
    sqlite3_finalize(st);
    return err_set(e, ERR_NOMEM, "%s: no memory for the metrics of an update", s->path);
}

static struct msg_bytes blob(sqlite3_stmt *st, int column)
{
    const void *bytes = sqlite3_column_blob(st, column);
    return (struct msg_bytes){bytes, (size_t)sqlite3_column_bytes(st, column)};
}

/* `like` has what all updates of the round have in common. */
static int take_update(struct store *s, sqlite3_stmt *st, const struct msg_update *like,
                       store_update_row row, void *ctx, struct err *e)
{
    struct msg_update u = {
        .run_id = like->run_id,
        .schema = like->schema,
        .round = like->round,
        .samples = (uint64_t)sqlite3_column_int64(st, 2),
        .steps = (uint64_t)sqlite3_column_int64(st, 3),
        .train_loss = sqlite3_column_double(st, 4),
        .seconds = sqlite3_column_double(st, 5),
        .params = blob(st, 9),
        .control = blob(st, 10),
        .coding = (uint32_t)sqlite3_column_int64(st, 11),
    };
    struct core_update k = {
        .client = (const char *)sqlite3_column_text(st, 0),
        .round = like->round,
        .attempt = (uint32_t)sqlite3_column_int64(st, 1),
        .bytes_up = (uint64_t)sqlite3_column_int64(st, 6),
        .bytes_down = (uint64_t)sqlite3_column_int64(st, 7),
        .update = &u,
    };
    struct arena mem;
    if (k.client == NULL || !store_hash(st, 8, &u.update_id))
        return err_set(e, ERR_IO, "%s: an update of round %" PRIu32 " is damaged", s->path,
                       u.round + 1);
    arena_init(&mem, ARENA_NO_CAP);
    int rc = read_metrics(s, k.client, &u, &mem, e);
    if (rc == 0)
        rc = row(ctx, &k, e);
    arena_release(&mem);
    return rc;
}

int store_journal(struct store *s, const char *run_id, const struct hash *schema, uint32_t round,
                  store_update_row row, void *ctx, struct err *e)
{
    const struct msg_update like = {.run_id = run_id, .round = round, .schema = *schema};
    sqlite3_stmt *st =
        sql_prepare(&s->sql,
                    "SELECT client, attempt, samples, steps, train_loss, seconds, bytes_up, "
                    "bytes_down, update_id, params, control, coding FROM journal WHERE round = ? "
                    "ORDER BY client",
                    "i", (int64_t)round);
    int step = SQLITE_ERROR, rc = 0;
    while (st != NULL && rc == 0 && (step = sqlite3_step(st)) == SQLITE_ROW)
        rc = take_update(s, st, &like, row, ctx, e);
    if (rc == 0)
        return failed(s, st, step, e);
    sqlite3_finalize(st);
    return rc;
}
