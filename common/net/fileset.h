/* Files that change together, such as a key and its certificate: after a crash at any point, all
 * are old or all can be made new.
 *
 * A redo journal does it. What the files are to become is first written to one file beside them
 * (which either appears whole or not at all, base/file.h); then each file is replaced; then the
 * journal is removed. Whoever opens the set first calls fileset_recover, which does the rest of
 * what a journal says. Doing it twice does no harm. */
#ifndef NET_FILESET_H
#define NET_FILESET_H

#include "base/err.h"
#include <limits.h>
#include <stddef.h>
#include <sys/types.h>

enum { FILESET_MAX = 4 };

struct fileset {
    size_t n;
    struct {
        const char *path; /* borrowed */
        mode_t mode;      /* of the new file */
    } file[FILESET_MAX];
    char journal[PATH_MAX];
};

/* Of up to FILESET_MAX files; path[i] and mode[i] of each. The journal is called like the first,
 * with ".next" at its end. ERR_IO: a path that is too long. */
int fileset_init(struct fileset *s, const char *const *path, const mode_t *mode, size_t n,
                 struct err *e) MUST_CHECK;
/* Replaces the files by texts; text[i] NULL leaves a file as it is. ERR_IO: all are old, or, when a
 * journal has been written, fileset_recover will make them new; ERR_NOMEM. */
int fileset_replace(const struct fileset *s, const char *const *text, struct err *e) MUST_CHECK;
/* Finishes a replacement that was interrupted; does nothing where none was. ERR_IO, also for a
 * journal that is none. */
int fileset_recover(const struct fileset *s, struct err *e) MUST_CHECK;

#endif
