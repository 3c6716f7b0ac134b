/* The parameters of a round on their way out and back (common/codec). Every client of a round
 * begins with the same values, however they came to it; what a lossy download leaves out stays here
 * and is added to each update again: no round loses it. */
#ifndef SERVER_PAYLOAD_H
#define SERVER_PAYLOAD_H

#include "base/spec.h"
#include "base/tensorset.h"
#include "codec/coder.h"
#include "proto/msg.h"

struct payload {
    const struct federation_spec *spec; /* borrowed */
    struct coding_plan plan;
    struct coder *coder;
    size_t count;
    unsigned char *plain; /* packed: what clients begin with, or the result */
    unsigned char *coded; /* the same, encoded; NULL: the run has plain codings alone */
    size_t coded_len;
    uint32_t coding;
    unsigned char *update; /* packed: the update at hand */
    float *missing;        /* count: what clients lack of the parameters */
};

/* For `count` values. ERR_CONFIG: encodings that do not exist; ERR_NOMEM. */
int payload_open(struct payload *p, const struct federation_spec *spec, size_t count,
                 struct err *e) MUST_CHECK;
void payload_close(struct payload *p);

/* p->plain holds the parameters, packed: encodes them for the tasks of `round`, and leaves there
 * what clients will decode. */
void payload_task(struct payload *p, uint32_t round);
/* The same for the result of a run: every bit arrives. */
void payload_result(struct payload *p);
/* What goes to a client that knows these codings (codec/coding.h), and in which of them. */
struct msg_bytes payload_for(const struct payload *p, uint64_t known, uint32_t *coding);

/* Decodes an update's parameters to *out, packed: into p->update, or where they are, if they are
 * plain. SHAPE: a coding that the run does not have, or no encoding of as many values. */
enum msg_reason payload_update(struct payload *p, const struct msg_update *u,
                               struct msg_bytes *out);
/* Adds to an update's values, count, what its client lacked. With MODE_ASYNC an update is the
 * difference to what its client was given, and lacks nothing. */
void payload_complete(const struct payload *p, float *values);

#endif
