#include "client/local_state.h"
#include <stdlib.h>
#include <string.h>

static bool carries_moments(const struct run_spec *spec)
{
    return spec->local.carry_optimizer && spec->local.optimizer != OPTIMIZER_SGD;
}

bool local_state_needed(const struct run_spec *spec)
{
    return carries_moments(spec) || spec->federation.scaffold;
}

int local_state_open(struct local_state *s, const struct run_spec *spec, size_t count,
                     struct err *e)
{
    bool moments = carries_moments(spec), control = spec->federation.scaffold;
    *s = (struct local_state){.size = ((moments ? 2 : 0) + (control ? 1 : 0)) * count};
    if (s->size == 0)
        return 0;
    s->values = calloc(s->size, sizeof *s->values);
    if (!s->values)
        return err_set(e, ERR_NOMEM, "no memory for a client's state of %zu values", s->size);
    if (moments) {
        s->m = s->values;
        s->v = s->values + count;
    }
    if (control)
        s->control = s->values + s->size - count;
    return 0;
}

void local_state_close(struct local_state *s)
{
    free(s->values);
    *s = (struct local_state){0};
}

void local_state_clear(struct local_state *s)
{
    s->step = 0;
    memset(s->values, 0, s->size * sizeof *s->values);
}

void local_state_copy(struct local_state *to, const struct local_state *from)
{
    to->step = from->step;
    memcpy(to->values, from->values, from->size * sizeof *from->values);
}
