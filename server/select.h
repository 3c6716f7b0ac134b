/* Who takes part in a round, and the number that names a client's random streams: both depend on
 * names alone, never on who connected first. */
#ifndef SERVER_SELECT_H
#define SERVER_SELECT_H

#include <stddef.h>
#include <stdint.h>

/* Draws k of n without replacement, uniformly: a pure function of (seed, round, attempt, n, k).
 * index: room for n; on return its first k entries are the chosen numbers, ascending; the rest is
 * scratch. k <= n. */
void select_clients(uint64_t seed, uint32_t round, uint32_t attempt, uint32_t *index, size_t n,
                    size_t k);

/* "client-0042" -> 42: the decimal number at the end of the name, when it has one of at most nine
 * digits. Any other name -> the first 32 bits of its SHA-256. */
uint32_t select_index(const char *name);

#endif
