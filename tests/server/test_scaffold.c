/* SCAFFOLD's control variate at the server: its sum, its gate, what clients are told, restarts. */
#include "base/rng.h"
#include "folder.h"
#include "server/aggregate.h"
#include "server/scaffold.h"
#include "server/store.h"
#include "world.h"

enum { CLIENTS = 4, PER_ROUND = 3, ROUNDS = 4, N = 5 };

/* --- the module ----------------------------------------------------------------------------- */

static void wire_schema(struct schema *s)
{
    schema_init(s);
    cr_assert_eq(schema_add(s, "w", SCOPE_GLOBAL, true, 1, (int64_t[]){N}, NULL), 0);
    schema_seal(s);
}

static struct msg_bytes packed(const struct schema *s, const float *x, unsigned char *room)
{
    tensorset_pack(s, x, room);
    return (struct msg_bytes){room, 4 * s->packed};
}

Test(scaffold, adds_the_mean_over_all_clients_in_any_order)
{
    enum { POPULATION = 10, UPDATES = 3 };
    static const int order[][UPDATES] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                         {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    struct schema schema;
    struct rng r = rng_stream(4, 0, 0, RNG_TEST);
    float change[UPDATES][N];
    double first[N];
    unsigned char room[4 * N];
    wire_schema(&schema);
    for (int u = 0; u < UPDATES; u++)
        for (int i = 0; i < N; i++)
            change[u][i] = (float)rng_normal(&r) * (u ? 1e-3F : 1e3F);
    for (int k = 0; k < 6; k++) {
        struct scaffold s;
        double c[N];
        for (int i = 0; i < N; i++)
            c[i] = 0.5 * i;
        cr_assert_eq(scaffold_open(&s, &schema, POPULATION, c, NULL), 0);
        scaffold_begin(&s);
        for (int u = 0; u < UPDATES; u++) {
            cr_assert_eq(scaffold_check(&s, packed(&schema, change[order[k][u]], room)),
                         REASON_NONE);
            scaffold_add(&s);
        }
        scaffold_step(&s);
        float sent[N];
        struct msg_bytes out = scaffold_control(&s);
        cr_assert_eq(tensorset_unpack(&schema, out.data, out.len, sent, NULL), 0);
        for (int i = 0; i < N; i++) {
            double sum = (double)change[0][i] + change[1][i] + change[2][i];
            cr_assert_float_eq(c[i], 0.5 * i + sum / POPULATION, 1e-7 * fabs(sum));
            cr_assert_eq(sent[i], (float)c[i]);
        }
        if (k == 0)
            memcpy(first, c, sizeof c);
        cr_assert_arr_eq(c, first, sizeof c);
        scaffold_close(&s);
    }
    schema_release(&schema);
}

Test(scaffold, the_gate_refuses_what_is_no_change)
{
    struct schema schema;
    struct scaffold s;
    double c[N] = {0};
    float x[N] = {0};
    unsigned char room[4 * N];
    wire_schema(&schema);
    cr_assert_eq(scaffold_open(&s, &schema, 1, c, NULL), 0);
    struct msg_bytes good = packed(&schema, x, room);
    cr_expect_eq(scaffold_check(&s, good), REASON_NONE);
    cr_expect_eq(scaffold_check(&s, (struct msg_bytes){0}), REASON_SHAPE);
    cr_expect_eq(scaffold_check(&s, (struct msg_bytes){room, 4 * (N - 1)}), REASON_SHAPE);
    const float wrong[] = {NAN, INFINITY, -INFINITY, 1 << FIXED_RANGE_BITS,
                           -(1 << FIXED_RANGE_BITS)};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        x[N - 1] = wrong[i];
        cr_expect_eq(scaffold_check(&s, packed(&schema, x, room)), REASON_NOT_FINITE, "%zu", i);
    }
    x[N - 1] = nextafterf(1 << FIXED_RANGE_BITS, 0);
    cr_expect_eq(scaffold_check(&s, packed(&schema, x, room)), REASON_NONE);
    scaffold_close(&s);
    struct scaffold none = {0};
    cr_expect_eq(scaffold_check(&none, (struct msg_bytes){0}), REASON_NONE);
    cr_expect_eq(scaffold_check(&none, good), REASON_SHAPE, "a run without SCAFFOLD");
    schema_release(&schema);
}

