/* What the FedPETuning paper reports, for comparison: RoBERTa-base, another model than most suites
 * train. */
#ifndef SIM_PUBLISHED_H
#define SIM_PUBLISHED_H

#include <stdbool.h>
#include <stdint.h>

struct published {
    double mean, sd; /* in points of the task's metric; sd below 0: not given */
};

/* Federated, 100 clients, 10 a round, 100 rounds, mean and deviation of five seeds, by the names of
 * the method and the task in an experiment file. alpha 0.1, 1 or 10 at one local epoch, or alpha 1
 * at one to three local epochs. False when the paper has no such figure. */
bool published_find(const char *method, const char *task, double alpha, uint32_t epochs,
                    struct published *out);

#endif
