/* Pace steering (Bonawitz et al. 2019, "Towards Federated Learning at Scale", section 2.3): a
 * client that is not needed now is told when to come back, so that neither too many knock at the
 * door at a time nor too few are there when a round begins.
 *
 * Who is not needed. Of N clients the server wants S for each round, which takes T seconds. Each is
 * told to come back after PACE_LEAST_S and a wait uniform in [0, 2 W] with
 *
 *     W = T N / (PACE_SPARE S),  at most PACE_MOST_S,
 *
 * so that they come at N / W = PACE_SPARE S / T a second on average, whatever N is: PACE_SPARE
 * times as many as rounds use up; and when all N are sent away at once, the first half of these
 * from the beginning. Nobody waits longer than PACE_LEAST_S + 2 PACE_MOST_S. The paper asks for a
 * rate that serves the rounds and no more, but gives no formula; this is its reading for one
 * population. T is the mean of past rounds, each new one counting a quarter; of the first,
 * PACE_FIRST_S is assumed.
 *
 * Who is sent away together. When n clients are told at the same time (a server that restarts, a
 * disk that is full), they come back one by one: after `least` seconds and a wait uniform in [0,
 * n / PACE_RATE], that is, PACE_RATE a second on average.
 *
 * Draws never touch results. */
#ifndef SERVER_PACE_H
#define SERVER_PACE_H

#include "base/rng.h"
#include <stdbool.h>

enum {
    PACE_SPARE = 2,
    PACE_FIRST_S = 60,
    PACE_LEAST_S = 10,
    PACE_MOST_S = 12 * 3600,
    PACE_RATE = 50
};

struct pace {
    struct rng jitter;
    double round_s; /* T */
    bool measured;
};

void pace_init(struct pace *p, uint64_t seed);
/* A round took so long, from its selection to its end. */
void pace_round(struct pace *p, double seconds);
/* Seconds until one of `population` clients is to come back, of whom a round takes `wanted`, at
 * least 1. */
uint32_t pace_return(struct pace *p, size_t population, size_t wanted);
/* The same for one of n clients that are told at once. */
uint32_t pace_spread(struct pace *p, uint32_t least, size_t n);

#endif
