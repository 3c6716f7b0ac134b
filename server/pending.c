#include "server/pending.h"
#include "base/vector.h"
#include <stdlib.h>
#include <string.h>

size_t pending_size(const struct msg_update *u)
{
    size_t size = sizeof(struct pending) + u->params.len + u->control.len;
    for (size_t i = 0; i < u->n_metrics; i++)
        size += strlen(u->metric[i].name) + 1;
    return size;
}

bool pending_fits(size_t bytes, size_t taken, size_t most)
{
    return taken == 0 || (taken <= most && bytes <= most - taken);
}

static const unsigned char *put(unsigned char **at, const void *bytes, size_t len)
{
    unsigned char *copy = *at;
    if (len > 0)
        memcpy(copy, bytes, len);
    *at += len;
    return copy;
}

struct pending *pending_make(const struct msg_update *u, const char *run_id)
{
    struct pending *p = vector_alloc(pending_size(u), 1);
    if (p == NULL)
        return NULL;
    unsigned char *at = (unsigned char *)(p + 1);
    *p = (struct pending){.update = *u};
    struct msg_update *own = &p->update;
    own->run_id = run_id;
    own->params.data = put(&at, u->params.data, u->params.len);
    own->control.data = put(&at, u->control.data, u->control.len);
    for (size_t i = 0; i < u->n_metrics; i++)
        own->metric[i].name =
            (const char *)put(&at, u->metric[i].name, strlen(u->metric[i].name) + 1);
    return p;
}
