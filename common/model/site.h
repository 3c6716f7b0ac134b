/* Site BASE: frozen tensors as the forward pass asks for them. A method may put a parameter of the
 * same shape in their place. */
#ifndef MODEL_SITE_H
#define MODEL_SITE_H

#include "model/model.h"

/* The base tensor x [rows,cols], or what is trained instead of it. */
static inline struct val *site_matrix(const struct encoder_hooks *h, struct tape *t,
                                      struct stored x, int rows, int cols)
{
    struct val *trained = h->tensor != NULL ? h->tensor(h->self, t, x.x, rows, cols) : NULL;
    return trained != NULL ? trained : tape_stored(t, x, rows, cols);
}

/* A vector as [1,n]. */
static inline struct val *site_vector(const struct encoder_hooks *h, struct tape *t, const real *x,
                                      int n)
{
    return site_matrix(h, t, stored_reals(x), 1, n);
}

#endif
