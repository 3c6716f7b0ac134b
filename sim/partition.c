#include "sim/partition.h"
#include "base/rng.h"
#include "sim/partition_labels.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int compare_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void split_iid(struct partition *p, size_t n, struct rng *rng)
{
    for (size_t i = 0; i < n; i++)
        p->index[i] = (uint32_t)i;
    rng_shuffle(rng, p->index, n);
    for (uint32_t k = 0; k <= p->clients; k++)
        p->off[k] = n * k / p->clients;
}

/* Sizes by Dirichlet(alpha, ..., alpha) over the clients: one example each, and the rest in
 * proportion to the draw. */
static int split_quantity(struct partition *p, size_t n, double alpha, struct rng *rng,
                          struct err *e)
{
    double *gamma = malloc(p->clients * sizeof *gamma), sum = 0, before = 0;
    if (!gamma)
        return err_set(e, ERR_NOMEM, "no memory for the sizes of %u clients", p->clients);
    for (uint32_t k = 0; k < p->clients; k++)
        sum += gamma[k] = rng_gamma(rng, alpha);
    if (sum == 0) /* every gamma underflowed: the draw is one client */
        sum = gamma[rng_below(rng, p->clients)] = 1;
    split_iid(p, n, rng);
    for (uint32_t k = 0; k < p->clients; k++) {
        p->off[k] = k + (size_t)((double)(n - p->clients) * fmin(before / sum, 1));
        before += gamma[k];
    }
    p->off[p->clients] = n;
    free(gamma);
    return 0;
}

/* Examples grouped by owner. */
struct group {
    const char *owner;
    size_t n;
    uint32_t client;
};

static int compare_owner(const void *a, const void *b)
{
    return strcmp(((const struct group *)a)->owner, ((const struct group *)b)->owner);
}

static int compare_size(const void *a, const void *b)
{
    const struct group *x = a, *y = b;
    if (x->n != y->n)
        return x->n < y->n ? 1 : -1;
    return compare_owner(a, b);
}

/* One entry an owner, sorted by name; returns how many. `g` has room for d->n. */
static size_t group_owners(const struct dataset *d, struct group *g)
{
    for (size_t i = 0; i < d->n; i++)
        g[i] = (struct group){.owner = d->example[i].owner, .n = 1};
    qsort(g, d->n, sizeof *g, compare_owner);
    size_t n = 0;
    for (size_t i = 0; i < d->n; i++) {
        if (n > 0 && strcmp(g[n - 1].owner, g[i].owner) == 0)
            g[n - 1].n++;
        else
            g[n++] = g[i];
    }
    return n;
}

static void deal_owners(struct group *g, size_t n, size_t *load, uint32_t clients)
{
    qsort(g, n, sizeof *g, compare_size);
    for (size_t i = 0; i < n; i++) {
        uint32_t least = 0;
        for (uint32_t k = 1; k < clients; k++)
            if (load[k] < load[least])
                least = k;
        g[i].client = least;
        load[least] += g[i].n;
    }
    qsort(g, n, sizeof *g, compare_owner);
}

static int split_column(struct partition *p, const struct dataset *d, const char *column,
                        struct err *e)
{
    for (size_t i = 0; i < d->n; i++)
        if (!d->example[i].owner)
            return err_set(
                e, ERR_CONFIG,
                "federation.column: name the column that holds the owner of each example");
    struct group *g = malloc(d->n * sizeof *g);
    size_t *load = calloc((size_t)p->clients + 1, sizeof *load);
    int rc = 0;
    if (!g || !load) {
        rc = err_set(e, ERR_NOMEM, "no memory to partition %zu examples", d->n);
        goto out;
    }
    size_t owners = group_owners(d, g);
    if (owners < p->clients) {
        rc = err_set(
            e, ERR_CONFIG,
            "federation.clients: %u, but column %s has only %zu owners; set at most that many",
            p->clients, column, owners);
        goto out;
    }
    deal_owners(g, owners, load, p->clients);
    size_t at = 0;
    for (uint32_t k = 0; k < p->clients; k++) {
        p->off[k] = at;
        at += load[k];
        load[k] = p->off[k];
    }
    p->off[p->clients] = at;
    for (size_t i = 0; i < d->n; i++) {
        struct group key = {.owner = d->example[i].owner};
        const struct group *found = bsearch(&key, g, owners, sizeof *g, compare_owner);
        p->index[load[found->client]++] = (uint32_t)i;
    }
out:
    free(g);
    free(load);
    return rc;
}

