/* How far a mistyped word is from one that is known: for "did you mean ...?". */
#ifndef BASE_EDIT_DISTANCE_H
#define BASE_EDIT_DISTANCE_H

#include <stddef.h>

enum { EDIT_DISTANCE_MAX = 48 };

/* Insertions, deletions and replacements that make one word the other (Levenshtein 1966); SIZE_MAX
 * when one of them has more than EDIT_DISTANCE_MAX bytes. */
size_t edit_distance(const char *a, const char *b);

#endif
