/* A page in Prometheus' text format, read strictly: what a test may rely on, every page must have.
 */
#ifndef TESTS_SERVER_PAGE_H
#define TESTS_SERVER_PAGE_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The value of a sample, labels included: `name{a="b"}`; -1 when it is not there. */
static inline double page_value(const char *page, const char *sample)
{
    size_t len = strlen(sample);
    for (const char *at = page; (at = strstr(at, sample)) != NULL; at += len)
        if ((at == page || at[-1] == '\n') && at[len] == ' ')
            return strtod(at + len + 1, NULL);
    return -1;
}

static inline size_t family_length(const char *line, const char *family)
{
    static const char *const suffix[] = {"_bucket", "_sum", "_count", ""};
    size_t len = strlen(family);
    if (strncmp(line, family, len) != 0)
        return 0;
    for (int i = 0; i < 4; i++) {
        size_t more = strlen(suffix[i]);
        if (strncmp(line + len, suffix[i], more) == 0 && strchr("{ ", line[len + more]) != NULL)
            return len + more;
    }
    return 0;
}

/* Every sample belongs to the family whose HELP and TYPE stand above it, once; every line ends. */
static inline void page_check(const char *page)
{
    char family[128] = "", kind[32] = "";
    const char *next;
    for (const char *line = page; *line != '\0'; line = next + 1) {
        next = strchr(line, '\n');
        cr_assert_not_null(next, "unfinished: %s", line);
        if (strncmp(line, "# HELP ", 7) == 0) {
            char again[160];
            cr_assert_eq(sscanf(line, "# HELP %127s", family), 1);
            snprintf(again, sizeof again, "# HELP %s ", family);
            cr_assert_null(strstr(next, again), "twice: %s", family);
        } else if (strncmp(line, "# TYPE ", 7) == 0) {
            char name[128];
            cr_assert_eq(sscanf(line, "# TYPE %127s %31s", name, kind), 2);
            cr_assert_str_eq(name, family);
            cr_assert(strcmp(kind, "counter") != 0 || strstr(family, "_total") != NULL, "%s",
                      family);
        } else {
            size_t n = family_length(line, family);
            char *end;
            cr_assert_gt(n, 0, "%.80s is not of %s", line, family);
            if (line[n] == '{')
                n = (size_t)(strchr(line, '}') - line) + 1;
            cr_assert_eq(line[n], ' ');
            strtod(line + n + 1, &end);
            cr_assert_eq(end, next, "no number: %.80s", line);
        }
    }
}

#endif
