/* A scratch folder, and altered copies of model and adapter directories in it. */
#ifndef TESTS_MODEL_SCRATCH_H
#define TESTS_MODEL_SCRATCH_H

#include "base/file.h"
#include "model/safetensors.h"
#include <criterion/criterion.h>
#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SCRATCH_PATH = 512 };

/* Replaces `dir` ("/tmp/NAME-XXXXXX") by the new folder's path. */
static inline void scratch_make(char *dir)
{
    cr_assert_not_null(mkdtemp(dir));
}

static inline void scratch_remove(const char *dir)
{
    char command[SCRATCH_PATH];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    cr_expect_eq(system(command), 0);
}

/* Files and folders in `path`, but hidden ones. */
static inline int scratch_entries(const char *path)
{
    DIR *d = opendir(path);
    int n = 0;
    cr_assert_not_null(d, "%s", path);
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static inline void scratch_path(char path[SCRATCH_PATH], const char *dir, const char *name)
{
    struct err e = {0};
    cr_assert_eq(file_join(path, SCRATCH_PATH, dir, name, &e), 0, "%s", e.text);
}

static inline void scratch_write(const char *dir, const char *name, const void *bytes, size_t len)
{
    char path[SCRATCH_PATH];
    scratch_path(path, dir, name);
    FILE *f = fopen(path, "wb");
    cr_assert_not_null(f, "%s", path);
    cr_assert_eq(fwrite(bytes, 1, len, f), len);
    cr_assert_eq(fclose(f), 0);
}

static inline void scratch_copy(const char *from, const char *dir, const char *name)
{
    struct err e = {0};
    char path[SCRATCH_PATH], *bytes;
    size_t len;
    scratch_path(path, from, name);
    cr_assert_eq(file_read(path, 1 << 30, &bytes, &len, &e), 0, "%s", e.text);
    scratch_write(dir, name, bytes, len);
    free(bytes);
}

/* Copies a JSON object with one field replaced by `value` (JSON text); NULL: removed. */
static inline void scratch_json(const char *from, const char *dir, const char *name,
                                const char *key, const char *value)
{
    char path[SCRATCH_PATH];
    scratch_path(path, from, name);
    json_t *root = json_load_file(path, 0, NULL);
    cr_assert_not_null(root, "%s", path);
    if (value == NULL)
        json_object_del(root, key);
    else
        json_object_set_new(root, key, json_loads(value, JSON_DECODE_ANY, NULL));
    char *text = json_dumps(root, 0);
    scratch_write(dir, name, text, strlen(text));
    free(text);
    json_decref(root);
}

/* Copies a safetensors file, reals as F32, I32 and I64 as they are, each tensor as `edit` leaves
 * it: edit may change name, type, shape or values (x), return false to drop it. */
static inline void scratch_tensors(const char *from, const char *dir, const char *name,
                                   bool (*edit)(struct st_out *t, float *x))
{
    struct err e = {0};
    struct safetensors st;
    struct arena mem;
    char path[SCRATCH_PATH];
    size_t n = 0;
    scratch_path(path, from, name);
    cr_assert_eq(safetensors_open(&st, path, &e), 0, "%s", e.text);
    arena_init(&mem, ARENA_NO_CAP);
    struct st_out *out = arena_calloc(&mem, st.n, sizeof *out);
    for (size_t i = 0; i < st.n; i++) {
        const struct st_tensor *t = &st.tensor[i];
        float *x = arena_calloc(&mem, 2 * t->count + 1, sizeof *x);
        cr_assert(out != NULL && x != NULL);
        out[n] = (struct st_out){.name = t->name, .ndim = t->ndim, .x = x};
        if (t->dtype == DTYPE_I32 || t->dtype == DTYPE_I64) {
            out[n].dtype = t->dtype;
            memcpy(x, t->raw, t->bytes);
        } else {
            cr_assert_eq(st_tensor_floats(t, x, &e), 0, "%s", e.text);
        }
        memcpy(out[n].dim, t->dim, sizeof t->dim);
        n += edit(&out[n], x);
    }
    scratch_path(path, dir, name);
    cr_assert_eq(safetensors_write(path, out, n, &e), 0, "%s", e.text);
    arena_release(&mem);
    safetensors_close(&st);
}

#endif
