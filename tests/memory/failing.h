/* Memory that runs out at a chosen call. The linker leads the allocations of our own code and
 * libcyaml's here (extra.cmake), and SQLite's are led here, too; jansson's are while it writes: its
 * parser (2.14) aborts without memory. libyaml, OpenSSL and the C library keep theirs. */
#ifndef TESTS_MEMORY_FAILING_H
#define TESTS_MEMORY_FAILING_H

#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>

/* From now on the n-th allocation (from 1) gives NULL; `forever`: all after it, too. */
void failing_from(unsigned long n, bool forever);
/* Whether jansson's allocations count. */
void failing_json(bool too);
/* All is well again. How many allocations have failed. */
unsigned long failing_end(void);

/* Does `work` once for each allocation that it makes, with that one failing, alone and then with
 * all that follow it: each time it must return ERR_NOMEM and say so. Then once undisturbed: it must
 * return 0. */
typedef int (*failing_work)(void *ctx, struct err *e);
void failing_everywhere(const char *what, failing_work work, void *ctx);

#endif
