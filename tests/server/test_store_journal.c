#include "folder.h"
#include "server/store.h"
#include "server/store_state.h"
#include "world.h"

#define RUN "0123456789abcdef"

struct fixture {
    struct folder folder;
    struct store *store;
    struct schema schema;
    float params[WORLD_VALUES];
    unsigned char packed[3][4 * WORLD_VALUES];
    struct msg_update update[3];
    struct core_update row[3];
    struct core_commit commit;
};

static const char *const names[] = {"ann", "bob", "cid"};

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
    for (int k = 0; k < 3; k++) {
        memset(x->packed[k], k + 1, sizeof x->packed[k]);
        x->update[k] = (struct msg_update){
            .run_id = RUN,
            .samples = 10 + (uint64_t)k,
            .steps = 3,
            .train_loss = 1.0 / 3,
            .seconds = 0.5,
            .n_metrics = 2,
            .metric = {{"z", 0.1 * k, 5}, {"a", -1, 6}},
            .params = {x->packed[k], 4 * x->schema.packed},
            .control = {x->packed[k], k == 2 ? 4 : 0},
        };
        x->update[k].update_id = msg_update_id(&x->update[k], names[k]);
        x->row[k] = (struct core_update){names[k], 0, 1, 100, 200, &x->update[k]};
    }
    x->commit =
        (struct core_commit){.params = x->params, .hash = tensorset_hash(&x->schema, x->params)};
    reopen(x);
}

static void end(struct fixture *x)
{
    store_close(x->store);
    schema_release(&x->schema);
    folder_remove(&x->folder);
}

static void put_attempt(struct fixture *x, uint32_t round, uint32_t attempt, size_t n)
{
    const struct core_attempt a = {round, attempt, n, names};
    struct err e = {0};
    cr_assert_eq(store_attempt(x->store, &a, names, 3, &e), 0, "%s", e.text);
}

static void put_updates(struct fixture *x, uint32_t round, size_t n)
{
    const struct core_update *u[] = {&x->row[2], &x->row[0], &x->row[1]};
    struct err e = {0};
    for (int k = 0; k < 3; k++)
        x->update[k].round = x->row[k].round = round;
    cr_assert_eq(store_updates(x->store, u, n, &e), 0, "%s", e.text);
}

static void put_commit(struct fixture *x, uint32_t round)
{
    static const double state[] = {1, 2};
    struct err e = {0};
    x->commit.round = round;
    x->commit.state = state;
    x->commit.n_state = 2;
    cr_assert_eq(store_commit(x->store, &x->schema, &x->commit, names, 3, &e), 0, "%s", e.text);
}

struct seen {
    const struct fixture *x;
    uint32_t round;
    size_t n;
    const char *expected[3];
};

static int check_row(void *ctx, const struct core_update *u, struct err *e)
{
    struct seen *s = ctx;
    (void)e;
    cr_assert_lt(s->n, 3);
    cr_assert_str_eq(u->client, s->expected[s->n++]);
    const struct msg_update *was = &s->x->update[u->client[0] - 'a'], *is = u->update;
    cr_assert(u->attempt == 1 && u->bytes_up == 100 && u->bytes_down == 200);
    cr_assert(is->samples == was->samples && is->steps == 3 && is->round == s->round);
    cr_assert(is->train_loss == was->train_loss && is->seconds == 0.5);
    cr_assert_eq(is->params.len, was->params.len);
    cr_assert_arr_eq(is->params.data, was->params.data, was->params.len);
    cr_assert_eq(is->control.len, was->control.len);
    cr_assert_eq(is->n_metrics, 2);
    cr_assert_str_eq(is->metric[0].name, "z"); /* as they came, not sorted */
    cr_assert(is->metric[0].value == was->metric[0].value && is->metric[1].weight == 6);
    cr_assert(hash_same(&was->update_id, &is->update_id));
    cr_assert(hash_same(&is->schema, &s->x->schema.hash));
    return 0;
}

