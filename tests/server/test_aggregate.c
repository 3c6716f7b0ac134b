/* Every aggregator against a plain one in double; their order, their limits, and what one hostile
 * client among honest ones does to each. */
#include "base/rng.h"
#include "server/aggregate.h"
#include "world.h"
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

enum { N = 1500, ROWS = 9 };

static const enum aggregation all[] = {AGGREGATION_FEDAVG, AGGREGATION_CLIPPED_MEAN,
                                       AGGREGATION_MEDIAN, AGGREGATION_TRIMMED_MEAN,
                                       AGGREGATION_KRUM};
enum { KINDS = sizeof all / sizeof *all };

struct updates {
    float base[N], x[ROWS][N];
    uint64_t weight[ROWS];
};

static struct federation_spec spec_of(enum aggregation how)
{
    return (struct federation_spec){.clients = ROWS,
                                    .per_round = ROWS,
                                    .deadline_s = 1,
                                    .aggregator = how,
                                    .clip_norm = 30,
                                    .byzantine = 2,
                                    .krum_keep = 3};
}

static struct updates *random_updates(uint64_t seed)
{
    static struct updates u;
    struct rng r = rng_stream(seed, 0, 0, RNG_TEST);
    for (int i = 0; i < N; i++)
        u.base[i] = (float)rng_normal(&r);
    for (int k = 0; k < ROWS; k++) {
        u.weight[k] = 1 + rng_below(&r, 100);
        for (int i = 0; i < N; i++)
            u.x[k][i] = u.base[i] + (float)(rng_normal(&r) * 0.3 * (k + 1));
    }
    return &u;
}

/* The updates of the rows in `order`, n of them. */
static void aggregate(const struct federation_spec *f, const struct updates *u, const int *order,
                      int n, float *out)
{
    struct aggregate a;
    struct err e = {0};
    static float x[N];
    cr_assert_eq(aggregate_open(&a, f, N, &e), 0, "%s", e.text);
    for (int again = 0; again < 2; again++) { /* the second time over what the first left */
        aggregate_reset(&a);
        for (int k = 0; k < n; k++) {
            memcpy(x, u->x[order[k]], sizeof x);
            aggregate_prepare(&a, u->base, x);
            cr_assert_eq(aggregate_add(&a, (size_t)order[k], x, u->weight[order[k]], &e), 0, "%s",
                         e.text);
        }
        cr_assert_eq(aggregate_finish(&a, out, &e), 0, "%s", e.text);
    }
    aggregate_close(&a);
}

static double sorted_mean(double *v, int n, int from, int to)
{
    double sum = 0;
    for (int i = 1; i < n; i++) /* insertion */
        for (int j = i; j > 0 && v[j] < v[j - 1]; j--) {
            double t = v[j];
            v[j] = v[j - 1];
            v[j - 1] = t;
        }
    for (int i = from; i < to; i++)
        sum += v[i];
    return sum / (to - from);
}

static void expect_ranked(enum aggregation how, int n)
{
    const struct federation_spec f = spec_of(how);
    const struct updates *u = random_updates(7);
    static const int order[] = {8, 3, 5, 0, 7, 1, 2, 6, 4};
    float out[N];
    int drop = how == AGGREGATION_MEDIAN ? (n - 1) / 2 : (int)f.byzantine;
    aggregate(&f, u, order, n, out);
    for (int i = 0; i < N; i++) {
        double v[ROWS];
        for (int k = 0; k < n; k++)
            v[k] = (double)u->x[order[k]][i];
        cr_assert_eq(out[i], (float)sorted_mean(v, n, drop, n - drop), "%d of %d", i, n);
    }
}

Test(aggregate, median_and_trimmed_mean_agree_with_plain_ones)
{
    for (int n = 5; n <= ROWS; n++) {
        expect_ranked(AGGREGATION_MEDIAN, n);
        expect_ranked(AGGREGATION_TRIMMED_MEAN, n);
    }
    expect_ranked(AGGREGATION_MEDIAN, 1);
    expect_ranked(AGGREGATION_MEDIAN, 2);
}

