#include "base/file.h"
#include "folder.h"
#include "server/store.h"
#include "server/store_state.h"
#include "world.h"
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct store *open_store(const struct folder *f)
{
    struct store *s = NULL;
    struct err e = {0};
    cr_assert_eq(store_open(&s, folder_file(f, "db"), STORE_WRITE, &e), 0, "%s", e.text);
    return s;
}

static struct store_run a_run(const char *identity)
{
    return (struct store_run){.run_id = "0123456789abcdef",
                              .identity = hash_of(identity, strlen(identity)),
                              .parameters = 5,
                              .rounds = 3};
}

/* A commit of two clients, and what backs it. */
struct sample {
    struct schema schema;
    float params[WORLD_VALUES];
    struct core_contribution contribution[2];
    struct core_commit commit;
};

static void sample_make(struct sample *s, uint32_t round)
{
    world_schema(&s->schema);
    for (int i = 0; i < WORLD_VALUES; i++)
        s->params[i] = (float)i / 3 + (float)round;
    s->contribution[0] =
        (struct core_contribution){"ann", 10, 2, 0.5, 1.5, 1000, 2000, hash_of("a", 1)};
    s->contribution[1] =
        (struct core_contribution){"bob", 20, 4, 0.25, 2.5, 1100, 2100, hash_of("b", 1)};
    s->commit = (struct core_commit){
        .round = round,
        .attempt = 1,
        .params = s->params,
        .hash = tensorset_hash(&s->schema, s->params),
        .n = 2,
        .contribution = s->contribution,
        .samples = 30,
        .train_loss = 1.0 / 3,
        .n_metrics = 1,
        .metric = {{"accuracy", 0.75, 40}},
        .selected = 3,
        .refused = 4,
        .started = 1000,
        .ended = 3500,
    };
}

static int commit(struct store *s, const struct sample *c, struct err *e)
{
    static const char *const names[] = {"ann", "bob", "cid"};
    return store_commit(s, &c->schema, &c->commit, names, 3, e);
}

static int take_round(void *ctx, const struct store_round *r)
{
    *(struct store_round *)ctx = *r;
    return 0;
}

static int take_contribution(void *ctx, const struct core_contribution *c)
{
    int *n = ctx;
    cr_assert_str_eq(c->client, *n == 0 ? "ann" : "bob");
    cr_assert_eq(c->samples, *n == 0 ? 10 : 20);
    cr_assert_eq(c->bytes_down, *n == 0 ? 2000 : 2100);
    cr_assert_eq(c->train_loss, *n == 0 ? 0.5 : 0.25);
    ++*n;
    return 0;
}

static int take_metric(void *ctx, const struct msg_metric *m)
{
    cr_assert_str_eq(m->name, "accuracy");
    cr_assert_eq(m->weight, 40);
    *(double *)ctx = m->value;
    return 0;
}

Test(store, a_committed_round_is_read_back_to_the_bit)
{
    struct folder f = folder_make();
    struct store *s = open_store(&f);
    struct store_run run = a_run("x");
    struct sample c;
    float params[WORLD_VALUES] = {0, 0, 77};
    struct store_round r;
    int contributions = 0;
    double accuracy = 0;
    sample_make(&c, 0);
    cr_assert_eq(store_begin(s, &run, NULL), 0);
    cr_assert_eq(commit(s, &c, NULL), 0);
    store_close(s);

    s = open_store(&f);
    cr_assert_eq(store_begin(s, &run, NULL), 0);
    cr_assert_eq(run.next, 1);
    cr_assert_eq(store_params(s, &c.schema, 0, params, NULL), 0);
    cr_assert_eq(params[2], 77.0F); /* LOCAL */
    params[2] = c.params[2];
    cr_assert_arr_eq(params, c.params, sizeof params);
    cr_assert_eq(store_rounds(s, 0, take_round, &r, NULL), 0);
    cr_assert(r.round == 0 && r.attempt == 1 && r.selected == 3 && r.refused == 4 &&
              r.updates == 2);
    cr_assert(r.samples == 30 && r.bytes_up == 2100 && r.bytes_down == 4100);
    cr_assert_eq(r.train_loss, 1.0 / 3);
    cr_assert_eq(r.seconds, 2.5);
    cr_assert(hash_same(&r.hash, &c.commit.hash));
    cr_assert_eq(store_contributions(s, 0, take_contribution, &contributions, NULL), 0);
    cr_assert_eq(contributions, 2);
    cr_assert_eq(store_metrics(s, 0, take_metric, &accuracy, NULL), 0);
    cr_assert_eq(accuracy, 0.75);
    store_close(s);
    schema_release(&c.schema);
    folder_remove(&f);
}

