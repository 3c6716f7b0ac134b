/* The server's parts while memory runs out: the core, aggregators, the store. */
#include "../server/folder.h"
#include "../server/world.h"
#include "failing.h"
#include "server/aggregate.h"
#include "server/store.h"

/* --- the core --- */

struct variant {
    const char *name;
    struct federation_spec spec;
};

#define PLAIN                                                                                      \
    .clients = 4, .per_round = 3, .rounds = 3, .deadline_s = 60, .weighted = true, .seed = 42
static const struct variant variants[] = {
    {"fedavg", {PLAIN}},
    {"fedadam",
     {PLAIN, .optimizer = SERVER_FEDADAM, .server_beta1 = 0.9, .server_beta2 = 0.99,
      .server_tau = 1e-3, .best = true}},
    {"scaffold", {PLAIN, .scaffold = true}},
    {"median", {PLAIN, .aggregator = AGGREGATION_MEDIAN}},
    {"krum", {PLAIN, .aggregator = AGGREGATION_KRUM, .krum_keep = 1}},
};
enum { VARIANTS = sizeof variants / sizeof *variants };

static int open_core(void *ctx, struct err *e)
{
    const struct core_config *config = ctx;
    struct core *c;
    int rc = core_open(&c, config, 0, e);
    if (rc == 0)
        core_close(c);
    return rc;
}

static void open_variant(struct world *w, const struct variant *v)
{
    struct err e = {0};
    world_open(w, 4, 3, 0, 3);
    core_close(w->core);
    w->spec.federation = v->spec;
    struct core_config c = world_config(w);
    cr_assert_eq(core_open(&w->core, &c, w->now, &e), 0, "%s: %s", v->name, e.text);
}

Test(memory, a_core_is_opened_or_not)
{
    for (int i = 0; i < VARIANTS; i++) {
        static const char *const names[] = {"ann", "bob", "cid"};
        struct world w;
        open_variant(&w, &variants[i]);
        struct core_config c = world_config(&w);
        c.client = names;
        c.n_clients = 3;
        failing_everywhere(variants[i].name, open_core, &c);
        world_close(&w);
    }
}

/* One step of client k, as its shell and its link would have it. */
static void step(struct world *w, int k)
{
    struct puppet *p = &w->client[k];
    if (p->conn == 0) {
        world_connect(w, k);
        if (p->conn != 0 && core_limit(w->core, p->conn, MSG_HELLO) == 0)
            world_disconnect(w, k); /* its link ends at the first frame */
        else if (p->conn != 0)
            world_hello(w, k);
        if (p->conn != 0)
            world_ready(w, k);
    } else if (p->heard[MSG_TASK] > 0 && p->task_round == core_round(w->core)) {
        world_deliver(w, k, p->task_round);
    }
}

/* A whole federation with one allocation, or `many` in a row, failing on the way: what it cannot do
 * then it does later, and the result is the same. False: there was no such allocation. */
static bool federation(const struct variant *v, unsigned long n, unsigned long many,
                       const struct hash *want, struct hash *got)
{
    struct world w;
    open_variant(&w, v);
    failing_from(n, many > 1);
    for (int turn = 0; !core_finished(w.core); turn++) {
        cr_assert_lt(turn, 1000, "%s: no end after failure %lu", v->name, n);
        step(&w, turn % 4);
        if (many > 1 && turn % 50 == 49) /* there is memory again */
            failing_from(0, false);
    }
    bool hit = failing_end() > 0 || many > 1;
    cr_assert_eq(w.commits, 3);
    for (unsigned i = 0; i < w.commits; i++)
        cr_assert_eq(w.commit[i].n, 3);
    *got = w.commit[2].hash;
    if (want)
        cr_assert(hash_same(want, got), "%s: failure %lu changes the result", v->name, n);
    world_close(&w);
    return hit;
}

