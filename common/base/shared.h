/* Bytes that no longer change and that several hold: one copy, freed when the last of them lets go.
 * Of one thread: the count is no atomic one. */
#ifndef BASE_SHARED_H
#define BASE_SHARED_H

#include "base/buf.h"

struct shared {
    const unsigned char *data;
    size_t len;
    unsigned holders;
    void *memory; /* that data lies in */
};

/* Takes over the memory of b, which then is empty; the caller holds it. NULL without memory, b as
 * it was. */
struct shared *shared_take(struct buf *b);
/* One holder more; returns its argument. */
struct shared *shared_hold(struct shared *s);
/* One less. NULL is let go of in peace. */
void shared_drop(struct shared *s);

#endif
