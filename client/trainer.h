/* The inside of a trainer, shared by train.c and eval.c. Nobody else includes it. */
#ifndef CLIENT_TRAINER_H
#define CLIENT_TRAINER_H

#include "client/pool.h"
#include "nn/tape.h"

struct trainer {
    struct pool *pool;
    unsigned threads;
    struct tape **tape; /* one a worker */
};

#endif
