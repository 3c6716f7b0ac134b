#include "nn/pool.h"
#include "nn/record.h"
#include "nn/stored.h"

#include <assert.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { SLAB = 16 << 10 };

struct tape {
    struct pool pool;
    char *slab; /* vals, records and other small things of the step */
    size_t slab_left;
    struct val *live;       /* with a forward claim, newest first */
    struct record *records; /* newest first */
    struct rng dropout;
    uint32_t draws;
    bool training;
    bool recompute, halve, measure;
    bool dry;    /* within the first call of a checkpoint: records are not kept ... */
    bool missed; /* ... and backward will want some of them */
    jmp_buf over_cap;
};

int tape_open(struct tape **out, size_t max_bytes, struct err *e)
{
    struct tape *t = calloc(1, sizeof *t);

    if (!t)
        return err_set(e, ERR_NOMEM, "no memory for a tape");
    int rc = pool_open(&t->pool, max_bytes, e);
    if (rc) {
        free(t);
        return rc;
    }
    *out = t;
    return 0;
}

void tape_close(struct tape *t)
{
    if (!t)
        return;
    pool_close(&t->pool);
    free(t);
}

void tape_trim(struct tape *t)
{
    pool_trim(&t->pool);
}

int tape_run(struct tape *t, bool training, struct rng dropout,
             void (*step)(struct tape *t, void *arg), void *arg, struct err *e)
{
    pool_reset(&t->pool);
    t->slab = NULL;
    t->slab_left = 0;
    t->live = NULL;
    t->records = NULL;
    t->dropout = dropout;
    t->draws = 0;
    t->training = training;
    t->dry = false;

    /* A step is some hundred calls deep in formulae that should read as such; none of them holds
     * anything but the pool's memory, so the one failure there is may leave all of them at once. */
    if (setjmp(t->over_cap) != 0)
        return err_set(e, ERR_NOMEM,
                       "a step needs more than the %zu bytes that its tape may hold: use smaller "
                       "batches or shorter texts, or raise the memory cap",
                       t->pool.reserved);
    step(t, arg);
    return 0;
}

static void *get(struct tape *t, size_t bytes)
{
    void *block = pool_get(&t->pool, bytes);

    if (!block)
        longjmp(t->over_cap, 1);
    return block;
}

void *tape_alloc(struct tape *t, size_t bytes)
{
    bytes = (bytes + 15) / 16 * 16;
    if (bytes > SLAB / 4)
        return get(t, bytes);
    if (bytes > t->slab_left) {
        t->slab = get(t, SLAB);
        t->slab_left = SLAB;
    }
    void *block = t->slab;
    t->slab += bytes;
    t->slab_left -= bytes;
    return block;
}

void *tape_copy(struct tape *t, const void *from, size_t bytes)
{
    return memcpy(tape_alloc(t, bytes), from, bytes);
}

void tape_recompute(struct tape *t)
{
    t->recompute = true;
}

bool tape_recomputes(const struct tape *t)
{
    return t->recompute;
}

void tape_halve(struct tape *t)
{
    t->halve = true;
}

bool tape_halves(const struct tape *t)
{
    return t->halve;
}

void tape_measure(struct tape *t)
{
    t->measure = true;
    pool_leave_untouched(&t->pool);
}

bool tape_computes(const struct tape *t)
{
    return !t->measure;
}

bool tape_training(const struct tape *t)
{
    return t->training;
}

size_t tape_peak_bytes(const struct tape *t)
{
    return t->pool.peak;
}

struct rng tape_draw(struct tape *t)
{
    return rng_child(&t->dropout, t->draws++);
}

real *tape_scratch(struct tape *t, size_t n)
{
    return get(t, (n ? n : 1) * sizeof(real));
}

void tape_unscratch(struct tape *t, real *scratch, size_t n)
{
    pool_put(&t->pool, scratch, (n ? n : 1) * sizeof(real));
}

/* --- vals ------------------------------------------------------------------------------------ */

struct val *tape_param(struct tape *t, const real *x, real *g, int rows, int cols)
{
    struct val *v = tape_alloc(t, sizeof *v);

    *v = (struct val){.x = x, .rows = rows, .cols = cols, .borrowed = true};
    if (g && t->training) {
        v->g = g;
        v->wants_grad = true;
    }
    return v;
}

struct val *tape_const(struct tape *t, const real *x, int rows, int cols)
{
    return tape_param(t, x, NULL, rows, cols);
}

struct val *tape_stored(struct tape *t, struct stored x, int rows, int cols)
{
    const bool reals = x.as == STORED_REAL;
    struct val *v = tape_const(t, reals ? x.x : NULL, rows, cols);

    if (!reals)
        v->stored = x;
    return v;
}

struct val *tape_new(struct tape *t, int rows, int cols)
{
    struct val *v = tape_alloc(t, sizeof *v);

    *v = (struct val){.rows = rows, .cols = cols, .claims = 1, .next = t->live};
    v->x = tape_scratch(t, val_count(v));
    t->live = v;
    return v;
}

/* A pool's block is never of no bytes. */
static size_t half_bytes(size_t n)
{
    return (n ? n : 1) * sizeof(uint16_t);
}

static void claim(struct val *v)
{
    assert(v->borrowed || v->claims > 0);
    v->claims++;
}

static void drop(struct tape *t, struct val *v)
{
    if (--v->claims > 0 || v->borrowed)
        return;
    tape_unscratch(t, val_data(v), val_count(v));
    v->x = NULL;
}

