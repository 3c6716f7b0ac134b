#include "client/libcurl.h"
#include "base/dynlib.h"
#include <stddef.h>

int libcurl_open(struct libcurl *out, struct err *e)
{
#define NAME(name) #name,
    static const char *const names[] = {LIBCURL_FUNCTIONS(NAME) NULL};
#undef NAME
    static const struct dynlib lib = {FEDPET_CURL_SONAME, "libcurl4", names};

    return dynlib_open(&lib, out, e);
}
