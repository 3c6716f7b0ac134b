#include "server/store.h"
#include "server/store_state.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    APPLICATION = 0x46504554, /* "FPET": what a database file says it is (PRAGMA application_id) */
    VERSION = 5,
};

/* Version 1; a later one adds to it. */
static const char tables[] =
    "CREATE TABLE run(one INTEGER PRIMARY KEY CHECK(one = 1), run_id TEXT NOT NULL, identity BLOB "
    "NOT NULL,"
    "  parameters INTEGER NOT NULL, rounds INTEGER NOT NULL, created INTEGER NOT NULL);"
    "CREATE TABLE round(number INTEGER PRIMARY KEY, attempt INTEGER NOT NULL, selected INTEGER NOT "
    "NULL,"
    "  refused INTEGER NOT NULL, samples INTEGER NOT NULL, train_loss REAL NOT NULL, seconds REAL "
    "NOT NULL,"
    "  committed INTEGER NOT NULL, hash BLOB NOT NULL, params BLOB NOT NULL);"
    "CREATE TABLE contribution(round INTEGER NOT NULL REFERENCES round, client TEXT NOT NULL,"
    "  samples INTEGER NOT NULL, steps INTEGER NOT NULL, train_loss REAL NOT NULL, seconds REAL "
    "NOT NULL,"
    "  bytes_up INTEGER NOT NULL, bytes_down INTEGER NOT NULL, update_id BLOB NOT NULL,"
    "  PRIMARY KEY(round, client)) WITHOUT ROWID;"
    "CREATE TABLE metric(round INTEGER NOT NULL REFERENCES round, name TEXT NOT NULL, value REAL "
    "NOT NULL,"
    "  weight INTEGER NOT NULL, PRIMARY KEY(round, name)) WITHOUT ROWID;"
    "CREATE TABLE roster(client TEXT PRIMARY KEY) WITHOUT ROWID;"
    "CREATE TABLE token(digest BLOB PRIMARY KEY, client TEXT, created INTEGER NOT NULL, expires "
    "INTEGER NOT NULL,"
    "  used INTEGER, used_by TEXT) WITHOUT ROWID;"
    "CREATE TABLE client(name TEXT PRIMARY KEY, fingerprint BLOB NOT NULL, enrolled INTEGER NOT "
    "NULL,"
    "  revoked INTEGER) WITHOUT ROWID;";

/* Version 2: what only the last committed round has. */
static const char tables_2[] =
    "CREATE TABLE carried(part INTEGER PRIMARY KEY, round INTEGER NOT NULL REFERENCES round,"
    "  hash BLOB NOT NULL, data BLOB NOT NULL);"
    "CREATE TABLE best(one INTEGER PRIMARY KEY CHECK(one = 1), metric TEXT, round INTEGER NOT NULL,"
    "  score REAL NOT NULL, since INTEGER NOT NULL);";

/* Version 3: the journal of rounds, and what each of them began with. */
static const char tables_3[] =
    "ALTER TABLE carried RENAME TO carried_2;"
    "CREATE TABLE carried(round INTEGER NOT NULL REFERENCES round, part INTEGER NOT NULL,"
    "  hash BLOB NOT NULL, data BLOB NOT NULL, PRIMARY KEY(round, part));"
    "INSERT INTO carried SELECT round, part, hash, data FROM carried_2;"
    "DROP TABLE carried_2;"
    "CREATE TABLE attempt(round INTEGER PRIMARY KEY, attempt INTEGER NOT NULL);"
    "CREATE TABLE selected(round INTEGER NOT NULL, client TEXT NOT NULL,"
    "  PRIMARY KEY(round, client)) WITHOUT ROWID;"
    "CREATE TABLE journal(round INTEGER NOT NULL, client TEXT NOT NULL, attempt INTEGER NOT NULL,"
    "  samples INTEGER NOT NULL, steps INTEGER NOT NULL, train_loss REAL NOT NULL, seconds REAL "
    "NOT NULL,"
    "  bytes_up INTEGER NOT NULL, bytes_down INTEGER NOT NULL, update_id BLOB NOT NULL,"
    "  params BLOB NOT NULL, control BLOB NOT NULL, coding INTEGER NOT NULL,"
    "  PRIMARY KEY(round, client));"
    "CREATE TABLE journal_metric(round INTEGER NOT NULL, client TEXT NOT NULL,"
    "  number INTEGER NOT NULL, name TEXT NOT NULL, value REAL NOT NULL, weight INTEGER NOT NULL,"
    "  PRIMARY KEY(round, client, number)) WITHOUT ROWID;";

