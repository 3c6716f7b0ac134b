#include "client/local_state.h"
#include "codec/codec.h"
#include "codec/coding.h"
#include <stdlib.h>
#include <string.h>

static bool carries_moments(const struct run_spec *spec)
{
    return spec->local.carry_optimizer && spec->local.optimizer != OPTIMIZER_SGD;
}

static bool leaves_out(const struct run_spec *spec)
{
    return coding_codec(coding_upload(&spec->federation))->feedback;
}

bool local_state_needed(const struct run_spec *spec)
{
    return carries_moments(spec) || spec->federation.scaffold || leaves_out(spec);
}

int local_state_open(struct local_state *s, const struct run_spec *spec, size_t count,
                     struct err *e)
{
    bool moments = carries_moments(spec), control = spec->federation.scaffold;
    bool residual = leaves_out(spec);
    *s = (struct local_state){.size = ((moments ? 2 : 0) + (control ? 1 : 0) + (residual ? 1 : 0)) *
                                      count};
    if (s->size == 0)
        return 0;
    s->values = calloc(s->size, sizeof *s->values);
    if (!s->values)
        return err_set(e, ERR_NOMEM, "no memory for a client's state of %zu values", s->size);
    float *next = s->values;
    if (moments) {
        s->m = next;
        s->v = next + count;
        next += 2 * count;
    }
    if (control) {
        s->control = next;
        next += count;
    }
    if (residual)
        s->residual = next;
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

#define NO_STATE UINT32_MAX /* no round has this number */

int local_pair_open(struct local_pair *p, const struct run_spec *spec, size_t count, struct err *e)
{
    *p = (struct local_pair){.after[LOCAL_LAST] = NO_STATE};
    int rc = 0;
    for (int k = 0; !rc && k < LOCAL_STATES; k++)
        rc = local_state_open(&p->state[k], spec, count, e);
    if (rc)
        local_pair_close(p);
    return rc;
}

void local_pair_close(struct local_pair *p)
{
    for (int k = 0; k < LOCAL_STATES; k++)
        local_state_close(&p->state[k]);
}

struct local_state *local_pair_begin(struct local_pair *p, uint32_t counted, bool *lost)
{
    uint32_t *after = p->after;
    if (after[LOCAL_LAST] == counted) {
        struct local_state before = p->state[LOCAL_BEFORE];
        p->state[LOCAL_BEFORE] = p->state[LOCAL_LAST];
        p->state[LOCAL_LAST] = before;
        after[LOCAL_BEFORE] = counted;
    }
    *lost = after[LOCAL_BEFORE] != counted && counted > 0;
    if (after[LOCAL_BEFORE] != counted)
        local_state_clear(&p->state[LOCAL_BEFORE]);
    after[LOCAL_BEFORE] = counted;
    after[LOCAL_LAST] = NO_STATE;
    local_state_copy(&p->state[LOCAL_LAST], &p->state[LOCAL_BEFORE]);
    return &p->state[LOCAL_LAST];
}

void local_pair_end(struct local_pair *p, uint32_t round)
{
    p->after[LOCAL_LAST] = round + 1;
}
