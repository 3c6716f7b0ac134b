/* What the federation is compared with, from the same experiment: all data in one place, or each
 * client alone. */
#ifndef SIM_BASELINE_H
#define SIM_BASELINE_H

#include "base/err.h"
#include "base/spec.h"
#include "sim/judge.h"
#include "sim/setup.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum baseline_kind {
    BASELINE_FEDERATED,   /* none: the federation itself */
    BASELINE_CENTRALIZED, /* one trainer with all clients' examples */
    BASELINE_LOCAL,       /* each client with its own examples, and nothing from the others */
};
/* "federated", "centralized", "local"; false when unknown. */
bool baseline_parse(const char *name, enum baseline_kind *out);
const char *baseline_name(enum baseline_kind kind);

struct baseline {
    enum baseline_kind kind;
    uint32_t epochs;  /* over each trainer's data; 0: as many as the federation does on average */
    uint32_t clients; /* BASELINE_LOCAL: only the first so many; 0: all */
};

/* How many epochs a baseline trains: b->epochs, else rounds * per_round / clients * local epochs,
 * the passes that the federation makes over an average client's data; at least 1. */
uint32_t baseline_epochs(const struct baseline *b, const struct run_spec *spec);
/* Lines that baseline_run reports: epochs, or clients. */
uint32_t baseline_units(const struct baseline *b, const struct setup *s);

struct baseline_config {
    const struct setup *setup; /* borrowed, as all below */
    const struct baseline *baseline;
    const atomic_bool *cancel;
};

/* Trains with the judge's trainer from theta (schema->count) and finishes the report; `json` as in
 * report_finish.
 *
 * Centralised: theta becomes the last epoch's parameters, or with federation.best or patience the
 * best epoch's by validation. With local.steps the run is one epoch of rounds * per_round * steps
 * steps.
 *
 * Local: each client starts from theta, which stays as it is, and trains as many steps as its share
 * of the federation's; the value is the mean over clients' models of the metric on the test set.
 *
 * Errors of trainer_fit and judge; ERR_STATE when cancelled. */
int baseline_run(const struct baseline_config *b, struct judge *judge, float *theta, bool json,
                 struct err *e) MUST_CHECK;

#endif