/* Version 4: every certificate given to a client, so that each can be revoked. */
static const char tables_4[] =
    "CREATE TABLE certificate(serial TEXT PRIMARY KEY, client TEXT NOT NULL, issuer BLOB NOT NULL,"
    "  given INTEGER NOT NULL, expires INTEGER NOT NULL, revoked INTEGER) WITHOUT ROWID;"
    "CREATE INDEX certificate_client ON certificate(client, given);";

/* Version 5: what the operator wants of the run (enum store_wish). */
static const char tables_5[] = "ALTER TABLE run ADD COLUMN wish INTEGER NOT NULL DEFAULT 0;";

/* Brings a store from a version, 0 being an empty file, to the present one. */
static int convert(struct store *s, int64_t from, struct err *e)
{
    const char *doing = from == 0 ? "creating" : "converting";
    char stamp[96];
    snprintf(stamp, sizeof stamp, "PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT",
             APPLICATION, VERSION);
    int rc = sql_script(&s->sql, doing, "BEGIN IMMEDIATE", e);
    if (rc == 0 && from < 1)
        rc = sql_script(&s->sql, doing, tables, e);
    if (rc == 0 && from < 2)
        rc = sql_script(&s->sql, doing, tables_2, e);
    if (rc == 0 && from < 3)
        rc = sql_script(&s->sql, doing, tables_3, e);
    if (rc == 0 && from < 4)
        rc = sql_script(&s->sql, doing, tables_4, e);
    if (rc == 0)
        rc = sql_script(&s->sql, doing, tables_5, e);
    if (rc == 0)
        rc = sql_script(&s->sql, doing, stamp, e);
    if (rc != 0)
        store_rollback(s);
    return rc;
}

static int check_version(struct store *s, enum store_mode mode, struct err *e)
{
    int64_t application = 0, version = 0, objects = 0;
    int rc = sql_number(&s->sql, "opening", "PRAGMA application_id", 0, &application, e);
    if (rc == 0)
        rc = sql_number(&s->sql, "opening", "PRAGMA user_version", 0, &version, e);
    if (rc == 0)
        rc = sql_number(&s->sql, "opening", "SELECT count(*) FROM sqlite_schema", 0, &objects, e);
    if (rc != 0)
        return rc;
    if (objects == 0 && mode == STORE_WRITE)
        return convert(s, 0, e);
    if (application != APPLICATION)
        return err_set(
            e, ERR_IO,
            "%s: not a database of fedpet-server: check the key `state` of the configuration",
            s->path);
    if (version >= 1 && version < VERSION)
        return mode == STORE_WRITE
                   ? convert(s, version, e)
                   : err_set(e, ERR_IO,
                             "%s: made by an earlier release: start the server once, which "
                             "converts it",
                             s->path);
    if (version != VERSION)
        return err_set(e, ERR_IO,
                       "%s: made by another release (format %" PRId64
                       ", this one reads %d): use that release",
                       s->path, version, VERSION);
    return 0;
}

int store_open(struct store **out, const char *path, enum store_mode mode, struct err *e)
{
    struct store *s = calloc(1, sizeof *s);
    if (s == NULL || (s->path = strdup(path)) == NULL) {
        free(s);
        return err_set(e, ERR_NOMEM, "%s: out of memory", path);
    }
    int rc = sql_open(&s->sql, s->path, mode == STORE_WRITE, e);
    if (rc == 0)
        rc = check_version(s, mode, e);
    if (rc != 0) {
        store_close(s);
        return rc;
    }
    *out = s;
    return 0;
}

void store_close(struct store *s)
{
    if (s == NULL)
        return;
    sql_close(&s->sql);
    free(s->path);
    free(s);
}

