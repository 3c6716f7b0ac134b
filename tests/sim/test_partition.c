#include "base/rng.h"
#include "sim/partition.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A data set of n examples whose labels come by the given shares (per mille), in random order. */
static struct dataset make_dataset(size_t n, uint32_t n_labels, const int *per_mille)
{
    struct dataset d = {.n = n, .n_labels = n_labels, .example = calloc(n, sizeof *d.example)};
    size_t at = 0;
    for (uint32_t l = 0; l < n_labels; l++)
        for (size_t i = 0; i < n * (size_t)per_mille[l] / 1000; i++)
            d.example[at++].label = (int32_t)l;
    struct rng rng = rng_stream(7, 0, 0, RNG_TEST);
    for (size_t i = n; i-- > 1;) {
        size_t j = rng_below(&rng, (uint32_t)i + 1);
        int32_t swap = d.example[i].label;
        d.example[i].label = d.example[j].label;
        d.example[j].label = swap;
    }
    return d;
}

/* Every example has exactly one owner, and each client's list ascends. */
static void check_cover(const struct partition *p, size_t n)
{
    unsigned char *seen = calloc(n, 1);
    cr_assert_eq(p->off[0], 0);
    cr_assert_eq(p->off[p->clients], n);
    for (uint32_t k = 0; k < p->clients; k++) {
        cr_assert_leq(p->off[k], p->off[k + 1]);
        for (size_t i = p->off[k]; i < p->off[k + 1]; i++) {
            cr_assert_lt(p->index[i], n);
            cr_assert_eq(seen[p->index[i]]++, 0, "example %u has two owners", p->index[i]);
            cr_assert(i == p->off[k] || p->index[i - 1] < p->index[i]);
        }
    }
    for (size_t i = 0; i < n; i++)
        cr_assert_eq(seen[i], 1, "example %zu has no owner", i);
    free(seen);
}

static struct federation_spec dirichlet(uint32_t clients, double alpha, uint64_t seed)
{
    return (struct federation_spec){
        .clients = clients, .partition = PARTITION_DIRICHLET, .alpha = alpha, .seed = seed};
}

Test(partition, dirichlet_sizes_are_equal_but_for_the_last)
{
    struct dataset d = make_dataset(2240, 2, (const int[]){500, 500});
    const uint32_t clients[] = {1, 3, 10, 100, 2240};
    const double alphas[] = {0.001, 0.1, 1, 10, 1000};
    for (int c = 0; c < 5; c++) {
        for (int a = 0; a < 5; a++) {
            struct federation_spec f = dirichlet(clients[c], alphas[a], 42);
            struct partition p;
            struct err e;
            cr_assert_eq(partition_open(&p, &d, &f, &e), 0, "%s", e.text);
            check_cover(&p, d.n);
            size_t base = d.n / f.clients;
            for (uint32_t k = 0; k + 1 < f.clients; k++)
                cr_assert_eq(p.off[k + 1] - p.off[k], base);
            partition_close(&p);
        }
    }
    free(d.example);
}

/* Mean skew over five seeds in the shapes of RTE, MRPC and MNLI (a part of it) with 100 clients.
 * The expected figures come from an independent simulation of the algorithm of FedPETuning. */
Test(partition, dirichlet_skew_matches_the_published_algorithm)
{
    static const struct {
        size_t n;
        uint32_t labels;
        int per_mille[3];
        double alpha, single, majority, js;
    } expected[] = {
        {2240, 2, {500, 500}, 0.1, .82, .967, .43},
        {2240, 2, {500, 500}, 1, .24, .84, .36},
        {2240, 2, {500, 500}, 10, .01, .63, .14},
        {3300, 2, {326, 674}, 0.1, .84, .972, .38},
        {3300, 2, {326, 674}, 1, .27, .85, .33},
        {3300, 2, {326, 674}, 10, .03, .70, .14},
        {90000, 3, {333, 334, 333}, 0.1, .57, .947, .57},
        {90000, 3, {333, 334, 333}, 1, .04, .76, .48},
        {90000, 3, {333, 334, 333}, 10, .01, .50, .21},
    };
    for (size_t a = 0; a < sizeof expected / sizeof *expected; a++) {
        struct dataset d = make_dataset(expected[a].n, expected[a].labels, expected[a].per_mille);
        struct skew mean = {0};
        for (uint64_t seed = 1; seed <= 5; seed++) {
            struct federation_spec f = dirichlet(100, expected[a].alpha, seed);
            struct partition p;
            struct skew s;
            struct err e;
            cr_assert_eq(partition_open(&p, &d, &f, &e), 0, "%s", e.text);
            cr_assert_eq(partition_skew(&p, &d, &s, &e), 0);
            mean.single_label += s.single_label / 5;
            mean.majority += s.majority / 5;
            mean.js += s.js / 5;
            partition_close(&p);
        }
        cr_expect_float_eq(mean.single_label, expected[a].single, 0.06, "row %zu: single %f", a,
                           mean.single_label);
        cr_expect_float_eq(mean.majority, expected[a].majority, 0.025, "row %zu: majority %f", a,
                           mean.majority);
        cr_expect_float_eq(mean.js, expected[a].js, 0.04, "row %zu: js %f", a, mean.js);
        free(d.example);
    }
}

