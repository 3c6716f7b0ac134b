/* The tape as the ops see it. An op computes its result into tape_new(); if an input wants a
 * gradient it then makes a record, keeps the vals whose data its backward will read, and in its
 * backward adds to the gradients of its inputs. */
#ifndef NN_RECORD_H
#define NN_RECORD_H

#include "nn/tape.h"

enum { RECORD_KEEPS = 4 };

/* First member of every op's record. */
struct record {
    struct record *older;
    void (*backward)(struct tape *t, struct record *r); /* called only when out->g is complete */
    struct val *out;
    bool dry;      /* of the first call of a checkpoint: nothing reads it */
    bool in_place; /* out had a gradient to pass on before this op changed it */
    int n_kept;
    struct val *kept[RECORD_KEEPS];
};

/* A new val of the current scope. None of the functions here can fail: over the cap they leave the
 * step. */
struct val *tape_new(struct tape *t, int rows, int cols);

/* Its data, for the op that makes it. */
static inline real *val_data(struct val *v)
{
    return (real *)v->x;
}
static inline size_t val_count(const struct val *v)
{
    return (size_t)v->rows * (size_t)v->cols;
}

/* A record of `size` bytes that begins with a struct record; the rest is cleared. `out` now wants a
 * gradient. Inputs that the backward only routes gradients to need not be kept. */
void *tape_record(struct tape *t, size_t size, void (*backward)(struct tape *, struct record *),
                  struct val *out);
/* v's data stays until the record has run; in half precision meanwhile on a tape that halves. */
void record_keep(struct record *r, struct val *v);
/* As it is, always: for numbers whose error would be that of many, or that may be out of range. */
void record_keep_exact(struct record *r, struct val *v);

/* In backward: the gradient of v, which wants one. *add is false for the first contribution: write
 * it all, nothing is there yet. */
real *tape_grad(struct tape *t, struct val *v, bool *add);
/* The same for contributions that do not cover all of v, or of which there are several: always to
 * be added to. */
real *tape_grad_add(struct tape *t, struct val *v);

/* False on a tape that measures: allocate all the same, and touch no number. */
bool tape_computes(const struct tape *t);

/* n numbers for use within an op. */
real *tape_scratch(struct tape *t, size_t n);
void tape_unscratch(struct tape *t, real *scratch, size_t n);

/* A copy that lives as long as the step. */
void *tape_copy(struct tape *t, const void *from, size_t bytes);

/* The dropout stream of the next op that draws. */
struct rng tape_draw(struct tape *t);

#endif
