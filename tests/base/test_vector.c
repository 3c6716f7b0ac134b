#include "base/vector.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <stdlib.h>

Test(vector, is_zeroed_whatever_was_there)
{
    static const size_t sizes[] = {0, 1, 1000, 5 << 20}; /* the last lies in huge pages */

    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        for (int again = 0; again < 2; again++) {
            float *x = vector_zeroed(sizes[s], sizeof *x);
            cr_assert_not_null(x);
            for (size_t i = 0; i < sizes[s]; i++) {
                cr_assert_eq(x[i], 0);
                x[i] = 1;
            }
            free(x);
        }
    }
}

Test(vector, refuses_what_no_address_space_holds)
{
    cr_expect_null(vector_alloc(SIZE_MAX / 2, 4));
    cr_expect_null(vector_alloc(SIZE_MAX, 1));
    cr_expect_null(vector_zeroed(SIZE_MAX / 7, 4));
}
