#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64, FIRST_CHUNK = 4096, DOUBLE_UP_TO = 64 << 20 };

/* One cache line of header, then the bytes. */
struct arena_chunk {
    struct arena_chunk *next; /* older */
    size_t size;              /* header included */
    size_t used;              /* header included */
};
_Static_assert(sizeof(struct arena_chunk) <= ALIGN, "the header takes one aligned slot");

void arena_init(struct arena *a, size_t cap)
{
    *a = (struct arena){.cap = cap};
}

void arena_release(struct arena *a)
{
    for (struct arena_chunk *c = a->head, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    a->head = NULL;
    a->held = 0;
}

/* A chunk with room for `size` (a multiple of ALIGN) bytes: twice the last one where the cap
 * allows, never less than asked for. */
static struct arena_chunk *add_chunk(struct arena *a, size_t size)
{
    size_t room = (a->cap - a->held) & ~(size_t)(ALIGN - 1);
    size_t want = a->head ? 2 * a->head->size : FIRST_CHUNK;

    if (size > SIZE_MAX / 2 || size + ALIGN > room)
        return NULL;
    if (want > DOUBLE_UP_TO)
        want = DOUBLE_UP_TO;
    if (want < size + ALIGN)
        want = size + ALIGN;
    if (want > room)
        want = room;

    struct arena_chunk *c = aligned_alloc(ALIGN, want);
    if (!c)
        return NULL;
    *c = (struct arena_chunk){.next = a->head, .size = want, .used = ALIGN};
    a->head = c;
    a->held += want;
    return c;
}

void *arena_alloc(struct arena *a, size_t size)
{
    struct arena_chunk *c = a->head;

    if (size > SIZE_MAX - ALIGN)
        return NULL;
    size = size ? (size + ALIGN - 1) & ~(size_t)(ALIGN - 1) : ALIGN;
    if (!c || c->size - c->used < size)
        c = add_chunk(a, size);
    if (!c)
        return NULL;
    void *p = (unsigned char *)c + c->used;
    c->used += size;
    return p;
}

void *arena_calloc(struct arena *a, size_t n, size_t size)
{
    if (size && n > SIZE_MAX / size)
        return NULL;
    void *p = arena_alloc(a, n * size);
    return p ? memset(p, 0, n * size) : NULL;
}

char *arena_strdup(struct arena *a, const char *s)
{
    return arena_strndup(a, s, SIZE_MAX);
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
    size_t len = n == SIZE_MAX ? strlen(s) : strnlen(s, n);
    char *copy = arena_alloc(a, len + 1);

    if (!copy)
        return NULL;
    memcpy(copy, s, len);
    copy[len] = '\0';
    return copy;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap;
    char *text = NULL;

    va_start(ap, fmt);
    int len = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (len >= 0)
        text = arena_alloc(a, (size_t)len + 1);
    if (!text)
        return NULL;
    va_start(ap, fmt);
    vsnprintf(text, (size_t)len + 1, fmt, ap);
    va_end(ap);
    return text;
}
