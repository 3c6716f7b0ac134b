/* The inside of a trainer, shared by trainer*.c and pretrain*.c. Nobody else includes it. */
#ifndef CLIENT_TRAINER_STATE_H
#define CLIENT_TRAINER_STATE_H

#include "client/crew.h"
#include "nn/tape.h"

struct trainer {
    struct crew *crew;
    unsigned threads;
    struct tape **tape; /* one a worker */
};

#endif
