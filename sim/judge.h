/* The judge: scores the global parameters on the dev set after each round, for any way of running
 * the federation. */
#ifndef SIM_JUDGE_H
#define SIM_JUDGE_H

#include "client/train.h"
#include "server/core.h"
#include "sim/report.h"
#include "sim/setup.h"

struct judge {
    const struct setup *setup; /* borrowed */
    struct trainer *trainer;
    struct report *report; /* borrowed */
    bool counted;          /* the wire has bytes */
};

/* Scores theta before the first round. ERR_NOMEM. */
int judge_open(struct judge *j, const struct setup *s, struct report *r, unsigned threads,
               size_t memory_limit, bool counted, const float *theta, struct err *e) MUST_CHECK;
void judge_close(struct judge *j);

/* Scores a committed round and writes it to the report. Errors of trainer_eval and report_round. */
int judge_round(struct judge *j, const struct core_commit *c, struct err *e) MUST_CHECK;

#endif
