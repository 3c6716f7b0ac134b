#include "server/select.h"
#include "base/hash.h"
#include "base/rng.h"
#include <stdlib.h>
#include <string.h>

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

void select_clients(uint64_t seed, uint32_t round, uint32_t attempt, uint32_t *index, size_t n,
                    size_t k)
{
    struct rng r = rng_stream(seed, round, attempt, RNG_SELECT);
    for (size_t i = 0; i < n; i++)
        index[i] = (uint32_t)i;
    for (size_t i = 0; i < k; i++) {
        size_t j = i + rng_below(&r, (uint32_t)(n - i));
        uint32_t chosen = index[j];
        index[j] = index[i];
        index[i] = chosen;
    }
    qsort(index, k, sizeof *index, ascending);
}

uint32_t select_index(const char *name)
{
    size_t len = strlen(name), digits = 0;
    while (digits < len && name[len - 1 - digits] >= '0' && name[len - 1 - digits] <= '9')
        digits++;
    if (digits >= 1 && digits <= 9)
        return (uint32_t)strtoul(name + len - digits, NULL, 10);
    struct hash h = hash_of(name, len);
    return (uint32_t)h.byte[0] << 24 | (uint32_t)h.byte[1] << 16 | (uint32_t)h.byte[2] << 8 |
           h.byte[3];
}
