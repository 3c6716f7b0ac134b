/* Libraries that are opened when they are used. */
#include "base/dynlib.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

/* Part of every C library of GNU, under this name on most machines. */
#define LIBM "libm.so.6"

struct maths {
    __typeof__(pow) *pow;
    __typeof__(floor) *floor;
};

static double untouched(double x)
{
    return x;
}

Test(dynlib, finds_functions_in_their_order)
{
    static const char *const names[] = {"pow", "floor", NULL};
    const struct dynlib lib = {LIBM, "libc6", names};
    struct maths m;
    struct err e = {0};

    for (int again = 0; again < 2; again++) {
        m = (struct maths){0};
        cr_assert_eq(dynlib_open(&lib, &m, &e), 0, "%s", e.text);
        cr_expect_eq(m.pow(2, 10), 1024);
        cr_expect_eq(m.floor(2.5), 2);
    }
}

/* Says both, and what to do; writes nothing. */
static void expect_fault(const char *soname, const char *second, const char *says)
{
    const char *const names[] = {"floor", second, NULL};
    const struct dynlib lib = {soname, "its-package", names};
    struct {
        double (*function[2])(double);
    } table = {{untouched, untouched}};
    struct err e = {0};

    cr_expect_eq(dynlib_open(&lib, &table, &e), ERR_IO);
    cr_expect_not_null(strstr(e.text, soname), "%s", e.text);
    cr_expect_not_null(strstr(e.text, says), "%s", e.text);
    cr_expect_not_null(strstr(e.text, "apt-get install its-package"), "%s", e.text);
    cr_expect(table.function[0] == untouched && table.function[1] == untouched);
}

Test(dynlib, says_which_library_or_function_is_missing)
{
    expect_fault("libfedpet-absent.so.1", "ceil", "No such file");
    expect_fault(LIBM, "fedpet_absent", "fedpet_absent");
}
