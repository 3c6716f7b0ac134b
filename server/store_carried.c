#include "server/store_state.h"
#include <stdio.h>
#include <string.h>

/* Values a row: far below SQLite's limit of 10^9 bytes a blob, whatever the model. */
enum { PART = 1 << 20 };

static size_t part_length(size_t n, size_t part)
{
    size_t rest = n - part * PART;
    return rest < PART ? rest : PART;
}

static int put_best(struct store *s, const struct core_commit *c, struct err *e)
{
    static const char doing[] = "storing a round";
    if (!c->best.any)
        return sql_run(&s->sql, doing, e, "DELETE FROM best", "");
    return sql_run(&s->sql, doing, e, "INSERT OR REPLACE INTO best VALUES(1, ?, ?, ?, ?)", "tidi",
                   c->scored_by, (int64_t)c->best.round, c->best.score, (int64_t)c->best.since);
}

int store_put_carried(struct store *s, const struct core_commit *c, struct err *e)
{
    static const char doing[] = "storing a round";
    int rc = 0;
    for (size_t part = 0; rc == 0 && part * PART < c->n_state; part++) {
        const double *data = c->state + part * PART;
        size_t len = part_length(c->n_state, part) * sizeof *data;
        struct hash hash = hash_of(data, len);
        rc = sql_run(&s->sql, doing, e, "INSERT INTO carried VALUES(?, ?, ?, ?)", "iibb",
                     (int64_t)c->round, (int64_t)part, hash.byte, (size_t)HASH_BYTES, data, len);
    }
    return rc == 0 ? put_best(s, c, e) : rc;
}

/* Whether a row is the given part of a state; copies it then. */
static bool take_part(sqlite3_stmt *st, double *state, size_t n, size_t part)
{
    size_t len = part_length(n, part) * sizeof *state;
    const void *data = sqlite3_column_blob(st, 2);
    struct hash stored;
    if (data == NULL || sqlite3_column_int64(st, 0) != (int64_t)part ||
        (size_t)sqlite3_column_bytes(st, 2) != len || !store_hash(st, 1, &stored))
        return false;
    struct hash hash = hash_of(data, len);
    memcpy(state + part * PART, data, len);
    return hash_same(&hash, &stored);
}

int store_carried(struct store *s, uint32_t round, double *state, size_t n, struct err *e)
{
    sqlite3_stmt *st =
        sql_prepare(&s->sql, "SELECT part, hash, data FROM carried WHERE round = ? ORDER BY part",
                    "i", (int64_t)round);
    int step = SQLITE_ERROR, rc = 0;
    size_t part = 0;
    bool sound = true;
    while (st != NULL && sound && (step = sqlite3_step(st)) == SQLITE_ROW)
        sound = part * PART < n && take_part(st, state, n, part++);
    if (!sound || (step == SQLITE_DONE && part * PART < n))
        rc = err_set(e, ERR_IO,
                     "%s: the server's state after round %u is damaged: put a backup in the file's "
                     "place",
                     s->path, round + 1);
    else if (step != SQLITE_DONE)
        rc = sql_fail(&s->sql, "reading", e);
    sqlite3_finalize(st);
    return rc;
}

int store_best(struct store *s, struct store_best *out, struct err *e)
{
    sqlite3_stmt *st = sql_prepare(&s->sql, "SELECT metric, round, score, since FROM best", "");
    int step = st != NULL ? sqlite3_step(st) : SQLITE_ERROR, rc = 0;
    if (step == SQLITE_ROW) {
        const unsigned char *metric = sqlite3_column_text(st, 0);
        *out = (struct store_best){
            .best = {.any = true,
                     .round = (uint32_t)sqlite3_column_int64(st, 1),
                     .score = sqlite3_column_double(st, 2),
                     .since = (uint32_t)sqlite3_column_int64(st, 3)},
        };
        snprintf(out->metric, sizeof out->metric, "%s", metric != NULL ? (const char *)metric : "");
    } else if (step == SQLITE_DONE) {
        *out = (struct store_best){0};
    } else {
        rc = sql_fail(&s->sql, "reading", e);
    }
    sqlite3_finalize(st);
    return rc;
}
