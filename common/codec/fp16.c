/* IEEE 754 binary16, rounded to nearest, ties to even: 11 bits of precision from 6e-5 to 65504, and
 * steps of 6e-8 below. What is beyond becomes the largest. */
#include "codec/codec.h"
#include "codec/little.h"

static size_t size(size_t n)
{
    return 2 * n;
}

static size_t encode(const struct codec_job *job, float *x, size_t n, unsigned char *out)
{
    (void)job;
    for (size_t i = 0; i < n; i++)
        put_le16(out + 2 * i, nearest_half(x[i]));
    return size(n);
}

static bool decode(const unsigned char *in, size_t len, float *x, size_t n)
{
    if (len != size(n))
        return false;
    for (size_t i = 0; i < n; i++)
        x[i] = float_of_half(get_le16(in + 2 * i));
    return true;
}

const struct codec codec_fp16 = {
    .name = "fp16", .width = 2, .size = size, .encode = encode, .decode = decode};
