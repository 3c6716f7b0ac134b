#include "sim/outcome.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A reading of the database; it ends when memory does. */
struct reading {
    struct outcomes *o;
    struct results *results;
    struct outcome *cell; /* whose rounds are read */
    struct point *point;
    size_t n_points, cap;
    double bytes;
    double scale;
};

static double number(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

static const char *string(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));
    return text ? text : "";
}

/* --- names --- */

static bool add_name(struct arena *mem, struct names *list, const char *name)
{
    for (size_t i = 0; i < list->n; i++)
        if (strcmp(list->name[i], name) == 0)
            return true;
    if ((list->n & (list->n - 1)) == 0) { /* full at each power of two */
        const char **more = arena_calloc(mem, list->n ? 2 * list->n : 1, sizeof *more);
        if (!more)
            return false;
        if (list->n)
            memcpy(more, list->name, list->n * sizeof *more);
        list->name = more;
    }
    list->name[list->n++] = name;
    return true;
}

static int compare_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int compare_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static bool list_numbers(struct outcomes *o)
{
    o->alpha = arena_calloc(&o->mem, o->n + 1, sizeof *o->alpha);
    o->epochs = arena_calloc(&o->mem, o->n + 1, sizeof *o->epochs);
    if (!o->alpha || !o->epochs)
        return false;
    for (size_t i = 0; i < o->n; i++) {
        const struct outcome *c = &o->cell[i];
        size_t a = 0, k = 0;
        if (c->baseline != BASELINE_FEDERATED)
            continue;
        while (a < o->n_alpha && o->alpha[a] != c->alpha)
            a++;
        while (k < o->n_epochs && o->epochs[k] != c->epochs)
            k++;
        if (a == o->n_alpha)
            o->alpha[o->n_alpha++] = c->alpha;
        if (k == o->n_epochs)
            o->epochs[o->n_epochs++] = c->epochs;
    }
    qsort(o->alpha, o->n_alpha, sizeof *o->alpha, compare_double);
    qsort(o->epochs, o->n_epochs, sizeof *o->epochs, compare_u32);
    return true;
}

static bool list_names(struct outcomes *o)
{
    bool ok = true;
    for (size_t i = 0; ok && i < o->n; i++)
        ok = add_name(&o->mem, &o->tasks, o->cell[i].task) &&
             add_name(&o->mem, &o->methods, o->cell[i].method) &&
             add_name(&o->mem, &o->variants, o->cell[i].variant);
    return ok;
}

/* --- cells --- */

static struct outcome *new_cell(struct outcomes *o)
{
    if (o->n == o->cap) {
        size_t cap = o->cap ? 2 * o->cap : 64;
        struct outcome *more = arena_calloc(&o->mem, cap, sizeof *more);
        if (!more)
            return NULL;
        if (o->n)
            memcpy(more, o->cell, o->n * sizeof *more);
        o->cell = more;
        o->cap = cap;
    }
    return &o->cell[o->n++];
}

static bool add_point(struct reading *r, uint32_t round, double value)
{
    if (r->n_points == r->cap) {
        size_t cap = r->cap ? 2 * r->cap : 64;
        struct point *more = arena_calloc(&r->o->mem, cap, sizeof *more);
        if (!more)
            return false;
        if (r->n_points)
            memcpy(more, r->point, r->n_points * sizeof *more);
        r->point = more;
        r->cap = cap;
    }
    r->point[r->n_points++] =
        (struct point){.round = round, .value = r->scale * value, .megabytes = r->bytes / 1e6};
    return true;
}

static int on_round(void *ctx, const struct result_round *round)
{
    struct reading *r = ctx;
    double client = round->bytes_up >= 0 && round->bytes_down >= 0
                        ? round->bytes_up + round->bytes_down
                        : 2 * outcome_payload(r->cell);
    r->bytes += client * round->updates;
    return round->scored && !add_point(r, round->round, round->value) ? ERR_NOMEM : 0;
}

static bool fill(struct outcomes *o, struct outcome *c, const struct result_cell *in)
{
    *c = (struct outcome){
        .title = arena_strdup(&o->mem, in->title),
        .task = arena_strdup(&o->mem, in->task),
        .method = arena_strdup(&o->mem, in->method),
        .variant = arena_strdup(&o->mem, in->variant),
        .error = arena_strdup(&o->mem, in->error),
        .baseline = in->baseline,
        .state = in->state,
        .alpha = in->alpha,
        .epochs = in->epochs,
        .clients = in->clients,
        .per_round = in->per_round,
        .rounds = in->rounds,
        .seed = in->seed,
        .summary = in->summary ? json_incref((json_t *)(uintptr_t)in->summary) : NULL,
    };
    return c->title && c->task && c->method && c->variant && c->error;
}

