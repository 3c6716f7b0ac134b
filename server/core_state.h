/* The inside of the core, shared by core.c (events), core_output.c and core_status.c. Nobody else
 * includes it. */
#ifndef SERVER_CORE_STATE_H
#define SERVER_CORE_STATE_H

#include "server/core.h"
#include "server/pace.h"
#include "server/round.h"

struct core {
    struct core_config config;
    struct round round;
    struct roster who;
    struct pace pace;
    core_time now; /* of the last event */
    bool draining, paused, ending, begin_due, begin_out, aggregate_due, aggregate_out, commit_due,
        commit_out, finish_due;
    uint64_t refusals[REASONS];
};

#endif
