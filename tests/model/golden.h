/* A tiny encoder of tests/model/golden and the answers made for it by
 * tests/interop/model_golden.py. In both precisions. */
#ifndef TESTS_MODEL_GOLDEN_H
#define TESTS_MODEL_GOLDEN_H

#include "model/model.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define GOLDEN_DIR FEDPET_TEST_DIR "/model/golden/"
static const char *const golden_families[] = {"bert", "roberta", "distilbert"};
enum { GOLDEN_FAMILIES = 3, GOLDEN_PATH = 512 };

struct golden {
    struct model *model;
    struct safetensors file;
    struct batch batch; /* all sequences */
    char adapter[GOLDEN_PATH];
    struct arena mem;
};

static inline const struct st_tensor *golden_tensor(const struct golden *g, const char *name)
{
    const struct st_tensor *t = safetensors_find(&g->file, name);
    cr_assert_not_null(t, "golden tensor %s", name);
    return t;
}

/* Values of a golden tensor; memory of g. */
static inline float *golden_floats(struct golden *g, const char *name)
{
    struct err e = {0};
    const struct st_tensor *t = golden_tensor(g, name);
    float *x = arena_calloc(&g->mem, t->count, sizeof *x);
    cr_assert_not_null(x);
    cr_assert_eq(st_tensor_floats(t, x, &e), 0, "%s", e.text);
    return x;
}

static inline int32_t *golden_ints(struct golden *g, const char *name)
{
    size_t n = golden_tensor(g, name)->count;
    const float *x = golden_floats(g, name);
    int32_t *out = arena_calloc(&g->mem, n, sizeof *out);
    cr_assert_not_null(out);
    for (size_t i = 0; i < n; i++)
        out[i] = (int32_t)x[i];
    return out;
}

/* n numbers of s in reals; memory of g. */
static inline const real *golden_reals(struct golden *g, struct stored s, size_t n)
{
    real *out = arena_calloc(&g->mem, n, sizeof *out);
    cr_assert_not_null(out);
    stored_read(s, 0, n, out);
    return out;
}

/* Sequences [from, to) of the batch; memory of g. */
static inline struct batch golden_part(struct golden *g, int from, int to)
{
    struct batch b = g->batch;
    int32_t *off = arena_calloc(&g->mem, (size_t)(to - from) + 1, sizeof *off);
    cr_assert_not_null(off);
    int skip = b.off[from];
    for (int i = from; i <= to; i++)
        off[i - from] = b.off[i] - skip;
    return (struct batch){.n = to - from,
                          .tokens = off[to - from],
                          .off = off,
                          .id = b.id + skip,
                          .type = b.type + skip,
                          .pos = b.pos + skip,
                          .label = b.label + from,
                          .tag = b.tag != NULL ? b.tag + skip : NULL,
                          .target = b.target + from};
}

static inline void golden_open(struct golden *g, const char *family)
{
    struct err e = {0};
    char dir[GOLDEN_PATH], path[GOLDEN_PATH];
    *g = (struct golden){0};
    arena_init(&g->mem, ARENA_NO_CAP);
    snprintf(dir, sizeof dir, GOLDEN_DIR "%s", family);
    snprintf(path, sizeof path, GOLDEN_DIR "%s/golden.safetensors", family);
    snprintf(g->adapter, sizeof g->adapter, GOLDEN_DIR "%s/adapter", family);
    cr_assert_eq(model_open(&g->model, dir, &e), 0, "%s", e.text);
    cr_assert_eq(safetensors_open(&g->file, path, &e), 0, "%s", e.text);

    int n = (int)golden_tensor(g, "label")->count, first = model_first_position(&g->model->cfg);
    int32_t *off = golden_ints(g, "off");
    int32_t *pos = arena_calloc(&g->mem, (size_t)off[n], sizeof *pos);
    real *target = arena_calloc(&g->mem, (size_t)n, sizeof *target);
    const float *label = golden_floats(g, "label");
    cr_assert(pos != NULL && target != NULL);
    for (int s = 0; s < n; s++) {
        target[s] = (real)label[s];
        for (int i = off[s]; i < off[s + 1]; i++)
            pos[i] = first + i - off[s];
    }
    g->batch = (struct batch){.n = n,
                              .tokens = off[n],
                              .off = off,
                              .id = golden_ints(g, "id"),
                              .type = golden_ints(g, "type"),
                              .pos = pos,
                              .label = golden_ints(g, "label"),
                              .target = target};
}

static inline void golden_close(struct golden *g)
{
    model_close(g->model);
    safetensors_close(&g->file);
    arena_release(&g->mem);
}

#endif