Test(aggregate, clipping_bounds_each_difference_before_the_mean)
{
    const struct federation_spec f = spec_of(AGGREGATION_CLIPPED_MEAN);
    const struct updates *u = random_updates(8);
    static const int order[] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
    static double sum[N];
    double total = 0;
    int clipped = 0;
    float out[N];
    aggregate(&f, u, order, ROWS, out);
    memset(sum, 0, sizeof sum);
    for (int k = 0; k < ROWS; k++) {
        double square = 0;
        for (int i = 0; i < N; i++)
            square += pow((double)u->x[k][i] - (double)u->base[i], 2);
        double scale = sqrt(square) > f.clip_norm ? f.clip_norm / sqrt(square) : 1;
        clipped += scale < 1;
        total += (double)u->weight[k];
        for (int i = 0; i < N; i++)
            sum[i] += (double)u->weight[k] *
                      ((double)u->base[i] + scale * ((double)u->x[k][i] - (double)u->base[i]));
    }
    cr_assert(clipped > 0 && clipped < ROWS);
    for (int i = 0; i < N; i++)
        cr_assert_float_eq((double)out[i], sum[i] / total, 3e-7 * (1 + fabs(sum[i] / total)));
}

static double score_of(const struct updates *u, const int *who, int n, int k, int nearest)
{
    double d[ROWS];
    int others = 0;
    for (int j = 0; j < n; j++) {
        if (j == k)
            continue;
        d[others] = 0;
        for (int i = 0; i < N; i++)
            d[others] += pow((double)u->x[who[j]][i] - (double)u->x[who[k]][i], 2);
        others++;
    }
    return sorted_mean(d, others, 0, nearest) * nearest;
}

static void expect_krum(uint32_t keep, int n)
{
    struct federation_spec f = spec_of(AGGREGATION_KRUM);
    const struct updates *u = random_updates(9);
    static const int order[] = {6, 2, 8, 0, 4, 7, 1, 3, 5};
    double score[ROWS];
    bool chosen[ROWS] = {false};
    float out[N];
    f.krum_keep = keep;
    aggregate(&f, u, order, n, out);
    for (int k = 0; k < n; k++)
        score[k] = score_of(u, order, n, k, n - (int)f.byzantine - 2);
    for (uint32_t m = 0; m < keep; m++) {
        int best = -1;
        for (int k = 0; k < n; k++)
            if (!chosen[k] && (best < 0 || score[k] < score[best]))
                best = k;
        chosen[best] = true;
    }
    for (int i = 0; i < N; i++) {
        double sum = 0;
        for (int k = 0; k < n; k++)
            sum += chosen[k] ? (double)u->x[order[k]][i] : 0;
        cr_assert_float_eq((double)out[i], sum / keep, 1e-6 * (1 + fabs(sum)), "%u of %d", keep, n);
        if (keep == 1) /* one of the updates, bit by bit */
            cr_assert_eq(out[i], (float)sum);
    }
}

Test(aggregate, krum_and_multi_krum_choose_as_plain_ones)
{
    for (int n = 7; n <= ROWS; n++)
        for (uint32_t keep = 1; keep <= 5; keep++)
            expect_krum(keep, n);
}

Test(aggregate, no_order_of_arrival_changes_a_bit)
{
    struct updates *u = random_updates(10);
    struct rng r = rng_stream(11, 0, 0, RNG_TEST);
    int order[ROWS] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
    float want[N], got[N];
    memcpy(u->x[6], u->x[1], sizeof u->x[6]); /* equal ones, and zeros of both signs */
    for (int k = 0; k < ROWS; k++)
        u->x[k][3] = k % 2 == 0 ? 0.0F : -0.0F;
    for (int kind = 0; kind < KINDS; kind++) {
        const struct federation_spec f = spec_of(all[kind]);
        aggregate(&f, u, order, ROWS, want);
        for (int trial = 0; trial < 20; trial++) {
            for (int i = ROWS - 1; i > 0; i--) {
                int j = (int)rng_below(&r, (uint32_t)i + 1), t = order[i];
                order[i] = order[j];
                order[j] = t;
            }
            aggregate(&f, u, order, ROWS, got);
            cr_assert_arr_eq(got, want, sizeof got, "%s", aggregator_find(all[kind])->name);
        }
    }
}

Test(aggregate, the_largest_values_give_finite_ones)
{
    struct updates *u = random_updates(12);
    static const int order[] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
    const float top = nextafterf(1 << FIXED_RANGE_BITS, 0);
    float out[N];
    for (int k = 0; k < ROWS; k++)
        for (int i = 0; i < N; i++)
            u->x[k][i] = (i + k) % 2 == 0 ? top : -top;
    for (int kind = 0; kind < KINDS; kind++) {
        const struct federation_spec f = spec_of(all[kind]);
        aggregate(&f, u, order, ROWS, out);
        for (int i = 0; i < N; i++)
            cr_assert(fabsf(out[i]) <= top, "%s: %g", aggregator_find(all[kind])->name,
                      (double)out[i]);
    }
}

