#include "sim/results.h"
#include "base/file.h"
#include "model/jsonfile.h"
#include "model/jsontext.h"
#include "server/sql.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum {
    APPLICATION = 0x46505355, /* "FPSU" */
    VERSION = 1,
    SUMMARY_MAX_BYTES = 16 << 20,
};

struct results {
    struct sql sql;
    char path[PATH_MAX];
    int lock; /* below 0: none */
};

static const char tables[] =
    "CREATE TABLE cell(id TEXT PRIMARY KEY, position INTEGER, title TEXT NOT NULL,"
    "  task TEXT NOT NULL, method TEXT NOT NULL, variant TEXT NOT NULL, baseline TEXT NOT NULL,"
    "  alpha REAL NOT NULL, epochs INTEGER NOT NULL, seed INTEGER NOT NULL,"
    "  clients INTEGER NOT NULL, per_round INTEGER NOT NULL, rounds INTEGER NOT NULL,"
    "  experiment TEXT NOT NULL, state INTEGER NOT NULL DEFAULT 0, error TEXT, metric TEXT,"
    "  value REAL, seconds REAL, summary TEXT) WITHOUT ROWID;"
    "CREATE TABLE round(cell TEXT NOT NULL REFERENCES cell, number INTEGER NOT NULL, value REAL,"
    "  valid REAL, loss REAL, train_loss REAL, updates INTEGER NOT NULL, samples INTEGER NOT NULL,"
    "  bytes_up REAL, bytes_down REAL, seconds REAL NOT NULL,"
    "  PRIMARY KEY(cell, number)) WITHOUT ROWID;";

static int create(struct results *r, struct err *e)
{
    char text[sizeof tables + 160];
    snprintf(text, sizeof text,
             "BEGIN IMMEDIATE; %s PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT",
             tables, APPLICATION, VERSION);
    return sql_script(&r->sql, "creating", text, e);
}

static int check(struct results *r, bool write, struct err *e)
{
    int64_t application = 0, version = 0, objects = 0;
    int rc = sql_number(&r->sql, "opening", "SELECT count(*) FROM sqlite_schema", 0, &objects, e);
    if (!rc && objects == 0 && write)
        return create(r, e);
    if (!rc)
        rc = sql_number(&r->sql, "opening", "PRAGMA application_id", 0, &application, e);
    if (!rc)
        rc = sql_number(&r->sql, "opening", "PRAGMA user_version", 0, &version, e);
    if (!rc && (application != APPLICATION || version != VERSION))
        rc = err_set(e, ERR_IO, "%s: not the results of a suite, or of another release", r->path);
    return rc;
}

static int take_lock(struct results *r, const char *dir, struct err *e)
{
    char path[PATH_MAX];
    int rc = file_join(path, sizeof path, dir, "lock", e);
    if (rc)
        return rc;
    r->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (r->lock < 0)
        return err_sys(e, ERR_IO, errno, "%s", path);
    if (flock(r->lock, LOCK_EX | LOCK_NB) != 0)
        return err_set(e, ERR_STATE, "%s: another suite works in this folder", dir);
    return 0;
}

int results_open(struct results **out, const char *dir, bool write, struct err *e)
{
    struct results *r = calloc(1, sizeof *r);
    if (!r)
        return err_set(e, ERR_NOMEM, "no memory for the results");
    r->lock = -1;
    int rc = file_join(r->path, sizeof r->path, dir, "results.sqlite", e);
    if (!rc && write)
        rc = file_mkdirs(dir, 0755, e);
    if (!rc && write)
        rc = take_lock(r, dir, e);
    if (!rc && !write && !file_exists(r->path))
        rc = err_set(e, ERR_IO, "%s: not there; fedpet-sim suite makes it", r->path);
    if (!rc)
        rc = sql_open(&r->sql, r->path, write, e);
    if (!rc)
        rc = check(r, write, e);
    if (rc)
        results_close(r);
    else
        *out = r;
    return rc;
}

