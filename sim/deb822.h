/* Stanzas of Debian control data (deb822(5)): package lists and their translations, plain or
 * compressed (text/lines.h). */
#ifndef SIM_DEB822_H
#define SIM_DEB822_H

#include "base/buf.h"
#include "base/err.h"
#include "text/lines.h"
#include <stdbool.h>
#include <stddef.h>

enum { DEB822_MAX_FIELDS = 8, DEB822_MAX_VALUE = 1 << 20 };

struct deb822 {
    struct lines lines;
    const char *const *field;     /* names of those that are read, ends with NULL */
    struct buf text;              /* memory of the values */
    size_t at[DEB822_MAX_FIELDS]; /* where a value begins in `text`, plus 1; 0: absent */
};

/* Opens a file to read these fields of, at most DEB822_MAX_FIELDS; names are compared without
 * regard to case. `path` and `field` must stay. Errors of lines_open. */
int deb822_open(struct deb822 *d, const char *path, const char *const *field,
                struct err *e) MUST_CHECK;
void deb822_close(struct deb822 *d);

/* Moves to the next stanza; *more is false at the end. ERR_DATA naming file and line: a line that
 * is no field, a value above DEB822_MAX_VALUE bytes; errors of lines_next; ERR_NOMEM. */
int deb822_next(struct deb822 *d, bool *more, struct err *e) MUST_CHECK;

/* The value of field i of the present stanza, until the next call; NULL where there is none. Of
 * several lines: separated by LF, without the space that continues a field; " ." is an empty one.
 */
const char *deb822_value(const struct deb822 *d, size_t i);

#endif