Test(aggregate, a_missing_folder_is_said_before_the_run)
{
    struct aggregate a;
    struct err e = {0};
    const struct federation_spec f = spec_of(AGGREGATION_MEDIAN);
    setenv("TMPDIR", "/nonexistent/folder", 1);
    cr_assert_eq(aggregate_open(&a, &f, N, &e), ERR_IO);
    cr_assert_not_null(strstr(e.text, "/nonexistent/folder"), "%s", e.text);
}

/* No file of this process may grow beyond `bytes`. */
static void limit_files(rlim_t bytes)
{
    const struct rlimit limit = {bytes, bytes};
    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

Test(aggregate, a_disk_without_room_is_said_before_the_run)
{
    struct aggregate a;
    struct err e = {0};
    const struct federation_spec f = spec_of(AGGREGATION_KRUM);
    limit_files(1000);
    cr_assert_eq(aggregate_open(&a, &f, N, &e), ERR_IO);
    cr_assert_not_null(strstr(e.text, "TMPDIR"), "%s", e.text);
}

Test(aggregate, a_failing_spool_fails_the_round_and_not_the_next)
{
    struct aggregate a;
    struct err e = {0};
    float out[N];
    struct updates *u = random_updates(13);
    const struct federation_spec f = spec_of(AGGREGATION_MEDIAN);
    cr_assert_eq(aggregate_open(&a, &f, N, &e), 0, "%s", e.text);
    aggregate_reset(&a);
    limit_files(2 * N * sizeof(float)); /* the first two clients' places */
    for (size_t k = 0; k < 3; k++)
        cr_assert_eq(aggregate_add(&a, k, u->x[k], 1, &e), 0);
    cr_assert_eq(aggregate_finish(&a, out, &e), ERR_IO);
    cr_assert_not_null(strstr(e.text, "write"), "%s", e.text);
    aggregate_reset(&a);
    cr_assert_eq(aggregate_add(&a, 1, u->x[1], 1, &e), 0);
    cr_assert_eq(aggregate_finish(&a, out, &e), 0, "%s", e.text);
    cr_assert_arr_eq(out, u->x[1], sizeof out);
    aggregate_close(&a);
}

Test(aggregate, a_spool_in_many_blocks_gives_all_values_back)
{
    enum { WIDE = 300001, MANY = 7 }; /* a block has 2^20 / 7 of them */
    struct spool *s;
    struct spool_block b = {0};
    struct err e = {0};
    float *x = malloc(WIDE * sizeof *x);
    size_t blocks = 0, at = 0;
    cr_assert_eq(spool_open(&s, MANY, WIDE, &e), 0, "%s", e.text);
    for (size_t row = MANY - 1; row > 0; row -= 2) { /* 6, 4, 2 */
        for (size_t i = 0; i < WIDE; i++)
            x[i] = (float)(row * 1000000 + i);
        cr_assert_eq(spool_put(s, row, x, &e), 0, "%s", e.text);
    }
    cr_assert_eq(spool_rows(s), 3);
    while (spool_next(s, &b, &e) == 0 && b.n > 0) {
        cr_assert(b.first == at && b.rows == 3);
        for (size_t k = 0; k < b.rows; k++)
            for (size_t i = 0; i < b.n; i++)
                cr_assert_eq(b.value[k * b.n + i], (float)((2 * k + 2) * 1000000 + at + i));
        at += b.n;
        blocks++;
    }
    cr_assert_eq(at, WIDE);
    cr_assert_eq(blocks, 3);
    spool_clear(s);
    cr_assert_eq(spool_rows(s), 0);
    spool_close(s);
    free(x);
}

/* --- in a federation ------------------------------------------------------------------------ */

static void expect_config(struct federation_spec f, const char *word)
{
    struct err e = {0};
    cr_assert_eq(spec_check_federation(&f, &e), ERR_CONFIG, "%s", word);
    cr_assert_not_null(strstr(e.text, word), "%s", e.text);
}

Test(aggregate, a_quorum_that_cannot_outvote_the_hostile_is_refused)
{
    struct federation_spec f = spec_of(AGGREGATION_TRIMMED_MEAN);
    f.byzantine = 4; /* 9 = 2 * 4 + 1 */
    cr_assert_eq(spec_check_federation(&f, NULL), 0);
    f.quorum = 8;
    expect_config(f, "quorum");
    f = spec_of(AGGREGATION_KRUM);
    f.byzantine = 3; /* 9 = 2 * 3 + 3 */
    f.krum_keep = 6;
    cr_assert_eq(spec_check_federation(&f, NULL), 0);
    f.krum_keep = 7;
    expect_config(f, "krum_keep");
    f.krum_keep = 0;
    expect_config(f, "krum_keep");
    f.krum_keep = 1;
    f.byzantine = 4;
    expect_config(f, "byzantine");
    f.byzantine = UINT32_MAX;
    expect_config(f, "byzantine");
    f = spec_of(AGGREGATION_KRUM);
    f.clients = f.per_round = KRUM_MAX_CLIENTS + 1;
    expect_config(f, "per_round");
    f = spec_of(AGGREGATION_CLIPPED_MEAN);
    f.clip_norm = 0;
    expect_config(f, "clip_norm");
    f = spec_of(AGGREGATION_MEDIAN);
    f.scaffold = true;
    expect_config(f, "scaffold");
}

Test(aggregate, parameters_to_begin_with_are_in_range)
{
    struct world w;
    struct err e = {0};
    world_open(&w, 2, 2, 0, 1);
    core_close(w.core);
    w.core = NULL;
    w.theta[0] = 1 << FIXED_RANGE_BITS;
    struct core_config c = world_config(&w);
    cr_assert_eq(core_open(&w.core, &c, w.now, &e), ERR_CONFIG);
    cr_assert_not_null(strstr(e.text, "magnitude"), "%s", e.text);
    world_close(&w);
}

/* Client 3 of 7 multiplies what it learned, and claims many samples. */
static void deliver_poison(struct world *w, uint32_t round)
{
    unsigned char packed[4 * WORLD_VALUES];
    w->gain = -1e6;
    struct msg m = world_update(w, 3, round, packed);
    w->gain = 0;
    m.update.samples = 1000000;
    m.update.update_id = msg_update_id(&m.update, w->client[3].name);
    world_say(w, 3, &m);
}

/* How far the parameters are from where they began after 3 rounds with a hostile client. */
static float poisoned(enum aggregation how)
{
    static const int honest[] = {5, 1, 6, 0, 2, 4};
    struct world w;
    float far = 0;
    world_open(&w, 7, 7, 0, 3);
    w.spec.federation.weighted = false;
    w.spec.federation.byzantine = 1;
    world_aggregate(&w, how);
    world_join_all(&w, 7);
    for (uint32_t round = 0; round < 3; round++) {
        deliver_poison(&w, round);
        cr_assert(w.client[3].receipt.accepted);
        world_play(&w, round, honest, 6);
    }
    cr_assert_eq(w.commits, 3);
    for (int i = 0; i < WORLD_VALUES; i++)
        far = fmaxf(far, fabsf(w.commit[2].params[i] - w.theta[i]));
    world_close(&w);
    return far;
}

Test(aggregate, one_hostile_client_breaks_the_mean_and_no_other)
{
    cr_assert_gt(poisoned(AGGREGATION_FEDAVG), 100);
    for (int kind = 1; kind < KINDS; kind++)
        cr_assert_lt(poisoned(all[kind]), 0.1F, "%s", aggregator_find(all[kind])->name);
}

Test(aggregate, an_update_beyond_the_bound_is_refused_and_counted)
{
    static const int honest[] = {0, 1, 2};
    struct world w;
    world_open(&w, 4, 4, 3, 1);
    w.spec.federation.max_update_norm = 0.1;
    world_join_all(&w, 4);
    deliver_poison(&w, 0);
    cr_assert_eq(w.client[3].receipt.reason, REASON_NORM);
    cr_assert_not(w.client[3].receipt.accepted);
    cr_assert_not_null(strstr(w.client[3].receipt.text, "max_update_norm"));
    world_play(&w, 0, honest, 3);
    cr_assert_eq(w.commits, 1);
    cr_assert_eq(w.commit[0].n, 3);
    cr_assert_eq(w.commit[0].refused, 1);
    world_close(&w);
}

Test(aggregate, a_bound_is_on_the_difference_to_the_task)
{
    static const int order[] = {0, 1};
    struct world w;
    world_open(&w, 2, 2, 0, 12);
    w.spec.federation.max_update_norm = 0.3; /* the values themselves are larger */
    world_join_all(&w, 2);
    for (uint32_t round = 0; round < 12; round++)
        cr_assert_eq(world_play(&w, round, order, 2), 2);
    cr_assert_eq(w.commits, 12);
    world_close(&w);
}
