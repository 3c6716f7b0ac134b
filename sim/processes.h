/* The deepest realism: one real fedpet-server and one real fedpet-client daemon a client, on
 * loopback, with enrolment, mutual TLS and SQLite, each client with its own shard of the data on
 * disk. Same result bits as the in-process depths. */
#ifndef SIM_PROCESSES_H
#define SIM_PROCESSES_H

#include "base/err.h"
#include "client/train.h"
#include "server/core.h"
#include "sim/setup.h"
#include <stdatomic.h>

struct processes_config {
    const struct setup *setup;
    const char *dir;      /* OUT: the deployment lives in OUT/processes */
    unsigned threads;     /* of each client */
    struct memory memory; /* of each client's training */
    /* As in sim/fleet.h; the score goes nowhere: the server scores by itself, or not at all. */
    int (*committed)(void *ctx, const struct core_commit *c, double *score, struct err *e);
    void *ctx;
    const atomic_bool *cancel;
};

/* Runs all rounds; theta (schema->count) gets the final values. Every process is ended, whatever
 * happens. ERR_IO when the programs are not beside fedpet-sim; the exit status of a program that
 * fails, ERR_INTERNAL when one is killed, with the last line of its log. */
int processes_run(const struct processes_config *c, float *theta, struct err *e) MUST_CHECK;

#endif
