/* What a client sends of what it has trained: the packed parameters, in the encoding that the run
 * asks for (common/codec), against those of its task; or, with federation.mode async, the
 * difference itself, as a server that has gone on no longer knows the task. With a codec that
 * leaves values out, what it left out stays in the client's state and is added to its next update.
 */
#ifndef CLIENT_UPLOAD_H
#define CLIENT_UPLOAD_H

#include "base/tensorset.h"
#include "client/agent.h"
#include "client/local_state.h"
#include "codec/coder.h"

struct upload {
    const struct schema *schema; /* borrowed */
    uint64_t seed;
    double share;
    uint32_t asked;  /* coding */
    bool difference; /* MODE_ASYNC: what is sent is the difference to the task's parameters */
    struct coder *coder;
    unsigned char *bytes; /* of the last update */
    size_t len;
    uint32_t coding;
};

/* ERR_NOMEM. */
int upload_open(struct upload *u, const struct run_spec *spec, const struct schema *schema,
                struct err *e) MUST_CHECK;
void upload_close(struct upload *u);

/* Encodes theta (schema->count), which a client trained in `round` from the packed parameters
 * `base`: u->bytes, u->len and u->coding. `client`: its number, which with the round names what is
 * drawn for rounding. state: of the client; its residual is updated when the run has one. */
void upload_encode(struct upload *u, uint32_t round, uint32_t client, const unsigned char *base,
                   const float *theta, struct local_state *state);

#endif