static size_t rows_of(struct fixture *x, uint32_t round, const char *first, const char *second,
                      const char *third)
{
    struct seen s = {.x = x, .round = round, .expected = {first, second, third}};
    struct err e = {0};
    cr_assert_eq(store_journal(x->store, RUN, &x->schema.hash, round, check_row, &s, &e), 0, "%s",
                 e.text);
    return s.n;
}

static bool has_selection(struct fixture *x, uint32_t round, uint32_t attempt, size_t n)
{
    struct store_selection got;
    bool found;
    cr_assert_eq(store_selection(x->store, round, &got, &found, NULL), 0);
    if (!found)
        return false;
    cr_assert(got.attempt.round == round && got.attempt.attempt == attempt && got.attempt.n == n);
    for (size_t i = 0; i < n; i++)
        cr_assert_str_eq(got.attempt.client[i], names[i]);
    free(got.names);
    return true;
}

Test(store_journal, selection_and_updates_come_back_to_the_bit)
{
    struct fixture x;
    char **roster;
    size_t n;
    begin(&x);
    cr_assert_not(has_selection(&x, 0, 1, 2));
    put_attempt(&x, 0, 1, 2);
    put_updates(&x, 0, 2); /* of cid and ann */
    reopen(&x);
    cr_assert(has_selection(&x, 0, 1, 2));
    cr_assert_eq(rows_of(&x, 0, "ann", "cid", NULL), 2);
    cr_assert_eq(rows_of(&x, 1, NULL, NULL, NULL), 0);
    cr_assert_eq(store_roster(x.store, &roster, &n, NULL), 0);
    cr_assert_eq(n, 3);
    free(roster);
    end(&x);
}

Test(store_journal, a_new_attempt_forgets_the_updates_of_the_former)
{
    struct fixture x;
    begin(&x);
    put_attempt(&x, 0, 0, 3);
    put_updates(&x, 0, 3);
    put_attempt(&x, 0, 1, 2);
    cr_assert(has_selection(&x, 0, 1, 2));
    cr_assert_eq(rows_of(&x, 0, NULL, NULL, NULL), 0);
    put_updates(&x, 0, 1);
    put_updates(&x, 0, 1); /* again: replaced */
    cr_assert_eq(rows_of(&x, 0, "cid", NULL, NULL), 1);
    end(&x);
}

static int64_t rows_in(const struct fixture *x, const char *what)
{
    char query[128];
    int64_t n = -1;
    snprintf(query, sizeof query, "SELECT count(*) FROM %s", what);
    cr_assert_eq(sql_number(&x->store->sql, "t", query, -1, &n, NULL), 0);
    return n;
}

static void play(struct fixture *x, uint32_t rounds)
{
    for (uint32_t round = 0; round < rounds; round++) {
        put_attempt(x, round, 1, 3);
        put_updates(x, round, 3);
        put_commit(x, round);
    }
}

Test(store_journal, old_rounds_go)
{
    struct fixture x;
    double state[2];
    begin(&x);
    store_keep(x.store, 2, 0);
    play(&x, 6);
    put_attempt(&x, 6, 1, 3);
    put_updates(&x, 6, 1);
    cr_assert_not(has_selection(&x, 3, 1, 3));
    cr_assert_eq(rows_of(&x, 3, NULL, NULL, NULL), 0);
    for (uint32_t round = 4; round < 6; round++) {
        cr_assert(has_selection(&x, round, 1, 3));
        cr_assert_eq(rows_of(&x, round, "ann", "bob", "cid"), 3);
    }
    cr_assert_eq(rows_of(&x, 6, "cid", NULL, NULL), 1);
    cr_assert_eq(rows_in(&x, "journal"), 7);
    cr_assert_eq(rows_in(&x, "journal_metric"), 14);
    /* the state that round 4, the first that can be replayed, began with */
    cr_assert_eq(store_carried(x.store, 3, state, 2, NULL), 0);
    cr_assert_eq(store_carried(x.store, 2, state, 2, NULL), ERR_IO);
    cr_assert_eq(store_params(x.store, &x.schema, 0, x.params, NULL), 0);
    end(&x);
}