Test(store, keeps_the_names_of_all_who_were_ready)
{
    struct folder f = folder_make();
    struct store *s = open_store(&f);
    struct sample c;
    char **name;
    size_t n;
    cr_assert_eq(store_roster(s, &name, &n, NULL), 0);
    cr_assert_eq(n, 0);
    free(name);
    sample_make(&c, 0);
    cr_assert_eq(commit(s, &c, NULL), 0);
    c.commit.round = 1;
    cr_assert_eq(commit(s, &c, NULL), 0);
    cr_assert_eq(store_roster(s, &name, &n, NULL), 0);
    cr_assert_eq(n, 3);
    cr_assert_str_eq(name[0], "ann");
    cr_assert_str_eq(name[2], "cid");
    free(name);
    store_close(s);
    schema_release(&c.schema);
    folder_remove(&f);
}

Test(store, a_run_goes_on_and_another_one_is_refused)
{
    struct folder f = folder_make();
    struct store *s = open_store(&f);
    struct store_run run = a_run("x"), again = a_run("x"), other = a_run("y");
    struct sample c;
    struct err e = {0};
    sample_make(&c, 0);
    cr_assert_eq(store_begin(s, &other, NULL), 0); /* begun, but no round of it was committed ... */
    cr_assert_eq(store_begin(s, &run, NULL), 0);   /* ... so that another may take its place */
    cr_assert_eq(commit(s, &c, NULL), 0);
    memcpy(again.run_id, "ffffffffffffffff", 17);
    again.rounds = 9;
    cr_assert_eq(store_begin(s, &again, NULL), 0);
    cr_assert_str_eq(again.run_id, "0123456789abcdef");
    cr_assert_eq(again.next, 1);
    cr_assert_eq(store_begin(s, &other, &e), ERR_STATE);
    cr_assert_not_null(strstr(e.text, "another run"), "%s", e.text);
    cr_assert_not_null(strstr(e.text, "`run create`"), "%s", e.text);
    bool found;
    cr_assert_eq(store_run(s, &run, &found, NULL), 0);
    cr_assert(found);
    cr_assert_eq(run.rounds, 9);
    store_close(s);
    schema_release(&c.schema);
    folder_remove(&f);
}

Test(store, a_full_disk_loses_nothing)
{
    struct folder f = folder_make();
    struct store *s = open_store(&f);
    struct sample c;
    struct err e = {0};
    struct store_run run = a_run("x");
    float params[WORLD_VALUES] = {0};
    sample_make(&c, 0);
    cr_assert_eq(store_begin(s, &run, NULL), 0);
    cr_assert_eq(commit(s, &c, NULL), 0);
    int64_t pages;
    char pragma[64];
    cr_assert_eq(sql_number(&s->sql, "t", "PRAGMA page_count", 0, &pages, NULL), 0);
    snprintf(pragma, sizeof pragma, "PRAGMA max_page_count = %d", (int)pages);
    cr_assert_eq(sqlite3_exec(s->sql.db, pragma, NULL, NULL, NULL), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(s->sql.db,
                              "INSERT INTO token VALUES(randomblob(4000), NULL, 0, 0, NULL, NULL)",
                              NULL, NULL, NULL),
                 SQLITE_FULL);
    struct schema big;
    schema_init(&big);
    cr_assert_eq(schema_add(&big, "big", SCOPE_GLOBAL, true, 1, (int64_t[]){100000}, NULL), 0);
    schema_seal(&big);
    float *many = calloc(100000, sizeof *many);
    struct core_commit second = c.commit;
    second.round = 1;
    second.params = many;
    cr_assert_eq(store_commit(s, &big, &second, NULL, 0, &e), ERR_IO);
    cr_assert_not_null(strstr(e.text, "disk full"), "%s", e.text);
    cr_assert_eq(sqlite3_exec(s->sql.db, "PRAGMA max_page_count = 100000", NULL, NULL, NULL),
                 SQLITE_OK);
    cr_assert_eq(store_begin(s, &run, NULL), 0);
    cr_assert_eq(run.next, 1);
    cr_assert_eq(store_params(s, &c.schema, 0, params, NULL), 0);
    cr_assert_eq(store_commit(s, &big, &second, NULL, 0, NULL), 0); /* space was made: once more */
    free(many);
    schema_release(&big);
    schema_release(&c.schema);
    store_close(s);
    folder_remove(&f);
}

