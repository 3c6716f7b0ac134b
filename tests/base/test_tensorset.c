#include "base/rng.h"
#include "base/tensorset.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add(struct schema *s, const char *name, enum scope scope, int ndim, const int64_t *dim)
{
    struct err e = {0};

    cr_assert_eq(schema_add(s, name, scope, false, ndim, dim, &e), 0, "%s", e.text);
}

static bool same(struct hash a, struct hash b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

/* Up to 40 tensors of random scope and shape. */
static void random_schema(struct schema *s, struct rng *r)
{
    uint32_t n = rng_below(r, 40);

    schema_init(s);
    for (uint32_t i = 0; i < n; i++) {
        int64_t dim[TENSOR_MAX_DIMS];
        char name[32];

        for (int j = 0; j < TENSOR_MAX_DIMS; j++)
            dim[j] = 1 + rng_below(r, 6);
        snprintf(name, sizeof name, "layer.%u.weight", i);
        add(s, name, (enum scope)rng_below(r, 5), (int)rng_below(r, TENSOR_MAX_DIMS + 1), dim);
    }
    schema_seal(s);
}

static float *random_values(const struct schema *s, struct rng *r)
{
    float *v = malloc((s->count + 1) * sizeof *v);

    for (size_t i = 0; i < s->count; i++)
        v[i] = (float)rng_normal(r);
    return v;
}

static bool is_shared(const struct tensor_spec *t)
{
    return t->scope == SCOPE_GLOBAL || t->scope == SCOPE_GROUP;
}

Test(tensorset, a_schema_lays_tensors_end_to_end)
{
    struct schema s;

    schema_init(&s);
    cr_assert_null(schema_find(&s, "a"));
    add(&s, "a", SCOPE_GLOBAL, 2, (int64_t[]){3, 4});
    add(&s, "b", SCOPE_LOCAL, 1, (int64_t[]){5});
    add(&s, "c", SCOPE_GROUP, 0, NULL);
    schema_seal(&s);
    cr_assert(s.n == 3 && s.count == 18 && s.packed == 13);
    const struct tensor_spec *b = schema_find(&s, "b"), *c = schema_find(&s, "c");
    cr_assert(b && b->offset == 12 && b->count == 5 && b->dim[0] == 5);
    cr_assert(c && c->offset == 17 && c->count == 1);
    cr_assert_null(schema_find(&s, "d"));
    schema_release(&s);
}

Test(tensorset, bad_tensors_are_refused_and_change_nothing)
{
    struct schema s;
    struct err e = {0};

    schema_init(&s);
    add(&s, "a", SCOPE_GLOBAL, 1, (int64_t[]){4});
    struct schema before = s;
    cr_assert_eq(schema_add(&s, "a", SCOPE_GLOBAL, false, 1, (int64_t[]){4}, &e), ERR_MODEL);
    cr_assert(strstr(e.text, "twice"), "%s", e.text);
    cr_assert_eq(schema_add(&s, "", SCOPE_GLOBAL, false, 1, (int64_t[]){4}, &e), ERR_MODEL);
    cr_assert_eq(schema_add(&s, "b", SCOPE_GLOBAL, false, 2, (int64_t[]){4, 0}, &e), ERR_MODEL);
    cr_assert_eq(schema_add(&s, "b", SCOPE_GLOBAL, false, 1, (int64_t[]){-4}, &e), ERR_MODEL);
    cr_assert_eq(schema_add(&s, "b", SCOPE_GLOBAL, false, 5, (int64_t[]){1, 1, 1, 1, 1}, &e),
                 ERR_MODEL);
    cr_assert_eq(schema_add(&s, "b", SCOPE_GLOBAL, false, -1, NULL, &e), ERR_MODEL);
    cr_assert_eq(schema_add(&s, "b", (enum scope)9, false, 1, (int64_t[]){1}, &e), ERR_MODEL);
    cr_assert_eq(memcmp(&s, &before, sizeof s), 0);
    schema_release(&s);
}

Test(tensorset, the_number_of_values_is_limited_without_overflow)
{
    const int64_t most = (int64_t)SCHEMA_MAX_COUNT;
    struct schema s;
    struct err e = {0};

    schema_init(&s);
    cr_assert_eq(schema_add(&s, "a", SCOPE_LOCAL, false, 1, (int64_t[]){most + 1}, &e), ERR_MODEL);
    cr_assert_eq(schema_add(&s, "a", SCOPE_LOCAL, false, 2, (int64_t[]){most, 2}, &e), ERR_MODEL);
    cr_assert_eq(schema_add(&s, "a", SCOPE_LOCAL, false, 4,
                            (int64_t[]){INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX}, &e),
                 ERR_MODEL);
    add(&s, "a", SCOPE_LOCAL, 1, (int64_t[]){most});
    cr_assert_eq(schema_add(&s, "b", SCOPE_LOCAL, false, 1, (int64_t[]){1}, &e), ERR_MODEL);
    schema_release(&s);
}

Test(tensorset, the_number_of_tensors_is_limited_and_all_are_found)
{
    struct schema s;
    struct err e = {0};
    char name[32];

    schema_init(&s);
    for (int i = 0; i < SCHEMA_MAX_TENSORS; i++) {
        snprintf(name, sizeof name, "t%d", i);
        add(&s, name, SCOPE_GLOBAL, 1, (int64_t[]){1});
    }
    cr_assert_eq(schema_add(&s, "one more", SCOPE_GLOBAL, false, 1, (int64_t[]){1}, &e), ERR_MODEL);
    for (int i = 0; i < SCHEMA_MAX_TENSORS; i++) {
        snprintf(name, sizeof name, "t%d", i);
        const struct tensor_spec *t = schema_find(&s, name);
        cr_assert(t && t->offset == (size_t)i);
    }
    schema_release(&s);
}

Test(tensorset, a_full_arena_is_an_error_that_changes_nothing)
{
    struct schema s;
    struct err e = {0};
    char name[2000];
    int rc = 0;

    schema_init(&s);
    s.mem.cap = 50000;
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    for (size_t n = 0; rc == 0; n++) {
        cr_assert_eq(s.n, n);
        snprintf(name + 1000, 10, "%zu", n);
        rc = schema_add(&s, name, SCOPE_GLOBAL, false, 1, (int64_t[]){1}, &e);
    }
    cr_assert_eq(rc, ERR_NOMEM);
    cr_assert(s.n > 5 && s.count == s.n && schema_find(&s, s.tensor[s.n - 1].name));
    cr_assert_null(schema_find(&s, name));
    schema_release(&s);
}

static struct hash hash_with(const char *name, enum scope scope, bool decay, int ndim,
                             const int64_t *dim)
{
    struct schema s;
    struct err e = {0};

    schema_init(&s);
    add(&s, "first", SCOPE_GLOBAL, 1, (int64_t[]){2});
    cr_assert_eq(schema_add(&s, name, scope, decay, ndim, dim, &e), 0);
    schema_seal(&s);
    struct hash h = s.hash;
    schema_release(&s);
    return h;
}

Test(tensorset, the_schema_hash_tells_name_scope_and_shape)
{
    struct hash h = hash_with("w", SCOPE_GLOBAL, true, 2, (int64_t[]){2, 3});

    cr_assert(same(h, hash_with("w", SCOPE_GLOBAL, true, 2, (int64_t[]){2, 3})));
    cr_assert(same(h, hash_with("w", SCOPE_GLOBAL, false, 2, (int64_t[]){2, 3})), "decay is local");
    cr_assert(!same(h, hash_with("v", SCOPE_GLOBAL, true, 2, (int64_t[]){2, 3})));
    cr_assert(!same(h, hash_with("w", SCOPE_GROUP, true, 2, (int64_t[]){2, 3})));
    cr_assert(!same(h, hash_with("w", SCOPE_GLOBAL, true, 2, (int64_t[]){3, 2})));
    cr_assert(!same(h, hash_with("w", SCOPE_GLOBAL, true, 1, (int64_t[]){6})));
    cr_assert(!same(h, hash_with("w", SCOPE_GLOBAL, true, 3, (int64_t[]){2, 3, 1})));
}

Test(tensorset, packed_bytes_are_little_endian_ieee)
{
    struct schema s;
    const float values[] = {9, 1.0f, -2.5f, 9};
    unsigned char out[8];

    schema_init(&s);
    add(&s, "local", SCOPE_LOCAL, 0, NULL);
    add(&s, "global", SCOPE_GLOBAL, 1, (int64_t[]){2});
    add(&s, "derived", SCOPE_DERIVED, 0, NULL);
    schema_seal(&s);
    tensorset_pack(&s, values, out);
    cr_assert_eq(memcmp(out, "\0\0\x80\x3f\0\0\x20\xc0", 8), 0);
    cr_assert(same(tensorset_hash(&s, values), hash_of(out, 8)));
    schema_release(&s);
}

/* The privacy of LOCAL, FROZEN and DERIVED: whatever their values, the same bytes leave and the
 * same values stay. */
Test(tensorset, only_shared_tensors_enter_or_leave)
{
    for (uint32_t round = 0; round < 200; round++) {
        struct rng r = rng_stream(11, round, 0, RNG_TEST);
        struct schema s;
        struct err e = {0};

        random_schema(&s, &r);
        float *v = random_values(&s, &r), *w = random_values(&s, &r);
        unsigned char *p = malloc(4 * s.packed + 1), *q = malloc(4 * s.packed + 1);
        size_t shared = 0;
        for (size_t i = 0; i < s.n; i++) {
            const struct tensor_spec *t = &s.tensor[i];

            if (is_shared(t))
                memcpy(w + t->offset, v + t->offset, t->count * sizeof *w);
            shared += is_shared(t) ? t->count : 0;
        }
        cr_assert_eq(shared, s.packed);
        p[4 * s.packed] = q[4 * s.packed] = 0xa5;
        tensorset_pack(&s, v, p);
        tensorset_pack(&s, w, q);
        cr_assert_eq(memcmp(p, q, 4 * s.packed), 0);
        cr_assert_eq(p[4 * s.packed], 0xa5, "not a byte more");
        cr_assert(same(tensorset_hash(&s, v), tensorset_hash(&s, w)));
        cr_assert(same(tensorset_hash(&s, v), hash_of(p, 4 * s.packed)));

        float *u = random_values(&s, &r), *old = malloc((s.count + 1) * sizeof *old);
        memcpy(old, u, s.count * sizeof *old);
        cr_assert_eq(tensorset_unpack(&s, p, 4 * s.packed, u, &e), 0, "%s", e.text);
        for (size_t i = 0; i < s.n; i++) {
            const struct tensor_spec *t = &s.tensor[i];
            const float *want = is_shared(t) ? v : old;

            cr_assert_eq(memcmp(u + t->offset, want + t->offset, t->count * sizeof *u), 0);
        }
        free(v), free(w), free(u), free(old), free(p), free(q);
        schema_release(&s);
    }
}

Test(tensorset, unpack_refuses_wrong_lengths_and_values_and_touches_nothing)
{
    enum { N = 1000 };
    static const uint32_t bad[] = {0x7f800000, 0xff800000, 0x7fc00000, 0xff800001};
    float values[2 * N + 1], old[2 * N + 1];
    unsigned char packed[8 * N + 4] = {0};
    struct schema s;

    schema_init(&s);
    add(&s, "a", SCOPE_GLOBAL, 1, (int64_t[]){N});
    add(&s, "b", SCOPE_LOCAL, 1, (int64_t[]){1});
    add(&s, "c", SCOPE_GROUP, 1, (int64_t[]){N});
    schema_seal(&s);
    for (size_t i = 0; i < 2 * N + 1; i++)
        values[i] = old[i] = (float)i;
    static const size_t wrong[] = {0, 8 * N - 4, 8 * N - 1, 8 * N + 1, 8 * N + 4};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct err e = {0};

        cr_assert_eq(tensorset_unpack(&s, packed, wrong[i], values, &e), ERR_PROTO);
        cr_assert(strstr(e.text, "8000"), "%s", e.text);
    }
    for (size_t i = 0; i < 2 * N; i += 37) {
        struct err e = {0};
        uint32_t bits = bad[i % 4];

        for (int j = 0; j < 4; j++)
            packed[4 * i + j] = (unsigned char)(bits >> 8 * j);
        cr_assert_eq(tensorset_unpack(&s, packed, 8 * N, values, &e), ERR_PROTO);
        cr_assert(strstr(e.text, i < N ? "tensor a" : "tensor c"), "%s", e.text);
        memset(packed + 4 * i, 0, 4);
    }
    cr_assert_eq(memcmp(values, old, sizeof values), 0);
    memcpy(packed, "\xff\xff\x7f\x7f\x01\0\0\x80", 8); /* FLT_MAX and the smallest negative */
    cr_assert_eq(tensorset_unpack(&s, packed, 8 * N, values, NULL), 0);
    cr_assert(values[0] > 3e38f && values[1] < 0 && values[N] == old[N] && values[N + 1] == 0);
    schema_release(&s);
}
