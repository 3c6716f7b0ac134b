/* Everything that an experiment needs, opened once and shared by all clients: model, data, method,
 * partition. */
#ifndef SIM_SETUP_H
#define SIM_SETUP_H

#include "base/cli.h"
#include "base/err.h"
#include "client/backbone.h"
#include "client/experiment.h"
#include "peft/peft.h"
#include "sim/partition.h"
#include "text/dataset.h"
#include "text/metrics.h"

struct setup {
    const char *path; /* of the experiment file, and what overrides it; borrowed */
    const struct cli_list *set;
    struct conf *conf;
    struct arena mem;
    struct experiment x; /* with task.n_labels as the data says */
    struct backbone backbone;
    struct dataset *train, *dev;
    struct dataset *valid; /* NULL: the task has none */
    struct peft *peft;
    struct partition partition;
    enum metric metric;
};

/* Opens what the experiment file names, checks what only the whole can tell (per_round <= clients,
 * metric fits the task). On failure nothing stays open. Errors of conf, model, tokenizer, dataset,
 * peft and partition. */
int setup_open(struct setup *s, const char *path, const struct cli_list *set,
               struct err *e) MUST_CHECK;
void setup_close(struct setup *s);

/* What an adapter of this experiment should say about itself; borrows from s. */
struct adapter_info setup_adapter_info(const struct setup *s);

#endif
