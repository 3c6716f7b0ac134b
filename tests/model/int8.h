/* Models in int8, and the same models written out in the reals that they are computed with. */
#ifndef TESTS_MODEL_INT8_H
#define TESTS_MODEL_INT8_H

#include "model/quantization.h"
#include "model/quantize.h"
#include "tests/model/scratch.h"

static inline struct model *int8_open(const char *dir)
{
    struct model *m = NULL;
    struct err e = {0};
    cr_assert_eq(model_open(&m, dir, &e), 0, "%s", e.text);
    return m;
}

/* The new folder `dir` becomes the model of `from` in int8. */
static inline void int8_make(const char *from, const char *dir)
{
    struct model *m = int8_open(from);
    struct err e = {0};
    cr_assert_eq(quantize_model(m, dir, &e), 0, "%s", e.text);
    model_close(m);
}

struct int8_tensors {
    struct arena mem;
    struct st_out out[256];
    size_t n;
};

static inline void int8_add(struct int8_tensors *t, const char *name, int ndim, const int64_t *dim,
                            struct stored s)
{
    size_t count = (size_t)(dim[0] * (ndim > 1 ? dim[1] : 1));
    real *x = arena_calloc(&t->mem, count, sizeof *x);
    float *narrow = arena_calloc(&t->mem, count, sizeof *narrow);
    cr_assert(t->n < sizeof t->out / sizeof *t->out && x != NULL && narrow != NULL);
    stored_read(s, 0, count, x);
    for (size_t i = 0; i < count; i++)
        narrow[i] = (float)x[i];
    t->out[t->n] = (struct st_out){.name = name, .ndim = ndim, .x = narrow};
    memcpy(t->out[t->n++].dim, dim, (size_t)ndim * sizeof *dim);
}

/* Into an existing folder: m in F32, its heads too. */
static inline void int8_write_reals(const struct model *m, const char *dir)
{
    struct int8_tensors t = {.n = 0};
    struct base_tensor *base;
    struct err e = {0};
    char path[SCRATCH_PATH];
    size_t n;
    arena_init(&t.mem, ARENA_NO_CAP);
    cr_assert_eq(model_tensors(m, &t.mem, &base, &n, &e), 0, "%s", e.text);
    for (size_t i = 0; i < n; i++)
        int8_add(&t, base[i].name, base[i].ndim, base[i].dim, base[i].x);
    for (int i = 0; i < FILE_HEAD_TENSORS; i++) {
        const struct head_tensor *h = &m->file_head[i];
        bool again = false;
        for (int k = 0; h->name != NULL && k < i; k++)
            again |= m->file_head[k].name != NULL && strcmp(m->file_head[k].name, h->name) == 0;
        if (h->name != NULL && !again)
            int8_add(&t, h->name, h->ndim, h->dim, h->pretrained);
    }
    scratch_path(path, dir, "model.safetensors");
    cr_assert_eq(safetensors_write(path, t.out, t.n, &e), 0, "%s", e.text);
    scratch_json(m->dir, dir, "config.json", QUANTIZATION_CONFIG, NULL);
    arena_release(&t.mem);
}

#endif
