/* An update that passed the gate and is not yet durable: the core's own copy of it, since a message
 * lives only as long as it is handled. It counts, and is acknowledged, when the shell says that it
 * is stored. */
#ifndef SERVER_PENDING_H
#define SERVER_PENDING_H

#include "server/core.h"

struct pending {
    struct core_update out;   /* as the shell sees it */
    struct msg_update update; /* its strings and bytes lie behind this struct */
    uint64_t conn;            /* whom to tell */
    bool handed;              /* to the shell, as OUT_STORE */
    struct pending *next;
};

/* A copy of u; NULL without memory. run_id is borrowed. Freed with free(). */
struct pending *pending_make(const struct msg_update *u, const char *run_id);
/* Memory that it takes. */
size_t pending_size(const struct msg_update *u);
/* Whether so many bytes more may wait where `taken` of `most` do: one update may in any case. */
bool pending_fits(size_t bytes, size_t taken, size_t most);

#endif
