#include "sim/partition.h"
#include "base/rng.h"
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

/* The examples of each label in random order, and how many of them are still free. */
struct pools {
    uint32_t n_labels;
    uint32_t **list;   /* n_labels lists, carved from one block */
    size_t *left;      /* free examples of each label: list[l][0 .. left[l]) */
    double *share;     /* p_l of the whole set */
    double *mix;       /* one client's draw */
    size_t *want;      /* one client's wish */
    uint32_t *by_left; /* labels in ascending order of `left` */
};

static void pools_close(struct pools *s)
{
    if (s->list)
        free(s->list[0]);
    free(s->list);
    free(s->left);
    free(s->share);
    free(s->mix);
    free(s->want);
    free(s->by_left);
}

static int pools_open(struct pools *s, const struct dataset *d, struct rng *rng, struct err *e)
{
    uint32_t L = d->n_labels;
    *s = (struct pools){.n_labels = L,
                        .list = calloc(L, sizeof *s->list),
                        .left = calloc(L, sizeof *s->left),
                        .share = calloc(L, sizeof *s->share),
                        .mix = calloc(L, sizeof *s->mix),
                        .want = calloc(L, sizeof *s->want),
                        .by_left = calloc(L, sizeof *s->by_left)};
    uint32_t *block = malloc(d->n * sizeof *block);
    if (!s->list || !s->left || !s->share || !s->mix || !s->want || !s->by_left || !block) {
        free(block);
        pools_close(s);
        return err_set(e, ERR_NOMEM, "no memory to partition %zu examples", d->n);
    }
    for (size_t i = 0; i < d->n; i++)
        s->left[d->example[i].label]++;
    for (uint32_t l = 0; l < L; l++) {
        s->list[l] = block;
        block += s->left[l];
        s->share[l] = (double)s->left[l] / (double)d->n;
        s->left[l] = 0;
    }
    for (size_t i = 0; i < d->n; i++) {
        uint32_t l = (uint32_t)d->example[i].label;
        s->list[l][s->left[l]++] = (uint32_t)i;
    }
    for (uint32_t l = 0; l < L; l++)
        rng_shuffle(rng, s->list[l], s->left[l]);
    return 0;
}

/* mix ~ Dirichlet(alpha * share): normalised gammas. */
static void draw_mix(struct pools *s, double alpha, struct rng *rng)
{
    double sum = 0;
    for (uint32_t l = 0; l < s->n_labels; l++) {
        s->mix[l] = s->share[l] > 0 ? rng_gamma(rng, alpha * s->share[l]) : 0;
        sum += s->mix[l];
    }
    if (sum > 0) {
        for (uint32_t l = 0; l < s->n_labels; l++)
            s->mix[l] /= sum;
        return;
    }
    /* Every gamma underflowed: alpha is so small that the draw is one label, which is then chosen
     * by its share. */
    double u = rng_uniform(rng);
    uint32_t l = 0;
    while (l + 1 < s->n_labels && (u -= s->share[l]) >= 0)
        l++;
    s->mix[l] = 1;
}

static size_t take(struct pools *s, uint32_t l, size_t n, uint32_t *out)
{
    if (n > s->left[l])
        n = s->left[l];
    s->left[l] -= n;
    memcpy(out, s->list[l] + s->left[l], n * sizeof *out);
    return n;
}

/* Makes up for `missing` examples from what the labels have left: first in proportion, the scarcest
 * label first, then whatever there is. */
static void refill(struct pools *s, size_t missing, uint32_t *out)
{
    size_t all = 0;
    for (uint32_t l = 0; l < s->n_labels; l++) {
        uint32_t at = l;
        while (at > 0 && s->left[s->by_left[at - 1]] > s->left[l]) {
            s->by_left[at] = s->by_left[at - 1];
            at--;
        }
        s->by_left[at] = l;
        all += s->left[l];
    }
    size_t wanted = missing;
    for (int pass = 0; pass < 2 && missing > 0; pass++) {
        for (uint32_t i = 0; i < s->n_labels && missing > 0; i++) {
            uint32_t l = s->by_left[i];
            size_t n = missing;
            if (pass == 0) {
                size_t part = (size_t)ceil((double)wanted * (double)s->left[l] / (double)all);
                n = part < missing ? part : missing;
            }
            n = take(s, l, n, out);
            out += n;
            missing -= n;
        }
    }
}

/* One client's `size` examples after the drawn mix; there are at least that many free. */
static void serve_client(struct pools *s, size_t size, uint32_t *out)
{
    size_t open = size;
    for (uint32_t l = 0; l < s->n_labels; l++) {
        size_t want = l + 1 == s->n_labels ? open : (size_t)lround(s->mix[l] * (double)size);
        s->want[l] = want < open ? want : open;
        open -= s->want[l];
    }
    size_t got = 0;
    for (uint32_t l = 0; l < s->n_labels; l++)
        got += take(s, l, s->want[l], out + got);
    refill(s, size - got, out + got);
}

static int split_dirichlet(struct partition *p, const struct dataset *d, double alpha,
                           struct rng *rng, struct err *e)
{
    if (d->n_labels < 2)
        return err_set(
            e, ERR_CONFIG,
            "federation.partition: dirichlet needs a classification task; use iid or column");
    struct pools s;
    int rc = pools_open(&s, d, rng, e);
    if (rc)
        return rc;
    size_t base = d->n / p->clients, given = 0;
    for (uint32_t k = 0; k < p->clients; k++) {
        size_t size = k + 1 == p->clients ? d->n - given : base;
        draw_mix(&s, alpha, rng);
        serve_client(&s, size, p->index + given);
        p->off[k] = given;
        given += size;
    }
    p->off[p->clients] = given;
    pools_close(&s);
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

int partition_open(struct partition *p, const struct dataset *d, const struct federation_spec *f,
                   struct err *e)
{
    if (f->clients > d->n)
        return err_set(e, ERR_CONFIG,
                       "federation.clients: %u, but there are only %zu training examples",
                       f->clients, d->n);
    struct partition made = {.clients = f->clients,
                             .index = malloc(d->n * sizeof *made.index),
                             .off = malloc(((size_t)f->clients + 1) * sizeof *made.off)};
    struct rng rng = rng_stream(f->seed, 0, 0, RNG_PARTITION);
    int rc = 0;
    if (!made.index || !made.off)
        rc = err_set(e, ERR_NOMEM, "no memory to partition %zu examples", d->n);
    else if (f->partition == PARTITION_IID)
        split_iid(&made, d->n, &rng);
    else if (f->partition == PARTITION_DIRICHLET)
        rc = split_dirichlet(&made, d, f->alpha, &rng, e);
    else
        rc = split_column(&made, d, f->column ? f->column : "(none)", e);
    if (rc) {
        partition_close(&made);
        return rc;
    }
    for (uint32_t k = 0; k < made.clients; k++)
        qsort(made.index + made.off[k], made.off[k + 1] - made.off[k], sizeof *made.index,
              compare_u32);
    *p = made;
    return 0;
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
