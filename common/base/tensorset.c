#include "base/tensorset.h"

#include <string.h>

enum { FIRST_TENSORS = 32, MEM_CAP = 64 << 20, HASH_BLOCK = 4096 };

void schema_init(struct schema *s)
{
    *s = (struct schema){0};
    arena_init(&s->mem, MEM_CAP);
}

void schema_release(struct schema *s)
{
    arena_release(&s->mem);
    *s = (struct schema){0};
}

/* FNV-1a, 32 bits. */
static uint32_t name_hash(const char *name)
{
    uint32_t h = 2166136261u;

    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 16777619u;
    return h;
}

/* The slot of `name` in the open-addressing table of 2 * cap entries (a power of two, so never
 * full): 1 + index, or 0. */
static uint32_t *slot_of(uint32_t *slot, size_t cap, const struct tensor_spec *tensor,
                         const char *name)
{
    size_t mask = 2 * cap - 1, i = name_hash(name) & mask;

    while (slot[i] && strcmp(tensor[slot[i] - 1].name, name) != 0)
        i = (i + 1) & mask;
    return &slot[i];
}

static int grow(struct schema *s)
{
    size_t cap = s->cap ? 2 * s->cap : FIRST_TENSORS;
    struct tensor_spec *tensor = arena_calloc(&s->mem, cap, sizeof *tensor);
    uint32_t *slot = arena_calloc(&s->mem, 2 * cap, sizeof *slot);

    if (!tensor || !slot)
        return ERR_NOMEM;
    for (size_t i = 0; i < s->n; i++) {
        tensor[i] = s->tensor[i];
        *slot_of(slot, cap, tensor, tensor[i].name) = (uint32_t)i + 1;
    }
    s->tensor = tensor;
    s->slot = slot;
    s->cap = cap;
    return 0;
}

/* Product of the dimensions; 0 when one is below 1 or the product beyond SCHEMA_MAX_COUNT. */
static size_t product(int ndim, const int64_t *dim)
{
    size_t count = 1;

    for (int i = 0; i < ndim; i++) {
        if (dim[i] < 1 || (uint64_t)dim[i] > SCHEMA_MAX_COUNT / count)
            return 0;
        count *= (size_t)dim[i];
    }
    return count;
}

static bool travels(const struct tensor_spec *t)
{
    return t->scope == SCOPE_GLOBAL || t->scope == SCOPE_GROUP;
}

int schema_add(struct schema *s, const char *name, enum scope scope, bool decay, int ndim,
               const int64_t *dim, struct err *e)
{
    struct tensor_spec t = {.scope = scope, .decay = decay, .ndim = ndim, .offset = s->count};

    if (!*name)
        return err_set(e, ERR_MODEL, "tensor %zu has no name", s->n);
    if (s->n == SCHEMA_MAX_TENSORS)
        return err_set(e, ERR_MODEL, "tensor %s: a schema has at most %d tensors", name,
                       SCHEMA_MAX_TENSORS);
    if (ndim < 0 || ndim > TENSOR_MAX_DIMS)
        return err_set(e, ERR_MODEL, "tensor %s has %d dimensions; 0 to %d are possible", name,
                       ndim, TENSOR_MAX_DIMS);
    if ((int)scope < SCOPE_GLOBAL || scope > SCOPE_DERIVED)
        return err_set(e, ERR_MODEL, "tensor %s has the unknown scope %d", name, (int)scope);
    t.count = product(ndim, dim);
    if (!t.count || t.count > SCHEMA_MAX_COUNT - s->count)
        return err_set(e, ERR_MODEL,
                       "tensor %s: a dimension is below 1, or the schema has more than %zu values",
                       name, SCHEMA_MAX_COUNT);
    if (schema_find(s, name))
        return err_set(e, ERR_MODEL, "tensor %s occurs twice", name);
    if (s->n == s->cap && grow(s))
        return err_set(e, ERR_NOMEM, "no memory for tensor %s in the schema", name);
    t.name = arena_strdup(&s->mem, name);
    if (!t.name)
        return err_set(e, ERR_NOMEM, "no memory for the name of tensor %zu in the schema", s->n);
    for (int i = 0; i < ndim; i++)
        t.dim[i] = dim[i];
    *slot_of(s->slot, s->cap, s->tensor, name) = (uint32_t)s->n + 1;
    s->tensor[s->n++] = t;
    s->count += t.count;
    s->packed += travels(&t) ? t.count : 0;
    return 0;
}

