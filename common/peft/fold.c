/* A tuned model as plain values: base tensors with the method folded in, and virtual rows. */
#include "peft/method.h"
#include <string.h>

bool peft_can_merge(const struct peft *p)
{
    const struct peft_method *m = p->method;
    return m->merge != NULL ||
           (m->linear == NULL && m->block == NULL && m->prefix == NULL && m->prompt == NULL);
}

bool peft_merged(const struct peft *p, const real *theta, const struct base_tensor *t, real *out)
{
    const struct trained_base *b = peft_trained(p, t->x.x);
    const real *trained = b != NULL ? theta + p->schema.tensor[b->tensor].offset : NULL;
    size_t n = (size_t)t->dim[0] * (size_t)(t->ndim > 1 ? t->dim[1] : 1);
    stored_read(trained != NULL ? stored_reals(trained) : t->x, 0, n, out);
    bool folded = p->method->merge != NULL && p->method->merge(p, theta, t, out);
    return folded || b != NULL;
}

struct collapse {
    const struct peft *p;
    const real *theta;
    real *rows;
};

static void run_collapse(struct tape *t, void *arg)
{
    const struct collapse *c = arg;
    const struct val *rows = c->p->method->begin(c->p, t, c->theta, NULL);
    memcpy(c->rows, rows->x, (size_t)rows->rows * (size_t)rows->cols * sizeof *c->rows);
}

int peft_collapse(const struct peft *p, const real *theta, real *rows, struct err *e)
{
    struct collapse c = {.p = p, .theta = theta, .rows = rows};
    struct tape *t;
    if (p->method->begin == NULL)
        return err_set(e, ERR_STATE, "the method %s has no virtual rows", p->method->name);
    int rc = tape_open(&t, 0, e);
    if (rc != 0)
        return rc;
    rc = tape_run(t, false, (struct rng){0}, run_collapse, &c, e);
    tape_close(t);
    return rc;
}
