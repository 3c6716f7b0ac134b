/* How many connections each address has: a table that grows with the addresses present. */
#ifndef NET_CENSUS_H
#define NET_CENSUS_H

#include "base/err.h"
#include <stddef.h>
#include <sys/socket.h>

/* An IPv6 address, or an IPv4 one as ::ffff:a.b.c.d, whichever family it came by. Of IPv6 only the
 * first 64 bits count, since whoever has one address there has 2^64. */
struct census_key {
    unsigned char byte[16];
};
struct census_key census_key(const struct sockaddr *address);

struct census_entry {
    struct census_key key;
    unsigned links, shaking; /* both 0: the place is free */
};
/* Zero-initialise. */
struct census {
    struct census_entry *entry; /* open addressing; a power of two, at most three quarters full */
    size_t cap, n;
};
void census_release(struct census *c);
/* The entry of a key, made if need be: valid until the next call. The caller counts at once. NULL
 * without memory. */
struct census_entry *census_enter(struct census *c, const struct census_key *key);
/* The entry of a key that is there. */
struct census_entry *census_find(const struct census *c, const struct census_key *key);
/* Takes an entry whose counts are 0 out of the table. */
void census_drop(struct census *c, struct census_entry *e);

#endif