static void feed_u64(struct hash_state *h, uint64_t v)
{
    unsigned char le[8];

    for (int i = 0; i < 8; i++)
        le[i] = (unsigned char)(v >> 8 * i);
    hash_feed(h, le, sizeof le);
}

/* Every field has a fixed width or ends with NUL, so two different schemas never feed the same
 * bytes. */
void schema_seal(struct schema *s)
{
    struct hash_state state, *h = hash_begin(&state);

    feed_u64(h, s->n);
    for (size_t i = 0; i < s->n; i++) {
        const struct tensor_spec *t = &s->tensor[i];

        hash_feed(h, t->name, strlen(t->name) + 1);
        feed_u64(h, (uint64_t)t->scope);
        feed_u64(h, (uint64_t)t->ndim);
        for (int j = 0; j < t->ndim; j++)
            feed_u64(h, (uint64_t)t->dim[j]);
    }
    s->hash = hash_end(h);
}

const struct tensor_spec *schema_find(const struct schema *s, const char *name)
{
    if (!s->n)
        return NULL;
    uint32_t found = *slot_of(s->slot, s->cap, s->tensor, name);
    return found ? &s->tensor[found - 1] : NULL;
}

static void put_le(unsigned char *out, const float *values, size_t n)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    memcpy(out, values, n * sizeof *values);
#else
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;

        memcpy(&bits, &values[i], sizeof bits);
        for (int j = 0; j < 4; j++)
            out[4 * i + j] = (unsigned char)(bits >> 8 * j);
    }
#endif
}

static uint32_t get_bits(const unsigned char *in)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    uint32_t bits;

    memcpy(&bits, in, sizeof bits);
    return bits;
#else
    return (uint32_t)in[3] << 24 | (uint32_t)in[2] << 16 | (uint32_t)in[1] << 8 | in[0];
#endif
}

static void get_le(float *values, const unsigned char *in, size_t n)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    memcpy(values, in, n * sizeof *values);
#else
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = get_bits(in + 4 * i);

        memcpy(&values[i], &bits, sizeof bits);
    }
#endif
}

/* Branch-free, so that it runs at the speed of memory. */
static bool all_finite(const unsigned char *in, size_t n)
{
    const uint32_t exponent = 0x7f800000;
    uint32_t bad = 0;

    for (size_t i = 0; i < n; i++)
        bad |= (get_bits(in + 4 * i) & exponent) == exponent;
    return !bad;
}

void tensorset_pack(const struct schema *s, const float *values, unsigned char *out)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct tensor_spec *t = &s->tensor[i];

        if (travels(t)) {
            put_le(out, values + t->offset, t->count);
            out += 4 * t->count;
        }
    }
}

int tensorset_unpack(const struct schema *s, const unsigned char *in, size_t len, float *values,
                     struct err *e)
{
    if (len != 4 * s->packed)
        return err_set(e, ERR_PROTO, "packed tensors have %zu bytes; the schema wants %zu", len,
                       4 * s->packed);
    const unsigned char *p = in;
    for (size_t i = 0; i < s->n; i++) {
        const struct tensor_spec *t = &s->tensor[i];

        if (!travels(t))
            continue;
        if (!all_finite(p, t->count))
            return err_set(e, ERR_PROTO, "tensor %s holds a value that is not finite", t->name);
        p += 4 * t->count;
    }
    for (size_t i = 0; i < s->n; i++) {
        const struct tensor_spec *t = &s->tensor[i];

        if (travels(t)) {
            get_le(values + t->offset, in, t->count);
            in += 4 * t->count;
        }
    }
    return 0;
}

struct hash tensorset_hash(const struct schema *s, const float *values)
{
    unsigned char block[HASH_BLOCK];
    struct hash_state state, *h = hash_begin(&state);

    for (size_t i = 0; i < s->n; i++) {
        const struct tensor_spec *t = &s->tensor[i];

        for (size_t j = 0; travels(t) && j < t->count; j += HASH_BLOCK / 4) {
            size_t n = t->count - j < HASH_BLOCK / 4 ? t->count - j : HASH_BLOCK / 4;

            put_le(block, values + t->offset + j, n);
            hash_feed(h, block, 4 * n);
        }
    }
    return hash_end(h);
}
