#include "text/unicode.h"

#include "text/unicode_overrides.h"
#include <utf8proc.h>

#define N_ELEMENTS(a) (sizeof(a) / sizeof *(a))

int unicode_decode(const char *s, size_t len, struct ints *out, struct err *e)
{
    const unsigned char *p = (const unsigned char *)s;
    size_t first = out->n;

    if (!ints_reserve(out, len))
        return err_set(e, ERR_NOMEM, "no memory for a text of %zu bytes", len);
    for (size_t i = 0; i < len;) {
        if (p[i] < 0x80) {
            out->v[out->n++] = p[i++];
            continue;
        }
        utf8proc_int32_t c;
        utf8proc_ssize_t used = utf8proc_iterate(p + i, (utf8proc_ssize_t)(len - i), &c);
        if (used < 0) {
            out->n = first;
            return err_set(e, ERR_DATA, "invalid UTF-8 at byte %zu: convert the text to UTF-8", i);
        }
        out->v[out->n++] = c;
        i += (size_t)used;
    }
    return 0;
}

size_t unicode_encode(int32_t c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    return (size_t)utf8proc_encode_char(c, (utf8proc_uint8_t *)out);
}

/* The last override that begins at or before c, when it reaches c; else NULL. */
static const struct unicode_override *find(const struct unicode_override *o, size_t n, int32_t c)
{
    size_t low = 0, high = n;

    while (low < high) {
        size_t mid = (low + high) / 2;
        if (o[mid].first <= c)
            low = mid + 1;
        else
            high = mid;
    }
    return low && c <= o[low - 1].last ? &o[low - 1] : NULL;
}

static bool overridden(const struct unicode_override *o, size_t n, int32_t c, bool otherwise)
{
    const struct unicode_override *hit = find(o, n, c);

    return hit ? hit->value != 0 : otherwise;
}

#define OVERRIDDEN(table, c, otherwise) overridden(table, N_ELEMENTS(table), c, otherwise)

static bool is_between(utf8proc_category_t k, utf8proc_category_t first, utf8proc_category_t last)
{
    return first <= k && k <= last;
}

bool unicode_is_space(int32_t c)
{
    if (c < 0x80)
        return c == ' ' || (c >= '\t' && c <= '\r');
    return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
           c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool unicode_is_control(int32_t c)
{
    if (c < 0x80)
        return (c < ' ' && c != '\t' && c != '\n' && c != '\r') || c == 0x7F;
    return OVERRIDDEN(override_control, c,
                      is_between(utf8proc_category(c), UTF8PROC_CATEGORY_CC, UTF8PROC_CATEGORY_CO));
}

bool unicode_is_punctuation(int32_t c)
{
    if (c < 0x80)
        return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
               (c >= '{' && c <= '~');
    return OVERRIDDEN(override_punctuation, c,
                      is_between(utf8proc_category(c), UTF8PROC_CATEGORY_PC, UTF8PROC_CATEGORY_PO));
}

bool unicode_is_letter(int32_t c)
{
    if (c < 0x80)
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return OVERRIDDEN(override_letter, c,
                      is_between(utf8proc_category(c), UTF8PROC_CATEGORY_LU, UTF8PROC_CATEGORY_LO));
}

bool unicode_is_number(int32_t c)
{
    if (c < 0x80)
        return c >= '0' && c <= '9';
    return OVERRIDDEN(override_number, c,
                      is_between(utf8proc_category(c), UTF8PROC_CATEGORY_ND, UTF8PROC_CATEGORY_NO));
}

bool unicode_is_nonspacing_mark(int32_t c)
{
    if (c < 0x300)
        return false;
    return OVERRIDDEN(override_nonspacing_mark, c, utf8proc_category(c) == UTF8PROC_CATEGORY_MN);
}

static bool has_mark_category(int32_t c)
{
    return is_between(utf8proc_category(c), UTF8PROC_CATEGORY_MN, UTF8PROC_CATEGORY_ME);
}

bool unicode_is_mark(int32_t c)
{
    if (c < 0x300)
        return false;
    return OVERRIDDEN(override_mark, c, has_mark_category(c));
}

/* Other_Alphabetic outside the mark categories: circled, squared and regional Latin letters. */
static bool is_enclosed_letter(int32_t c)
{
    return (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
           (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189);
}

bool unicode_is_word(int32_t c)
{
    if (c < 0x80)
        return unicode_is_letter(c) || unicode_is_number(c) || c == '_';
    utf8proc_category_t k = utf8proc_category(c);
    bool is = is_between(k, UTF8PROC_CATEGORY_LU, UTF8PROC_CATEGORY_NL) ||
              k == UTF8PROC_CATEGORY_PC || c == 0x200C || c == 0x200D || is_enclosed_letter(c);
    return OVERRIDDEN(override_word, c, is);
}

bool unicode_is_cjk(int32_t c)
{
    return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
           (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B81F) ||
           (c >= 0x2B920 && c <= 0x2CEAF) || (c >= 0xF900 && c <= 0xFAFF) ||
           (c >= 0x2F800 && c <= 0x2FA1F);
}

bool unicode_is_atomic(int32_t c)
{
    return find(override_atomic, N_ELEMENTS(override_atomic), c) != NULL;
}

int32_t unicode_lower(int32_t c)
{
    if (c < 0x80)
        return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
    const struct unicode_override *hit = find(override_lower, N_ELEMENTS(override_lower), c);
    return hit ? c + hit->value : utf8proc_tolower(c);
}
