/* The packages that a Debian or Ubuntu machine knows of, and their descriptions. */
#ifndef SIM_APT_LISTS_H
#define SIM_APT_LISTS_H

#include "base/arena.h"
#include "base/err.h"
#include <stddef.h>

#define APT_LISTS_DIR "/var/lib/apt/lists" /* where apt keeps them */

struct package {
    const char *name, *source; /* that it is built from */
    const char *section;       /* without the component: "games", not "universe/games" */
    const char *maintainer;    /* name, without the address */
    const char *text;          /* the description on one line: synopsis, and the rest where there is
                                  one; NULL: none */
};

struct apt_lists {
    struct arena mem;
    struct package *package; /* n, by name; each name once */
    size_t n;
    size_t files;                /* read */
    size_t described, at_length; /* packages with a description, and with a long one */
};

/* Reads a file of stanzas, as `apt-cache dumpavail` prints them, or a folder like APT_LISTS_DIR:
 * its files *_Packages and *_Translation-en, also compressed. A package that is in several files is
 * taken from the first, by file name. Long descriptions come from the translation, or else from the
 * list itself. ERR_DATA: no lists, no package in them, not one description; broken files; ERR_IO;
 * ERR_NOMEM. */
int apt_lists_read(struct apt_lists *l, const char *path, struct err *e) MUST_CHECK;
void apt_lists_release(struct apt_lists *l);

#endif
