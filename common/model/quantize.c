#include "model/quantize.h"
#include "base/half.h"
#include "model/jsonfile.h"
#include "model/model_dir.h"
#include "model/names.h"
#include "model/quantization.h"
#include <float.h>
#include <math.h>
#include <string.h>

/* What becomes of a tensor of the file, and what a tensor that is written is made of. */
enum part { AS_REALS, PACKED, SCALE, SHAPE };

struct source {
    const struct st_tensor *t;
    enum part part;
};

struct quantizing {
    const struct model *m;
    const char *path;      /* of the model file, for errors */
    bool *linear, *table;  /* by tensor of the file: a linear weight, embeddings */
    struct source *source; /* of each tensor that is written */
    struct st_out *out;
    size_t n;
    float *row; /* room for the longest of a linear weight, or of embeddings */
    struct arena mem;
};

/* --- rows --- */

static int read_row(const struct quantizing *q, const struct st_tensor *t, int64_t row,
                    struct err *e)
{
    size_t cols = (size_t)t->dim[1];
    struct st_tensor piece = st_tensor_piece(t, (size_t)row * cols, cols);
    return st_tensor_floats(&piece, q->row, e);
}

/* The scale of a row; infinite when one of its values is not finite. */
static float row_scale(const float *row, size_t cols)
{
    float most = 0;
    for (size_t k = 0; k < cols; k++) {
        if (!isfinite(row[k]))
            return INFINITY;
        most = fmaxf(most, fabsf(row[k]));
    }
    return fmaxf(most / 127, FLT_MIN);
}

/* In double, where no quotient of floats is rounded to a tie. */
static void pack_row(const float *row, size_t cols, float scale, unsigned char *to)
{
    for (size_t k = 0; k < cols; k++)
        to[k] = (unsigned char)(128 + (int)rint((double)row[k] / (double)scale));
    memset(to + cols, 0, stored_int8_row((int)cols) - cols);
}

static int quantize_rows(const struct quantizing *q, const struct source *s, void *values,
                         struct err *e)
{
    const size_t cols = (size_t)s->t->dim[1], stride = stored_int8_row((int)cols);
    for (int64_t row = 0; row < s->t->dim[0]; row++) {
        int rc = read_row(q, s->t, row, e);
        if (rc != 0)
            return rc;
        float scale = row_scale(q->row, cols);
        if (!isfinite(scale))
            return err_set(e, ERR_MODEL,
                           "%s: tensor \"%.200s\" holds a value that is not finite: the model is "
                           "damaged",
                           q->path, s->t->name);
        if (s->part == SCALE)
            ((float *)values)[row] = scale;
        else
            pack_row(q->row, cols, scale, (unsigned char *)values + (size_t)row * stride);
    }
    return 0;
}

static int quantized_values(void *ctx, size_t i, void *values, struct err *e)
{
    const struct quantizing *q = ctx;
    const struct source *s = &q->source[i];
    if (s->part == AS_REALS)
        return st_tensor_floats(s->t, values, e);
    if (s->part != SHAPE)
        return quantize_rows(q, s, values, e);
    memcpy(values, s->t->dim, 2 * sizeof *s->t->dim);
    return 0;
}

/* --- tensors --- */

/* The file's tensor of this name; a bare encoder's have no prefix. */
static const struct st_tensor *in_file(const struct model *m, const char *name)
{
    const struct st_tensor *t = safetensors_find(&m->file, name);
    size_t prefix = strlen(family_names[m->cfg.family].prefix);
    return t != NULL ? t : safetensors_find(&m->file, name + prefix);
}

/* Marks linear weights and embeddings. */
static int classify(struct quantizing *q, struct err *e)
{
    struct base_tensor *base;
    size_t n, longest = 1;
    int rc = model_tensors(q->m, &q->mem, &base, &n, e);
    q->linear = arena_calloc(&q->mem, q->m->file.n, sizeof *q->linear);
    q->table = arena_calloc(&q->mem, q->m->file.n, sizeof *q->table);
    if (rc == 0 && (q->linear == NULL || q->table == NULL))
        rc = err_set(e, ERR_NOMEM, "%s: no memory for its list of tensors", q->path);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        if (base[i].role != ROLE_WEIGHT && base[i].role != ROLE_EMBEDDING)
            continue;
        size_t at = (size_t)(in_file(q->m, base[i].name) - q->m->file.tensor);
        (base[i].role == ROLE_WEIGHT ? q->linear : q->table)[at] = true;
        longest = (size_t)base[i].dim[1] > longest ? (size_t)base[i].dim[1] : longest;
    }
    q->row = rc == 0 ? arena_calloc(&q->mem, longest, sizeof *q->row) : NULL;
    return rc != 0 || q->row != NULL ? rc
                                     : err_set(e, ERR_NOMEM, "%s: no memory for a row", q->path);
}

