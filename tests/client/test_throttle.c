/* How long training rests. */
#include "client/throttle.h"
#include <criterion/criterion.h>
#include <time.h>

Test(throttle, work_and_rest_average_to_the_share)
{
    static const struct {
        double share;
        unsigned threads;
        double cpu, wall, rest;
    } row[] = {
        {1, 1, 2, 2, 0},     {0.5, 1, 2, 2, 2}, {0.25, 1, 2, 2, 6},
        {0.5, 4, 8, 2, 2},   {0.5, 4, 4, 2, 0}, /* half of the threads' time was kept from it */
        {0.5, 4, 2, 2, 0},   {0.5, 2, 0, 3, 0}, /* not made up for */
        {0.01, 1, 1, 1, 99},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        const struct throttle t = {.share = row[i].share, .threads = row[i].threads};
        cr_expect_float_eq(throttle_rest_s(&t, row[i].cpu, row[i].wall), row[i].rest, 1e-9,
                           "row %zu", i);
    }
}

/* Uses 50 ms of CPU time; the process's CPU time in the end, in seconds. */
static double work(double since_s)
{
    struct timespec t;
    double now;
    do {
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
        now = (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
    } while (now - since_s < 0.05);
    return now;
}

/* Without the look at `cancel`, this would take some hours. */
Test(throttle, a_rest_ends_when_it_is_cancelled)
{
    atomic_bool cancel = true;
    struct throttle t;
    throttle_begin(&t, 1e-5, 1);
    work(t.cpu);
    throttle_rest(&t, &cancel);
}

/* At least: how late a busy machine wakes a sleeper, nobody can promise. */
Test(throttle, work_and_its_rest_take_at_least_what_the_share_asks)
{
    struct throttle t;
    throttle_begin(&t, 0.5, 1);
    const struct throttle before = t;
    double worked = work(t.cpu) - before.cpu;
    throttle_rest(&t, NULL);
    cr_assert_geq(t.wall - before.wall, worked / 0.5 - 1e-6);
}
