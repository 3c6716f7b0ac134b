#include "base/dynlib.h"
#include <dlfcn.h>
#include <string.h>

/* ISO C does not say so, POSIX does (dlsym, APPLICATION USAGE). */
_Static_assert(sizeof(void *) == sizeof(void (*)(void)), "a void * holds any function's address");

static int fault(const struct dynlib *lib, struct err *e)
{
    return err_set(e, ERR_IO, "cannot use %s (%s); install it: apt-get install %s", lib->soname,
                   dlerror(), lib->package);
}

int dynlib_open(const struct dynlib *lib, void *table, struct err *e)
{
    /* RTLD_NODELETE: it stays, since what a library leaves behind (threads, handlers to be called
     * at exit, the state of libraries below it) does not survive its unloading. So nobody has to
     * keep the handle. */
    void *handle = dlopen(lib->soname, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    int rc = 0;

    if (!handle)
        return fault(lib, e);
    for (size_t i = 0; !rc && lib->function[i]; i++)
        if (!dlsym(handle, lib->function[i]))
            rc = fault(lib, e);
    for (size_t i = 0; !rc && lib->function[i]; i++) {
        void *address = dlsym(handle, lib->function[i]);
        memcpy((char *)table + i * sizeof address, &address, sizeof address);
    }
    dlclose(handle);
    return rc;
}
