/* The safetensors file format: 8-byte little-endian header length, JSON header, raw tensors.
 * Hostile files are refused: every offset, shape and length is checked against the file before use,
 * and the tensors must tile the data without overlap or hole. Nothing is executed, nothing is
 * trusted. Source: the format description of https://github.com/huggingface/safetensors. */
#ifndef MODEL_SAFETENSORS_H
#define MODEL_SAFETENSORS_H

#include "base/arena.h"
#include "base/err.h"
#include "base/file.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SAFETENSORS_MAX_DIMS = 8, SAFETENSORS_MAX_HEADER = 16 << 20 };
enum dtype { DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_I32, DTYPE_I64, DTYPE_OTHER };

struct st_tensor {
    const char *name;
    enum dtype dtype;
    int ndim;
    int64_t dim[SAFETENSORS_MAX_DIMS];
    size_t count;             /* product of dim */
    const unsigned char *raw; /* inside the map */
    size_t bytes;
};

struct safetensors {
    struct file_map map;
    struct arena mem;
    struct st_tensor *tensor; /* sorted by name */
    size_t n;
};

/* Maps and checks the file. ERR_IO; ERR_MODEL naming file, tensor and fault (truncated,
 * overlapping, wrong size, bad JSON). */
int safetensors_open(struct safetensors *st, const char *path, struct err *e) MUST_CHECK;
void safetensors_close(struct safetensors *st);
/* NULL when there is none. */
const struct st_tensor *safetensors_find(const struct safetensors *st, const char *name);
/* Is it F32, F16 or BF16? */
static inline bool st_tensor_is_real(const struct st_tensor *t)
{
    return t->dtype <= DTYPE_BF16;
}
/* Converts such a one to float; count values. ERR_MODEL on another dtype. */
int st_tensor_floats(const struct st_tensor *t, float *out, struct err *e) MUST_CHECK;
/* Values [from, from + n) alone: a tensor of n values for st_tensor_floats. */
struct st_tensor st_tensor_piece(const struct st_tensor *t, size_t from, size_t n);

/* One tensor to write. */
struct st_out {
    const char *name;
    enum dtype dtype; /* in the file: F32; F16, rounded to nearest, ties to even; I32; I64 */
    int ndim;
    int64_t dim[SAFETENSORS_MAX_DIMS];
    const void *x; /* floats; int32_t or int64_t of I32 and I64 */
};
/* Writes tensors, names sorted, metadata {"format":"pt"}, data 8-byte aligned; atomic and durable
 * (file_write). ERR_IO, ERR_NOMEM; ERR_MODEL: a value that F16 cannot hold. */
int safetensors_write(const char *path, const struct st_out *t, size_t n, struct err *e) MUST_CHECK;

/* The same file made with one tensor in memory at a time: `values` fills x with those of t[i], in
 * the order of the names; t[i].x is not used. Durable but not atomic: `path` must be new, and is
 * gone after a failure. Errors as above, and those of `values`. */
typedef int (*safetensors_values_fn)(void *ctx, size_t i, void *x, struct err *e);
int safetensors_stream(const char *path, const struct st_out *t, size_t n,
                       safetensors_values_fn values, void *ctx, struct err *e) MUST_CHECK;

#endif
