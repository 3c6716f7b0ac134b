#include "base/shared.h"

#include <stdlib.h>

struct shared *shared_take(struct buf *b)
{
    struct shared *s = malloc(sizeof *s);
    if (!s)
        return NULL;
    *s = (struct shared){.memory = b->data, .data = buf_bytes(b), .len = buf_size(b), .holders = 1};
    buf_init(b, b->limit);
    return s;
}

struct shared *shared_hold(struct shared *s)
{
    s->holders++;
    return s;
}

void shared_drop(struct shared *s)
{
    if (!s || --s->holders > 0)
        return;
    free(s->memory);
    free(s);
}
