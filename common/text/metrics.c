#include "text/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct score_pair {
    double target, guess, target_rank, guess_rank;
};

static const char *const names[METRIC_COUNT] = {
    [METRIC_ACCURACY] = "accuracy",
    [METRIC_F1] = "f1",
    [METRIC_MACRO_F1] = "macro_f1",
    [METRIC_MATTHEWS] = "matthews",
    [METRIC_MSE] = "mse",
    [METRIC_PEARSON] = "pearson",
    [METRIC_SPEARMAN] = "spearman",
    [METRIC_CORRELATION] = "correlation",
    [METRIC_ENTITY_F1] = "entity_f1",
};

bool metric_parse(const char *name, enum metric *out)
{
    for (size_t i = 0; i < METRIC_COUNT; i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (enum metric)i;
            return true;
        }
    return false;
}

const char *metric_name(enum metric m)
{
    return names[m];
}

bool metric_lower_is_better(enum metric m)
{
    return m == METRIC_MSE;
}

bool metric_of_values(enum metric m)
{
    return m == METRIC_MSE || m == METRIC_PEARSON || m == METRIC_SPEARMAN ||
           m == METRIC_CORRELATION;
}

/* --- what is counted ------------------------------------------------------------------------ */

static double ratio(double a, double b)
{
    return b != 0 ? a / b : 0;
}

double match_precision(const struct match *m)
{
    return ratio((double)m->both, (double)m->guess);
}

double match_recall(const struct match *m)
{
    return ratio((double)m->both, (double)m->truth);
}

double match_f1(const struct match *m)
{
    return ratio(2 * (double)m->both, (double)(m->truth + m->guess));
}

int score_open(struct score *s, uint32_t n_labels, struct err *e)
{
    struct match *label = calloc(n_labels, sizeof *label);
    struct match *entity = calloc(n_labels, sizeof *entity);

    if (!label || !entity) {
        free(label);
        free(entity);
        return err_set(e, ERR_NOMEM, "no memory to score %u labels", n_labels);
    }
    *s = (struct score){.n_labels = n_labels, .label = label, .entity = entity};
    return 0;
}

void score_close(struct score *s)
{
    free(s->label);
    free(s->entity);
    free(s->pair);
    *s = (struct score){0};
}

void score_add_class(struct score *s, uint32_t label, uint32_t guess, double loss)
{
    s->n++;
    s->loss_sum += loss;
    s->label[label].truth++;
    s->label[guess].guess++;
    s->label[label].both += label == guess;
}

int score_add_value(struct score *s, double target, double guess, struct err *e)
{
    if (s->n == s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 1024;
        struct score_pair *grown = realloc(s->pair, cap * sizeof *grown);
        if (!grown)
            return err_set(e, ERR_NOMEM, "no memory to score %zu values", cap);
        s->pair = grown;
        s->cap = cap;
    }
    s->pair[s->n++] = (struct score_pair){.target = target, .guess = guess};
    s->loss_sum += (guess - target) * (guess - target);
    return 0;
}

/* --- classes -------------------------------------------------------------------------------- */

static double accuracy(const struct score *s)
{
    uint64_t right = 0;

    for (uint32_t c = 0; c < s->n_labels; c++)
        right += s->label[c].both;
    return ratio((double)right, (double)s->n);
}

static double macro_f1(const struct score *s)
{
    double sum = 0;
    uint32_t present = 0;

    for (uint32_t c = 0; c < s->n_labels; c++) {
        present += s->label[c].truth + s->label[c].guess > 0;
        sum += match_f1(&s->label[c]);
    }
    return ratio(sum, present);
}

/* Gorodkin's R_K, of which Matthews's phi is the case of two classes; from the counts of each class
 * alone. */
static double matthews(const struct score *s)
{
    double n = (double)s->n, right = 0, cross = 0, truth = 0, guess = 0;

    for (uint32_t c = 0; c < s->n_labels; c++) {
        double t = (double)s->label[c].truth, g = (double)s->label[c].guess;
        right += (double)s->label[c].both;
        cross += t * g;
        truth += t * t;
        guess += g * g;
    }
    return ratio(right * n - cross, sqrt((n * n - truth) * (n * n - guess)));
}

double score_precision(const struct score *s, uint32_t label)
{
    return match_precision(&s->label[label]);
}

double score_recall(const struct score *s, uint32_t label)
{
    return match_recall(&s->label[label]);
}

struct match score_entities(const struct score *s)
{
    struct match all = {0};

    for (uint32_t t = 0; t < s->n_labels; t++) {
        all.truth += s->entity[t].truth;
        all.guess += s->entity[t].guess;
        all.both += s->entity[t].both;
    }
    return all;
}

/* --- values --------------------------------------------------------------------------------- */

static int compare(double a, double b)
{
    return (a > b) - (a < b);
}

static int by_guess(const void *a, const void *b)
{
    const struct score_pair *x = a, *y = b;
    int order = compare(x->guess, y->guess);

    return order ? order : compare(x->target, y->target);
}

static int by_target(const void *a, const void *b)
{
    const struct score_pair *x = a, *y = b;
    int order = compare(x->target, y->target);

    return order ? order : compare(x->guess, y->guess);
}

/* Ranks the pairs in both columns and leaves them in one order, whatever the order they came in: so
 * that sums over them always have the same bits. */
static void rank(struct score_pair *p, size_t n)
{
    qsort(p, n, sizeof *p, by_guess);
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && p[end].guess == p[i].guess;)
            end++;
        for (size_t k = i; k < end; k++)
            p[k].guess_rank = (double)(i + end - 1) / 2;
    }
    qsort(p, n, sizeof *p, by_target);
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && p[end].target == p[i].target;)
            end++;
        for (size_t k = i; k < end; k++)
            p[k].target_rank = (double)(i + end - 1) / 2;
    }
}

static double correlation(const struct score *s, bool of_ranks)
{
    double mean_x = 0, mean_y = 0, xx = 0, yy = 0, xy = 0;

    rank(s->pair, s->n);
    for (size_t i = 0; i < s->n; i++) {
        mean_x += of_ranks ? s->pair[i].target_rank : s->pair[i].target;
        mean_y += of_ranks ? s->pair[i].guess_rank : s->pair[i].guess;
    }
    mean_x /= (double)s->n;
    mean_y /= (double)s->n;
    for (size_t i = 0; i < s->n; i++) {
        double x = (of_ranks ? s->pair[i].target_rank : s->pair[i].target) - mean_x;
        double y = (of_ranks ? s->pair[i].guess_rank : s->pair[i].guess) - mean_y;
        xx += x * x;
        yy += y * y;
        xy += x * y;
    }
    return ratio(xy, sqrt(xx) * sqrt(yy));
}

double score_value(const struct score *s, enum metric m)
{
    if (s->n == 0)
        return 0;
    switch (m) {
    case METRIC_ACCURACY:
        return accuracy(s);
    case METRIC_F1:
        return match_f1(&s->label[1]);
    case METRIC_MACRO_F1:
        return macro_f1(s);
    case METRIC_MATTHEWS:
        return matthews(s);
    case METRIC_MSE:
        return s->loss_sum / (double)s->n;
    case METRIC_PEARSON:
        return correlation(s, false);
    case METRIC_SPEARMAN:
        return correlation(s, true);
    case METRIC_CORRELATION:
        return (correlation(s, false) + correlation(s, true)) / 2;
    case METRIC_ENTITY_F1: {
        struct match all = score_entities(s);
        return match_f1(&all);
    }
    case METRIC_COUNT:
        break;
    }
    return 0;
}
