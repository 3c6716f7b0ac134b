#include "server/scaffold.h"
#include "server/aggregate.h"
#include <math.h>
#include <stdlib.h>

static const struct aggregator *const sums = &aggregator_fedavg;

static void pack(struct scaffold *s)
{
    for (size_t i = 0; i < s->wire->count; i++)
        s->values[i] = (float)s->control[i];
    tensorset_pack(s->wire, s->values, s->packed);
}

int scaffold_open(struct scaffold *s, const struct schema *wire, uint32_t clients, double *control,
                  struct err *e)
{
    *s = (struct scaffold){.wire = wire, .clients = clients, .control = control};
    s->values = calloc(wire->count, sizeof *s->values);
    s->packed = calloc(wire->count, sizeof(float));
    s->sum = calloc(1, sums->state_size(wire->count));
    if (s->values == NULL || s->packed == NULL || s->sum == NULL) {
        scaffold_close(s);
        return err_set(e, ERR_NOMEM, "no memory for control variates of %zu values", wire->count);
    }
    pack(s);
    return 0;
}

void scaffold_close(struct scaffold *s)
{
    free(s->values);
    free(s->packed);
    free(s->sum);
    *s = (struct scaffold){0};
}

void scaffold_begin(struct scaffold *s)
{
    if (s->wire == NULL)
        return;
    sums->reset(s->sum, s->wire->count);
    s->added = 0;
}

enum msg_reason scaffold_check(struct scaffold *s, struct msg_bytes change)
{
    if (change.len != scaffold_control(s).len)
        return REASON_SHAPE;
    if (s->wire == NULL)
        return REASON_NONE;
    if (tensorset_unpack(s->wire, change.data, change.len, s->values, NULL) != 0)
        return REASON_NOT_FINITE;
    for (size_t i = 0; i < s->wire->count; i++)
        if (fabsf(s->values[i]) >= (float)(1 << FIXED_RANGE_BITS))
            return REASON_NOT_FINITE;
    return REASON_NONE;
}

void scaffold_add(struct scaffold *s)
{
    if (s->wire == NULL)
        return;
    /* In range, and a round has far fewer updates than the sum has room for: it cannot fail. */
    if (sums->add(s->sum, s->values, s->wire->count, 1, NULL) != 0)
        abort();
    s->added++;
}

void scaffold_step(struct scaffold *s)
{
    if (s->wire == NULL)
        return;
    const double share = (double)s->added / s->clients;
    sums->finish(s->sum, s->values, s->wire->count);
    for (size_t i = 0; i < s->wire->count; i++)
        s->control[i] += share * (double)s->values[i];
    pack(s);
}

struct msg_bytes scaffold_control(const struct scaffold *s)
{
    return (struct msg_bytes){s->packed, s->wire != NULL ? s->wire->count * sizeof(float) : 0};
}
