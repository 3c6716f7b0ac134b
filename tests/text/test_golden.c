/* The tokenizers against what Hugging Face's library made of the same files and texts
 * (tests/interop/tokenizer_golden.py). */
#include "base/hash.h"
#include "support.h"

struct texts {
    char *text[256];
    size_t len[256], n;
};

static void load_texts(struct texts *t)
{
    json_t *list = load_json(GOLDEN "texts.json");

    t->n = json_array_size(list);
    cr_assert_leq(t->n, 256);
    for (size_t i = 0; i < t->n; i++) {
        const char *hex = json_string_value(json_array_get(list, i));
        t->len[i] = strlen(hex) / 2;
        /* No terminator: the sanitizers then see a read beyond the end. */
        t->text[i] = malloc(t->len[i] ? t->len[i] : 1);
        for (size_t k = 0; k < t->len[i]; k++) {
            unsigned byte;
            cr_assert_eq(sscanf(hex + 2 * k, "%2x", &byte), 1);
            t->text[i][k] = (char)byte;
        }
    }
    json_decref(list);
}

static void free_texts(struct texts *t)
{
    for (size_t i = 0; i < t->n; i++)
        free(t->text[i]);
}

/* The base file with the case's fields replaced. */
static struct tokenizer *open_case(const json_t *c)
{
    char path[256];
    struct tokenizer *t = NULL;
    struct err e = {0};
    const char *key;
    json_t *value, *patch = json_object_get(c, "patch");

    snprintf(path, sizeof path, GOLDEN "%s.json", json_string_value(json_object_get(c, "base")));
    json_t *json = load_json(path);
    json_object_foreach(patch, key, value)
    {
        if (strcmp(key, "model") == 0)
            json_object_update(json_object_get(json, key), value);
        else
            json_object_set(json, key, value);
    }
    json_t *model = json_object_get(json, "model");
    const char *type = json_string_value(json_object_get(model, "type"));
    if (strcmp(type, "remove") == 0)
        json_object_del(model, "type");
    cr_assert_eq(tokenizer_from(json, &t, &e), 0, "%s: %s",
                 json_string_value(json_object_get(c, "name")), e.text);
    json_decref(json);
    return t;
}

/* The first 8 hexadecimal digits of SHA-256 of "id:type id:type ...". */
static void digest(const struct encoding *enc, char out[9])
{
    size_t size = 24 * enc->n + 1, len = 0;
    char *text = malloc(size), hex[HASH_HEX];

    for (size_t i = 0; i < enc->n; i++)
        len += (size_t)snprintf(text + len, size - len, "%s%d:%d", i ? " " : "", enc->id[i],
                                enc->type[i]);
    struct hash h = hash_of(text, len);
    hash_hex(&h, hex);
    free(text);
    memcpy(out, hex, 8);
    out[8] = 0;
}

static void check_ids(const json_t *want, const struct encoding *enc, size_t text)
{
    if (!json_is_array(want))
        return;
    cr_expect_eq(enc->n, json_array_size(want), "text %zu: %zu ids", text, enc->n);
    for (size_t i = 0; i < enc->n && i < json_array_size(want); i++)
        cr_assert_eq(enc->id[i], json_integer_value(json_array_get(want, i)), "text %zu, id %zu",
                     text, i);
}

static void check_case(const json_t *c, const struct texts *t)
{
    const char *name = json_string_value(json_object_get(c, "name"));
    const char *want = json_string_value(json_object_get(c, "digest"));
    const json_t *length = json_object_get(c, "max_length");
    bool pairs = json_is_true(json_object_get(c, "pairs"));
    size_t max = json_is_integer(length) ? (size_t)json_integer_value(length) : SIZE_MAX / 4;
    struct tokenizer *tokenizer = open_case(c);
    struct encoding enc = {0};
    struct err e = {0};

    for (size_t i = 0; i < t->n; i++) {
        size_t k = (i + 7) % t->n;
        char got[9];
        int rc = tokenizer_encode(tokenizer, t->text[i], t->len[i], pairs ? t->text[k] : NULL,
                                  pairs ? t->len[k] : 0, max, &enc, &e);
        cr_assert_eq(rc, 0, "%s: text %zu: %s", name, i, e.text);
        check_ids(json_array_get(json_object_get(c, "ids"), i), &enc, i);
        digest(&enc, got);
        cr_expect(strncmp(got, want + 8 * i, 8) == 0, "%s%s, length %zd: text %zu: %zu ids", name,
                  pairs ? ", pairs" : "", (ssize_t)max, i, enc.n);
    }
    encoding_release(&enc);
    tokenizer_close(tokenizer);
}

Test(golden, ids_and_types_are_those_of_the_reference)
{
    json_t *file = load_json(GOLDEN "cases.json"), *cases = json_object_get(file, "cases");
    struct texts t;

    load_texts(&t);
    cr_assert_gt(json_array_size(cases), 60);
    for (size_t i = 0; i < json_array_size(cases); i++)
        check_case(json_array_get(cases, i), &t);
    free_texts(&t);
    json_decref(file);
}
