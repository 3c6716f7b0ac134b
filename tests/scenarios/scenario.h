/* Scenarios: what happens to a federation, and what must have become of it then. One YAML file
 * each; the keys are the members' names. */
#ifndef TESTS_SCENARIOS_SCENARIO_H
#define TESTS_SCENARIOS_SCENARIO_H

#include "base/arena.h"
#include "base/err.h"
#include "proto/msg.h"

enum fault_kind {
    FAULT_DROP,  /* a message is lost, and all that follow it on its way: after LINK_SILENCE_MS both
                    ends notice */
    FAULT_CUT,   /* a message is lost with its connection, and both ends notice at once */
    FAULT_DELAY, /* a message, and those behind it, come `ms` later */
    FAULT_DUPLICATE, /* a message comes twice */
    FAULT_REORDER,   /* a message comes `ms` later, after those behind it */
    FAULT_CORRUPT,   /* a bit of a message is another one */
    FAULT_PARTITION, /* from `at_ms` for `ms` no message comes through, nor a connection */
    FAULT_CRASH,     /* a process is killed at a step of its journal: once before it is stored, once
                        after; and is back after `ms` */
    FAULT_KINDS
};
enum fault_side { SIDE_ANY, SIDE_CLIENT, SIDE_SERVER };

struct fault {
    enum fault_kind kind;
    enum fault_side from; /* who sends the message; whose process it is */
    unsigned message;     /* enum msg_type; 0: any */
    int client;           /* which one, or its connection; -1: any */
    unsigned times;       /* at most; 0: always */
    double rate;          /* how likely it is each time */
    int64_t ms, at_ms;
};

/* A run, in which all clients take part. */
struct scenario_run {
    unsigned number; /* runs of different numbers train for different things */
    uint32_t per_round, quorum, rounds, deadline_s;
    uint32_t asked; /* clients selected for a round: per_round, or more (over-selection) */
    unsigned mode;  /* enum round_mode */
    uint32_t concurrency, max_staleness; /* MODE_ASYNC */
};

enum { SCENARIO_FAULTS = 16, SCENARIO_RUNS = 2 };
struct scenario {
    uint32_t clients, seed;
    uint32_t part_bytes; /* of an update; 0: it comes whole */
    size_t runs;         /* on one server, beside each other on the same clients */
    struct scenario_run run[SCENARIO_RUNS];
    size_t n;
    struct fault fault[SCENARIO_FAULTS];
    struct {
        bool same;         /* each result is that of the run alone, without faults; but that of
                              asynchronous rounds of less than all clients, which depend on time */
        bool everybody;    /* an update of every client has counted */
        uint32_t rounds;   /* committed, of the first run; another has all of its own */
        unsigned happened; /* faults, at least */
        int64_t within_s;  /* of virtual time */
        int64_t refused[REASONS]; /* how often the server refused for which reason; -1 ("any"): as
                                     often as it likes; -2 ("some"): at least once */
    } expect;
};

/* ERR_CONFIG naming file, line and key. */
int scenario_read(struct scenario *out, const char *path, struct err *e) MUST_CHECK;

#endif
