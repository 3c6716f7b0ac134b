#include "folder.h"
#include "server/store.h"
#include "server/store_state.h"
#include "world.h"

enum { MANY = (1 << 20) + 3 }; /* more than a row holds */

struct fixture {
    struct folder folder;
    struct store *store;
    struct schema schema;
    float params[WORLD_VALUES];
    struct core_commit commit;
};

static void reopen(struct fixture *x)
{
    struct err e = {0};
    store_close(x->store);
    cr_assert_eq(store_open(&x->store, folder_file(&x->folder, "db"), STORE_WRITE, &e), 0, "%s",
                 e.text);
}

static void begin(struct fixture *x)
{
    *x = (struct fixture){.folder = folder_make()};
    world_schema(&x->schema);
    reopen(x);
    x->commit =
        (struct core_commit){.params = x->params, .hash = tensorset_hash(&x->schema, x->params)};
}

static void end(struct fixture *x)
{
    store_close(x->store);
    schema_release(&x->schema);
    folder_remove(&x->folder);
}

static void commit(struct fixture *x, uint32_t round, const double *state, size_t n)
{
    struct err e = {0};
    x->commit.round = round;
    x->commit.state = state;
    x->commit.n_state = n;
    cr_assert_eq(store_commit(x->store, &x->schema, &x->commit, NULL, 0, &e), 0, "%s", e.text);
}

static void expect_damaged(const struct fixture *x, uint32_t round, double *state, size_t n)
{
    struct err e = {0};
    cr_assert_eq(store_carried(x->store, round, state, n, &e), ERR_IO);
    cr_assert_not_null(strstr(e.text, "damaged"), "%s", e.text);
}

Test(store_carried, what_is_carried_comes_back_to_the_bit_and_is_that_of_the_last_round)
{
    struct fixture x;
    double *state = malloc(MANY * sizeof *state), *got = malloc(MANY * sizeof *got);
    begin(&x);
    for (int i = 0; i < MANY; i++)
        state[i] = 1.0 / (i + 1) - 1e-9 * i;
    commit(&x, 0, state, 7);
    state[1] = -5;
    commit(&x, 1, state, MANY);
    reopen(&x);
    cr_assert_eq(store_carried(x.store, 1, got, MANY, NULL), 0);
    cr_assert_arr_eq(got, state, MANY * sizeof *state);
    expect_damaged(&x, 0, got, MANY); /* of another round */
    expect_damaged(&x, 1, got, MANY - 1);
    expect_damaged(&x, 1, got, MANY + 1);
    expect_damaged(&x, 1, got, 3);
    expect_damaged(&x, 1, got, 0);
    commit(&x, 2, NULL, 0);
    cr_assert_eq(store_carried(x.store, 2, got, 0, NULL), 0);
    expect_damaged(&x, 2, got, 1);
    free(state);
    free(got);
    end(&x);
}

Test(store_carried, damage_is_noticed)
{
    static const char *const damage[] = {
        "UPDATE carried SET data = x'01' || substr(data, 2)",
        "UPDATE carried SET hash = x'00'",
        "UPDATE carried SET part = 1",
        "DELETE FROM carried",
    };
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        struct fixture x;
        double state[] = {1, 2, 3}, got[3];
        begin(&x);
        commit(&x, 0, state, 3);
        cr_assert_eq(sqlite3_exec(x.store->sql.db, damage[i], NULL, NULL, NULL), SQLITE_OK);
        expect_damaged(&x, 0, got, 3);
        end(&x);
    }
}

Test(store_carried, the_best_round_is_that_of_the_last_commit)
{
    struct fixture x;
    struct store_best b;
    begin(&x);
    cr_assert_eq(store_best(x.store, &b, NULL), 0);
    cr_assert_not(b.best.any);
    commit(&x, 0, NULL, 0);
    x.commit.best = (struct best){.any = true, .round = 0, .score = 1.0 / 3, .since = 0};
    x.commit.scored_by = "accuracy";
    commit(&x, 1, NULL, 0);
    x.commit.best.since = 1;
    commit(&x, 2, NULL, 0);
    reopen(&x);
    cr_assert_eq(store_best(x.store, &b, NULL), 0);
    cr_assert(b.best.any && b.best.round == 0 && b.best.score == 1.0 / 3 && b.best.since == 1);
    cr_assert_str_eq(b.metric, "accuracy");
    x.commit.scored_by = NULL;
    commit(&x, 3, NULL, 0);
    cr_assert_eq(store_best(x.store, &b, NULL), 0);
    cr_assert_str_eq(b.metric, "");
    x.commit.best.any = false; /* another metric has begun, and has scored nothing yet */
    commit(&x, 4, NULL, 0);
    cr_assert_eq(store_best(x.store, &b, NULL), 0);
    cr_assert_not(b.best.any);
    end(&x);
}
