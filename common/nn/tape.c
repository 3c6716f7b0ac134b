#include "nn/pool.h"
#include "nn/record.h"

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

struct val *tape_new(struct tape *t, int rows, int cols)
{
    struct val *v = tape_alloc(t, sizeof *v);

    *v = (struct val){.rows = rows, .cols = cols, .claims = 1, .next = t->live};
    v->x = tape_scratch(t, val_count(v));
    t->live = v;
    return v;
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
            drop(t, v);
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

    assert(t->training);
    memset(r, 0, size);
    r->older = t->records;
    r->backward = backward;
    r->out = out;
    r->in_place = out->wants_grad;
    out->wants_grad = true;
    t->records = r;
    return r;
}

void record_keep(struct record *r, struct val *v)
{
    assert(r->n_kept < RECORD_KEEPS);
    claim(v);
    r->kept[r->n_kept++] = v;
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

    if (!add)
        memset(g, 0, val_count(v) * sizeof *g);
    return g;
}

static void run(struct tape *t, struct record *r)
{
    struct val *out = r->out;

    if (out->g) {
        r->backward(t, r);
        if (!r->in_place) {
            tape_unscratch(t, out->g, val_count(out));
            out->g = NULL;
        }
    }
    for (int i = 0; i < r->n_kept; i++)
        drop(t, r->kept[i]);
}

void tape_backward(struct tape *t, struct val *loss)
{
    assert(loss->rows == 1 && loss->cols == 1 && !loss->borrowed);
    if (loss->wants_grad)
        *tape_grad_add(t, loss) = 1;
    for (struct record *r = t->records; r; r = r->older)
        run(t, r);
    t->records = NULL;
}
