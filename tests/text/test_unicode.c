/* Character classes and normalisers on every code point, against digests of the reference's answers
 * (tests/interop/tokenizer_unicode.py). */
#include "base/hash.h"
#include "support.h"
#include "text/normalize.h"
#include "text/unicode.h"

static bool is_surrogate(int32_t c)
{
    return c >= 0xD800 && c <= 0xDFFF;
}

static void check(const char *name, struct hash_state *state)
{
    json_t *file = load_json(GOLDEN "unicode.json");
    const char *want = json_string_value(json_object_get(json_object_get(file, "sha256"), name));
    struct hash h = hash_end(state);
    char got[HASH_HEX];

    hash_hex(&h, got);
    cr_assert_not_null(want, "%s", name);
    cr_expect_str_eq(got, want, "%s differs from the reference somewhere", name);
    json_decref(file);
}

static bool is_cleaned(int32_t c)
{
    return c == 0 || unicode_is_control(c);
}

Test(unicode, every_code_point_has_the_class_of_the_reference)
{
    static const struct {
        const char *name;
        bool (*is)(int32_t);
    } class[] = {
        {"control", is_cleaned},
        {"punctuation", unicode_is_punctuation},
        {"letter", unicode_is_letter},
        {"number", unicode_is_number},
        {"nonspacing_mark", unicode_is_nonspacing_mark},
        {"mark", unicode_is_mark},
        {"word", unicode_is_word},
    };

    for (size_t k = 0; k < sizeof class / sizeof *class; k++) {
        struct hash_state memory, *state = hash_begin(&memory);
        for (int32_t c = 0x80; c < 0x110000; c++) {
            unsigned char answer = class[k].is(c);
            if (!is_surrogate(c))
                hash_feed(state, &answer, 1);
        }
        check(class[k].name, state);
    }
}

Test(unicode, lower_case_is_that_of_the_reference)
{
    struct hash_state memory, *state = hash_begin(&memory);

    for (int32_t c = 0x80; c < 0x110000; c++) {
        uint32_t lower = (uint32_t)unicode_lower(c);
        unsigned char le[4] = {(unsigned char)lower, (unsigned char)(lower >> 8),
                               (unsigned char)(lower >> 16), (unsigned char)(lower >> 24)};
        if (!is_surrogate(c))
            hash_feed(state, le, 4);
    }
    check("lower", state);
}

static void check_normalizer(const char *name, const struct normalizer *n)
{
    struct hash_state memory, *state = hash_begin(&memory);
    struct ints text = {0}, spare = {0};
    struct err e;

    for (int32_t c = 0; c < 0x110000; c++) {
        if (is_surrogate(c))
            continue;
        text.n = 0;
        cr_assert(ints_push(&text, c));
        cr_assert_eq(normalize(n, &text, &spare, &e), 0);
        for (size_t i = 0; i < text.n; i++) {
            char utf8[4];
            hash_feed(state, utf8, unicode_encode(text.v[i], utf8));
        }
        hash_feed(state, "\n", 1);
    }
    ints_release(&text);
    ints_release(&spare);
    check(name, state);
}

Test(unicode, every_code_point_is_normalised_like_the_reference)
{
    static const struct {
        const char *name;
        struct normalizer n;
    } run[] = {
        {"NFD", {{NORMALIZE_NFD}, 1}},
        {"NFC", {{NORMALIZE_NFC}, 1}},
        {"NFKD", {{NORMALIZE_NFKD}, 1}},
        {"NFKC", {{NORMALIZE_NFKC}, 1}},
        {"Lowercase", {{NORMALIZE_LOWER}, 1}},
        {"StripAccents", {{NORMALIZE_DROP_MARKS}, 1}},
        {"BertNormalizer",
         {{NORMALIZE_CLEAN, NORMALIZE_SPACE_CJK, NORMALIZE_NFD, NORMALIZE_DROP_NONSPACING,
           NORMALIZE_LOWER},
          5}},
        {"BertNormalizer cased", {{NORMALIZE_CLEAN, NORMALIZE_SPACE_CJK}, 2}},
    };

    for (size_t i = 0; i < sizeof run / sizeof *run; i++)
        check_normalizer(run[i].name, &run[i].n);
}

Test(unicode, utf8_comes_back_as_it_went)
{
    struct ints c = {0};
    struct err e;
    char utf8[4];

    for (int32_t want = 0; want < 0x110000; want++) {
        if (is_surrogate(want))
            continue;
        size_t len = unicode_encode(want, utf8);
        c.n = 0;
        cr_assert_eq(unicode_decode(utf8, len, &c, &e), 0);
        cr_assert(c.n == 1 && c.v[0] == want, "U+%04X", (unsigned)want);
    }
    ints_release(&c);
}

Test(unicode, invalid_utf8_is_refused_at_its_byte)
{
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {
        {"\x80", 1},
        {"\xC3", 1},
        {"\xC3(", 2},
        {"\xC0\xAF", 2},
        {"\xE0\x80\xAF", 3},
        {"\xED\xA0\x80", 3},
        {"\xF0\x80\x80\xAF", 4},
        {"\xF4\x90\x80\x80", 4},
        {"\xF8\x88\x80\x80", 4},
        {"\xFF", 1},
        {"\xE2\x82", 2},
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[16] = "ok \xC3\xA9 ";
        struct ints c = {0};
        struct err e = {0};
        memcpy(text + 6, bad[i].bytes, bad[i].len);
        cr_expect_eq(unicode_decode(text, 6 + bad[i].len, &c, &e), ERR_DATA, "case %zu", i);
        cr_expect_not_null(strstr(e.text, "byte 6"), "case %zu: %s", i, e.text);
        cr_expect_eq(c.n, 0);
        ints_release(&c);
    }
}

/* Canonical ordering of a long run of marks, against insertion one by one. */
Test(unicode, long_runs_of_marks_are_ordered)
{
    enum { N = 3000 };
    static const int32_t mark[] = {0x301, 0x316, 0x327, 0x31B,
                                   0x345}; /* classes 230, 220, 202, 216, 240 */
    static const int32_t sorted[] = {0x327, 0x31B, 0x316, 0x301, 0x345};
    struct normalizer nfd = {{NORMALIZE_NFD}, 1};
    struct ints text = {0}, spare = {0};
    struct err e;

    cr_assert(ints_push(&text, 'q'));
    for (int i = 0; i < N; i++)
        cr_assert(ints_push(&text, mark[i % 5]));
    cr_assert_eq(normalize(&nfd, &text, &spare, &e), 0);
    cr_assert_eq(text.n, N + 1);
    for (int i = 0; i < N; i++)
        cr_assert_eq(text.v[1 + i], sorted[i / (N / 5)], "mark %d", i);
    ints_release(&text);
    ints_release(&spare);
}