/* F16, where it can hold all of a table. */
static int table_dtype(const struct quantizing *q, const struct st_tensor *t, enum dtype *dtype,
                       struct err *e)
{
    *dtype = DTYPE_F16;
    for (int64_t row = 0; row < t->dim[0] && *dtype == DTYPE_F16; row++) {
        int rc = read_row(q, t, row, e);
        if (rc != 0)
            return rc;
        for (int64_t k = 0; k < t->dim[1]; k++)
            if ((half_of_float(q->row[k]) & HALF_INFINITY) == HALF_INFINITY)
                *dtype = DTYPE_F32;
    }
    return 0;
}

static void add(struct quantizing *q, struct source s, const char *name, enum dtype dtype, int ndim,
                const int64_t *dim)
{
    q->source[q->n] = s;
    q->out[q->n] = (struct st_out){.name = name, .dtype = dtype, .ndim = ndim};
    memcpy(q->out[q->n++].dim, dim, (size_t)ndim * sizeof *dim);
}

static int add_linear(struct quantizing *q, const struct st_tensor *t, struct err *e)
{
    const int64_t rows = t->dim[0], cols = (int64_t)stored_int8_row((int)t->dim[1]);
    static const char *const ending[] = {"_packed", "_scale", "_shape"};
    char *name[3];
    for (int i = 0; i < 3; i++)
        if ((name[i] = arena_printf(&q->mem, "%s%s", t->name, ending[i])) == NULL)
            return err_set(e, ERR_NOMEM, "%s: no memory for the names of tensors", q->path);
    add(q, (struct source){t, PACKED}, name[0], DTYPE_I32, 2,
        (int64_t[]){rows, cols / (int64_t)sizeof(int32_t)});
    add(q, (struct source){t, SCALE}, name[1], DTYPE_F32, 2, (int64_t[]){rows, 1});
    add(q, (struct source){t, SHAPE}, name[2], DTYPE_I64, 1, (int64_t[]){2});
    return 0;
}

static int list_tensors(struct quantizing *q, struct err *e)
{
    const struct safetensors *file = &q->m->file;
    int rc = classify(q, e);
    q->source = arena_calloc(&q->mem, 3 * file->n, sizeof *q->source);
    q->out = arena_calloc(&q->mem, 3 * file->n, sizeof *q->out);
    if (rc == 0 && (q->source == NULL || q->out == NULL))
        rc = err_set(e, ERR_NOMEM, "%s: no memory for its list of tensors", q->path);
    for (size_t i = 0; rc == 0 && i < file->n; i++) {
        const struct st_tensor *t = &file->tensor[i];
        enum dtype dtype = DTYPE_F32;
        if (!st_tensor_is_real(t))
            continue;
        if (q->linear[i]) {
            rc = add_linear(q, t, e);
            continue;
        }
        if (q->table[i])
            rc = table_dtype(q, t, &dtype, e);
        add(q, (struct source){t, AS_REALS}, t->name, dtype, t->ndim, t->dim);
    }
    return rc;
}

/* --- the directory --- */

static int write_weights(const struct model *m, const char *path, const char *dir, struct err *e)
{
    struct quantizing q = {.m = m, .path = path};
    arena_init(&q.mem, ARENA_NO_CAP);
    int rc = list_tensors(&q, e);
    if (rc == 0)
        rc = model_dir_write_weights(dir, q.out, q.n, quantized_values, &q, e);
    arena_release(&q.mem);
    return rc;
}

/* The model's, whose own dtype would have others compute in it. */
static int write_config(const struct model *m, const char *dir, struct err *e)
{
    char path[PATH_MAX];
    json_t *json;
    int rc = file_join(path, sizeof path, dir, MODEL_CONFIG, e);
    if (rc == 0)
        rc = model_dir_read_config(m->dir, &json, e);
    if (rc != 0)
        return rc;
    json_t *int8 = quantization_json(&m->cfg, m->pooler.W.x != NULL);
    int failed = json_object_set_new(json, QUANTIZATION_CONFIG, int8);
    failed |= json_object_set_new(json, "torch_dtype", json_string("float32"));
    json_object_del(json, "dtype");
    rc = jsonfile_write(failed == 0 ? json : NULL, 0, path, e);
    json_decref(json);
    return rc;
}

static int fill(const struct model *m, const char *path, const char *dir, struct err *e)
{
    int rc = write_weights(m, path, dir, e);
    if (rc == 0)
        rc = model_dir_copy_tokenizer(m->dir, dir, e);
    return rc == 0 ? write_config(m, dir, e) : rc;
}

int quantize_model(const struct model *m, const char *dir, struct err *e)
{
    struct model_dir d;
    char path[PATH_MAX];
    if (m->cfg.int8)
        return err_set(e, ERR_MODEL, "%s: is int8 already: its config.json has quantization_config",
                       m->dir);
    int rc = file_join(path, sizeof path, m->dir, MODEL_WEIGHTS, e);
    if (rc == 0)
        rc = model_dir_begin(&d, dir, e);
    return rc == 0 ? model_dir_end(&d, fill(m, path, d.temp, e), e) : rc;
}
