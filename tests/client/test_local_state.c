/* The parts of a client's state: there when the run asks for them, and each in its own place. */
#include "client/local_state.h"
#include <criterion/criterion.h>

enum { COUNT = 7 };

Test(local_state, has_the_parts_that_the_run_needs)
{
    const struct run_spec nothing = {0};
    cr_expect_not(local_state_needed(&nothing));
    for (int bits = 1; bits < 8; bits++) {
        bool moments = bits & 1, control = bits & 2, residual = bits & 4;
        const struct run_spec spec = {
            .local.carry_optimizer = moments,
            .federation = {.scaffold = control,
                           .upload = (char *)(uintptr_t)(residual ? "topk" : "int8")}};
        struct local_state s;
        struct err e;
        cr_assert(local_state_needed(&spec));
        cr_assert_eq(local_state_open(&s, &spec, COUNT, &e), 0, "%s", e.text);
        float *const part[] = {s.m, s.v, s.control, s.residual};
        const bool wanted[] = {moments, moments, control, residual};
        size_t parts = 0;
        for (int k = 0; k < 4; k++) {
            cr_expect_eq(part[k] != NULL, wanted[k], "part %d of %d", k, bits);
            for (int i = 0; part[k] && i < COUNT; i++)
                part[k][i] += (float)(k + 1);
            parts += part[k] != NULL;
        }
        cr_assert_eq(s.size, parts * COUNT);
        for (int k = 0; k < 4; k++)
            for (int i = 0; part[k] && i < COUNT; i++)
                cr_expect_eq(part[k][i], (float)(k + 1), "another part lies there");
        local_state_clear(&s);
        for (size_t i = 0; i < s.size; i++)
            cr_expect_eq(s.values[i], 0);
        local_state_close(&s);
    }
}
