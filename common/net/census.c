#include "net/census.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAP = 64, V4_PREFIX = 12, NETWORK = 8 };

struct census_key census_key(const struct sockaddr *address)
{
    static const unsigned char mapped[V4_PREFIX] = {[10] = 0xff, [11] = 0xff};
    struct census_key k = {{0}};
    if (address->sa_family == AF_INET6) {
        const unsigned char *bytes =
            ((const struct sockaddr_in6 *)(const void *)address)->sin6_addr.s6_addr;
        bool v4 = memcmp(bytes, mapped, sizeof mapped) == 0;
        memcpy(k.byte, bytes, v4 ? sizeof k.byte : NETWORK);
    } else if (address->sa_family == AF_INET) {
        memcpy(k.byte, mapped, sizeof mapped);
        memcpy(k.byte + V4_PREFIX, &((const struct sockaddr_in *)(const void *)address)->sin_addr,
               sizeof(struct in_addr));
    }
    return k;
}

void census_release(struct census *c)
{
    free(c->entry);
    *c = (struct census){0};
}

static bool is_free(const struct census_entry *e)
{
    return e->links == 0 && e->shaking == 0;
}

/* FNV-1a. Whoever chooses addresses to collide only slows down the table of those that are here. */
static size_t home(const struct census *c, const struct census_key *key)
{
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < sizeof key->byte; i++)
        h = (h ^ key->byte[i]) * 1099511628211u;
    return (size_t)(h ^ h >> 32) & (c->cap - 1);
}

/* Where a key is, or the free place where it belongs. */
static struct census_entry *place(const struct census *c, const struct census_key *key)
{
    size_t at = home(c, key);
    while (!is_free(&c->entry[at]) && memcmp(&c->entry[at].key, key, sizeof *key) != 0)
        at = (at + 1) & (c->cap - 1);
    return &c->entry[at];
}

static bool grow(struct census *c)
{
    struct census more = {.cap = c->cap ? 2 * c->cap : FIRST_CAP, .n = c->n};
    more.entry = calloc(more.cap, sizeof *more.entry);
    if (!more.entry)
        return false;
    for (size_t i = 0; i < c->cap; i++)
        if (!is_free(&c->entry[i]))
            *place(&more, &c->entry[i].key) = c->entry[i];
    free(c->entry);
    *c = more;
    return true;
}

struct census_entry *census_enter(struct census *c, const struct census_key *key)
{
    if (4 * (c->n + 1) > 3 * c->cap && !grow(c))
        return NULL;
    struct census_entry *e = place(c, key);
    if (is_free(e)) {
        e->key = *key;
        c->n++;
    }
    return e;
}

struct census_entry *census_find(const struct census *c, const struct census_key *key)
{
    return place(c, key);
}

/* Entries behind the gap that it now hides from their home move up (Knuth, volume 3, 6.4 R). */
void census_drop(struct census *c, struct census_entry *e)
{
    size_t mask = c->cap - 1, gap = (size_t)(e - c->entry);
    c->entry[gap] = (struct census_entry){0};
    c->n--;
    for (size_t at = (gap + 1) & mask; !is_free(&c->entry[at]); at = (at + 1) & mask) {
        size_t from_home = (at - home(c, &c->entry[at].key)) & mask;
        if (from_home < ((at - gap) & mask))
            continue;
        c->entry[gap] = c->entry[at];
        c->entry[at] = (struct census_entry){0};
        gap = at;
    }
}