int store_freeze(struct store *s, struct err *e)
{
    return sql_script(&s->sql, "reading", "BEGIN DEFERRED", e);
}

void store_rollback(struct store *s)
{
    /* It fails only when SQLite has rolled back by itself already. */
    if (sqlite3_get_autocommit(s->sql.db) == 0)
        sqlite3_exec(s->sql.db, "ROLLBACK", NULL, NULL, NULL);
}

bool store_hash(sqlite3_stmt *st, int column, struct hash *out)
{
    const void *bytes = sqlite3_column_blob(st, column);
    if (bytes == NULL || sqlite3_column_bytes(st, column) != HASH_BYTES)
        return false;
    memcpy(out->byte, bytes, HASH_BYTES);
    return true;
}

/* --- the run --- */

int store_run(struct store *s, struct store_run *run, bool *found, struct err *e)
{
    static const char doing[] = "reading the run";
    sqlite3_stmt *st =
        sql_prepare(&s->sql, "SELECT run_id, identity, parameters, rounds, wish FROM run", "");
    int step = st != NULL ? sqlite3_step(st) : SQLITE_ERROR, rc = 0;
    struct store_run r = {0};
    if (step == SQLITE_ROW) {
        const unsigned char *id = sqlite3_column_text(st, 0);
        if (id == NULL || !store_hash(st, 1, &r.identity))
            rc = err_set(e, ERR_IO, "%s: the row of the run is damaged", s->path);
        else
            snprintf(r.run_id, sizeof r.run_id, "%s", id);
        r.parameters = (uint64_t)sqlite3_column_int64(st, 2);
        r.rounds = (uint32_t)sqlite3_column_int64(st, 3);
        r.wish = (enum store_wish)sqlite3_column_int64(st, 4);
    } else if (step != SQLITE_DONE) {
        rc = sql_fail(&s->sql, doing, e);
    }
    sqlite3_finalize(st);
    int64_t next = 0, attempts = 0;
    if (rc == 0)
        rc = sql_number(&s->sql, doing, "SELECT max(number) + 1 FROM round", 0, &next, e);
    if (rc == 0)
        rc = sql_number(&s->sql, doing, "SELECT count(*) FROM attempt", 0, &attempts, e);
    if (rc != 0)
        return rc;
    *found = step == SQLITE_ROW;
    r.next = (uint32_t)next;
    r.begun = next > 0 || attempts > 0;
    if (*found)
        *run = r;
    return 0;
}

/* Nothing of an earlier run is lost: it has no committed round. */
static int enter(struct store *s, struct store_run *run, struct err *e)
{
    run->next = 0;
    run->wish = WISH_GO_ON;
    return sql_run(&s->sql, "entering the run", e,
                   "INSERT OR REPLACE INTO run(one, run_id, identity, parameters, rounds, created) "
                   "VALUES(1, ?, ?, ?, ?, ?)",
                   "tbiii", run->run_id, run->identity.byte, (size_t)HASH_BYTES,
                   (int64_t)run->parameters, (int64_t)run->rounds, (int64_t)time(NULL));
}

int store_begin(struct store *s, struct store_run *run, struct err *e)
{
    struct store_run stored = {0};
    bool found;
    int rc = store_run(s, &stored, &found, e);
    if (rc != 0)
        return rc;
    bool same = found && hash_same(&stored.identity, &run->identity);
    if (!same && stored.next == 0)
        return enter(s, run, e);
    if (!same)
        return err_set(e, ERR_STATE,
                       "%s holds another run, %s: model, task, peft, local or federation settings "
                       "differ; undo the change, or "
                       "make a new one by `run create`",
                       s->path, stored.run_id);
    memcpy(run->run_id, stored.run_id, sizeof run->run_id);
    run->next = stored.next;
    run->wish = stored.wish;
    return sql_run(&s->sql, "entering the run", e, "UPDATE run SET rounds = ?", "i",
                   (int64_t)run->rounds);
}

int store_wish(struct store *s, enum store_wish wish, struct err *e)
{
    int rc = sql_run(&s->sql, "changing the run's state", e, "UPDATE run SET wish = ?", "i",
                     (int64_t)wish);
    if (rc == 0 && sqlite3_changes(s->sql.db) == 0)
        rc = err_set(e, ERR_STATE, "%s: the run has not been served yet", s->path);
    return rc;
}

