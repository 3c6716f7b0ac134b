/* Encoded parameters out of any bytes. First byte: the coding; second: the number of values. What
 * is accepted fills them exactly; then the same bytes, as values, make the way there and back. */
#include "codec/codec.h"
#include "codec/coder.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned char *exactly(const void *bytes, size_t len)
{
    unsigned char *copy = malloc(len > 0 ? len : 1);
    if (!copy)
        abort();
    if (len > 0)
        memcpy(copy, bytes, len);
    return copy;
}

static void read_any(struct coder *c, uint32_t coding, const uint8_t *data, size_t len, size_t n)
{
    struct err e = {0};
    unsigned char *in = exactly(data, len), *out = calloc(n, 4);
    int rc = out ? coder_decode(c, coding, in, len, NULL, out, &e) : ERR_NOMEM;
    if (rc != 0 && (rc != ERR_PROTO || !e.text[0]))
        abort();
    free(in);
    free(out);
}

static void there_and_back(struct coder *c, uint32_t coding, const uint8_t *data, size_t n)
{
    unsigned char *values = exactly(data, 4 * n), *bytes = malloc(coder_room(n)),
                  *out = calloc(n, 4);
    float *residual = calloc(n, sizeof *residual);
    struct rng rng = rng_stream(1, 2, 3, RNG_UPLOAD);
    const struct coder_job job = {
        .values = values, .residual = residual, .share = 0.3, .rng = &rng};
    if (!bytes || !out || !residual)
        abort();
    bool lossless = coding_codec(coding)->lossless;
    size_t len = coder_encode(c, &coding, &job, bytes);
    if (len > coder_room(n) || coder_decode(c, coding, bytes, len, NULL, out, NULL) != 0)
        abort();
    if (lossless && memcmp(values, out, 4 * n) != 0)
        abort();
    free(values);
    free(bytes);
    free(out);
    free(residual);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct coder *c;
    if (size < 2)
        return 0;
    uint32_t coding = data[0];
    size_t n = 1 + data[1] * (size_t)data[1] / 16;
    if (coder_open(&c, n, NULL) != 0)
        abort();
    read_any(c, coding, data + 2, size - 2, n);
    if (coding_codec(coding) && size - 2 >= 4 * n)
        there_and_back(c, coding, data + 2, n);
    coder_close(c);
    return 0;
}
