/* The largest differences only, as halves; what is left out, and what halves lose, waits for the
 * next update (error feedback: Stich et al. 2018, "Sparsified SGD with Memory", algorithm 1).
 *
 * Form: the number k, 4 bytes; k gaps, each how many values are left out since the one before, 7
 * bits a byte, lowest first, the top bit set when more follow; k halves. Among equals the first are
 * taken; zeros are never sent. */
#include "codec/codec.h"
#include "codec/little.h"

enum { HEAD = 4, VALUE = 2, MAX_GAP = 5, BINS = 2048 };

/* k gaps of one byte; a longer one stands for 128 values that are left out, at least. */
static size_t size(size_t n)
{
    return HEAD + (VALUE + 1) * n + n / 127 + MAX_GAP;
}

/* Ordered as the magnitudes are, NaN above all. */
static uint32_t key_of(float x)
{
    return bits_of_float(x) & 0x7fffffffu;
}

/* The k-th largest key, 1 <= k <= n; *above: how many are larger. Three digits, the highest
 * first. */
static uint32_t threshold(const float *x, size_t n, size_t k, size_t *above)
{
    static const struct {
        unsigned shift, bits;
    } digit[] = {{20, 11}, {10, 10}, {0, 10}};
    uint32_t found = 0;
    size_t larger = 0;
    for (size_t d = 0; d < sizeof digit / sizeof *digit; d++) {
        size_t count[BINS] = {0};
        unsigned known = digit[d].shift + digit[d].bits;
        uint32_t mask = (1u << digit[d].bits) - 1, bin = mask;
        for (size_t i = 0; i < n; i++)
            if (key_of(x[i]) >> known == found >> known)
                count[key_of(x[i]) >> digit[d].shift & mask]++;
        for (; larger + count[bin] < k; bin--)
            larger += count[bin];
        found |= bin << digit[d].shift;
    }
    *above = larger;
    return found;
}

static unsigned char *put_gap(unsigned char *out, size_t gap)
{
    for (; gap >= 128; gap >>= 7)
        *out++ = (unsigned char)(gap | 128);
    *out++ = (unsigned char)gap;
    return out;
}

/* NULL when it does not end before `end`, or is larger than any vector. */
static const unsigned char *get_gap(const unsigned char *in, const unsigned char *end, size_t *gap)
{
    *gap = 0;
    for (unsigned i = 0; i < MAX_GAP && in < end; i++) {
        *gap |= (size_t)(*in & 127) << 7 * i;
        if (*in++ < 128)
            return in;
    }
    return NULL;
}

static size_t encode(const struct codec_job *job, float *x, size_t n, unsigned char *out)
{
    size_t k = (size_t)ceil(job->share * (double)n), sent = 0, above = 0, next = 0;
    k = k < 1 ? 1 : k > n ? n : k;
    uint32_t least = n > 0 ? threshold(x, n, k, &above) : 0;
    size_t equals = least > 0 ? k - above : 0; /* of those that are as large as the least */
    unsigned char *at = out + HEAD, *const begin = out;
    for (size_t i = 0; i < n; i++) {
        uint32_t key = key_of(x[i]);
        if (key < least || key == 0 || (key == least && equals == 0))
            continue;
        equals -= key == least;
        at = put_gap(at, i - next);
        next = i + 1;
        sent++;
    }
    /* The gaps tell again which values they were. */
    const unsigned char *gaps = begin + HEAD, *const end = at;
    put_le32(begin, (uint32_t)sent);
    for (size_t i = 0, gap; gaps < end; i++, at += VALUE) {
        gaps = get_gap(gaps, end, &gap);
        i += gap;
        uint16_t half = nearest_half(x[i]);
        put_le16(at, half);
        x[i] -= float_of_half(half);
    }
    return (size_t)(at - begin);
}

static bool decode(const unsigned char *in, size_t len, float *x, size_t n)
{
    size_t k = len >= HEAD ? get_le32(in) : SIZE_MAX;
    if (k > n || len < HEAD + (1 + VALUE) * k)
        return false;
    const unsigned char *gaps = in + HEAD, *const end = in + len - VALUE * k, *value = end;
    memset(x, 0, n * sizeof *x);
    for (size_t i = 0, gap, left = k; left > 0; left--, i++, value += VALUE) {
        gaps = get_gap(gaps, end, &gap);
        if (gaps == NULL || gap >= n - i)
            return false;
        i += gap;
        x[i] = float_of_half(get_le16(value));
    }
    return gaps == end;
}

const struct codec codec_topk = {
    .name = "topk", .width = 1, .feedback = true, .size = size, .encode = encode, .decode = decode};