/* --- in the core ---------------------------------------------------------------------------- */

static void begin(struct world *w, struct core_config *c, uint32_t quorum)
{
    world_open(w, CLIENTS, PER_ROUND, quorum, ROUNDS);
    w->spec.federation.scaffold = true;
    *c = world_config(w);
}

static void reopen(struct world *w, const struct core_config *c)
{
    struct err e = {0};
    core_close(w->core);
    cr_assert_eq(core_open(&w->core, c, w->now, &e), 0, "%s", e.text);
}

/* The update of client k with a change of its own. */
static void deliver(struct world *w, int k, uint32_t round, const float *poison)
{
    unsigned char params[4 * WORLD_VALUES], control[4 * WORLD_VALUES];
    float change[WORLD_VALUES];
    struct msg m = world_update(w, k, round, params);
    for (int i = 0; i < WORLD_VALUES; i++)
        change[i] = 0.1F * (float)(k + 1) + 0.01F * (float)i + (float)round;
    if (poison)
        change[0] = *poison;
    tensorset_pack(&w->schema, change, control);
    m.update.control = (struct msg_bytes){control, m.update.params.len};
    m.update.update_id = msg_update_id(&m.update, w->client[k].name);
    world_say(w, k, &m);
}

static bool holds_task(const struct world *w, int k, uint32_t round)
{
    const struct puppet *p = &w->client[k];
    return p->conn != 0 && p->heard[MSG_TASK] > 0 && p->task_round == round;
}

static void play(struct world *w, uint32_t from)
{
    for (uint32_t round = from; round < ROUNDS; round++)
        for (int k = 0; k < CLIENTS; k++)
            if (holds_task(w, k, round))
                deliver(w, k, round, NULL);
    cr_assert(core_finished(w->core));
}

Test(scaffold, the_control_variate_goes_out_with_each_task)
{
    struct world w;
    struct core_config config;
    double c[WORLD_VALUES] = {0};
    uint32_t counted[CLIENTS] = {0};
    begin(&w, &config, 0);
    reopen(&w, &config);
    world_join_all(&w, CLIENTS);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        double sum[WORLD_VALUES] = {0};
        int players = 0;
        for (int k = 0; k < CLIENTS; k++) {
            if (!holds_task(&w, k, round))
                continue;
            cr_expect_eq(w.client[k].counted, counted[k]);
            counted[k] = round + 1;
            players++;
            for (int i = 0; i < WORLD_VALUES; i++) {
                cr_expect_float_eq(w.client[k].control[i], i == 2 ? 0 : c[i], 1e-6);
                sum[i] += 0.1 * (k + 1) + 0.01 * i + round;
            }
        }
        cr_assert_eq(players, PER_ROUND);
        for (int k = 0; k < CLIENTS; k++)
            if (holds_task(&w, k, round))
                deliver(&w, k, round, NULL);
        for (int i = 0; i < WORLD_VALUES; i++)
            c[i] += sum[i] / CLIENTS;
        cr_assert_eq(w.commits, round + 1);
        cr_expect_eq(w.commit[round].n_state, w.schema.packed);
        cr_expect_float_eq(w.commit[round].state[4], c[5], 1e-6, "the last value that travels");
    }
    world_close(&w);
}

