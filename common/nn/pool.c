#include "nn/pool.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ALIGN = 64, GROW = 8 << 20 };

/* Under AddressSanitizer a block ends in a red zone, one that was given back may not be touched,
 * and one that was not written yet reads as NaN. */
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
enum { RED_ZONE = 64 };
static void forbid(void *block, size_t bytes)
{
    ASAN_POISON_MEMORY_REGION(block, bytes);
}
static void allow(void *block, size_t bytes)
{
    ASAN_UNPOISON_MEMORY_REGION(block, bytes);
    memset(block, 0xff, bytes);
}
#else
enum { RED_ZONE = 0 };
static void forbid(void *block, size_t bytes)
{
    (void)block, (void)bytes;
}
static void allow(void *block, size_t bytes)
{
    (void)block, (void)bytes;
}
#endif

/* The free blocks of one size. A free block's first word points to the next. */
struct pool_class {
    size_t bytes;
    void *free;
    struct pool_class *next;
};

static size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

static size_t machine_bytes(void)
{
    return (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
}

static void *reserve(size_t size)
{
    return mmap(NULL, round_up(size, GROW), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                -1, 0);
}

int pool_open(struct pool *p, size_t cap, struct err *e)
{
    size_t size = cap > 0 ? cap : machine_bytes();
    void *base = reserve(size);

    /* Without a cap, what a limit on address space (RLIMIT_AS) leaves will do. */
    while (base == MAP_FAILED && cap == 0 && size > GROW)
        base = reserve(size /= 2);
    if (base == MAP_FAILED)
        return err_set(e, ERR_NOMEM,
                       "cannot reserve %zu bytes of address space for a training step: "
                       "raise the limit (ulimit -v) or lower the memory cap",
                       size);
    /* Fewer page faults; where the system refuses, only speed is lost. */
    madvise(base, round_up(size, GROW), MADV_HUGEPAGE);
    *p = (struct pool){.base = base, .reserved = size};
    return 0;
}

void pool_close(struct pool *p)
{
    if (p->base) {
        allow(p->base, p->committed);
        munmap(p->base, round_up(p->reserved, GROW));
    }
    *p = (struct pool){0};
}

void pool_reset(struct pool *p)
{
    forbid(p->base, p->top);
    p->top = 0;
    p->classes = NULL;
}

void pool_trim(struct pool *p)
{
    pool_reset(p);
    madvise(p->base, p->committed, MADV_DONTNEED);
}

void pool_leave_untouched(struct pool *p)
{
    madvise(p->base, round_up(p->reserved, GROW), MADV_NOHUGEPAGE);
}

/* `bytes` more at the top; a multiple of ALIGN. */
static void *rise(struct pool *p, size_t bytes)
{
    if (bytes > p->reserved - p->top)
        return NULL;
    if (p->top + bytes > p->committed) {
        size_t commit = round_up(p->top + bytes, GROW);
        if (mprotect(p->base + p->committed, commit - p->committed, PROT_READ | PROT_WRITE) != 0)
            return NULL;
        p->committed = commit;
    }
    void *block = p->base + p->top;
    p->top += bytes;
    p->peak = p->top > p->peak ? p->top : p->peak;
    allow(block, bytes);
    return block;
}

/* The class of a size, made when there is none; NULL over the cap. */
static struct pool_class *class_of(struct pool *p, size_t bytes)
{
    for (struct pool_class *c = p->classes; c; c = c->next)
        if (c->bytes == bytes)
            return c;
    struct pool_class *c = rise(p, round_up(sizeof *c, ALIGN));
    if (c) {
        *c = (struct pool_class){.bytes = bytes, .next = p->classes};
        p->classes = c;
    }
    return c;
}

void *pool_get(struct pool *p, size_t bytes)
{
    if (bytes > p->reserved)
        return NULL;
    struct pool_class *c = class_of(p, round_up(bytes + RED_ZONE, ALIGN));
    if (!c)
        return NULL;
    void *block = c->free;
    if (block)
        memcpy(&c->free, block, sizeof c->free);
    else if (!(block = rise(p, c->bytes)))
        return NULL;
    forbid(block, c->bytes);
    allow(block, bytes);
    return block;
}

void pool_put(struct pool *p, void *block, size_t bytes)
{
    struct pool_class *c = class_of(p, round_up(bytes + RED_ZONE, ALIGN)); /* pool_get made it */

    allow(block, sizeof c->free);
    memcpy(block, &c->free, sizeof c->free);
    c->free = block;
    forbid((char *)block + sizeof c->free, c->bytes - sizeof c->free);
}
