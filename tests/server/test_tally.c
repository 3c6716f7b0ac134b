#include "server/tally.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

Test(tally, means_are_weighted_and_sorted_by_name)
{
    struct tally t = {0};
    struct tally_row row[3] = {0};
    struct msg_metric out[MSG_MAX_METRICS];
    tally_enter(&t, &row[0], (struct msg_metric[]){{"loss", 2.0, 10}, {"accuracy", 0.5, 10}}, 2);
    tally_enter(&t, &row[2], (struct msg_metric[]){{"accuracy", 1.0, 30}}, 1);
    cr_assert_eq(tally_means(&t, row, 3, out), 2);
    cr_assert_str_eq(out[0].name, "accuracy");
    cr_assert_float_eq(out[0].value, 0.875, 1e-12);
    cr_assert_eq(out[0].weight, 40);
    cr_assert_str_eq(out[1].name, "loss");
    cr_assert_float_eq(out[1].value, 2.0, 1e-12);
}

Test(tally, order_of_arrival_does_not_change_the_bits)
{
    struct msg_metric a = {"x", 0.1, 3}, b = {"x", 1e9, 7}, c = {"x", -1e9, 7},
                      one[MSG_MAX_METRICS], two[MSG_MAX_METRICS];
    struct tally t = {0}, u = {0};
    struct tally_row row[3] = {0}, wor[3] = {0};
    tally_enter(&t, &row[0], &a, 1);
    tally_enter(&t, &row[1], &b, 1);
    tally_enter(&t, &row[2], &c, 1);
    tally_enter(&u, &wor[2], &c, 1);
    tally_enter(&u, &wor[0], &a, 1);
    tally_enter(&u, &wor[1], &b, 1);
    cr_assert_eq(tally_means(&t, row, 3, one), 1);
    cr_assert_eq(tally_means(&u, wor, 3, two), 1);
    cr_assert_arr_eq(&one[0].value, &two[0].value, sizeof(double));
}

Test(tally, too_many_and_too_long_names_are_left_out)
{
    struct tally t = {0};
    struct tally_row row = {0};
    struct msg_metric out[MSG_MAX_METRICS];
    char name[40][80];
    for (int i = 0; i < 40; i++) {
        snprintf(name[i], sizeof name[i], "m%02d%s", i,
                 i == 0 ? "-a-name-that-is-far-too-long-to-be-worth-a-column" : "");
        tally_enter(&t, &row, &(struct msg_metric){name[i], i, 1}, 1);
    }
    cr_assert_eq(tally_means(&t, &row, 1, out), MSG_MAX_METRICS);
    cr_assert_str_eq(out[0].name, "m01");
    cr_assert_str_eq(out[15].name, "m16");
}

Test(tally, a_metric_without_examples_has_no_mean)
{
    struct tally t = {0};
    struct tally_row row = {0};
    struct msg_metric out[MSG_MAX_METRICS];
    tally_enter(&t, &row, &(struct msg_metric){"f1", 0.5, 0}, 1);
    cr_assert_eq(tally_means(&t, &row, 1, out), 0);
}
