/* A federated data set that every Debian or Ubuntu machine holds: tell a package's section from its
 * description. Clients are maintainers, so the split is naturally not i.i.d. A pure function of the
 * package lists, settings and seed.
 *
 * Candidates are packages of sections that say what a package is for (not how it is written or what
 * form it has: libs, python, doc, kde, ...), but no transitional, dummy and meta packages and no
 * parts of another package (names in -data, -doc, -dev, ...). The classes are the sections with the
 * most candidates. Words that give the class away are removed (sim/prepare_words.h); a text of
 * which less than three words remain, or that another package has, too, is left out. Of one source
 * package at most PREPARE_PER_SOURCE packages are taken, in random order of the sources until a
 * class is full; all of a source are on the same side of the split into train and test. */
#ifndef SIM_PREPARE_DEBIAN_H
#define SIM_PREPARE_DEBIAN_H

#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PREPARE_PER_SOURCE = 3,
    PREPARE_MIN_CLASS = 20, /* packages */
    PREPARE_MIN_CLASSES = 2,
    PREPARE_MAX_CLASSES = 30,
};

struct prepare_spec {
    const char *lists; /* a file or folder of apt_lists_read */
    const char *out;   /* a folder; made where there is none */
    const char *model; /* for experiment.yaml */
    size_t classes;    /* PREPARE_MIN_CLASSES..PREPARE_MAX_CLASSES */
    size_t clients;    /* most clients, >= 1: the maintainers with the most packages */
    size_t per_class;  /* most packages of a class, >= PREPARE_MIN_CLASS */
    double test_share; /* of the packages of a class, in (0, 1) */
    uint64_t seed;
    bool drop_rest; /* leave out the packages of other maintainers; else each of these maintainers
                       joins the client with the fewest packages, largest first */
};

struct prepare_counts {
    size_t packages, described, at_length; /* as in struct apt_lists */
    size_t classes, train, test, clients, maintainers;
    size_t smallest, largest; /* client, in packages */
};

/* Writes into spec->out: train.jsonl and test.jsonl (text, label, owner, package),
 * clients/NAME.jsonl (each one's part of train), labels.txt, experiment.yaml (for fedpet-sim run)
 * and summary.json. ERR_USAGE: settings out of range; ERR_STATE: the folder holds a data set
 * already; ERR_DATA: those of apt_lists_read, fewer sections than classes that have
 * PREPARE_MIN_CLASS packages; ERR_IO; ERR_NOMEM. */
int prepare_debian(const struct prepare_spec *spec, struct prepare_counts *out,
                   struct err *e) MUST_CHECK;

#endif