Test(store, a_commit_is_all_or_nothing)
{
    struct folder f = folder_make();
    struct store *s = open_store(&f);
    struct sample c;
    struct err e = {0};
    int64_t rows;
    sample_make(&c, 0);
    c.contribution[1].client =
        "ann"; /* breaks the key of the second contribution, after the round was written */
    cr_assert_eq(commit(s, &c, &e), ERR_IO);
    cr_assert_eq(sql_number(&s->sql, "t", "SELECT count(*) FROM round", 9, &rows, NULL), 0);
    cr_assert_eq(rows, 0);
    c.contribution[1].client = "bob";
    cr_assert_eq(commit(s, &c, &e), 0, "%s", e.text);
    schema_release(&c.schema);
    store_close(s);
    folder_remove(&f);
}

Test(store, damaged_parameters_are_noticed)
{
    struct folder f = folder_make();
    struct store *s = open_store(&f);
    struct sample c;
    struct err e = {0};
    float params[WORLD_VALUES] = {5, 5, 5, 5, 5, 5}, before[WORLD_VALUES];
    memcpy(before, params, sizeof params);
    sample_make(&c, 0);
    cr_assert_eq(commit(s, &c, NULL), 0);
    cr_assert_eq(store_params(s, &c.schema, 7, params, &e), ERR_USAGE);
    cr_assert_eq(sqlite3_exec(s->sql.db, "UPDATE round SET params = x'55' || substr(params, 2)",
                              NULL, NULL, NULL),
                 SQLITE_OK);
    cr_assert_eq(store_params(s, &c.schema, 0, params, &e), ERR_IO);
    cr_assert_not_null(strstr(e.text, "damaged"), "%s", e.text);
    cr_assert_arr_eq(params, before, sizeof params);
    schema_release(&c.schema);
    store_close(s);
    folder_remove(&f);
}

static void expect_unusable(const char *path, enum store_mode mode, int code, const char *word)
{
    struct store *s = NULL;
    struct err e = {0};
    cr_assert_eq(store_open(&s, path, mode, &e), code, "%s", e.text);
    cr_assert_null(s);
    cr_assert_not_null(strstr(e.text, word), "%s", e.text);
    cr_assert_not_null(strstr(e.text, path), "%s", e.text);
}