Test(store_journal, old_parameters_go_but_those_of_the_best_round_and_for_a_replay)
{
    struct fixture x;
    struct err e = {0};
    begin(&x);
    store_keep(x.store, 2, 1);
    x.commit.best = (struct best){.any = true, .round = 1};
    play(&x, 6);
    for (uint32_t round = 0; round < 6; round++)
        cr_assert_eq(store_params(x.store, &x.schema, round, x.params, &e),
                     round == 1 || round >= 3 ? 0 : ERR_USAGE, "round %u", round);
    cr_assert_eq(rows_in(&x, "round"), 6); /* its figures stay */
    end(&x);
}

Test(store_journal, space_is_used_again_and_given_back)
{
    enum { BIG = 1 << 20 };
    struct fixture x;
    int64_t pages, later;
    unsigned char *bytes = calloc(1, BIG);
    begin(&x);
    store_keep(x.store, 1, 0);
    for (int k = 0; k < 3; k++)
        x.update[k].control = (struct msg_bytes){bytes, BIG};
    play(&x, 3);
    cr_assert_eq(sql_number(&x.store->sql, "t", "PRAGMA page_count", 0, &pages, NULL), 0);
    for (uint32_t round = 3; round < 12; round++) {
        put_attempt(&x, round, 1, 3);
        put_updates(&x, round, 3);
        put_commit(&x, round);
    }
    cr_assert_eq(sql_number(&x.store->sql, "t", "PRAGMA page_count", 0, &later, NULL), 0);
    cr_assert_leq(later, pages + pages / 10);
    cr_assert_eq(store_compact(x.store, NULL), 0);
    cr_assert_eq(sql_number(&x.store->sql, "t", "PRAGMA page_count", 0, &pages, NULL), 0);
    cr_assert_gt(pages, later / 4); /* half of it is in use */
    store_keep(x.store, 0, 0);
    put_commit(&x, 12);
    cr_assert_eq(store_compact(x.store, NULL), 0);
    cr_assert_eq(sql_number(&x.store->sql, "t", "PRAGMA page_count", 0, &later, NULL), 0);
    cr_assert_lt(later, pages / 4);
    free(bytes);
    end(&x);
}

Test(store_journal, a_full_disk_stores_nothing_and_is_over_when_there_is_room)
{
    struct fixture x;
    struct err e = {0};
    const struct core_update *u[] = {&x.row[0], &x.row[1]};
    int64_t pages;
    unsigned char *bytes = calloc(1, 1 << 20);
    char limit[64];
    begin(&x);
    put_attempt(&x, 0, 1, 2);
    x.update[1].control = (struct msg_bytes){bytes, 1 << 20};
    cr_assert_eq(sql_number(&x.store->sql, "t", "PRAGMA page_count", 0, &pages, NULL), 0);
    snprintf(limit, sizeof limit, "PRAGMA max_page_count = %lld", (long long)pages + 10);
    cr_assert_eq(sql_script(&x.store->sql, "t", limit, NULL), 0);
    cr_assert_eq(store_updates(x.store, u, 2, &e), ERR_IO);
    cr_assert_not_null(strstr(e.text, "disk full"), "%s", e.text);
    cr_assert_eq(rows_in(&x, "journal"), 0); /* the first is not there without the second */
    cr_assert_eq(sql_script(&x.store->sql, "t", "PRAGMA max_page_count = 1000000", NULL), 0);
    cr_assert_eq(store_updates(x.store, u, 2, &e), 0, "%s", e.text);
    cr_assert_eq(rows_in(&x, "journal"), 2);
    free(bytes);
    end(&x);
}
