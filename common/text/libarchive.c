#include "text/libarchive.h"
#include "base/dynlib.h"
#include <stddef.h>

int libarchive_open(struct libarchive *out, struct err *e)
{
#define NAME(name) #name,
    static const char *const names[] = {LIBARCHIVE_FUNCTIONS(NAME) NULL};
#undef NAME
    static const struct dynlib lib = {FEDPET_ARCHIVE_SONAME, "libarchive13", names};

    return dynlib_open(&lib, out, e);
}
