#include "base/vector.h"

#include <limits.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20, LARGE = 4 * HUGE_PAGE };

static void *alloc_large(size_t bytes)
{
    void *p;

    if (posix_memalign(&p, HUGE_PAGE, bytes) != 0)
        return NULL;
    (void)madvise(p, bytes, MADV_HUGEPAGE); /* a kernel without them serves small ones */
    return p;
}

void *vector_alloc(size_t n, size_t width)
{
    if (width != 0 && n > PTRDIFF_MAX / width)
        return NULL;
    size_t bytes = n * width;
    return bytes >= LARGE ? alloc_large(bytes) : malloc(bytes + 1);
}

void *vector_zeroed(size_t n, size_t width)
{
    void *p = vector_alloc(n, width);

    return p != NULL ? memset(p, 0, n * width) : NULL;
}

void vector_reuse(void)
{
    (void)mallopt(M_MMAP_MAX, 0);
    (void)mallopt(M_TRIM_THRESHOLD, INT_MAX);
    (void)mallopt(M_ARENA_MAX, 1);
}
