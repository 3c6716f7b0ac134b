#include "sim/partition_labels.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int check_classes(const struct dataset *d, const char *name, struct err *e)
{
    if (d->head == HEAD_SEQUENCE && d->n_labels > 1)
        return 0;
    return err_set(e, ERR_CONFIG,
                   "federation.partition: %s needs a task that classifies sequences; use iid, "
                   "quantity or column",
                   name);
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

int partition_dirichlet(struct partition *p, const struct dataset *d, double alpha, struct rng *rng,
                        struct err *e)
{
    struct pools s;
    int rc = check_classes(d, "dirichlet", e);
    if (!rc)
        rc = pools_open(&s, d, rng, e);
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

/* How many clients each label gets: one, and then always the label with most examples a client. */
static int deal_clients(const struct pools *s, uint32_t clients, uint32_t *of, struct err *e)
{
    uint32_t given = 0;
    for (uint32_t l = 0; l < s->n_labels; l++)
        given += of[l] = s->left[l] > 0;
    if (given > clients)
        return err_set(e, ERR_CONFIG,
                       "federation.clients: %u, but with federation.partition label each of the %u "
                       "labels needs a client",
                       clients, given);
    for (; given < clients; given++) {
        uint32_t most = 0;
        double share = 0;
        for (uint32_t l = 0; l < s->n_labels; l++) {
            double has = of[l] ? (double)s->left[l] / of[l] : 0;
            if (has > share) {
                share = has;
                most = l;
            }
        }
        of[most]++;
    }
    return 0;
}

int partition_by_label(struct partition *p, const struct dataset *d, struct rng *rng, struct err *e)
{
    struct pools s;
    int rc = check_classes(d, "label", e);
    if (!rc)
        rc = pools_open(&s, d, rng, e);
    if (rc)
        return rc;
    rc = deal_clients(&s, p->clients, s.by_left, e);
    size_t given = 0;
    uint32_t k = 0;
    for (uint32_t l = 0; !rc && l < s.n_labels; l++) {
        memcpy(p->index + given, s.list[l], s.left[l] * sizeof *p->index);
        for (uint32_t i = 0; i < s.by_left[l]; i++)
            p->off[k++] = given + s.left[l] * i / s.by_left[l];
        given += s.left[l];
    }
    p->off[p->clients] = d->n;
    pools_close(&s);
    return rc;
}

int partition_by_mix(struct partition *p, const struct dataset *d, const struct partition *like,
                     const struct dataset *owned, struct rng *rng, struct err *e)
{
    struct pools s;
    int rc = pools_open(&s, d, rng, e);
    if (rc)
        return rc;
    for (uint32_t k = 0; k < p->clients; k++) {
        double n = (double)(like->off[k + 1] - like->off[k]);
        memset(s.mix, 0, s.n_labels * sizeof *s.mix);
        for (size_t i = like->off[k]; i < like->off[k + 1]; i++)
            s.mix[owned->example[like->index[i]].label] += 1 / n;
        serve_client(&s, p->off[k + 1] - p->off[k], p->index + p->off[k]);
    }
    pools_close(&s);
    return 0;
}
