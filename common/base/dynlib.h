/* A shared library that is opened when something first needs it, instead of being linked with the
 * program: what only some commands use costs the others no memory and no time, and they run none
 * of its code. Its headers are those of the build, so its version must be that of the build, too:
 * the SONAME says so (cmake/modules.cmake, fedpet_dlopened). */
#ifndef BASE_DYNLIB_H
#define BASE_DYNLIB_H

#include "base/err.h"

struct dynlib {
    const char *soname;
    const char *package;         /* Debian's, which has it */
    const char *const *function; /* names of what is called; ends with NULL */
};

/* Writes the addresses of the functions to `table`: a struct of as many pointers to functions in
 * the same order, and nothing else. They are good until the process ends. From any thread, as
 * often as one likes: later calls find the library open. ERR_IO: the library, one that it needs,
 * or one of the functions is missing. */
int dynlib_open(const struct dynlib *lib, void *table, struct err *e) MUST_CHECK;

#endif
