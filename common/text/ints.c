#include "text/ints.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_CAP = 64 };

void ints_release(struct ints *a)
{
    free(a->v);
    *a = (struct ints){0};
}

bool ints_grow(struct ints *a, size_t more)
{
    if (more > SIZE_MAX / (2 * sizeof *a->v) - a->cap)
        return false;
    size_t cap = a->cap ? 2 * a->cap : FIRST_CAP;
    if (cap < a->n + more)
        cap = a->n + more;
    int32_t *v = realloc(a->v, cap * sizeof *v);
    if (!v)
        return false;
    a->v = v;
    a->cap = cap;
    return true;
}

bool ints_append(struct ints *a, const int32_t *v, size_t n)
{
    if (!ints_reserve(a, n))
        return false;
    if (n)
        memcpy(a->v + a->n, v, n * sizeof *v);
    a->n += n;
    return true;
}