Test(partition, label_gives_each_client_one_label)
{
    struct dataset d = make_dataset(3000, 3, (const int[]){600, 390, 10});
    const uint32_t clients[] = {3, 4, 10, 100, 3000};
    for (int c = 0; c < 5; c++) {
        struct federation_spec f = {.clients = clients[c], .partition = PARTITION_LABEL, .seed = 5};
        struct partition p;
        struct skew s;
        struct err e;
        cr_assert_eq(partition_open(&p, &d, &f, &e), 0, "%s", e.text);
        check_cover(&p, d.n);
        cr_assert_eq(partition_skew(&p, &d, &s, &e), 0);
        cr_expect_float_eq(s.single_label, 1, 1e-12);
        size_t least = d.n, most = 0;
        for (uint32_t k = 0; k < f.clients; k++) {
            size_t size = p.off[k + 1] - p.off[k];
            least = size < least ? size : least;
            most = size > most ? size : most;
        }
        cr_expect_gt(least, 0);
        if (f.clients == 100) /* 30 of the rare label are one client; the others are about even */
            cr_expect(most <= 31 && least >= 29, "sizes %zu to %zu", least, most);
        partition_close(&p);
    }
    struct federation_spec f = {.clients = 2, .partition = PARTITION_LABEL};
    struct partition p;
    struct err e;
    cr_expect_eq(partition_open(&p, &d, &f, &e), ERR_CONFIG);
    cr_expect(strstr(e.text, "3 labels"), "%s", e.text);
    d.n_labels = 1;
    cr_expect_eq(partition_open(&p, &d, &f, &e), ERR_CONFIG, "a regression has no labels");
    free(d.example);
}

/* The variance of a share is (1/K)(1 - 1/K) / (K alpha + 1). */
Test(partition, quantity_skews_sizes_as_dirichlet_does_and_no_labels)
{
    enum { K = 20, N = 20000, SEEDS = 200 };
    const double alphas[] = {0.1, 1, 10};
    struct dataset d = make_dataset(N, 2, (const int[]){500, 500});
    for (int a = 0; a < 3; a++) {
        double variance = 0;
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            struct federation_spec f = {
                .clients = K, .partition = PARTITION_QUANTITY, .alpha = alphas[a], .seed = seed};
            struct partition p;
            struct err e;
            cr_assert_eq(partition_open(&p, &d, &f, &e), 0, "%s", e.text);
            if (seed == 0)
                check_cover(&p, d.n);
            for (uint32_t k = 0; k < K; k++) {
                size_t size = p.off[k + 1] - p.off[k];
                cr_assert_gt(size, 0);
                variance += pow((double)size / N - 1.0 / K, 2) / (K * SEEDS);
            }
            partition_close(&p);
        }
        double expected = (1.0 / K) * (1 - 1.0 / K) / (K * alphas[a] + 1);
        cr_expect(variance > 0.8 * expected && variance < 1.2 * expected,
                  "alpha %g: variance %g, expected %g", alphas[a], variance, expected);
    }
    struct federation_spec f = {
        .clients = N, .partition = PARTITION_QUANTITY, .alpha = 0.001, .seed = 1};
    struct partition p;
    struct err e;
    cr_assert_eq(partition_open(&p, &d, &f, &e), 0, "%s", e.text);
    for (uint32_t k = 0; k < N; k++)
        cr_assert_eq(p.off[k + 1] - p.off[k], 1, "as many clients as examples: one each");
    partition_close(&p);
    free(d.example);
}

