/* Where a scenario is played: the real server core with the real store, the real agents of the
 * clients, every message encoded and decoded; and between them a network, disks and a clock that
 * are made up. */
#ifndef TESTS_SCENARIOS_STAGE_H
#define TESTS_SCENARIOS_STAGE_H

#include "base/hash.h"
#include "scenario.h"

struct outcome {
    struct {
        uint32_t rounds;    /* committed */
        struct hash result; /* of the parameters that the last one led to */
        uint32_t counted;   /* clients that an update of has counted */
        uint32_t finished;  /* clients that have the result, the same one */
    } run[SCENARIO_RUNS];
    uint64_t refused[REASONS];
    unsigned happened[FAULT_KINDS]; /* faults */
    int64_t ms;                     /* until the last client had the result */
};

/* Plays it to the end, or for a virtual day; without faults when `calm`. */
void stage_play(const struct scenario *s, bool calm, struct outcome *out);

#endif
