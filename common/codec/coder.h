/* Encodes and decodes parameters. Both ends work on packed tensors (base/tensorset.h), of n values.
 *
 * A lossy codec gets differences, as it can do more for them than for values: what an update
 * changes is small beside what it changes. So an update is encoded against the task's parameters,
 * as the client has decoded them, and decoded against the same bytes by the server; a task has no
 * base but 0. A codec with feedback is given what it left out before (the residual), adds it to
 * the difference, and returns what it left out now.
 *
 * Above a codec, zstd (RFC 8878) takes the bytes sorted by their place in a value, as exponents are
 * alike and low bits are noise; a lossless codec's bytes are first made 0 where they agree with the
 * base's. Where that does not pay, the message says so and goes without.
 *
 * The same input gives the same bytes. The length of a decoded vector is known from the schema:
 * bytes that claim to be more are refused without having been unpacked. */
#ifndef CODEC_CODER_H
#define CODEC_CODER_H

#include "base/err.h"
#include "base/rng.h"
#include "codec/coding.h"
#include <stddef.h>

/* Memory for vectors of n values: no call but coder_open allocates, but for zstd's own tables. */
struct coder;
/* ERR_NOMEM. */
int coder_open(struct coder **out, size_t n, struct err *e) MUST_CHECK;
void coder_close(struct coder *c);

/* The most bytes that n values take, whatever the coding: 4 * n and a few. */
size_t coder_room(size_t n);

struct coder_job {
    const unsigned char *values; /* packed, n */
    const unsigned char *base;   /* packed, n; NULL: 0 */
    float *residual;             /* n, in and out: for codecs with feedback; else not looked at */
    double share;                /* of the values that are sent: for codecs with feedback */
    const struct rng *rng;       /* names what stochastic rounding draws */
};
/* Encodes into `out`, which has coder_room(n) bytes and may be job->values, and returns how many
 * they are. *coding, one that this program knows: asked for, and what it became, without
 * CODING_ZSTD when that did not pay. Values that are not finite come back as not finite. */
size_t coder_encode(struct coder *c, uint32_t *coding, const struct coder_job *job,
                    unsigned char *out);
/* Decodes bytes that anybody may have made into packed values at `out`, 4 * n bytes; base as above,
 * may be `out`. ERR_PROTO: an unknown coding, or bytes that are no encoding of n values in it;
 * `out` is then untouched. Values may be infinite or NaN: tensorset_unpack's to check. */
int coder_decode(struct coder *c, uint32_t coding, const unsigned char *in, size_t len,
                 const unsigned char *base, unsigned char *out, struct err *e) MUST_CHECK;

#endif
