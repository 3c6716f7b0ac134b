#include "failing.h"
#include <criterion/criterion.h>
#include <jansson.h>
#include <sqlite3.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* What the linker calls the originals, and what it has everybody else call. */
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t align, size_t n);
char *__real_strdup(const char *s);
void *__real_cyaml_mem(void *ctx, void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t align, size_t n);
char *__wrap_strdup(const char *s);
void *__wrap_cyaml_mem(void *ctx, void *p, size_t n);

static struct {
    unsigned long left, failed; /* calls until the first failure, 0: none is to come */
    bool forever, over, json;
} state;

void failing_from(unsigned long n, bool forever)
{
    state.left = n;
    state.failed = 0;
    state.forever = forever;
    state.over = false;
}

unsigned long failing_end(void)
{
    state.left = 0;
    state.over = false;
    return state.failed;
}

static bool fails(void)
{
    if (state.left > 0 && --state.left == 0) {
        state.over = state.forever;
        state.failed++;
        return true;
    }
    state.failed += state.over;
    return state.over;
}

void *__wrap_malloc(size_t n)
{
    return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return fails() ? NULL : __real_realloc(p, n);
}

void *__wrap_aligned_alloc(size_t align, size_t n)
{
    return fails() ? NULL : __real_aligned_alloc(align, n);
}

char *__wrap_strdup(const char *s)
{
    return fails() ? NULL : __real_strdup(s);
}

void *__wrap_cyaml_mem(void *ctx, void *p, size_t n)
{
    return n > 0 && fails() ? NULL : __real_cyaml_mem(ctx, p, n);
}

/* --- SQLite's allocator: it wants to know sizes, which stand in front --- */

enum { HEAD = 16 };

static void *sql_malloc(int n)
{
    unsigned char *p = malloc((size_t)n + HEAD);
    if (p == NULL)
        return NULL;
    memcpy(p, &n, sizeof n);
    return p + HEAD;
}

static void sql_free(void *p)
{
    free((unsigned char *)p - HEAD);
}

static void *sql_realloc(void *p, int n)
{
    unsigned char *q = realloc((unsigned char *)p - HEAD, (size_t)n + HEAD);
    if (q == NULL)
        return NULL;
    memcpy(q, &n, sizeof n);
    return q + HEAD;
}

static int sql_size(void *p)
{
    int n = 0;
    if (p != NULL)
        memcpy(&n, (unsigned char *)p - HEAD, sizeof n);
    return n;
}

static int sql_roundup(int n)
{
    return (n + 7) & ~7;
}

static int sql_init(void *ctx)
{
    (void)ctx;
    return SQLITE_OK;
}

static void sql_shutdown(void *ctx)
{
    (void)ctx;
}

/* --- jansson's --- */

void failing_json(bool too)
{
    state.json = too;
}

static void *json_malloc_or_not(size_t n)
{
    return state.json ? malloc(n) : __real_malloc(n);
}

__attribute__((constructor)) static void take_over(void)
{
    static const sqlite3_mem_methods methods = {sql_malloc,  sql_free, sql_realloc,  sql_size,
                                                sql_roundup, sql_init, sql_shutdown, NULL};
    if (sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) != SQLITE_OK)
        abort();
    json_set_alloc_funcs(json_malloc_or_not, free);
}

/* --- every call in turn --- */

static bool once(const char *what, failing_work work, void *ctx, unsigned long n, bool forever)
{
    struct err e = {0};
    failing_from(n, forever);
    int rc = work(ctx, &e);
    if (failing_end() == 0) {
        cr_assert_eq(rc, 0, "%s, undisturbed: %s", what, e.text);
        return false;
    }
    cr_assert_eq(rc, ERR_NOMEM, "%s, call %lu%s: %d, %s", what, n, forever ? " and on" : "", rc,
                 e.text);
    cr_assert_neq(e.text[0], '\0', "%s, call %lu", what, n);
    return true;
}

void failing_everywhere(const char *what, failing_work work, void *ctx)
{
    unsigned long n = 1;
    while (once(what, work, ctx, n, false) && once(what, work, ctx, n, true))
        n++;
    cr_assert_gt(n, 1, "%s allocates nothing", what);
}
