#include "client/throttle.h"
#include <time.h>

#define GLANCE_S 0.1 /* between looks at `cancel` */

static double clock_s(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void mark(struct throttle *t)
{
    t->cpu = clock_s(CLOCK_PROCESS_CPUTIME_ID);
    t->wall = clock_s(CLOCK_MONOTONIC);
}

double throttle_rest_s(const struct throttle *t, double cpu_s, double wall_s)
{
    double rest = cpu_s / (t->share * t->threads) - wall_s;
    return t->share < 1 && rest > 0 ? rest : 0;
}

void throttle_begin(struct throttle *t, double share, unsigned threads)
{
    *t = (struct throttle){.share = share, .threads = threads};
    mark(t);
}

void throttle_rest(struct throttle *t, const atomic_bool *cancel)
{
    double now = clock_s(CLOCK_MONOTONIC);
    double left = throttle_rest_s(t, clock_s(CLOCK_PROCESS_CPUTIME_ID) - t->cpu, now - t->wall);
    double end = now + left;
    while (left > 0 && !(cancel && atomic_load(cancel))) {
        double nap = left < GLANCE_S ? left : GLANCE_S;
        struct timespec ts = {0, (long)(nap * 1e9)};
        nanosleep(&ts, NULL);
        left = end - clock_s(CLOCK_MONOTONIC);
    }
    mark(t);
}
