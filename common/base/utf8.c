#include "base/utf8.h"

size_t utf8_length(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    unsigned char a = s[0], low = 0x80, high = 0xbf;

    if (a < 0x80)
        return a != 0;
    size_t n = a < 0xc2 ? 0 : a < 0xe0 ? 2 : a < 0xf0 ? 3 : a < 0xf5 ? 4 : 0;
    if (a == 0xe0 || a == 0xf0) /* else overlong */
        low = a == 0xe0 ? 0xa0 : 0x90;
    if (a == 0xed || a == 0xf4) /* else a surrogate, or beyond the last code point */
        high = a == 0xed ? 0x9f : 0x8f;
    /* The NUL at the end stops every partial sequence. */
    for (size_t i = 1; i < n; i++, low = 0x80, high = 0xbf)
        if (s[i] < low || s[i] > high)
            return 0;
    return n;
}
