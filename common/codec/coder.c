#include "codec/coder.h"
#include "base/vector.h"
#include "codec/codec.h"
#include "codec/little.h"
#include <stdlib.h>
#include <zstd.h>

enum { SPARE = 16, LEVEL = 3 };

struct coder {
    size_t n;
    float *x;
    unsigned char *bytes, *sorted; /* coder_room(n) each: before and after zstd's preparation */
    ZSTD_CCtx *pack;
    ZSTD_DCtx *unpack;
};

size_t coder_room(size_t n)
{
    return 4 * n + SPARE;
}

int coder_open(struct coder **out, size_t n, struct err *e)
{
    struct coder *c = calloc(1, sizeof *c);
    if (c == NULL)
        return err_set(e, ERR_NOMEM, "no memory to encode %zu values", n);
    *c = (struct coder){.n = n,
                        .x = vector_alloc(n, sizeof *c->x),
                        .bytes = vector_alloc(coder_room(n), 1),
                        .sorted = vector_alloc(coder_room(n), 1),
                        .pack = ZSTD_createCCtx(),
                        .unpack = ZSTD_createDCtx()};
    if (c->x == NULL || c->bytes == NULL || c->sorted == NULL || c->pack == NULL ||
        c->unpack == NULL ||
        ZSTD_isError(ZSTD_CCtx_setParameter(c->pack, ZSTD_c_compressionLevel, LEVEL))) {
        coder_close(c);
        return err_set(e, ERR_NOMEM, "no memory to encode %zu values", n);
    }
    *out = c;
    return 0;
}

void coder_close(struct coder *c)
{
    if (c == NULL)
        return;
    free(c->x);
    free(c->bytes);
    free(c->sorted);
    ZSTD_freeCCtx(c->pack);
    ZSTD_freeDCtx(c->unpack);
    free(c);
}

/* --- zstd --- */

/* A lossless codec's bytes are the base's but for what changed. */
static void mask(const struct codec *codec, const unsigned char *base, unsigned char *bytes,
                 size_t len)
{
    for (size_t i = 0; codec->lossless && base != NULL && i < len; i++)
        bytes[i] ^= base[i];
}

/* All first bytes of elements, then all second ones ... */
static void sort(const unsigned char *from, unsigned char *to, size_t len, size_t width)
{
    size_t n = len / width;
    for (size_t k = 0; k < width; k++)
        for (size_t i = 0; i < n; i++)
            to[k * n + i] = from[i * width + k];
}

static void unsort(const unsigned char *from, unsigned char *to, size_t len, size_t width)
{
    size_t n = len / width;
    for (size_t k = 0; k < width; k++)
        for (size_t i = 0; i < n; i++)
            to[i * width + k] = from[k * n + i];
}

/* From c->bytes to `out`; 0 when the result would not be shorter. */
static size_t compress(struct coder *c, const struct codec *codec, const unsigned char *base,
                       size_t len, unsigned char *out)
{
    if (len == 0)
        return 0;
    mask(codec, base, c->bytes, len);
    sort(c->bytes, c->sorted, len, codec->width);
    size_t packed = ZSTD_compress2(c->pack, out, len - 1, c->sorted, len);
    mask(codec, base, c->bytes, len);
    return ZSTD_isError(packed) ? 0 : packed;
}

/* Into c->bytes; *len: of `in`, then of what it was. */
static bool decompress(struct coder *c, const struct codec *codec, const unsigned char *base,
                       const unsigned char *in, size_t *len)
{
    size_t unpacked = ZSTD_decompressDCtx(c->unpack, c->sorted, codec->size(c->n), in, *len);
    if (ZSTD_isError(unpacked) || unpacked % codec->width != 0)
        return false;
    unsort(c->sorted, c->bytes, unpacked, codec->width);
    if (codec->lossless && unpacked != codec->size(c->n))
        return false;
    mask(codec, base, c->bytes, unpacked);
    *len = unpacked;
    return true;
}

/* --- values --- */

static void take_difference(struct coder *c, const struct codec *codec, const struct coder_job *job)
{
    bool difference = job->base != NULL && !codec->lossless;
    for (size_t i = 0; i < c->n; i++) {
        c->x[i] = get_float(job->values + 4 * i);
        if (difference)
            c->x[i] -= get_float(job->base + 4 * i);
        if (codec->feedback)
            c->x[i] += job->residual[i];
    }
}

size_t coder_encode(struct coder *c, uint32_t *coding, const struct coder_job *job,
                    unsigned char *out)
{
    if (*coding == CODING_PLAIN) { /* what is packed is encoded */
        memmove(out, job->values, 4 * c->n);
        return 4 * c->n;
    }
    const struct codec *codec = coding_codec(*coding);
    const struct codec_job how = {job->share, job->rng};
    take_difference(c, codec, job);
    size_t len = codec->encode(&how, c->x, c->n, c->bytes), packed = 0;
    if (codec->feedback)
        memcpy(job->residual, c->x, c->n * sizeof *c->x);
    if (*coding >= CODING_ZSTD)
        packed = compress(c, codec, job->base, len, out);
    if (packed > 0)
        return packed;
    *coding %= CODING_ZSTD;
    memcpy(out, c->bytes, len);
    return len;
}

int coder_decode(struct coder *c, uint32_t coding, const unsigned char *in, size_t len,
                 const unsigned char *base, unsigned char *out, struct err *e)
{
    const struct codec *codec = coding_codec(coding);
    if (codec == NULL)
        return err_set(e, ERR_PROTO, "encoding %u is unknown", (unsigned)coding);
    if (coding == CODING_PLAIN && len == codec->size(c->n)) { /* packed as they came */
        memmove(out, in, len);
        return 0;
    }
    bool ok = coding < CODING_ZSTD || decompress(c, codec, base, in, &len);
    if (!ok || !codec->decode(coding < CODING_ZSTD ? in : c->bytes, len, c->x, c->n))
        return err_set(e, ERR_PROTO, "these bytes are not %zu values in %s%s", c->n, codec->name,
                       coding < CODING_ZSTD ? "" : " with zstd");
    bool difference = base != NULL && !codec->lossless;
    for (size_t i = 0; i < c->n; i++)
        put_float(out + 4 * i, difference ? get_float(base + 4 * i) + c->x[i] : c->x[i]);
    return 0;
}