static void fill_numbers(struct outcome *c, double scale)
{
    const json_t *s = c->summary;
    const json_t *clients =
        json_object_get(s, c->baseline == BASELINE_LOCAL ? "client_models" : "client_accuracy");
    double share = c->baseline == BASELINE_LOCAL ? scale : 100;
    c->value = scale * number(s, "value");
    c->worst = share * number(clients, "worst");
    c->tenth = share * number(clients, "tenth_percentile");
    c->mean = share * number(clients, "mean");
    c->trainable = number(s, "trainable_parameters");
    c->up = number(s, "bytes_up_per_client");
    c->down = number(s, "bytes_down_per_client");
    c->seconds = number(s, "wall_seconds");
    c->rss = number(s, "peak_rss_bytes");
}

static int on_cell(void *ctx, const struct result_cell *in)
{
    struct reading *all = ctx;
    struct outcomes *o = all->o;
    struct outcome *c = new_cell(o);
    if (!c || !fill(o, c, in))
        return ERR_NOMEM;
    c->metric = string(c->summary, "metric");
    c->task_name = string(c->summary, "task");
    c->method_name = string(c->summary, "method");
    double scale = strcmp(c->metric, "mse") == 0 ? 1 : 100;
    fill_numbers(c, scale);
    if (!c->summary || c->baseline == BASELINE_LOCAL)
        return 0;
    struct err e;
    struct reading r = {.o = o, .cell = c, .scale = scale};
    if (!add_point(&r, 0, number(c->summary, "value_before")))
        return ERR_NOMEM;
    int rc = results_rounds(all->results, in->id, on_round, &r, &e);
    c->curve = r.point;
    c->n_curve = r.n_points;
    return rc;
}

int outcomes_open(struct outcomes *o, const char *dir, struct err *e)
{
    memset(o, 0, sizeof *o);
    arena_init(&o->mem, ARENA_NO_CAP);
    struct reading r = {.o = o};
    int rc = results_open(&r.results, dir, false, e);
    if (rc)
        return rc;
    *e = (struct err){0};
    rc = results_cells(r.results, on_cell, &r, e);
    results_close(r.results);
    if (!rc && (!list_names(o) || !list_numbers(o)))
        rc = ERR_NOMEM;
    if (rc && !e->code)
        err_set(e, rc, "%s: %s", dir, rc == ERR_NOMEM ? "out of memory" : "cannot be read");
    if (!rc && o->n == 0)
        rc = err_set(e, ERR_DATA, "%s: no cell; run fedpet-sim suite first", dir);
    if (rc)
        outcomes_close(o);
    return rc;
}

void outcomes_close(struct outcomes *o)
{
    for (size_t i = 0; i < o->n; i++)
        json_decref((json_t *)(uintptr_t)o->cell[i].summary);
    arena_release(&o->mem);
    o->n = 0;
}

/* --- statistics --- */

static bool same(const char *wanted, const char *name)
{
    return !wanted || strcmp(wanted, name) == 0;
}

bool outcome_matches(const struct pick *p, const struct outcome *c)
{
    return p->baseline == c->baseline && same(p->variant, c->variant) && same(p->task, c->task) &&
           same(p->method, c->method) &&
           (isnan(p->alpha) || c->baseline == BASELINE_CENTRALIZED || p->alpha == c->alpha) &&
           (!p->epochs || c->baseline != BASELINE_FEDERATED || p->epochs == c->epochs);
}

struct stat outcomes_stat(const struct outcomes *o, const struct pick *p,
                          double (*measure)(const struct outcome *c))
{
    struct stat s = {0};
    double squares = 0; /* of deviations, by Welford's recurrence */
    for (size_t i = 0; i < o->n; i++) {
        const struct outcome *c = &o->cell[i];
        if (c->state != CELL_DONE || !outcome_matches(p, c))
            continue;
        double x = measure(c);
        if (isnan(x))
            continue;
        double away = x - s.mean;
        s.mean += away / (double)++s.n;
        squares += away * (x - s.mean);
    }
    s.sd = s.n > 1 ? sqrt(squares / (double)(s.n - 1)) : 0;
    return s;
}

const struct outcome *outcomes_first(const struct outcomes *o, const struct pick *p)
{
    for (size_t i = 0; i < o->n; i++)
        if (o->cell[i].state == CELL_DONE && outcome_matches(p, &o->cell[i]))
            return &o->cell[i];
    return NULL;
}

double outcome_value(const struct outcome *c)
{
    return c->value;
}

double outcome_payload(const struct outcome *c)
{
    return number(c->summary, "payload_bytes");
}

double outcomes_main_alpha(const struct outcomes *o)
{
    for (size_t i = 0; i < o->n_alpha; i++)
        if (o->alpha[i] == 1)
            return 1;
    return o->n_alpha ? o->alpha[0] : NAN;
}

uint32_t outcomes_main_epochs(const struct outcomes *o)
{
    return o->n_epochs ? o->epochs[0] : 0;
}
