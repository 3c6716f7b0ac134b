/* An encoding of a vector of floats: a file here with one `const struct codec codec_NAME`, and a
 * line in CODECS. What messages do with it is codec/coder.h's business; nobody else calls these. */
#ifndef CODEC_CODEC_H
#define CODEC_CODEC_H

#include "base/rng.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Number, name. Numbers are on the wire: 0..31, never used again. 0 is what every peer has always
 * spoken: packed tensors (base/tensorset.h). */
#define CODECS(X)                                                                                  \
    X(0, fp32)                                                                                     \
    X(1, fp16)                                                                                     \
    X(2, bf16)                                                                                     \
    X(3, int8)                                                                                     \
    X(4, topk)

struct codec_job {
    double share;          /* of the values that are sent, (0, 1]: for codecs with feedback */
    const struct rng *rng; /* names the stream that rounding draws from; it is not moved */
};

struct codec {
    const char *name;
    unsigned width; /* bytes of an element: zstd gets them sorted by their place in it */
    bool lossless;  /* every bit comes back. It gets the values; the others, differences */
    /* It sends a part; the rest is to be added to what is encoded next (error feedback). */
    bool feedback;
    /* The most bytes that n values take; with feedback less, else exactly so. */
    size_t (*size)(size_t n);
    /* Writes x[0..n) to `out`, and returns the number of bytes; with feedback, x becomes what was
     * left out. What is not finite comes back as not finite. */
    size_t (*encode)(const struct codec_job *job, float *x, size_t n, unsigned char *out);
    /* Reads n values from bytes that anybody may have made; false when they are no encoding of n
     * values. Never judges values: they may be infinite or NaN. */
    bool (*decode)(const unsigned char *in, size_t len, float *x, size_t n);
};

#define CODEC_DECLARE(number, name) extern const struct codec codec_##name;
CODECS(CODEC_DECLARE)
#undef CODEC_DECLARE

#endif
