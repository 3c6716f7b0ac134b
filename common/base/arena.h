/* Arena: memory that belongs to a lifetime (process, model, session, message) and is released at
 * once. Chunks double in size; the sum of them never exceeds the cap given at init. Not
 * thread-safe. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/err.h"
#include <stddef.h>

#define ARENA_NO_CAP ((size_t)-1)

struct arena_chunk;
struct arena {
    struct arena_chunk *head; /* newest chunk; NULL until the first allocation */
    size_t held;              /* bytes obtained from the system */
    size_t cap;               /* held never exceeds cap */
};

/* Cannot fail; allocates nothing. */
void arena_init(struct arena *a, size_t cap);

/* Frees everything; the arena may be used again as after arena_init. */
void arena_release(struct arena *a);

/* `size` bytes aligned to 64, not cleared. NULL when the cap or the machine has no more. */
void *arena_alloc(struct arena *a, size_t size) MUST_CHECK;

/* n * size bytes, zeroed, overflow-checked; else as arena_alloc. */
void *arena_calloc(struct arena *a, size_t n, size_t size) MUST_CHECK;

/* Copies of a string; NULL as arena_alloc. arena_strndup stops at n bytes or NUL. */
char *arena_strdup(struct arena *a, const char *s) MUST_CHECK;
char *arena_strndup(struct arena *a, const char *s, size_t n) MUST_CHECK;
char *arena_printf(struct arena *a, const char *fmt, ...) MUST_CHECK PRINTF_LIKE(2, 3);

#endif
