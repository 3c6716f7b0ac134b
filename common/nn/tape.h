/* Tape: define-by-run reverse-mode differentiation over memory that lives for one step.
 *
 * A `val` is a row-major matrix [rows, cols]. Ops (ops.h) compute values at once and, when some
 * input wants a gradient, append a record; tape_backward runs the records in reverse. An op none of
 * whose inputs wants a gradient records nothing and holds nothing.
 *
 * Memory. Each val's data lives in the tape's pool while somebody needs it: the forward scope that
 * created it, or a record that will read it again. tape_enter/tape_leave bracket a piece of forward
 * code (a sub-layer, a layer): on leaving, every val created since entering, but for the one
 * returned, loses its forward claim, and what no record retained goes back to the pool. So
 * evaluation needs the memory of one layer, and training keeps only what backward reads. Gradients
 * are allocated at their first contribution and given back once their record has run.
 *
 * A tape belongs to one thread. No op can fail: when the pool exceeds its cap the whole step is
 * abandoned through tape_run. */
#ifndef NN_TAPE_H
#define NN_TAPE_H

#include "base/err.h"
#include "base/rng.h"
#include "nn/real.h"
#include "nn/stored.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct val {
    const real
        *x; /* [rows, cols]; pool memory, or borrowed (constants, parameters); NULL: stored */
    struct stored stored; /* of tape_stored, when not as reals */
    int rows, cols;
    bool wants_grad;
    /* The rest belongs to the tape and the ops (record.h). */
    bool borrowed;   /* x is the caller's */
    bool exact;      /* never halved */
    uint16_t *half;  /* x, halved, while it waits for backward; x is NULL then */
    unsigned claims; /* on x: the forward scope's and the records' */
    real *g; /* gradient: NULL until the first contribution; for parameters the caller's accumulator
              */
    struct val *next; /* older val with a forward claim */
};

struct tape;

/* max_bytes caps the pool; 0: no cap. ERR_NOMEM. */
int tape_open(struct tape **out, size_t max_bytes, struct err *e) MUST_CHECK;
void tape_close(struct tape *t);
/* Between steps: gives memory back that the next step will take again. */
void tape_trim(struct tape *t);

/* Runs `step(t, arg)` on a cleared tape. `training`: dropout is applied and gradients are recorded.
 * Dropout masks are a pure function of `dropout` and the order of the op in the step. ERR_NOMEM
 * when the step needs more than the cap; nothing of it then remains. The pool's memory is kept for
 * the next step. */
int tape_run(struct tape *t, bool training, struct rng dropout,
             void (*step)(struct tape *t, void *arg), void *arg, struct err *e) MUST_CHECK;

/* Has tape_checkpoint save memory, from the next step on. */
void tape_recompute(struct tape *t);
bool tape_recomputes(const struct tape *t);
/* Has later steps keep in half precision (IEEE 754 binary16, the nearest; at most 65504) what only
 * backward will read again: half the memory, and gradients that differ by its rounding, a relative
 * 2^-11 of each number kept (at most 2^-25 of one below 2^-14). What forward computes, the loss
 * too, is the same. */
void tape_halve(struct tape *t);
bool tape_halves(const struct tape *t);
/* Has later steps move no number: ops take the memory that they would, and leave it untouched, so
 * that tape_peak_bytes says what those steps need, at next to no cost in time and memory. What vals
 * hold is undefined then; gradients of parameters stay as they are. */
void tape_measure(struct tape *t);

/* Inside a step: */
bool tape_training(const struct tape *t);
/* A borrowed constant: x stays the caller's and must outlive the step. */
struct val *tape_const(struct tape *t, const real *x, int rows, int cols);
/* A borrowed constant as it is stored: for ops that take one (ops.h); others need reals. */
struct val *tape_stored(struct tape *t, struct stored x, int rows, int cols);
/* A parameter: as a constant when g is NULL; else backward ADDS its gradient to g [rows, cols]. */
struct val *tape_param(struct tape *t, const real *x, real *g, int rows, int cols);

/* Step-lifetime memory aligned to 16, for index arrays and the like; not cleared. */
void *tape_alloc(struct tape *t, size_t bytes);

struct tape_scope {
    struct val *first;
};
struct tape_scope tape_enter(struct tape *t);
/* Ends the scope; `keep` (may be NULL, may be older than the scope) survives in the enclosing
 * scope. Returns keep. A loop over layers enters once and leaves with the same `s` after every
 * layer: that drops the layer before too. */
struct val *tape_leave(struct tape *t, struct tape_scope s, struct val *keep);

/* f(x), a piece of a step: a layer. In training with tape_recompute its inside is not kept, but
 * made again by a second call of f when backward arrives there (Chen et al. 2016), with the same
 * dropout masks: the same bits for the memory of x, and one forward pass more. f is a pure function
 * of x, of `arg`, which lives as long as the step, and of vals older than x. */
struct val *tape_checkpoint(struct tape *t, struct val *x,
                            struct val *(*f)(struct tape *t, void *arg, struct val *x), void *arg);

/* Seeds d loss / d loss = 1 for a [1,1] val and runs the records in reverse; parameter gradients
 * are then complete and the records are gone: once a step. */
void tape_backward(struct tape *t, struct val *loss);

/* Most bytes the pool has held since tape_open: data, gradients, scratch, and the tape itself. */
size_t tape_peak_bytes(const struct tape *t);

#endif
