#include "base/size.h"
#include <criterion/criterion.h>

Test(size, units_are_powers_of_1024)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {
        {"0", 0},
        {"1", 1},
        {"1B", 1},
        {"1K", 1024},
        {"007K", 7 << 10},
        {"512M", 512 << 20},
        {"2G", 2ULL << 30},
        {"16T", SIZE_MAX_BYTES},
        {"17592186044416", SIZE_MAX_BYTES},
        {"17179869184K", SIZE_MAX_BYTES},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        uint64_t bytes = 5;
        cr_expect(size_parse(good[i].text, &bytes), "%s", good[i].text);
        cr_expect_eq(bytes, good[i].bytes, "%s", good[i].text);
    }
}

Test(size, all_else_is_refused)
{
    static const char *const bad[] = {"",
                                      "M",
                                      "-1",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "1 M",
                                      "1.5G",
                                      "1m",
                                      "1k",
                                      "1MB",
                                      "1MiB",
                                      "1E",
                                      "0x10",
                                      "1e9",
                                      "17T",
                                      "17592186044417",
                                      "18446744073709551617",
                                      "17179869185K",
                                      "99999999999999999999999999999999T"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint64_t bytes = 5;
        cr_expect_not(size_parse(bad[i], &bytes), "%s", bad[i]);
        cr_expect_eq(bytes, 5, "%s", bad[i]);
    }
}

Test(size, texts_are_short_and_read_back)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } row[] = {
        {0, "0B"},          {1, "1B"},
        {1000, "1000B"},    {1024, "1K"},
        {1536, "1536B"},    {3 << 19, "1536K"},
        {5 << 20, "5M"},    {1ULL << 30, "1G"},
        {3ULL << 41, "6T"}, {SIZE_MAX_BYTES, "16T"},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        char text[SIZE_TEXT];
        uint64_t bytes = 5;
        cr_expect_str_eq(size_text(row[i].bytes, text), row[i].text);
        cr_expect(size_parse(text, &bytes));
        cr_expect_eq(bytes, row[i].bytes);
    }
}
