#include "server/select.h"
#include <criterion/criterion.h>

enum { N = 50, K = 7 };

Test(selection, is_a_pure_function_of_seed_round_and_attempt)
{
    uint32_t a[N], b[N];
    select_clients(42, 3, 0, a, N, K);
    select_clients(42, 3, 0, b, N, K);
    cr_assert_arr_eq(a, b, K * sizeof *a);
    const uint64_t other[][3] = {{43, 3, 0}, {42, 4, 0}, {42, 3, 1}};
    for (int i = 0; i < 3; i++) {
        select_clients(other[i][0], (uint32_t)other[i][1], (uint32_t)other[i][2], b, N, K);
        cr_assert_arr_neq(a, b, K * sizeof *a);
    }
}

Test(selection, takes_each_at_most_once_in_ascending_order)
{
    uint32_t index[N];
    for (uint32_t round = 0; round < 200; round++) {
        select_clients(1, round, 0, index, N, K);
        for (int i = 0; i < K; i++) {
            cr_assert_lt(index[i], N);
            cr_assert(i == 0 || index[i - 1] < index[i]);
        }
    }
}

Test(selection, takes_everybody_when_k_is_n)
{
    uint32_t index[N];
    select_clients(9, 0, 0, index, N, N);
    for (uint32_t i = 0; i < N; i++)
        cr_assert_eq(index[i], i);
    select_clients(9, 0, 0, index, 1, 1);
    cr_assert_eq(index[0], 0);
    select_clients(9, 0, 0, index, N, 0);
}

Test(selection, is_uniform)
{
    enum { ROUNDS = 20000 };
    uint32_t index[10];
    int hits[10] = {0}, pairs = 0;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        select_clients(5, round, 0, index, 10, 3);
        for (int i = 0; i < 3; i++)
            hits[index[i]]++;
        pairs += index[0] == 0 && index[1] == 9;
        pairs += index[0] == 0 && index[2] == 9;
    }
    for (int i = 0; i < 10; i++) /* mean 6000, standard deviation 65 */
        cr_assert(hits[i] > 5600 && hits[i] < 6400, "client %d: %d", i, hits[i]);
    /* Two given ones together: 3/10 * 2/9 of the rounds, 1333, standard deviation 35. */
    cr_assert(pairs > 1120 && pairs < 1550, "%d", pairs);
}

Test(selection, index_is_the_number_at_the_end_of_the_name)
{
    cr_assert_eq(select_index("client-0042"), 42);
    cr_assert_eq(select_index("client-0000"), 0);
    cr_assert_eq(select_index("7"), 7);
    cr_assert_eq(select_index("ward3-bed12"), 12);
    cr_assert_eq(select_index("n999999999"), 999999999);
}

Test(selection, index_of_other_names_is_a_hash)
{
    /* The first four bytes of SHA-256("abc"), FIPS 180-4. */
    cr_assert_eq(select_index("abc"), 0xba7816bf);
    cr_assert_neq(select_index("client-1234567890"), 1234567890);
    cr_assert_neq(select_index("phone-a"), select_index("phone-b"));
}
