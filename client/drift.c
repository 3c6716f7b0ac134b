#include "client/drift.h"
#include <stdlib.h>
#include <string.h>

int drift_open(struct drift *d, const struct schema *schema, double proximal, const float *start,
               const float *server, const float *own, struct err *e)
{
    *d = (struct drift){.schema = schema,
                        .proximal = (float)proximal,
                        .start = start,
                        .server = server,
                        .own = own};
    if (!server)
        return 0;
    d->mean = malloc((schema->count ? schema->count : 1) * sizeof *d->mean);
    if (!d->mean)
        return err_set(e, ERR_NOMEM, "no memory for a control variate of %zu values",
                       schema->count);
    /* Should no step have a learning rate above 0, nothing is learned about the gradient. */
    memcpy(d->mean, own, schema->count * sizeof *own);
    return 0;
}

void drift_close(struct drift *d)
{
    free(d->mean);
    *d = (struct drift){0};
}

static void take_mean(float *restrict mean, const float *restrict grad, size_t n, float share)
{
    for (size_t i = 0; i < n; i++)
        mean[i] += share * (grad[i] - mean[i]);
}

static void add_difference(float *restrict grad, const float *restrict a, const float *restrict b,
                           size_t n, float factor)
{
    for (size_t i = 0; i < n; i++)
        grad[i] += factor * (a[i] - b[i]);
}

void drift_correct(struct drift *d, const float *theta, float *grad, double lr)
{
    d->weight += lr;
    float share = d->weight > 0 ? (float)(lr / d->weight) : 0;
    for (size_t i = 0; i < d->schema->n; i++) {
        const struct tensor_spec *t = &d->schema->tensor[i];
        size_t at = t->offset;
        if (t->scope != SCOPE_GLOBAL && t->scope != SCOPE_GROUP)
            continue;
        if (d->server) {
            take_mean(d->mean + at, grad + at, t->count, share);
            add_difference(grad + at, d->server + at, d->own + at, t->count, 1);
        }
        if (d->proximal > 0)
            add_difference(grad + at, theta + at, d->start + at, t->count, d->proximal);
    }
}

void drift_finish(const struct drift *d, float *own, float *delta)
{
    for (size_t i = 0; i < d->schema->count; i++) {
        delta[i] = d->mean[i] - own[i];
        own[i] = d->mean[i];
    }
}
