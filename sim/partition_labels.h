/* The partitions that look at labels; sim/partition alone uses them. Each fills p->index, in any
 * order within a client; p->off too but for partition_by_mix. */
#ifndef SIM_PARTITION_LABELS_H
#define SIM_PARTITION_LABELS_H

#include "base/rng.h"
#include "sim/partition.h"

/* ERR_CONFIG: no classes, or fewer clients than labels; ERR_NOMEM. */
int partition_dirichlet(struct partition *p, const struct dataset *d, double alpha, struct rng *rng,
                        struct err *e) MUST_CHECK;
int partition_by_label(struct partition *p, const struct dataset *d, struct rng *rng,
                       struct err *e) MUST_CHECK;
/* Fills the given sizes with the label mix that each client has among `owned`. */
int partition_by_mix(struct partition *p, const struct dataset *d, const struct partition *like,
                     const struct dataset *owned, struct rng *rng, struct err *e) MUST_CHECK;

#endif