Test(scaffold, an_update_without_a_change_or_with_a_bad_one_leaves_no_trace)
{
    struct world w, clean;
    struct core_config config;
    const float bad = NAN, huge = 2e6F;
    begin(&w, &config, 0);
    reopen(&w, &config);
    begin(&clean, &config, 0);
    reopen(&clean, &config);
    world_join_all(&w, CLIENTS);
    world_join_all(&clean, CLIENTS);
    for (int k = 0; k < CLIENTS; k++) {
        if (!holds_task(&w, k, 0))
            continue;
        world_deliver(&w, k, 0);
        cr_expect_eq(w.client[k].receipt.reason, REASON_SHAPE);
        deliver(&w, k, 0, &bad);
        cr_expect_eq(w.client[k].receipt.reason, REASON_NOT_FINITE);
        deliver(&w, k, 0, &huge);
        cr_expect_eq(w.client[k].receipt.reason, REASON_NOT_FINITE);
        deliver(&w, k, 0, NULL);
        cr_expect(w.client[k].receipt.accepted);
        deliver(&w, k, 0, NULL); /* a repeat counts once */
        deliver(&clean, k, 0, NULL);
    }
    cr_assert(w.commits == 1 && clean.commits == 1);
    cr_expect_arr_eq(w.commit[0].params, clean.commit[0].params, sizeof clean.commit[0].params);
    cr_expect_arr_eq(w.commit[0].state, clean.commit[0].state, 5 * sizeof(double));
    world_close(&w);
    world_close(&clean);
}

Test(scaffold, the_update_id_seals_the_control_variate)
{
    struct world w;
    struct core_config config;
    unsigned char params[4 * WORLD_VALUES], control[4 * WORLD_VALUES] = {0};
    begin(&w, &config, 0);
    reopen(&w, &config);
    world_join_all(&w, CLIENTS);
    int k = 0;
    while (!holds_task(&w, k, 0))
        k++;
    struct msg m = world_update(&w, k, 0, params);
    m.update.control = (struct msg_bytes){control, m.update.params.len};
    m.update.update_id = msg_update_id(&m.update, w.client[k].name);
    control[0] ^= 1;
    world_say(&w, k, &m);
    cr_expect_eq(w.client[k].receipt.reason, REASON_IDENTITY);
    control[0] ^= 1;
    world_say(&w, k, &m);
    cr_expect(w.client[k].receipt.accepted);
    world_close(&w);
}

/* What was delivered in an attempt that came to nothing is in no sum; nor has it counted. */
Test(scaffold, an_attempt_without_quorum_is_forgotten)
{
    struct world w, straight;
    struct core_config config;
    begin(&w, &config, 0);
    w.spec.federation.clients = w.spec.federation.per_round = CLIENTS;
    reopen(&w, &config);
    begin(&straight, &config, 0);
    straight.spec.federation = w.spec.federation;
    reopen(&straight, &config);
    world_join_all(&w, CLIENTS);
    world_join_all(&straight, CLIENTS);
    deliver(&w, 0, 0, NULL);
    w.now += 60 * 1000;
    core_tick(w.core, w.now);
    world_drain(&w);
    for (int k = 0; k < CLIENTS; k++) {
        cr_expect_eq(w.client[k].counted, 0);
        deliver(&w, k, 0, NULL);
        deliver(&straight, k, 0, NULL);
    }
    cr_assert(w.commits == 1 && straight.commits == 1);
    cr_expect_arr_eq(w.commit[0].state, straight.commit[0].state, 5 * sizeof(double));
    world_close(&w);
    world_close(&straight);
}

Test(scaffold, only_a_run_with_it_takes_control_variates)
{
    struct world w;
    world_open(&w, CLIENTS, CLIENTS, 0, ROUNDS);
    world_join_all(&w, CLIENTS);
    size_t without = core_limit(w.core, w.client[0].conn, MSG_UPDATE);
    cr_expect_eq(without, msg_limit(MSG_UPDATE, 5));
    deliver(&w, 0, 0, NULL);
    cr_expect_eq(w.client[0].receipt.reason, REASON_SHAPE);
    struct core_config config = world_config(&w);
    w.spec.federation.scaffold = true;
    reopen(&w, &config);
    world_join(&w, 0);
    cr_expect_eq(core_limit(w.core, w.client[0].conn, MSG_UPDATE), msg_limit(MSG_UPDATE, 10));
    world_close(&w);
}

