/* The inside of a trainer, shared by train.c and eval.c. Nobody else includes it. */
#ifndef CLIENT_TRAINER_H
#define CLIENT_TRAINER_H

#include "client/crew.h"
#include "nn/tape.h"

struct trainer {
    struct crew *crew;
    unsigned threads;
    struct tape **tape; /* one a worker */
};

#endif
