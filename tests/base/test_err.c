#include "base/err.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

Test(err, set_returns_the_code_and_keeps_the_text)
{
    struct err e = {0};

    cr_assert_eq(err_set(&e, ERR_DATA, "row %d of %s", 7, "a.tsv"), ERR_DATA);
    cr_assert_eq(e.code, ERR_DATA);
    cr_assert_str_eq(e.text, "row 7 of a.tsv");
    cr_assert_eq(err_set(NULL, ERR_NET, "nobody listens"), ERR_NET);
}

Test(err, a_text_is_one_line_without_control_characters)
{
    struct err e = {0};

    err_set(&e, ERR_PROTO, "peer said \n\x1b[31m\tred\x7f");
    cr_assert_str_eq(e.text, "peer said   [31m red ");
}

Test(err, wrap_prepends_and_keeps_the_code)
{
    struct err e = {0};

    err_set(&e, ERR_MODEL, "shape 3 != 4");
    cr_assert_eq(err_wrap(&e, "tensor %s", "w"), ERR_MODEL);
    cr_assert_eq(err_wrap(&e, "model.safetensors"), ERR_MODEL);
    cr_assert_str_eq(e.text, "model.safetensors: tensor w: shape 3 != 4");
}

Test(err, the_text_may_be_an_argument_of_its_own_successor)
{
    struct err e = {0};

    err_set(&e, ERR_IO, "inner");
    err_set(&e, ERR_INTERNAL, "outer (%s)", e.text);
    cr_assert_str_eq(e.text, "outer (inner)");
}

Test(err, long_texts_are_cut_inside_the_array)
{
    struct err e = {0};
    char big[4000];

    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    err_set(&e, ERR_IO, "%s", big);
    cr_assert_eq(strlen(e.text), sizeof e.text - 1);
    err_wrap(&e, "%s", big);
    err_sys(&e, ERR_IO, ENOENT, "%s", big);
    cr_assert_eq(strlen(e.text), sizeof e.text - 1);
}

Test(err, sys_names_reason_and_remedy)
{
    struct err e = {0};

    cr_assert_eq(err_sys(&e, ERR_IO, ENOENT, "cannot open %s", "x"), ERR_IO);
    cr_assert_str_eq(e.text, "cannot open x: No such file or directory");
    err_sys(&e, ERR_IO, ENOSPC, "cannot write x");
    cr_assert(strstr(e.text, "free some space"), "%s", e.text);
    err_sys(&e, ERR_IO, EACCES, "cannot write x");
    cr_assert(strstr(e.text, "permissions"), "%s", e.text);
}
