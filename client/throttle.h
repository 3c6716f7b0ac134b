/* Keeps training below a share of the CPU time of its threads: after each piece of work it rests
 * until the average over that piece and its rest is the share. What a loaded machine kept from it
 * is not made up for later. */
#ifndef CLIENT_THROTTLE_H
#define CLIENT_THROTTLE_H

#include <stdatomic.h>

struct throttle {
    double share; /* (0, 1]; 1: no rest */
    unsigned threads;
    double cpu, wall; /* clocks at the last rest's end, seconds */
};

/* How long to rest, in seconds, after work that took so much CPU time of all threads together, and
 * so long. */
double throttle_rest_s(const struct throttle *t, double cpu_s, double wall_s);

void throttle_begin(struct throttle *t, double share, unsigned threads);
/* Rests for what was done since the last rest, or the beginning; returns early when *cancel becomes
 * true. */
void throttle_rest(struct throttle *t, const atomic_bool *cancel);

#endif