Test(partition, shares_of_another_set_have_the_sizes_and_mixes_of_the_first)
{
    struct dataset train = make_dataset(4000, 2, (const int[]){300, 700});
    struct dataset test = make_dataset(2000, 2, (const int[]){300, 700});
    struct federation_spec f = dirichlet(10, 0.5, 3);
    struct partition p, q;
    struct err e;
    cr_assert_eq(partition_open(&p, &train, &f, &e), 0, "%s", e.text);
    cr_assert_eq(partition_share(&q, &test, &p, &train, 3, &e), 0, "%s", e.text);
    check_cover(&q, test.n);
    double away = 0;
    for (uint32_t k = 0; k < 10; k++) {
        double ones[2] = {0};
        for (size_t i = p.off[k]; i < p.off[k + 1]; i++)
            ones[0] += train.example[p.index[i]].label;
        for (size_t i = q.off[k]; i < q.off[k + 1]; i++)
            ones[1] += test.example[q.index[i]].label;
        cr_expect_eq(q.off[k + 1] - q.off[k], 200);
        away += fabs(ones[0] / 400 - ones[1] / 200) / 10;
    }
    cr_expect_lt(away, 0.01, "mixes differ by %f", away);
    partition_close(&q);
    struct dataset few = make_dataset(6, 2, (const int[]){500, 500});
    cr_assert_eq(partition_share(&q, &few, &p, &train, 3, &e), 0, "fewer examples than clients");
    check_cover(&q, 6);
    partition_close(&q);
    partition_close(&p);
    free(few.example);
    free(test.example);
    free(train.example);
}

Test(partition, three_labels_one_of_them_rare)
{
    struct dataset d = make_dataset(3000, 3, (const int[]){600, 390, 10});
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct federation_spec f = dirichlet(37, 0.1, seed);
        struct partition p;
        struct err e;
        cr_assert_eq(partition_open(&p, &d, &f, &e), 0, "%s", e.text);
        check_cover(&p, d.n);
        partition_close(&p);
    }
    free(d.example);
}

Test(partition, is_a_function_of_the_seed)
{
    struct dataset d = make_dataset(1000, 2, (const int[]){300, 700});
    struct federation_spec f = dirichlet(10, 1, 42), g = dirichlet(10, 1, 43);
    struct partition a, b, c;
    struct err e;
    cr_assert(!partition_open(&a, &d, &f, &e) && !partition_open(&b, &d, &f, &e) &&
              !partition_open(&c, &d, &g, &e));
    cr_assert_arr_eq(a.index, b.index, d.n * sizeof *a.index);
    cr_assert_neq(memcmp(a.index, c.index, d.n * sizeof *a.index), 0);
    partition_close(&a);
    partition_close(&b);
    partition_close(&c);
    free(d.example);
}

Test(partition, iid_parts_differ_by_one_at_most)
{
    struct dataset d = make_dataset(1000, 2, (const int[]){500, 500});
    struct federation_spec f = {.clients = 7, .partition = PARTITION_IID, .seed = 1};
    struct partition p;
    struct err e;
    cr_assert_eq(partition_open(&p, &d, &f, &e), 0, "%s", e.text);
    check_cover(&p, d.n);
    for (uint32_t k = 0; k < 7; k++) {
        size_t size = p.off[k + 1] - p.off[k];
        cr_assert(size == 142 || size == 143);
    }
    partition_close(&p);
    free(d.example);
}

Test(partition, column_keeps_an_owner_together)
{
    static const char *const owners[] = {"ann", "bob", "cem", "dan", "eve"};
    struct dataset d = make_dataset(500, 2, (const int[]){500, 500});
    for (size_t i = 0; i < d.n; i++)
        d.example[i].owner = owners[i % 7 < 5 ? i % 7 : 0];
    struct federation_spec f = {
        .clients = 3, .partition = PARTITION_COLUMN, .column = (char *)"who", .seed = 1};
    struct partition p;
    struct err e;
    cr_assert_eq(partition_open(&p, &d, &f, &e), 0, "%s", e.text);
    check_cover(&p, d.n);
    for (int o = 0; o < 5; o++) {
        int home = -1;
        for (uint32_t k = 0; k < 3; k++)
            for (size_t i = p.off[k]; i < p.off[k + 1]; i++)
                if (strcmp(d.example[p.index[i]].owner, owners[o]) == 0) {
                    cr_assert(home == -1 || home == (int)k, "%s is at two clients", owners[o]);
                    home = (int)k;
                }
        cr_assert_neq(home, -1);
    }
    partition_close(&p);
    f.clients = 6;
    cr_assert_eq(partition_open(&p, &d, &f, &e), ERR_CONFIG);
    cr_assert(strstr(e.text, "5 owners"), "%s", e.text);
    free(d.example);
}

Test(partition, refuses_more_clients_than_examples)
{
    struct dataset d = make_dataset(10, 2, (const int[]){500, 500});
    struct federation_spec f = dirichlet(11, 1, 1);
    struct partition p;
    struct err e;
    cr_assert_eq(partition_open(&p, &d, &f, &e), ERR_CONFIG);
    cr_assert(strstr(e.text, "federation.clients"), "%s", e.text);
    free(d.example);
}
