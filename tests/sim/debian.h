/* Package lists that look like a distribution's, made up: sections with words of their own, sources
 * with several packages, maintainers who prefer a section, and what is to be left out. */
#ifndef TESTS_SIM_DEBIAN_H
#define TESTS_SIM_DEBIAN_H

#include "base/rng.h"
#include "tests/server/folder.h"
#include <stdarg.h>

enum { DEBIAN_SECTIONS = 4, DEBIAN_SOURCES = 60 }; /* sources of each section */

static const char *const debian_section[DEBIAN_SECTIONS] = {"games", "mail", "science", "x11"};
static const char *const debian_word[DEBIAN_SECTIONS][6] = {
    {"puzzle", "dungeon", "arcade", "card", "chess", "racing"},
    {"inbox", "spam", "message", "postal", "delivery", "filter"},
    {"protein", "telescope", "genome", "simulation", "particle", "chemistry"},
    {"window", "screen", "desktop", "theme", "dock", "pointer"},
};

static inline void debian_write(const struct folder *f, const char *name, const char *text)
{
    struct err e;
    cr_assert_eq(file_write(folder_file(f, name), text, strlen(text), 0644, &e), 0, "%s", e.text);
}

struct debian_text {
    char bytes[1 << 18];
    size_t n;
};

PRINTF_LIKE(2, 3) static inline void debian_add(struct debian_text *t, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(t->bytes + t->n, sizeof t->bytes - t->n, fmt, args);
    va_end(args);
    cr_assert(n >= 0 && (size_t)n < sizeof t->bytes - t->n);
    t->n += (size_t)n;
}

static inline void debian_package(struct debian_text *t, const char *name, const char *source,
                                  const char *maintainer, const char *section, const char *text)
{
    debian_add(t, "Package: %s\nSource: %s (1.0)\nMaintainer: %s <someone@example.org>\n", name,
               source, maintainer);
    debian_add(t, "Section: %s\nDescription: %s\nSize: 12\n\n", section, text);
}

/* One or two packages a source; the first words of a description are the source's own. */
static inline void debian_source(struct debian_text *t, struct rng *rng, int k, int i)
{
    char name[48], source[32], who[32], text[256];
    int packages = 1 + i % 2;
    snprintf(source, sizeof source, "thing%c%c%c", 'a' + k, 'a' + i / 8, 'a' + i % 8);
    int own = k * 3 + (int)rng_below(rng, 3), other = (int)rng_below(rng, 12);
    snprintf(who, sizeof who, "Team %c", 'A' + (rng_below(rng, 5) ? own : other));
    for (int p = 0; p < packages; p++) {
        const char *a = debian_word[k][rng_below(rng, 6)], *b = debian_word[k][rng_below(rng, 6)];
        snprintf(name, sizeof name, "%s%s", source, p ? "-extra" : "");
        snprintf(text, sizeof text, "%s and %s, number %c%c%s for %s", a, b, 'a' + i / 8,
                 'a' + i % 8, p ? " more" : "", source);
        debian_package(t, name, source, who, debian_section[k], text);
    }
}

/* The list of a distribution; free() it. */
static inline struct debian_text *debian_list(void)
{
    struct debian_text *t = calloc(1, sizeof *t);
    struct rng rng = rng_stream(11, 0, 0, RNG_TEST);
    cr_assert_not_null(t);
    for (int i = 0; i < DEBIAN_SOURCES; i++)
        for (int k = 0; k < DEBIAN_SECTIONS; k++)
            debian_source(t, &rng, k, i);
    debian_package(t, "old", "old", "Team A", "games", "transitional package for the new one");
    debian_package(t, "all", "all", "Team A", "games", "metapackage of every puzzle and card");
    debian_package(t, "chess-data", "chess", "Team A", "games", "arcade pictures and sounds of it");
    debian_package(t, "short", "short", "Team A", "games", "short chess 1.0");
    debian_package(t, "copy-one", "copy-one", "Team A", "games", "racing and the same words");
    debian_package(t, "copy-two", "copy-two", "Team B", "games", "Racing and the same words");
    for (int i = 0; i < 100; i++) {
        char name[32];
        snprintf(name, sizeof name, "libsome%d", i);
        debian_package(t, name, name, "Team C", "libs", "a library of one function or other");
    }
    return t;
}

#endif