Test(scaffold, a_restart_after_any_round_changes_nothing)
{
    struct world whole, rest;
    struct core_config c;
    const char *names[CLIENTS];
    begin(&whole, &c, 0);
    whole.spec.federation.optimizer = SERVER_FEDAVGM; /* its state comes first */
    whole.spec.federation.server_lr = 1;
    whole.spec.federation.server_beta1 = 0.5;
    reopen(&whole, &c);
    world_join_all(&whole, CLIENTS);
    play(&whole, 0);
    cr_assert_eq(core_clients(whole.core, names, CLIENTS), CLIENTS);
    for (uint32_t cut = 1; cut < ROUNDS; cut++) {
        uint32_t counted[CLIENTS] = {0};
        begin(&rest, &c, 0);
        rest.spec.federation = whole.spec.federation;
        for (uint32_t round = 0; round < cut; round++)
            for (size_t i = 0; i < whole.commit[round].n; i++)
                for (int k = 0; k < CLIENTS; k++)
                    if (strcmp(names[k], whole.commit[round].client[i]) == 0)
                        counted[k] = round + 1;
        c.client = names;
        c.n_clients = CLIENTS;
        c.counted = counted;
        c.round = cut;
        c.params = whole.commit[cut - 1].params;
        c.state = whole.commit[cut - 1].state;
        reopen(&rest, &c);
        world_join_all(&rest, CLIENTS);
        for (int k = 0; k < CLIENTS; k++)
            if (holds_task(&rest, k, cut))
                cr_expect_eq(rest.client[k].counted, counted[k]);
        play(&rest, cut);
        cr_expect_arr_eq(rest.commit[rest.commits - 1].state, whole.commit[ROUNDS - 1].state,
                         10 * sizeof(double));
        cr_expect(hash_same(&rest.commit[rest.commits - 1].hash, &whole.commit[ROUNDS - 1].hash));
        world_close(&rest);
    }
    world_close(&whole);
}

/* --- in the store --------------------------------------------------------------------------- */

Test(scaffold, the_store_knows_which_round_counted_last)
{
    struct folder f = folder_make();
    struct store *s;
    struct schema schema;
    float params[WORLD_VALUES] = {0};
    double state[1] = {0};
    const char *const roster[] = {"carol", "alice", "bob", "dora"};
    char **name;
    uint32_t counted[4];
    size_t n;
    struct err e = {0};
    world_schema(&schema);
    cr_assert_eq(store_open(&s, folder_file(&f, "db"), STORE_WRITE, &e), 0, "%s", e.text);
    cr_assert_eq(store_counted(s, counted, 0, &e), 0, "%s", e.text);
    for (uint32_t round = 0; round < 3; round++) {
        struct core_contribution who[] = {{.client = "alice"}, {.client = "bob"}};
        struct core_commit c = {.round = round,
                                .params = params,
                                .hash = tensorset_hash(&schema, params),
                                .n = round < 2 ? 2 : 1,
                                .contribution = who,
                                .state = state};
        cr_assert_eq(store_commit(s, &schema, &c, roster, 4, &e), 0, "%s", e.text);
    }
    cr_assert_eq(store_roster(s, &name, &n, &e), 0);
    cr_assert_eq(n, 4);
    cr_assert_eq(store_counted(s, counted, n, &e), 0, "%s", e.text);
    cr_expect(strcmp(name[0], "alice") == 0 && counted[0] == 3);
    cr_expect(strcmp(name[1], "bob") == 0 && counted[1] == 2);
    cr_expect(strcmp(name[2], "carol") == 0 && counted[2] == 0);
    cr_expect(strcmp(name[3], "dora") == 0 && counted[3] == 0);
    free(name);
    store_close(s);
    schema_release(&schema);
    folder_remove(&f);
}