Test(memory, a_federation_goes_on_to_the_same_result)
{
    for (int i = 0; i < VARIANTS; i++) {
        if (variants[i].spec.scaffold) /* not for the puppets of world.h */
            continue;
        struct hash want, got;
        unsigned long n = 1;
        federation(&variants[i], 0, 1, NULL, &want);
        while (federation(&variants[i], n, 1, &want, &got))
            n++;
        cr_assert_gt(n, 10, "%s", variants[i].name);
        for (unsigned long from = 1; from < n; from++)
            federation(&variants[i], from, 2, &want, &got);
    }
}

/* --- aggregators --- */

enum { VALUES = 300, ROWS = 3 };

static int aggregate(void *ctx, struct err *e)
{
    const struct federation_spec *f = ctx;
    struct aggregate a;
    float base[VALUES] = {0}, x[VALUES], out[VALUES];
    int rc = aggregate_open(&a, f, VALUES, e);
    if (rc != 0)
        return rc;
    for (int row = 0; row < ROWS && rc == 0; row++) {
        for (int i = 0; i < VALUES; i++)
            x[i] = (float)(row + 1) * 0.5F;
        aggregate_prepare(&a, base, x);
        rc = aggregate_add(&a, (size_t)row, x, 1, e);
    }
    if (rc == 0)
        rc = aggregate_finish(&a, out, e);
    if (rc == 0 && f->aggregator != AGGREGATION_KRUM)
        cr_assert_float_eq(out[VALUES - 1], 1.0F, 1e-6);
    aggregate_close(&a);
    return rc;
}

Test(memory, aggregators)
{
    for (int how = AGGREGATION_FEDAVG; how <= AGGREGATION_KRUM; how++) {
        struct federation_spec f = {PLAIN, .clip_norm = 1e6, .krum_keep = 1};
        f.aggregator = (enum aggregation)how;
        failing_everywhere(aggregator_find(f.aggregator)->name, aggregate, &f);
    }
}

/* --- the store --- */

struct shelf {
    struct folder folder;
    struct schema schema;
    float params[WORLD_VALUES];
    unsigned char packed[4 * WORLD_VALUES];
    struct msg_update update;
    struct core_update row;
    struct core_contribution contribution;
    double state[2];
    struct core_commit commit;
    uint32_t rounds; /* committed */
};

static const char *const people[] = {"ann", "bob", "cid"};

static void shelf_make(struct shelf *x)
{
    *x = (struct shelf){.folder = folder_make()};
    world_schema(&x->schema);
    x->update = (struct msg_update){.run_id = "0123456789abcdef",
                                    .samples = 10,
                                    .steps = 3,
                                    .n_metrics = 1,
                                    .metric = {{"accuracy", 0.5, 5}},
                                    .params = {x->packed, 4 * x->schema.packed},
                                    .control = {x->packed, 0}};
    x->update.update_id = msg_update_id(&x->update, people[0]);
    x->row = (struct core_update){people[0], 0, 0, 100, 200, &x->update};
    x->contribution =
        (struct core_contribution){"ann", 10, 2, 0.5, 1.5, 1000, 2000, x->update.update_id};
    x->commit = (struct core_commit){.params = x->params,
                                     .hash = tensorset_hash(&x->schema, x->params),
                                     .n = 1,
                                     .contribution = &x->contribution,
                                     .samples = 10,
                                     .n_metrics = 1,
                                     .metric = {{"accuracy", 0.75, 40}},
                                     .state = x->state,
                                     .n_state = 2,
                                     .selected = 1};
}

static int open_store(const struct shelf *x, struct store **s, struct err *e)
{
    struct store_run run = {.run_id = "0123456789abcdef", .parameters = 5, .rounds = 1000};
    int rc = store_open(s, folder_file(&x->folder, "db"), STORE_WRITE, e);
    if (rc != 0)
        return rc;
    store_keep(*s, 2, 0);
    rc = store_begin(*s, &run, e);
    if (rc != 0)
        store_close(*s);
    return rc;
}