/* --- rounds --- */

static int put_round(struct store *s, const struct core_commit *c, const unsigned char *packed,
                     size_t len, struct err *e)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    return sql_run(
        &s->sql, "storing a round", e, "INSERT INTO round VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        "iiiiiddibb", (int64_t)c->round, (int64_t)c->attempt, (int64_t)c->selected,
        (int64_t)c->refused, (int64_t)c->samples, c->train_loss,
        (double)(c->ended - c->started) / 1000, ms, c->hash.byte, (size_t)HASH_BYTES, packed, len);
}

static int put_details(struct store *s, const struct core_commit *c, struct err *e)
{
    static const char doing[] = "storing a round";
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < c->n; i++) {
        const struct core_contribution *k = &c->contribution[i];
        rc =
            sql_run(&s->sql, doing, e, "INSERT INTO contribution VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    "itiiddiib", (int64_t)c->round, k->client, (int64_t)k->samples,
                    (int64_t)k->steps, k->train_loss, k->seconds, (int64_t)k->bytes_up,
                    (int64_t)k->bytes_down, k->update_id.byte, (size_t)HASH_BYTES);
    }
    for (size_t i = 0; rc == 0 && i < c->n_metrics; i++)
        rc = sql_run(&s->sql, doing, e, "INSERT INTO metric VALUES(?, ?, ?, ?)", "itdi",
                     (int64_t)c->round, c->metric[i].name, c->metric[i].value,
                     (int64_t)c->metric[i].weight);
    return rc;
}

int store_commit(struct store *s, const struct schema *schema, const struct core_commit *c,
                 const char *const *client, size_t n, struct err *e)
{
    size_t len = schema->packed * sizeof(float);
    unsigned char *packed = malloc(len);
    if (packed == NULL)
        return err_set(e, ERR_NOMEM, "%s: no memory to store a round", s->path);
    tensorset_pack(schema, c->params, packed);
    int rc = sql_script(&s->sql, "storing a round", "BEGIN IMMEDIATE", e);
    if (rc == 0)
        rc = put_round(s, c, packed, len, e);
    if (rc == 0)
        rc = put_details(s, c, e);
    if (rc == 0)
        rc = store_put_roster(s, client, n, e);
    if (rc == 0)
        rc = store_put_carried(s, c, e);
    if (rc == 0)
        rc = store_prune(s, c->round, &c->best, e);
    if (rc == 0)
        rc = sql_script(&s->sql, "storing a round", "COMMIT", e);
    if (rc != 0)
        store_rollback(s);
    free(packed);
    return rc;
}

int store_params(struct store *s, const struct schema *schema, uint32_t round, float *params,
                 struct err *e)
{
    sqlite3_stmt *st = sql_prepare(&s->sql, "SELECT params, hash FROM round WHERE number = ?", "i",
                                   (int64_t)round);
    int step = st != NULL ? sqlite3_step(st) : SQLITE_ERROR, rc = 0;
    struct hash stored;
    if (step == SQLITE_DONE) {
        rc = err_set(e, ERR_USAGE, "%s: round %u is not committed", s->path, round + 1);
    } else if (step != SQLITE_ROW) {
        rc = sql_fail(&s->sql, "reading a round", e);
    } else {
        const unsigned char *packed = sqlite3_column_blob(st, 0);
        size_t len = (size_t)sqlite3_column_bytes(st, 0);
        struct hash h = hash_of(packed, len);
        if (len == 0 && schema->packed > 0)
            rc = err_set(e, ERR_USAGE, "%s: the parameters of round %u are no longer kept", s->path,
                         round + 1);
        else if (!store_hash(st, 1, &stored) || !hash_same(&h, &stored) ||
                 tensorset_unpack(schema, packed, len, params, NULL) != 0)
            rc = err_set(
                e, ERR_IO,
                "%s: the parameters of round %u are damaged: put a backup in the file's place",
                s->path, round + 1);
    }
    sqlite3_finalize(st);
    return rc;
}