/* From the end of its scope to the first record that reads it again. */
static void halve(struct tape *t, struct val *v)
{
    const size_t n = val_count(v);

    v->half = get(t, half_bytes(n));
    if (tape_computes(t))
        stored_write_half(v->x, n, v->half);
    tape_unscratch(t, val_data(v), n);
    v->x = NULL;
}

static void unhalve(struct tape *t, struct val *v)
{
    const size_t n = val_count(v);

    v->x = tape_scratch(t, n);
    if (tape_computes(t))
        stored_read(stored_halves(v->half, STORED_F16), 0, n, val_data(v));
    pool_put(&t->pool, v->half, half_bytes(n));
    v->half = NULL;
}

/* Forward has no more use for v. */
static void leave(struct tape *t, struct val *v)
{
    drop(t, v);
    if (v->claims > 0 && t->halve && !v->exact)
        halve(t, v);
}

struct tape_scope tape_enter(struct tape *t)
{
    return (struct tape_scope){t->live};
}

struct val *tape_leave(struct tape *t, struct tape_scope s, struct val *keep)
{
    struct val *next, *kept = NULL;

    for (struct val *v = t->live; v != s.first; v = next) {
        next = v->next;
        if (v == keep)
            kept = v;
        else
            leave(t, v);
    }
    t->live = s.first;
    if (kept) {
        kept->next = t->live;
        t->live = kept;
    }
    return keep;
}

/* --- records and gradients ------------------------------------------------------------------- */

void *tape_record(struct tape *t, size_t size, void (*backward)(struct tape *, struct record *),
                  struct val *out)
{
    struct record *r = tape_alloc(t, size);
    const bool in_place = out->wants_grad;

    assert(t->training);
    memset(r, 0, size);
    r->dry = t->dry;
    out->wants_grad = true;
    if (t->dry) {
        t->missed = true;
        return r;
    }
    r->older = t->records;
    r->backward = backward;
    r->out = out;
    r->in_place = in_place;
    t->records = r;
    return r;
}

void record_keep(struct record *r, struct val *v)
{
    assert(r->n_kept < RECORD_KEEPS);
    if (r->dry)
        return;
    claim(v);
    r->kept[r->n_kept++] = v;
}

void record_keep_exact(struct record *r, struct val *v)
{
    v->exact = true;
    record_keep(r, v);
}

real *tape_grad(struct tape *t, struct val *v, bool *add)
{
    assert(v->wants_grad);
    *add = v->g != NULL;
    if (!v->g)
        v->g = tape_scratch(t, val_count(v));
    return v->g;
}

real *tape_grad_add(struct tape *t, struct val *v)
{
    bool add;
    real *g = tape_grad(t, v, &add);

    if (!add && tape_computes(t))
        memset(g, 0, val_count(v) * sizeof *g);
    return g;
}

static void run(struct tape *t, struct record *r)
{
    struct val *out = r->out;

    for (int i = 0; i < r->n_kept; i++)
        if (r->kept[i]->half)
            unhalve(t, r->kept[i]);
    if (out->g) {
        r->backward(t, r);
        if (!r->in_place && out->g) {
            tape_unscratch(t, out->g, val_count(out));
            out->g = NULL;
        }
    }
    for (int i = 0; i < r->n_kept; i++)
        drop(t, r->kept[i]);
}

static void run_all(struct tape *t)
{
    for (struct record *r = t->records; r; r = r->older)
        run(t, r);
    t->records = NULL;
}

void tape_backward(struct tape *t, struct val *loss)
{
    assert(loss->rows == 1 && loss->cols == 1 && !loss->borrowed);
    if (loss->wants_grad)
        *tape_grad_add(t, loss) = 1;
    run_all(t);
}

/* --- checkpoints ----------------------------------------------------------------------------- */

struct checkpoint {
    struct record r;
    struct val *x;
    struct val *(*f)(struct tape *t, void *arg, struct val *x);
    void *arg;
    uint32_t draws; /* before f */
};

/* The records of a second call of f, run here and now. What they add to gradients, that of x among
 * them, they add in the order in which they would have without a checkpoint. */
static void checkpoint_backward(struct tape *t, struct record *r)
{
    const struct checkpoint *c = (const struct checkpoint *)r;
    struct record *const outer = t->records;
    const uint32_t draws = t->draws;
    struct tape_scope scope = tape_enter(t);

    t->records = NULL;
    t->draws = c->draws;
    struct val *y = c->f(t, c->arg, c->x);
    tape_leave(t, scope, NULL);
    y->g = r->out->g;
    r->out->g = NULL;
    run_all(t);
    t->records = outer;
    t->draws = draws;
}

struct val *tape_checkpoint(struct tape *t, struct val *x,
                            struct val *(*f)(struct tape *t, void *arg, struct val *x), void *arg)
{
    const struct checkpoint c = {.x = x, .f = f, .arg = arg, .draws = t->draws};

    if (!t->training || !t->recompute || t->dry)
        return f(t, arg, x);
    t->dry = true;
    t->missed = false;
    struct tape_scope scope = tape_enter(t);
    struct val *y = tape_leave(t, scope, f(t, arg, x));
    t->dry = false;
    y->wants_grad = false;
    if (t->missed) {
        struct checkpoint *kept = tape_record(t, sizeof *kept, checkpoint_backward, y);
        const struct record r = kept->r;
        *kept = c;
        kept->r = r;
        record_keep(&kept->r, x);
    }
    return y;
}
