/* The values as they are. */
#include "codec/codec.h"
#include "codec/little.h"

static size_t size(size_t n)
{
    return 4 * n;
}

static size_t encode(const struct codec_job *job, float *x, size_t n, unsigned char *out)
{
    (void)job;
    for (size_t i = 0; i < n; i++)
        put_float(out + 4 * i, x[i]);
    return size(n);
}

static bool decode(const unsigned char *in, size_t len, float *x, size_t n)
{
    if (len != size(n))
        return false;
    for (size_t i = 0; i < n; i++)
        x[i] = get_float(in + 4 * i);
    return true;
}

const struct codec codec_fp32 = {
    .name = "fp32", .width = 4, .lossless = true, .size = size, .encode = encode, .decode = decode};
