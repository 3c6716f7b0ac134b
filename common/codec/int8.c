/* One signed byte a value, and a scale for each block of them: the largest magnitude becomes 127.
 * Rounding is stochastic, up as often as the value is near the upper neighbour, so that what is
 * read is on average what was written, and the errors of many clients cancel (QSGD, Alistarh et al.
 * 2017, section 3.1, with the largest magnitude for the norm).
 *
 * A block: the scale, a float; then BLOCK bytes, the last block fewer. */
#include "codec/codec.h"
#include "codec/little.h"

enum { BLOCK = 256, LARGEST = 127, WORDS = 4 };

static size_t size(size_t n)
{
    return n + 4 * ((n + BLOCK - 1) / BLOCK);
}

/* Of a block's largest magnitude; not finite where one of its values is not. */
static float scale_of(const float *x, size_t n)
{
    uint32_t largest = 0; /* bits of positive floats are ordered as they are, NaN above all */
    for (size_t i = 0; i < n; i++) {
        uint32_t magnitude = bits_of_float(x[i]) & 0x7fffffffu;
        largest = magnitude > largest ? magnitude : largest;
    }
    return float_of_bits(largest) / LARGEST;
}

/* y is at most LARGEST but for rounding, u in [0, 1). */
static int round_at_random(float y, float u)
{
    int q = (int)floorf(y + u);
    return q > LARGEST ? LARGEST : q < -LARGEST ? -LARGEST : q;
}

static void encode_block(const struct rng *rng, size_t first, const float *x, size_t n,
                         unsigned char *out)
{
    float scale = scale_of(x, n);
    put_float(out, scale);
    for (size_t i = 0; i < n; i++) {
        uint32_t word[WORDS];
        if (i % WORDS == 0)
            rng_block_at(rng, (first + i) / WORDS, word);
        float u = (float)(word[i % WORDS] >> 8) * 0x1p-24f;
        bool nothing = scale == 0 || !isfinite(scale);
        out[4 + i] = (unsigned char)(nothing ? 0 : round_at_random(x[i] / scale, u));
    }
}

static size_t encode(const struct codec_job *job, float *x, size_t n, unsigned char *out)
{
    for (size_t i = 0; i < n; i += BLOCK, out += 4 + BLOCK)
        encode_block(job->rng, i, x + i, n - i < BLOCK ? n - i : BLOCK, out);
    return size(n);
}

static bool decode(const unsigned char *in, size_t len, float *x, size_t n)
{
    if (len != size(n))
        return false;
    for (size_t i = 0; i < n; i += BLOCK, in += 4 + BLOCK) {
        float scale = get_float(in);
        for (size_t k = 0; k < BLOCK && i + k < n; k++)
            x[i + k] = scale * (float)(int8_t)in[4 + k];
    }
    return true;
}

const struct codec codec_int8 = {
    .name = "int8", .width = 1, .size = size, .encode = encode, .decode = decode};