void results_close(struct results *r)
{
    if (!r)
        return;
    sql_close(&r->sql);
    if (r->lock >= 0)
        close(r->lock);
    free(r);
}

/* Ends a transaction by rc. */
static int finish(struct results *r, int rc, const char *doing, struct err *e)
{
    if (!rc)
        rc = sql_script(&r->sql, doing, "COMMIT", e);
    if (rc && sqlite3_get_autocommit(r->sql.db) == 0)
        sqlite3_exec(r->sql.db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

static int plan_cell(struct results *r, const struct suite_cell *c, size_t position, struct err *e)
{
    return sql_run(
        &r->sql, "planning", e,
        "INSERT INTO cell(id, position, title, task, method, variant, baseline, alpha, epochs,"
        "  seed, clients, per_round, rounds, experiment) VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
        " ON CONFLICT(id) DO UPDATE SET position = excluded.position, title = excluded.title,"
        "  task = excluded.task, method = excluded.method, variant = excluded.variant,"
        "  alpha = excluded.alpha, epochs = excluded.epochs, clients = excluded.clients,"
        "  per_round = excluded.per_round, rounds = excluded.rounds,"
        "  experiment = excluded.experiment",
        "titttttdiiiiit", c->id, (int64_t)position, c->title, c->task, c->method, c->variant,
        baseline_name(c->baseline.kind), c->spec.federation.alpha, (int64_t)c->spec.local.epochs,
        (int64_t)c->spec.federation.seed, (int64_t)c->spec.federation.clients,
        (int64_t)c->spec.federation.per_round, (int64_t)c->spec.federation.rounds, c->experiment);
}

int results_plan(struct results *r, const struct suite *s, struct err *e)
{
    int rc = sql_script(&r->sql, "planning", "BEGIN IMMEDIATE; UPDATE cell SET position = NULL", e);
    for (size_t i = 0; !rc && i < s->n_cells; i++)
        rc = plan_cell(r, &s->cell[i], i, e);
    return finish(r, rc, "planning", e);
}

int results_states(struct results *r, const struct suite *s, enum cell_state *state,
                   double *seconds, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < s->n_cells; i++) {
        sqlite3_stmt *st =
            sql_prepare(&r->sql, "SELECT state, coalesce(seconds, 0) FROM cell WHERE id = ?", "t",
                        s->cell[i].id);
        int step = st ? sqlite3_step(st) : SQLITE_ERROR;
        state[i] = CELL_WAITING;
        seconds[i] = 0;
        if (step == SQLITE_ROW) {
            state[i] = (enum cell_state)sqlite3_column_int(st, 0);
            seconds[i] = sqlite3_column_double(st, 1);
        } else if (step != SQLITE_DONE) {
            rc = sql_fail(&r->sql, "reading", e);
        }
        sqlite3_finalize(st);
    }
    return rc;
}

int results_memory(struct results *r, const char *method, enum baseline_kind baseline,
                   double *bytes, struct err *e)
{
    sqlite3_stmt *st =
        sql_prepare(&r->sql,
                    "SELECT coalesce(max(json_extract(summary, '$.peak_rss_bytes')), 0) FROM cell"
                    " WHERE state = ? AND method = ? AND baseline = ?",
                    "itt", (int64_t)CELL_DONE, method, baseline_name(baseline));
    int step = st ? sqlite3_step(st) : SQLITE_ERROR;
    if (step == SQLITE_ROW)
        *bytes = sqlite3_column_double(st, 0);
    sqlite3_finalize(st);
    return step == SQLITE_ROW ? 0 : sql_fail(&r->sql, "reading", e);
}

/* --- what a run has left --- */

static double number_of(const json_t *o, const char *key, double fallback)
{
    const json_t *v = json_object_get(o, key);
    return json_is_number(v) ? json_number_value(v) : fallback;
}

/* Binds a number, or NULL where the field is null or missing. */
static void bind_number(sqlite3_stmt *st, int at, const json_t *line, const char *key)
{
    const json_t *v = json_object_get(line, key);
    if (json_is_number(v))
        sqlite3_bind_double(st, at, json_number_value(v));
}

static int put_round(struct results *r, const char *id, const json_t *line, struct err *e)
{
    static const char *const keys[] = {"value",
                                       "valid",
                                       "loss",
                                       "train_loss",
                                       "updates",
                                       "samples",
                                       "bytes_up_per_client",
                                       "bytes_down_per_client",
                                       "seconds"};
    sqlite3_stmt *st = sql_prepare(&r->sql, "INSERT INTO round VALUES(?,?,?,?,?,?,?,?,?,?,?)", "ti",
                                   id, (int64_t)number_of(line, "round", 0));
    for (int i = 0; st && i < (int)(sizeof keys / sizeof *keys); i++)
        bind_number(st, 3 + i, line, keys[i]);
    int step = st ? sqlite3_step(st) : SQLITE_ERROR;
    sqlite3_finalize(st);
    return step == SQLITE_DONE ? 0 : sql_fail(&r->sql, "storing a cell", e);
}

static int put_rounds(struct results *r, const char *id, const char *path, struct err *e)
{
    FILE *f = fopen(path, "re");
    char *text = NULL;
    size_t cap = 0;
    int rc = f ? 0 : err_sys(e, ERR_IO, errno, "%s", path);
    while (!rc && getline(&text, &cap, f) > 0) {
        json_t *line = json_loads(text, 0, NULL);
        rc = line ? put_round(r, id, line, e)
                  : err_set(e, ERR_DATA, "%s: a line is no JSON object", path);
        json_decref(line);
    }
    if (!rc && ferror(f))
        rc = err_sys(e, ERR_IO, errno, "%s", path);
    free(text);
    if (f)
        fclose(f);
    return rc;
}

static int put_summary(struct results *r, const char *id, const json_t *summary, struct err *e)
{
    char *text = jsontext(summary, JSON_COMPACT | JSON_REAL_PRECISION(9));
    if (!text)
        return err_set(e, ERR_NOMEM, "no memory for a summary");
    int rc =
        sql_run(&r->sql, "storing a cell", e,
                "UPDATE cell SET state = ?, error = NULL, metric = ?, value = ?, seconds = ?,"
                "  summary = ? WHERE id = ?",
                "itddtt", (int64_t)CELL_DONE, json_string_value(json_object_get(summary, "metric")),
                number_of(summary, "value", 0), number_of(summary, "wall_seconds", 0), text, id);
    free(text);
    return rc;
}

int results_done(struct results *r, const char *id, const char *dir, struct err *e)
{
    static const char doing[] = "storing a cell";
    char path[PATH_MAX];
    json_t *summary = NULL;
    int rc = file_join(path, sizeof path, dir, "summary.json", e);
    if (!rc)
        rc = jsonfile_read(path, SUMMARY_MAX_BYTES, 0, &summary, e);
    if (!rc)
        rc = file_join(path, sizeof path, dir, "rounds.jsonl", e);
    if (!rc) {
        rc = sql_script(&r->sql, doing, "BEGIN IMMEDIATE", e);
        if (!rc)
            rc = sql_run(&r->sql, doing, e, "DELETE FROM round WHERE cell = ?", "t", id);
        if (!rc)
            rc = put_rounds(r, id, path, e);
        if (!rc)
            rc = put_summary(r, id, summary, e);
        rc = finish(r, rc, doing, e);
    }
    json_decref(summary);
    return rc;
}

int results_failed(struct results *r, const char *id, const struct err *why, struct err *e)
{
    return sql_run(&r->sql, "storing a failure", e,
                   "UPDATE cell SET state = ?, error = ? WHERE id = ?", "itt", (int64_t)CELL_FAILED,
                   why->text, id);
}

/* --- reading --- */

static const char *text_at(sqlite3_stmt *st, int column)
{
    const unsigned char *text = sqlite3_column_text(st, column);
    return text ? (const char *)text : "";
}

static int hand_cell(sqlite3_stmt *st, int (*each)(void *ctx, const struct result_cell *c),
                     void *ctx)
{
    json_t *summary =
        sqlite3_column_type(st, 13) == SQLITE_TEXT ? json_loads(text_at(st, 13), 0, NULL) : NULL;
    struct result_cell c = {
        .id = text_at(st, 0),
        .title = text_at(st, 1),
        .task = text_at(st, 2),
        .method = text_at(st, 3),
        .variant = text_at(st, 4),
        .error = text_at(st, 12),
        .state = (enum cell_state)sqlite3_column_int(st, 11),
        .alpha = sqlite3_column_double(st, 6),
        .epochs = (uint32_t)sqlite3_column_int64(st, 7),
        .seed = (uint64_t)sqlite3_column_int64(st, 14),
        .clients = (uint32_t)sqlite3_column_int64(st, 8),
        .per_round = (uint32_t)sqlite3_column_int64(st, 9),
        .rounds = (uint32_t)sqlite3_column_int64(st, 10),
        .summary = summary,
    };
    int stop = 0;
    if (!summary && c.state == CELL_DONE)
        c.state = CELL_WAITING;
    if (baseline_parse(text_at(st, 5), &c.baseline))
        stop = each(ctx, &c);
    json_decref(summary);
    return stop;
}

int results_cells(struct results *r, int (*each)(void *ctx, const struct result_cell *c), void *ctx,
                  struct err *e)
{
    sqlite3_stmt *st = sql_prepare(
        &r->sql,
        "SELECT id, title, task, method, variant, baseline, alpha, epochs, clients, per_round,"
        "  rounds, state, error, summary, seed FROM cell WHERE position IS NOT NULL"
        " ORDER BY position",
        "");
    int step = SQLITE_ERROR, stop = 0;
    while (st && !stop && (step = sqlite3_step(st)) == SQLITE_ROW)
        stop = hand_cell(st, each, ctx);
    int rc = stop || step == SQLITE_DONE ? stop : sql_fail(&r->sql, "reading", e);
    sqlite3_finalize(st);
    return rc;
}

static double number_at(sqlite3_stmt *st, int column, double fallback)
{
    return sqlite3_column_type(st, column) == SQLITE_NULL ? fallback
                                                          : sqlite3_column_double(st, column);
}

int results_rounds(struct results *r, const char *id,
                   int (*each)(void *ctx, const struct result_round *round), void *ctx,
                   struct err *e)
{
    sqlite3_stmt *st = sql_prepare(&r->sql,
                                   "SELECT number, value, valid, updates, bytes_up, bytes_down"
                                   " FROM round WHERE cell = ? ORDER BY number",
                                   "t", id);
    int step = SQLITE_ERROR, stop = 0;
    while (st && !stop && (step = sqlite3_step(st)) == SQLITE_ROW) {
        struct result_round round = {
            .round = (uint32_t)sqlite3_column_int64(st, 0),
            .scored = sqlite3_column_type(st, 1) != SQLITE_NULL,
            .validated = sqlite3_column_type(st, 2) != SQLITE_NULL,
            .value = number_at(st, 1, 0),
            .valid = number_at(st, 2, 0),
            .updates = (uint32_t)sqlite3_column_int64(st, 3),
            .bytes_up = number_at(st, 4, -1),
            .bytes_down = number_at(st, 5, -1),
        };
        stop = each(ctx, &round);
    }
    int rc = stop || step == SQLITE_DONE ? stop : sql_fail(&r->sql, "reading", e);
    sqlite3_finalize(st);
    return rc;
}
