/* The judge: scores parameters on the validation and the test set, for any way of training them. */
#ifndef SIM_JUDGE_H
#define SIM_JUDGE_H

#include "base/hash.h"
#include "client/sweep.h"
#include "server/core.h"
#include "sim/partition.h"
#include "sim/report.h"
#include "sim/setup.h"

struct judge {
    const struct setup *setup; /* borrowed */
    struct trainer *trainer;
    struct report *report;   /* borrowed */
    struct partition shares; /* of the test set, as the clients' examples are mixed */
    struct rows valid_features, dev_features;
    struct score score; /* of the test set, by the parameters that it scored last */
    int32_t *predicted; /* likewise, where the task has classes */
    struct hash scored; /* those parameters, all of them; zeros: none */
    struct best best;   /* of the validated rounds, from 0 */
    uint32_t rounds;    /* recorded */
    bool counted;       /* the wire has bytes */
};

/* Scores theta on the test set before the first round. ERR_NOMEM. */
int judge_open(struct judge *j, const struct setup *s, struct report *r, unsigned threads,
               const struct memory *memory, bool counted, const float *theta,
               struct err *e) MUST_CHECK;
void judge_close(struct judge *j);

/* Scores theta after record->round of `units` and writes the record: on both sets every
 * federation.evaluate_every rounds and after the last one. Errors of trainer_eval and report_round.
 */
int judge_record(struct judge *j, struct round_record *record, uint32_t units, const float *theta,
                 struct err *e) MUST_CHECK;
/* The same for a committed round; *score is set when the validation set scored it. */
int judge_round(struct judge *j, const struct core_commit *c, double *score,
                struct err *e) MUST_CHECK;

/* The value of the metric on the test set, nothing else. The same theta as in the last call costs
 * nothing: the result of a run is mostly what its last round was scored with. */
int judge_value(struct judge *j, const float *theta, double *value, double *loss,
                struct err *e) MUST_CHECK;

/* Scores the result of the run in full and finishes the report. `best`: theta is the best validated
 * round's, if there is one, and not the last one's. */
int judge_result(struct judge *j, const float *theta, bool best, bool json,
                 struct err *e) MUST_CHECK;

#endif
