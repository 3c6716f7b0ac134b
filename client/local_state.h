/* What a client keeps to itself from one round that it takes part in to the next: the optimiser's
 * moments (local.carry_optimizer), its control variate (federation.scaffold), and what its encoding
 * left out of its updates so far (federation.upload: topk). Whoever owns the client owns its state:
 * the simulator in memory, the daemon on disk (client/journal). */
#ifndef CLIENT_LOCAL_STATE_H
#define CLIENT_LOCAL_STATE_H

#include "base/err.h"
#include "base/spec.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct local_state {
    uint32_t step;   /* optimiser steps behind m and v */
    float *m, *v;    /* count each; NULL: every round begins with a fresh optimiser */
    float *control;  /* c_i of SCAFFOLD, count; NULL: none */
    float *residual; /* of the encoding, count, of which those that travel are used, packed; NULL:
                        none */
    float *values;   /* all of them in one block, `size` values */
    size_t size;
};

/* Does a run with these settings leave a client with a state? */
bool local_state_needed(const struct run_spec *spec);
/* The state before the first round, all zero, for a schema of `count` values. ERR_NOMEM. */
int local_state_open(struct local_state *s, const struct run_spec *spec, size_t count,
                     struct err *e) MUST_CHECK;
void local_state_close(struct local_state *s);
/* Back to the state before the first round. */
void local_state_clear(struct local_state *s);
/* Both are of the same run. */
void local_state_copy(struct local_state *to, const struct local_state *from);

/* The two states that a client keeps: the one that its last training began with, and the one that
 * it ended with. With each task the server says in which round this client's update counted last;
 * training goes on from the state after that round. So an update that did not count, or a round
 * that is repeated, leaves no trace. */
enum { LOCAL_BEFORE, LOCAL_LAST, LOCAL_STATES };
struct local_pair {
    struct local_state state[LOCAL_STATES];
    uint32_t after[LOCAL_STATES]; /* 1 + the round that left each; 0: the beginning */
};

/* As local_state_open. */
int local_pair_open(struct local_pair *p, const struct run_spec *spec, size_t count,
                    struct err *e) MUST_CHECK;
void local_pair_close(struct local_pair *p);
/* A copy of the state after round `counted` - 1 (0: before the first), for a training to change.
 * *lost: that state is not here; the client begins anew. */
struct local_state *local_pair_begin(struct local_pair *p, uint32_t counted, bool *lost);
/* The copy is now the state after `round`. */
void local_pair_end(struct local_pair *p, uint32_t round);

#endif
