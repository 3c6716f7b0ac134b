/* Takes out of a package's description what would give its section away. */
#ifndef SIM_PREPARE_WORDS_H
#define SIM_PREPARE_WORDS_H

#include <stddef.h>

/* What a description must not say. */
struct prepare_words {
    const char *name, *source;  /* of the package */
    const char *const *section; /* the classes */
    size_t n_sections;
};

/* Removes words from a text, in place, and returns how many remain. A word is a run of letters,
 * digits and . - _ +, without regard to case; one of several parts (text-based) goes as a whole
 * when a part of it does. Removed are:
 *
 * - the names of package and source, also without a leading "lib" and the digits at their end;
 * - section names: those of four letters or more with whatever follows (game, games, gameplay;
 *   graphical), shorter ones alone or as a plural (web, nets);
 * - names of libraries: what begins with "lib", but not library, libre, liberal and the like;
 * - version numbers: 2.4, v4, 1.0-3, but not 3D or 64.
 *
 * Punctuation, spaces and empty brackets that are left over go, too. */
size_t prepare_words_clean(char *text, const struct prepare_words *w);

#endif
