/* tensorset: the one data type that travels. A schema (names, shapes, scopes) and one flat vector
 * of float. The trainer updates the vector, the wire carries it, the aggregator averages it, the
 * store saves it, the exporter renames it. */
#ifndef BASE_TENSORSET_H
#define BASE_TENSORSET_H

#include "base/arena.h"
#include "base/err.h"
#include "base/hash.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TENSOR_MAX_DIMS = 4, SCHEMA_MAX_TENSORS = 16384 };
#define SCHEMA_MAX_COUNT                                                                           \
    ((size_t)1 << 33) /* values in all: 32 GiB of float, far above any adapter */

/* Who shares a tensor. Only GLOBAL and GROUP tensors have a place in the packed form: the packer
 * has no branch for the others. */
enum scope {
    SCOPE_GLOBAL,  /* averaged over all clients */
    SCOPE_GROUP,   /* averaged inside a group of clients */
    SCOPE_LOCAL,   /* trained, never leaves the client */
    SCOPE_FROZEN,  /* not trained, known to all by its hash */
    SCOPE_DERIVED, /* recomputed from others */
};

struct tensor_spec {
    const char *name; /* Hugging Face module path of the parameter, unique */
    enum scope scope;
    bool decay; /* weight decay applies (not for biases and layer norms) */
    int ndim;
    int64_t dim[TENSOR_MAX_DIMS];
    size_t count;  /* product of dim */
    size_t offset; /* of its first value in the flat vector */
};

struct schema {
    struct arena mem;
    struct tensor_spec *tensor;
    uint32_t *slot; /* index by name: 2 * cap entries */
    size_t n, cap;
    size_t count;     /* values in the flat vector */
    size_t packed;    /* values of GLOBAL and GROUP tensors */
    struct hash hash; /* of every name, scope and shape in order; equal hash = same meaning of every
                         value. Set by schema_seal. */
};

void schema_init(struct schema *s);
void schema_release(struct schema *s);
/* Appends a tensor; copies the name. ERR_MODEL: duplicate or empty name, a dim < 1, more than
 * TENSOR_MAX_DIMS dims (0: a scalar), too many; ERR_NOMEM. */
int schema_add(struct schema *s, const char *name, enum scope scope, bool decay, int ndim,
               const int64_t *dim, struct err *e) MUST_CHECK;
/* Computes the hash. Call once, after the last schema_add. */
void schema_seal(struct schema *s);
/* NULL when there is none. */
const struct tensor_spec *schema_find(const struct schema *s, const char *name);

/* values: schema->count floats -> out: schema->packed floats, little-endian IEEE 754, GLOBAL and
 * GROUP tensors in schema order. */
void tensorset_pack(const struct schema *s, const float *values, unsigned char *out);
/* The inverse: writes GLOBAL and GROUP tensors of `values`, leaves the others. ERR_PROTO when len
 * != 4 * packed or a value is not finite; `values` is then untouched. */
int tensorset_unpack(const struct schema *s, const unsigned char *in, size_t len, float *values,
                     struct err *e) MUST_CHECK;
/* SHA-256 of the packed form: the identity of a set of global parameters ("adapter_sha256"). */
struct hash tensorset_hash(const struct schema *s, const float *values);

#endif
