/* The rows of the data set that sim/prepare_debian.h describes, before they are written. */
#ifndef SIM_PREPARE_ROWS_H
#define SIM_PREPARE_ROWS_H

#include "sim/apt_lists.h"
#include "sim/prepare_debian.h"

struct prepare_row {
    const struct package *package;
    const char *text;     /* without what gives the class away */
    uint32_t label, rank; /* of its source in the random order */
    const char *owner;    /* client; NULL: of test, or left out */
    bool test;
};

struct prepare_rows {
    struct arena mem;
    const char **label; /* n_labels, in byte order */
    size_t n_labels;
    struct prepare_row *row; /* n, in random order */
    size_t n;
    const char **client; /* n_clients names, fit for files; in the order of their packages */
    size_t n_clients;
    size_t maintainers; /* of train */
};

/* Borrows the packages. Errors as prepare_debian. */
int prepare_rows_open(struct prepare_rows *r, const struct apt_lists *l,
                      const struct prepare_spec *spec, struct err *e) MUST_CHECK;
void prepare_rows_close(struct prepare_rows *r);

/* Gives each row of train a client: sets client, n_clients, maintainers and the rows' owners. Part
 * of prepare_rows_open. */
int prepare_rows_share(struct prepare_rows *r, const struct prepare_spec *spec,
                       struct err *e) MUST_CHECK;

#endif
