#include "base/edit_distance.h"
#include "base/utf8.h"
#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

/* `n` bytes of the form of UTF-8 for any number: the shortest for a code point, else overlong. */
static void write_form(uint32_t c, int n, char out[5])
{
    static const unsigned char head[] = {0, 0, 0xc0, 0xe0, 0xf0};
    memset(out, 0, 5);
    for (int i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(head[n] | c);
}

Test(utf8, every_number_in_every_form)
{
    for (uint32_t c = 0; c < 0x200000; c++)
        for (int n = 1; n <= 4; n++) {
            static const uint32_t end[] = {0, 0x80, 0x800, 0x10000, 0x200000};
            char text[5];
            if (c >= end[n])
                continue;
            write_form(c, n, text);
            bool shortest = n == 1 || c >= end[n - 1];
            bool good = shortest && c != 0 && c < 0x110000 && (c < 0xd800 || c > 0xdfff);
            cr_assert_eq(utf8_length(text), good ? (size_t)n : 0, "U+%04X in %d bytes", c, n);
            text[n - 1] = n > 1 ? '\0' : text[0];
            if (n > 1)
                cr_assert_eq(utf8_length(text), 0, "U+%04X cut short", c);
        }
    cr_assert_eq(utf8_length("\xff"), 0);
    cr_assert_eq(utf8_length("\x80"), 0);
}

Test(edit_distance, known_values)
{
    char longest[EDIT_DISTANCE_MAX + 2];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    cr_assert_eq(edit_distance("", ""), 0);
    cr_assert_eq(edit_distance("", "abc"), 3);
    cr_assert_eq(edit_distance("abc", ""), 3);
    cr_assert_eq(edit_distance("kitten", "sitting"), 3);
    cr_assert_eq(edit_distance("rounds", "rounds"), 0);
    cr_assert_eq(edit_distance(longest, "x"), SIZE_MAX);
    cr_assert_eq(edit_distance(longest + 1, "x"), EDIT_DISTANCE_MAX - 1);
}
