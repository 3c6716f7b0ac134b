/* Was a round computed from the updates that it says? The core does the round once more, from what
 * is stored: the parameters and the state after the round before, and the journal. */
#ifndef SERVER_REPLAY_H
#define SERVER_REPLAY_H

#include "server/runs.h"

struct replayed {
    uint32_t round; /* from 0 */
    size_t updates;
    struct hash committed, computed; /* of the parameters */
    bool same;                       /* these two; the clients and their updates; and the state */
};
/* round: 1 + the round's number, or 0: the last. ERR_STATE: no such round is committed, or another
 * specification is given; ERR_USAGE: its journal or the parameters before it are no longer kept;
 * ERR_IO: damaged; errors of run_open and core_open. */
int replay_round(const struct runs_reader *from, uint32_t round, struct replayed *out,
                 struct err *e) MUST_CHECK;

#endif
