#include "nn/optim.h"
#include "base/vector.h"
#include "nn/hot.h"

#include <math.h>
#include <stdlib.h>

int optim_open(struct optim *o, const struct schema *schema, const struct local_spec *spec,
               struct err *e)
{
    size_t n = schema->count;

    *o = (struct optim){.schema = schema, .spec = spec};
    if (spec->optimizer == OPTIMIZER_SGD)
        return 0;
    o->m = vector_zeroed(n, sizeof *o->m);
    o->v = vector_zeroed(n, sizeof *o->v);
    if (o->m && o->v)
        return 0;
    optim_close(o);
    return err_set(e, ERR_NOMEM, "no memory for the optimiser's moments (%zu parameters)", n);
}

void optim_close(struct optim *o)
{
    free(o->m);
    free(o->v);
    *o = (struct optim){0};
}

static bool trained(const struct tensor_spec *s)
{
    return s->scope != SCOPE_FROZEN && s->scope != SCOPE_DERIVED;
}

/* Squares of float gradients may leave float's range long before they leave double's. */
HOT static double sum_of_squares(const real *restrict x, size_t n)
{
    double lane[LANES] = {0};
    size_t i = 0;

    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++)
            lane[l] += (double)x[i + l] * (double)x[i + l];
    for (int l = 0; i < n; i++, l++)
        lane[l] += (double)x[i] * (double)x[i];
    double sum = 0;
    for (int l = 0; l < LANES; l++)
        sum += lane[l];
    return sum;
}

/* What one step does to one tensor's values: g *= clip; p *= before; moments; p -= rate * m / (root
 * * sqrt(v) + eps); p *= after. */
struct update {
    real clip, beta1, beta2, before, rate, root, eps, after;
};

HOT static void apply(const struct update *u, size_t n, const real *restrict g, real *restrict m,
                      real *restrict v, real *restrict p)
{
    const real beta1 = u->beta1, beta2 = u->beta2, rate = u->rate, root = u->root, eps = u->eps;
    const real clip = u->clip, before = u->before, after = u->after;

    for (size_t i = 0; i < n; i++) {
        const real slope = g[i] * clip;

        m[i] = beta1 * m[i] + (1 - beta1) * slope;
        v[i] = beta2 * v[i] + (1 - beta2) * slope * slope;
        p[i] = (p[i] * before - rate * m[i] / (root * (real)sqrt(v[i]) + eps)) * after;
    }
}

/* As torch rounds: decay is part of the gradient. */
HOT static void descend(size_t n, real clip, real rate, real decay, const real *restrict g,
                        real *restrict p)
{
    for (size_t i = 0; i < n; i++) {
        const real slope = g[i] * clip;

        p[i] -= rate * (slope + decay * p[i]);
    }
}

static struct update plan(const struct optim *o, real clip, double lr, bool decays)
{
    const struct local_spec *s = o->spec;
    const double c1 = 1 - pow(s->beta1, o->step), c2 = 1 - pow(s->beta2, o->step);
    const double shrink = decays ? 1 - lr * s->weight_decay : 1;
    struct update u = {.clip = clip,
                       .beta1 = (real)s->beta1,
                       .beta2 = (real)s->beta2,
                       .eps = (real)s->eps,
                       .before = 1,
                       .after = 1};

    if (s->optimizer == OPTIMIZER_ADAMW) {
        u.before = (real)shrink;
        u.rate = (real)(lr / c1);
        u.root = (real)(1 / sqrt(c2));
    } else {
        u.after = (real)shrink;
        u.rate = (real)(lr * sqrt(c2) / c1);
        u.root = 1;
    }
    return u;
}

static double global_norm(const struct optim *o, const real *g)
{
    double squares = 0;

    for (size_t i = 0; i < o->schema->n; i++) {
        const struct tensor_spec *s = &o->schema->tensor[i];
        if (trained(s))
            squares += sum_of_squares(g + s->offset, s->count);
    }
    return sqrt(squares);
}

static real clip_factor(const struct optim *o, double norm)
{
    double most = o->spec->max_grad_norm, by = most / (norm + 1e-6);
    return most > 0 && by < 1 ? (real)by : 1;
}

real optim_step(struct optim *o, real *theta, const real *g, real lr)
{
    const double norm = global_norm(o, g);
    const real clip = clip_factor(o, norm);

    o->step++;
    for (size_t i = 0; i < o->schema->n; i++) {
        const struct tensor_spec *s = &o->schema->tensor[i];
        const real *slope = g + s->offset;
        real *p = theta + s->offset;
        if (!trained(s))
            continue;
        if (o->spec->optimizer == OPTIMIZER_SGD) {
            descend(s->count, clip, lr, s->decay ? (real)o->spec->weight_decay : 0, slope, p);
        } else {
            struct update u = plan(o, clip, lr, s->decay);
            apply(&u, s->count, slope, o->m + s->offset, o->v + s->offset, p);
        }
    }
    return (real)norm;
}

double lr_at(const struct local_spec *spec, uint64_t s, uint64_t total)
{
    double at = (double)s, end = (double)total, rising = ceil(spec->warmup * end);

    if (at < rising)
        return spec->lr * at / rising;
    if (spec->schedule == SCHEDULE_CONSTANT)
        return spec->lr;
    return at < end ? spec->lr * (end - at) / (end - rising) : 0;
}
