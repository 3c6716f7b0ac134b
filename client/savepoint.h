/* A training that is killed goes on from its last savepoint, with the bits of one that was not. A
 * savepoint is written at a step boundary, at most every so many seconds, and so rarely that
 * writing takes less than a hundredth of the time. It only saves work: without one, or with one
 * that cannot be read or written, the training begins at its beginning, and that is said once. */
#ifndef CLIENT_SAVEPOINT_H
#define CLIENT_SAVEPOINT_H

#include "client/checkpoint.h"
#include <limits.h>

#define SAVEPOINT_FILE "training"

struct savepoint {
    char path[PATH_MAX];
    json_t *key;    /* names the training; owned */
    double every_s; /* 0: never */
    double next;    /* seconds of the monotonic clock */
    bool failed;    /* writing; not said again */
};

/* Takes over `key`. ERR_IO: the path is too long; ERR_NOMEM: no key. */
int savepoint_open(struct savepoint *s, const char *dir, double every_s, json_t *key,
                   struct err *e) MUST_CHECK;
void savepoint_close(struct savepoint *s);

/* Whether there was one of this training: then it is in the parts. */
bool savepoint_take(struct savepoint *s, const struct checkpoint_part *part, size_t n);
bool savepoint_due(const struct savepoint *s);
void savepoint_write(struct savepoint *s, const struct checkpoint_part *part, size_t n);
/* The training is done. */
void savepoint_remove(const struct savepoint *s);

#endif
