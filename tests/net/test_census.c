#include "net/census.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static struct census_key v4(uint32_t host)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(host)};
    return census_key((struct sockaddr *)&a);
}

static struct census_key v6(const char *text)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6};
    cr_assert_eq(inet_pton(AF_INET6, text, &a.sin6_addr), 1);
    return census_key((struct sockaddr *)&a);
}

static bool same(struct census_key a, struct census_key b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

Test(census, a_network_of_ipv6_is_one_address)
{
    cr_assert(same(v6("2001:db8:1:2::1"), v6("2001:db8:1:2:ffff::9")));
    cr_assert_not(same(v6("2001:db8:1:2::1"), v6("2001:db8:1:3::1")));
    cr_assert(same(v6("::ffff:192.0.2.7"), v4(0xc0000207)));
    cr_assert_not(same(v4(0xc0000207), v4(0xc0000208)));
    cr_assert_not(same(v6("::ffff:192.0.2.7"), v6("::ffff:192.0.2.8")));
}

/* Against plain counters, over many comings and goings. */
Test(census, counts_as_a_plain_table_does)
{
    enum { ADDRESSES = 700, MOVES = 200000 };
    unsigned expected[ADDRESSES] = {0};
    size_t present = 0;
    struct census c = {0};
    uint32_t seed = 1;
    for (int i = 0; i < MOVES; i++) {
        seed = seed * 1664525u + 1013904223u;
        uint32_t a = (seed >> 8) % ADDRESSES;
        struct census_key k = v4(a * 65536 + a);
        /* Phases in which more come than go, and the other way round. */
        bool leave = (seed >> 28) < (i / 20000 % 2 ? 11u : 5u);
        if (leave && expected[a] == 0)
            continue;
        struct census_entry *e = leave ? census_find(&c, &k) : census_enter(&c, &k);
        cr_assert_not_null(e);
        cr_assert_eq(e->links, expected[a]);
        present += !leave && expected[a] == 0;
        expected[a] = leave ? expected[a] - 1 : expected[a] + 1;
        e->links = expected[a];
        if (e->links == 0) {
            census_drop(&c, e);
            present--;
        }
        cr_assert_eq(c.n, present);
    }
    for (uint32_t a = 0; a < ADDRESSES; a++) {
        struct census_key k = v4(a * 65536 + a);
        cr_assert_eq(census_enter(&c, &k)->links, expected[a]);
        census_find(&c, &k)->links++;
    }
    census_release(&c);
}