/* The next round: selected, its update journalled, committed. */
static int write_round(void *ctx, struct err *e)
{
    struct shelf *x = ctx;
    struct store *s;
    const struct core_attempt a = {x->rounds, 0, 1, people};
    const struct core_update *const rows[] = {&x->row};
    x->update.round = x->row.round = x->commit.round = x->rounds;
    int rc = open_store(x, &s, e);
    if (rc != 0)
        return rc;
    rc = store_attempt(s, &a, people, 3, e);
    if (rc == 0)
        rc = store_updates(s, rows, 1, e);
    if (rc == 0)
        rc = store_commit(s, &x->schema, &x->commit, people, 3, e);
    x->rounds += rc == 0;
    store_close(s);
    return rc;
}

static int count_round(void *ctx, const struct store_round *r)
{
    uint32_t *n = ctx;
    cr_assert_eq(r->round, *n);
    cr_assert_eq(r->updates, 1);
    ++*n;
    return 0;
}

static int count_update(void *ctx, const struct core_update *u, struct err *e)
{
    (void)e;
    cr_assert_str_eq(u->client, "ann");
    ++*(unsigned *)ctx;
    return 0;
}

static int read_all(void *ctx, struct err *e)
{
    const struct shelf *x = ctx;
    struct store *s;
    float params[WORLD_VALUES];
    double state[2];
    char **name = NULL;
    size_t n;
    uint32_t rounds = 0;
    unsigned updates = 0;
    int rc = open_store(x, &s, e);
    if (rc != 0)
        return rc;
    rc = store_roster(s, &name, &n, e);
    free(rc == 0 ? name : NULL);
    if (rc == 0)
        rc = store_params(s, &x->schema, x->rounds - 1, params, e);
    if (rc == 0)
        rc = store_carried(s, x->rounds - 1, state, 2, e);
    if (rc == 0)
        rc = store_rounds(s, 0, count_round, &rounds, e);
    if (rc == 0)
        rc = store_journal(s, "0123456789abcdef", &x->schema.hash, x->rounds - 1, count_update,
                           &updates, e);
    if (rc == 0)
        cr_assert(n == 3 && rounds == x->rounds && updates == 1);
    store_close(s);
    return rc;
}

/* SQLite begins to allocate when it is first used, and once only. */
static void warm_up(struct shelf *x)
{
    struct err e = {0};
    cr_assert_eq(write_round(x, &e), 0, "%s", e.text);
}

static void write_failing(struct shelf *x, bool forever)
{
    struct err e = {0};
    for (unsigned long n = 1;; n += 1 + n / 20) { /* some thousand calls, and a disk behind them */
        uint32_t before = x->rounds;
        failing_from(n, forever);
        int rc = write_round(x, &e);
        if (failing_end() == 0)
            break;
        cr_assert(rc == ERR_NOMEM || (rc == 0 && x->rounds == before + 1), "call %lu: %d, %s", n,
                  rc, e.text);
        cr_assert_eq(read_all(x, &e), 0, "after call %lu: %s", n, e.text);
        cr_assert_eq(write_round(x, &e), 0, "after call %lu: %s", n, e.text);
    }
    cr_assert_eq(read_all(x, &e), 0, "%s", e.text);
}

Test(memory, a_store_takes_a_round_or_leaves_what_was_there)
{
    struct shelf x;
    shelf_make(&x);
    warm_up(&x);
    write_failing(&x, false);
    write_failing(&x, true);
    schema_release(&x.schema);
    folder_remove(&x.folder);
}

static void read_failing(struct shelf *x, bool forever)
{
    for (unsigned long n = 1;; n++) {
        struct err e = {0};
        failing_from(n, forever);
        int rc = read_all(x, &e);
        if (failing_end() == 0) {
            cr_assert_eq(rc, 0);
            return;
        }
        cr_assert(rc == ERR_NOMEM || rc == 0, "call %lu: %d, %s", n, rc, e.text);
    }
}

Test(memory, a_store_is_read_or_not)
{
    struct shelf x;
    shelf_make(&x);
    warm_up(&x);
    read_failing(&x, false);
    read_failing(&x, true);
    schema_release(&x.schema);
    folder_remove(&x.folder);
}
