/* The fleet: N virtual clients (real agents) around the real server core, in one process on a
 * virtual clock. Just another shell beside server.c and client.c: it reports events and carries out
 * decisions.
 *
 * Virtual time. A training takes |z| times 100 ms times the client's share of what the largest
 * client has of examples, z standard normal, drawn for each (seed, round, client): half-normal
 * durations, as in the experiments of Nguyen et al. 2022 ("Federated Learning with Buffered
 * Asynchronous Aggregation"). Only their order matters, and they are far below any deadline: they
 * say whose updates come first where not all count (federation.over_select). So the order of
 * arrival, and with it the result, is a function of the experiment alone, for any number of threads
 * and any wire. */
#ifndef SIM_FLEET_H
#define SIM_FLEET_H

#include "base/err.h"
#include "server/core.h"
#include "sim/partition.h"
#include "sim/wire.h"
#include "sim/workers.h"

struct fleet_config {
    const struct run_spec *spec; /* borrowed, as all below */
    const struct peft *peft;
    const struct dataset *train;
    const struct partition *partition;
    enum wire_depth wire; /* not WIRE_PROCESS */
    unsigned threads;
    struct memory memory;
    bool lower_is_better; /* of the scores below */
    /* After each round, on the calling thread, while no client trains. *score is NAN; set to a
     * number it is the round's for federation.best and patience. Non-zero ends the run with *e. */
    int (*committed)(void *ctx, const struct core_commit *c, double *score, struct err *e);
    /* After each update: how many of the round's clients are done. May be NULL. */
    void (*progress)(void *ctx, uint32_t round, uint32_t done, uint32_t selected);
    void *ctx;
    const atomic_bool *cancel; /* may be NULL; then ERR_STATE */
};

/* Runs all rounds from theta (schema->count, e.g. peft_init); theta holds the run's result on
 * success. */
int fleet_run(const struct fleet_config *c, float *theta, struct err *e) MUST_CHECK;

#endif
