#include "base/shared.h"

#include <criterion/criterion.h>

Test(shared, bytes_live_as_long_as_somebody_holds_them)
{
    struct buf b;
    buf_init(&b, 100);
    cr_assert_eq(buf_append(&b, "xxtwelve bytes", 14), 0);
    buf_consume(&b, 2);
    struct shared *s = shared_take(&b);
    cr_assert_not_null(s);
    cr_assert_eq(buf_size(&b), 0);
    cr_assert_eq(buf_append(&b, "others", 6), 0, "the buffer begins anew, under its old limit");
    cr_assert_null(buf_reserve(&b, 100));
    buf_release(&b);
    cr_assert_eq(shared_hold(s), s);
    cr_assert_eq(s->holders, 2);
    shared_drop(s);
    cr_assert_eq(s->len, 12);
    cr_assert_arr_eq(s->data, "twelve bytes", 12);
    shared_drop(s); /* a leak, or a use of what is free, is the sanitizer's to see */
    shared_drop(NULL);
}