Test(store, files_that_are_no_store_are_left_alone)
{
    struct folder f = folder_make();
    const char *path = folder_file(&f, "db");
    static const char garbage[] = "this is not a database, but it is long enough to look like one: "
                                  "0123456789012345678901234567890123456789";
    char *text;
    size_t len;
    expect_unusable(path, STORE_READ, ERR_IO, "check that");
    cr_assert_not(file_exists(path));
    cr_assert_eq(file_write(path, garbage, sizeof garbage, 0600, NULL), 0);
    expect_unusable(path, STORE_WRITE, ERR_IO, "damaged");
    cr_assert_eq(file_read(path, 4096, &text, &len, NULL), 0);
    cr_assert_eq(len, sizeof garbage);
    cr_assert_arr_eq(text, garbage, len);
    free(text);
    expect_unusable("/nonexistent/db", STORE_WRITE, ERR_IO, "nonexistent");

    sqlite3 *db;
    const char *foreign = folder_file(&f, "foreign");
    cr_assert_eq(sqlite3_open(foreign, &db), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(db, "CREATE TABLE run(x)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    expect_unusable(foreign, STORE_WRITE, ERR_IO, "not a database of fedpet-server");
    folder_remove(&f);
}

Test(store, a_newer_format_is_refused)
{
    struct folder f = folder_make();
    struct store *s = open_store(&f);
    cr_assert_eq(sqlite3_exec(s->sql.db, "PRAGMA user_version = 99", NULL, NULL, NULL), SQLITE_OK);
    store_close(s);
    expect_unusable(folder_file(&f, "db"), STORE_WRITE, ERR_IO, "another release");
    folder_remove(&f);
}

/* What later formats have beside it. */
static const char *const formats[] = {
    "DROP TABLE carried; DROP TABLE best; DROP TABLE attempt; DROP TABLE selected;"
    "DROP TABLE journal; DROP TABLE journal_metric; DROP TABLE certificate;"
    "ALTER TABLE run DROP COLUMN wish; PRAGMA user_version = 1",
    "DROP TABLE carried; DROP TABLE attempt; DROP TABLE selected;"
    "DROP TABLE journal; DROP TABLE journal_metric; DROP TABLE certificate;"
    "CREATE TABLE carried(part INTEGER PRIMARY KEY, round INTEGER NOT NULL REFERENCES round,"
    "  hash BLOB NOT NULL, data BLOB NOT NULL);"
    "INSERT INTO carried VALUES(0, 0, x'00', x'00'); ALTER TABLE run DROP COLUMN wish;"
    "PRAGMA user_version = 2",
    "ALTER TABLE run DROP COLUMN wish; PRAGMA user_version = 4",
};

static void convert_format(const char *script)
{
    struct folder f = folder_make();
    struct store *s = open_store(&f);
    struct store_run run = a_run("x");
    struct sample c;
    float params[WORLD_VALUES] = {0};
    sample_make(&c, 0);
    cr_assert_eq(store_begin(s, &run, NULL), 0);
    cr_assert_eq(commit(s, &c, NULL), 0);
    cr_assert_eq(sqlite3_exec(s->sql.db, script, NULL, NULL, NULL), SQLITE_OK);
    store_close(s);
    expect_unusable(folder_file(&f, "db"), STORE_READ, ERR_IO, "start the server once");
    s = open_store(&f);
    cr_assert_eq(store_begin(s, &run, NULL), 0);
    cr_assert_eq(run.next, 1);
    cr_assert_eq(store_params(s, &c.schema, 0, params, NULL), 0);
    c.commit.round = 1;
    cr_assert_eq(commit(s, &c, NULL), 0);
    store_close(s);
    cr_assert_eq(store_open(&s, folder_file(&f, "db"), STORE_READ, NULL), 0);
    store_close(s);
    schema_release(&c.schema);
    folder_remove(&f);
}

Test(store, earlier_formats_are_converted)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        convert_format(formats[i]);
}

Test(store, belongs_to_its_owner_and_syncs_fully)
{
    struct folder f = folder_make();
    struct store *s = open_store(&f);
    struct stat st;
    int64_t synchronous;
    cr_assert_eq(stat(folder_file(&f, "db"), &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0600);
    cr_assert_eq(sql_number(&s->sql, "t", "PRAGMA synchronous", -1, &synchronous, NULL), 0);
    cr_assert_eq(synchronous, 2);
    store_close(s);
    folder_remove(&f);
}

Test(store, is_readable_beside_its_writer)
{
    struct folder f = folder_make();
    struct store *s = open_store(&f), *reader = NULL;
    struct store_run run = a_run("x");
    bool found;
    cr_assert_eq(store_begin(s, &run, NULL), 0);
    cr_assert_eq(store_open(&reader, folder_file(&f, "db"), STORE_READ, NULL), 0);
    cr_assert_eq(store_run(reader, &run, &found, NULL), 0);
    cr_assert(found);
    cr_assert_neq(store_begin(reader, &run, NULL), 0); /* but not writable */
    store_close(reader);
    store_close(s);
    folder_remove(&f);
}

/* What `fedpet-server token` does beside a running server: opens, writes, closes, once for each
 * byte that it is sent. Forked before the test opens anything, as a process of its own would be. */
static pid_t token_maker(const struct folder *f, int *ask, int *answer)
{
    int to[2], from[2];
    cr_assert(pipe(to) == 0 && pipe(from) == 0);
    pid_t child = fork();
    if (child == 0) {
        unsigned char i;
        close(to[1]);
        while (read(to[0], &i, 1) == 1) {
            struct store *s = open_store(f);
            struct hash digest = hash_of(&i, 1);
            unsigned char rc = (unsigned char)store_token(s, &digest, NULL, 0, 1000, NULL);
            store_close(s);
            if (write(from[1], &rc, 1) != 1)
                break;
        }
        _exit(0);
    }
    close(to[0]);
    close(from[1]);
    *ask = to[1];
    *answer = from[0];
    return child;
}

Test(store, frozen_it_shows_one_moment)
{
    struct folder f = folder_make();
    struct store *s = open_store(&f), *reader;
    struct store_run run = a_run("x");
    struct sample c;
    struct store_round r = {0};
    bool found;
    sample_make(&c, 0);
    cr_assert_eq(store_begin(s, &run, NULL), 0);
    cr_assert_eq(commit(s, &c, NULL), 0);
    cr_assert_eq(store_open(&reader, folder_file(&f, "db"), STORE_READ, NULL), 0);
    cr_assert_eq(store_freeze(reader, NULL), 0);
    cr_assert_eq(store_run(reader, &run, &found, NULL), 0);
    cr_assert_eq(run.next, 1);
    c.commit.round = 1;
    cr_assert_eq(commit(s, &c, NULL), 0, "nobody waits for a reader");
    cr_assert_eq(store_rounds(reader, 0, take_round, &r, NULL), 0);
    cr_assert_eq(r.round, 0);
    store_close(reader);
    cr_assert_eq(store_open(&reader, folder_file(&f, "db"), STORE_READ, NULL), 0);
    cr_assert_eq(store_rounds(reader, 0, take_round, &r, NULL), 0);
    cr_assert_eq(r.round, 1);
    store_close(reader);
    store_close(s);
    schema_release(&c.schema);
    folder_remove(&f);
}

Test(store, open_twice_it_sees_what_other_processes_write)
{
    struct folder f = folder_make();
    int ask, answer;
    pid_t child = token_maker(&f, &ask, &answer);
    struct store *rounds = open_store(&f), *people = open_store(&f);
    struct hash print = hash_of("p", 1);
    struct store_run run = a_run("x");
    cr_assert_eq(store_begin(rounds, &run, NULL), 0);
    for (unsigned char i = 0; i < 4; i++) {
        char name[16];
        unsigned char rc;
        struct hash digest = hash_of(&i, 1);
        struct err e = {0};
        snprintf(name, sizeof name, "client-%d", i);
        cr_assert_eq(write(ask, &i, 1), 1);
        cr_assert_eq(read(answer, &rc, 1), 1);
        cr_assert_eq(rc, 0);
        cr_assert_eq(store_enroll(people, &digest, name, &print, 1, &e), 0, "token %d: %s", i,
                     e.text);
        cr_assert_eq(store_begin(rounds, &run, NULL), 0);
    }
    close(ask);
    close(answer);
    cr_assert_eq(waitpid(child, NULL, 0), child);
    store_close(rounds);
    store_close(people);
    folder_remove(&f);
}

Test(store, a_token_is_good_once_and_not_for_ever)
{
    struct folder f = folder_make();
    struct store *s = open_store(&f);
    struct hash any = hash_of("1", 1), old = hash_of("2", 1), unknown = hash_of("3", 1),
                print = hash_of("4", 1);
    struct err e = {0};
    char *client = NULL;
    cr_assert_eq(store_token(s, &any, NULL, 100, 200, NULL), 0);
    cr_assert_eq(store_token(s, &old, NULL, 100, 150, NULL), 0);
    cr_assert_eq(store_token_check(s, &unknown, 120, &client, &e), ERR_REFUSED);
    cr_assert_eq(store_token_check(s, &old, 150, &client, &e), ERR_REFUSED);
    cr_assert_not_null(strstr(e.text, "expired"));
    cr_assert_eq(store_token_check(s, &any, 199, &client, NULL), 0);
    cr_assert_null(client);
    cr_assert_eq(store_enroll(s, &any, "ann", &print, 199, NULL), 0);
    cr_assert_eq(store_enroll(s, &any, "bob", &print, 199, &e), ERR_REFUSED);
    cr_assert_not_null(strstr(e.text, "used"));
    store_close(s);
    folder_remove(&f);
}

Test(store, a_name_is_taken_over_only_by_a_token_made_for_it)
{
    struct folder f = folder_make();
    struct store *s = open_store(&f);
    struct hash token[4], print = hash_of("p", 1);
    struct err e = {0};
    bool revoked = true;
    for (int i = 0; i < 4; i++) {
        token[i] = hash_of(&i, sizeof i);
        cr_assert_eq(store_token(s, &token[i], i == 2 ? "ann" : NULL, 0, 1000, NULL), 0);
    }
    cr_assert_eq(store_enroll(s, &token[0], "ann", &print, 1, NULL), 0);
    cr_assert_eq(store_enroll(s, &token[1], "ann", &print, 1, &e), ERR_REFUSED);
    cr_assert_not_null(strstr(e.text, "taken"));
    cr_assert_eq(store_enroll(s, &token[1], "bob", &print, 1, NULL),
                 0); /* the refusal did not use it up */
    cr_assert_eq(store_revoke(s, "ann", 2, NULL), 0);
    cr_assert_eq(store_revoked(s, "ann", &revoked, NULL), 0);
    cr_assert(revoked);
    cr_assert_eq(store_enroll(s, &token[2], "bob", &print, 1, &e), ERR_REFUSED);
    cr_assert_eq(store_enroll(s, &token[2], "ann", &print, 3, NULL), 0);
    cr_assert_eq(store_revoked(s, "ann", &revoked, NULL), 0);
    cr_assert_not(revoked);
    cr_assert_eq(store_revoked(s, "nobody", &revoked, NULL), 0);
    cr_assert_not(revoked);
    cr_assert_eq(store_revoke(s, "nobody", 2, &e), ERR_USAGE);
    store_close(s);
    folder_remove(&f);
}