/* Room for a partition of n examples, with nothing in it. */
static int allocate(struct partition *p, uint32_t clients, size_t n, struct err *e)
{
    *p = (struct partition){.clients = clients,
                            .index = malloc(n * sizeof *p->index),
                            .off = malloc(((size_t)clients + 1) * sizeof *p->off)};
    if (p->index && p->off)
        return 0;
    partition_close(p);
    return err_set(e, ERR_NOMEM, "no memory to partition %zu examples", n);
}

/* Hands out what was made, or releases it. */
static int settle(struct partition *out, struct partition *made, int rc)
{
    if (rc) {
        partition_close(made);
        return rc;
    }
    for (uint32_t k = 0; k < made->clients; k++)
        qsort(made->index + made->off[k], made->off[k + 1] - made->off[k], sizeof *made->index,
              compare_u32);
    *out = *made;
    return 0;
}

int partition_open(struct partition *p, const struct dataset *d, const struct federation_spec *f,
                   struct err *e)
{
    if (f->clients > d->n)
        return err_set(e, ERR_CONFIG,
                       "federation.clients: %u, but there are only %zu training examples",
                       f->clients, d->n);
    struct partition made;
    struct rng rng = rng_stream(f->seed, 0, 0, RNG_PARTITION);
    int rc = allocate(&made, f->clients, d->n, e);
    if (rc)
        return rc;
    switch (f->partition) {
    case PARTITION_IID:
        split_iid(&made, d->n, &rng);
        break;
    case PARTITION_DIRICHLET:
        rc = partition_dirichlet(&made, d, f->alpha, &rng, e);
        break;
    case PARTITION_LABEL:
        rc = partition_by_label(&made, d, &rng, e);
        break;
    case PARTITION_QUANTITY:
        rc = split_quantity(&made, d->n, f->alpha, &rng, e);
        break;
    case PARTITION_COLUMN:
        rc = split_column(&made, d, f->column ? f->column : "(none)", e);
        break;
    }
    return settle(p, &made, rc);
}

int partition_share(struct partition *out, const struct dataset *d, const struct partition *p,
                    const struct dataset *owned, uint64_t seed, struct err *e)
{
    struct partition made;
    struct rng rng = rng_stream(seed, 1, 0, RNG_PARTITION);
    int rc = allocate(&made, p->clients, d->n, e);
    if (rc)
        return rc;
    for (uint32_t k = 0; k <= p->clients; k++)
        made.off[k] = (size_t)((double)d->n * (double)p->off[k] / (double)owned->n);
    made.off[p->clients] = d->n;
    rc = partition_by_mix(&made, d, p, owned, &rng, e);
    return settle(out, &made, rc);
}

void partition_close(struct partition *p)
{
    free(p->index);
    free(p->off);
    *p = (struct partition){0};
}

void partition_client_name(uint32_t k, char out[PARTITION_NAME])
{
    snprintf(out, PARTITION_NAME, "client-%05u", k);
}

/* sqrt of the Jensen-Shannon divergence of two label mixes. */
static double js_distance(const double *a, const double *b, uint32_t n)
{
    double js = 0;
    for (uint32_t l = 0; l < n; l++) {
        double m = (a[l] + b[l]) / 2;
        js += (a[l] > 0 ? a[l] * log(a[l] / m) : 0) + (b[l] > 0 ? b[l] * log(b[l] / m) : 0);
    }
    return sqrt(fmax(js / 2, 0));
}

int partition_skew(const struct partition *p, const struct dataset *d, struct skew *out,
                   struct err *e)
{
    uint32_t K = p->clients, L = d->n_labels;
    double *mix = calloc((size_t)K * L, sizeof *mix);
    if (!mix)
        return err_set(e, ERR_NOMEM, "no memory for the label mixes of %u clients", K);
    struct skew s = {0};
    for (uint32_t k = 0; k < K; k++) {
        double size = (double)(p->off[k + 1] - p->off[k]), top = 0;
        for (size_t i = p->off[k]; i < p->off[k + 1]; i++)
            mix[(size_t)k * L + (uint32_t)d->example[p->index[i]].label] += 1 / size;
        for (uint32_t l = 0; l < L; l++)
            top = fmax(top, mix[(size_t)k * L + l]);
        s.majority += top / K;
        s.single_label += (top > 1 - 0.5 / size) / (double)K;
    }
    for (uint32_t a = 0; a < K; a++)
        for (uint32_t b = a + 1; b < K; b++)
            s.js += js_distance(mix + (size_t)a * L, mix + (size_t)b * L, L) * 2 /
                    ((double)K * (K - 1));
    free(mix);
    *out = s;
    return 0;
}
