/* What a run hands out to many clients: the half of a Task or a Finish that is the same for all of
 * them (proto/msg.h) is encoded once, and lent to every link that sends it. It is a copy of what
 * lies in the core: the core may go on to the next round while slow clients still read this one's.
 * Each round's is in memory once, until it is no longer given out and the last link has sent it. */
#ifndef SERVER_HANDOUT_H
#define SERVER_HANDOUT_H

#include "base/shared.h"
#include "proto/msg.h"

/* All zero: nothing has been handed out. */
struct handout {
    enum msg_type type; /* MSG_TASK of a round, or MSG_FINISH after so many */
    uint32_t round;
    /* Plain, and in the run's coding; NULL: nobody has been given it. */
    struct shared *form[2];
};

/* *same: what follows m's own half, valid until the next call unless held; NULL: m has nothing that
 * others have, too. Messages of one type and round must be as core.h says (OUT_SEND): of at most
 * two codings, plain and another, each with the same parameters. ERR_NOMEM, also when that half has
 * more than `limit` bytes. */
int handout_find(struct handout *h, const struct msg *m, size_t limit, struct shared **same,
                 struct err *e) MUST_CHECK;
void handout_release(struct handout *h);

#endif
