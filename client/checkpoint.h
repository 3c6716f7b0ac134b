/* A file that a long job goes on from when it was killed: blocks of memory, and under which
 * settings they arose. */
#ifndef CLIENT_CHECKPOINT_H
#define CLIENT_CHECKPOINT_H

#include "base/err.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct checkpoint_part {
    void *bytes;
    size_t len;
};

/* Replaces `path`: after a crash it holds the old parts or the new. `settings`: an object of plain
 * values. ERR_IO: also when the disk is full; the old file is then untouched. ERR_NOMEM. */
int checkpoint_write(const char *path, const json_t *settings, const struct checkpoint_part *part,
                     size_t n, struct err *e) MUST_CHECK;
/* Reads the parts back; *found is false, and they are untouched, when there is no such file.
 * ERR_STATE naming the first setting that is not the same; ERR_IO: unreadable, damaged. */
int checkpoint_read(const char *path, const json_t *settings, const struct checkpoint_part *part,
                    size_t n, bool *found, struct err *e) MUST_CHECK;

#endif
