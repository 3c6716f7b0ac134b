/* A round that was interrupted goes on from the journal: the same selection, the stored updates. */
#ifndef SERVER_RESUME_H
#define SERVER_RESUME_H

#include "server/store.h"

struct resumed {
    bool begun;                  /* tasks of this round may be out; false: it has not begun */
    struct core_attempt attempt; /* without the names */
    size_t updates;              /* that count again */
    size_t damaged;              /* that the gate refused: their clients are asked again */
};
/* Tells a core that has just been opened at `round` what is stored of that round. Errors of
 * store_selection, store_journal, core_resume. */
int resume_round(struct core *core, struct store *s, const char *run_id, const struct hash *schema,
                 uint32_t round, core_time now, struct resumed *out, struct err *e) MUST_CHECK;

#endif
