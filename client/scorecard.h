/* A score, printed: every metric that fits, and what became of each label and each type of
 * entity. */
#ifndef CLIENT_SCORECARD_H
#define CLIENT_SCORECARD_H

#include "text/dataset.h"
#include "text/metrics.h"

/* On stdout, the task's own metric first. d: the data that was scored. ERR_IO, ERR_NOMEM. */
int scorecard_text(const struct score *s, enum metric own, const struct dataset *d,
                   struct err *e) MUST_CHECK;
int scorecard_json(const struct score *s, enum metric own, const struct dataset *d,
                   struct err *e) MUST_CHECK;

#endif
