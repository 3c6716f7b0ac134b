/* Which encoding a message's parameters have: a codec by its number, with or without zstd on top.
 * The server's configuration chooses (federation.upload, .download, .zstd); a client that does not
 * know what was chosen, or has never heard of encodings, gets and sends plain packed tensors. */
#ifndef CODEC_CODING_H
#define CODEC_CODING_H

#include "base/err.h"
#include "base/spec.h"
#include <stdbool.h>
#include <stdint.h>

enum {
    CODING_PLAIN = 0, /* packed tensors: what every peer understands */
    CODING_ZSTD = 32, /* added to a codec's number */
    CODINGS = 64,     /* every coding is below */
};

struct codec;
/* The codec of a coding; NULL: this program does not know it. */
const struct codec *coding_codec(uint32_t coding);
/* What this program can read and write, for its peer: bit `number` for each codec, and bit
 * CODING_ZSTD. */
uint64_t coding_known(void);
/* Whether a peer that knows `known` can read this coding. */
bool coding_within(uint64_t known, uint32_t coding);

/* The coding of updates, tasks and results that a run's settings ask for: results keep every bit.
 * ERR_CONFIG: no codec has that name, or tasks would leave values out. */
struct coding_plan {
    uint32_t upload, download, result;
};
int coding_plan(const struct federation_spec *f, struct coding_plan *out, struct err *e) MUST_CHECK;
/* The coding of updates for a client that may be older than the server: what it does not know, it
 * sends plain. */
uint32_t coding_upload(const struct federation_spec *f);

#endif
