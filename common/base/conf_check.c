#include "base/conf_check.h"

#include "base/edit_distance.h"
#include "base/size.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN_VALUE = 64, DESCRIPTION = 512 };

struct check {
    struct arena *mem;
    const struct conf_type *type;
    struct err *e;
};

void conf_path(char out[CONF_PATH], const char *parent, const char *key)
{
    snprintf(out, CONF_PATH, "%s%s%s", parent, *parent ? "." : "", key);
}

const cyaml_schema_field_t *conf_field(const cyaml_schema_value_t *map, const char *key)
{
    if (map->type != CYAML_MAPPING)
        return NULL;
    for (const cyaml_schema_field_t *f = map->mapping.fields; f->key; f++)
        if (strcmp(f->key, key) == 0)
            return f;
    return NULL;
}

static const struct conf_range *range_of(const struct conf_type *type, const char *path)
{
    for (const struct conf_range *r = type->range; r && r->key; r++)
        if (strcmp(r->key, path) == 0)
            return r;
    return NULL;
}

static bool is_size(const struct conf_type *type, const char *path)
{
    for (const char *const *key = type->sizes; key && *key; key++)
        if (strcmp(*key, path) == 0)
            return true;
    return false;
}

struct guess {
    const char *key, *parent; /* what was written */
    size_t best;              /* 2 * distance, + 1 in another section */
    char path[CONF_PATH];
};

static void guess_in(struct guess *g, const cyaml_schema_value_t *map, const char *parent)
{
    for (const cyaml_schema_field_t *f = map->mapping.fields; f->key; f++) {
        char path[CONF_PATH];

        conf_path(path, parent, f->key);
        size_t d = edit_distance(g->key, f->key);
        if (d <= EDIT_DISTANCE_MAX && (d = 2 * d + (strcmp(parent, g->parent) != 0)) < g->best) {
            g->best = d;
            memcpy(g->path, path, sizeof path);
        }
        if (f->value.type == CYAML_MAPPING)
            guess_in(g, &f->value, path);
    }
}

/* The deepest section on the way to `path`; `name` becomes its dotted key. */
static const cyaml_schema_value_t *section_of(const cyaml_schema_value_t *map, const char *path,
                                              char name[CONF_PATH])
{
    char key[CONF_PATH];

    *name = '\0';
    for (const char *dot, *rest = path; (dot = strchr(rest, '.')); rest = dot + 1) {
        snprintf(key, sizeof key, "%.*s", (int)(dot - rest), rest);
        const cyaml_schema_field_t *f = conf_field(map, key);
        if (!f || f->value.type != CYAML_MAPPING)
            break;
        map = &f->value;
        snprintf(name, CONF_PATH, "%.*s", (int)(dot - path), path);
    }
    return map;
}

static int unknown_without_guess(const cyaml_schema_value_t *top, const char *where,
                                 const char *path, struct err *e)
{
    char section[CONF_PATH];
    const cyaml_schema_value_t *map = section_of(top, path, section);
    struct buf keys = {.limit = DESCRIPTION};
    const char *cut = "";

    for (const cyaml_schema_field_t *f = map->mapping.fields; f->key && !*cut; f++)
        cut = buf_printf(&keys, "%s%s", buf_size(&keys) ? ", " : "", f->key) ? ", ..." : "";
    err_set(e, ERR_CONFIG, "%s: unknown key %s; %s has the keys %.*s%s", where, path,
            *section ? section : "the configuration", (int)buf_size(&keys),
            (const char *)buf_bytes(&keys), cut);
    buf_release(&keys);
    return ERR_CONFIG;
}

int conf_unknown(const struct conf_type *type, const char *where, const char *path, struct err *e)
{
    const char *dot = strrchr(path, '.'), *key = dot ? dot + 1 : path;
    char parent[CONF_PATH] = "";

    snprintf(parent, sizeof parent, "%.*s", dot ? (int)(dot - path) : 0, path);
    /* One mistake in three letters is still recognisable. */
    struct guess g = {.key = key, .parent = parent, .best = 2 * (strlen(key) / 3) + 2};
    guess_in(&g, type->schema, "");
    if (*g.path)
        return err_set(e, ERR_CONFIG, "%s: unknown key %s; did you mean %s?", where, path, g.path);
    return unknown_without_guess(type->schema, where, path, e);
}

static int describe_number(const cyaml_schema_value_t *schema, const struct conf_range *range,
                           struct buf *out)
{
    bool whole = schema->type != CYAML_FLOAT;
    unsigned bits = 8 * schema->data_size;
    int rc = buf_printf(out, whole ? "a whole number" : "a number");

    if (rc)
        return rc;
    if (range)
        return buf_printf(out, " from %.10g to %.10g", range->min, range->max);
    if (schema->type == CYAML_UINT)
        return buf_printf(out, " from 0 to %llu", (unsigned long long)(UINT64_MAX >> (64 - bits)));
    return 0;
}

static int describe_words(const cyaml_schema_value_t *schema, const char *head, struct buf *out)
{
    int rc = buf_printf(out, "%s", head);

    for (uint32_t i = 0; !rc && i < schema->enumeration.count; i++)
        rc = buf_printf(out, "%s%s", i ? ", " : "", schema->enumeration.strings[i].str);
    return rc;
}

int conf_describe(const struct conf_type *type, const char *path,
                  const cyaml_schema_value_t *schema, struct buf *out)
{
    if (is_size(type, path))
        return buf_printf(out, "%s", SIZE_WANTED);
    switch (schema->type) {
    case CYAML_INT:
    case CYAML_UINT:
    case CYAML_FLOAT:
        return describe_number(schema, range_of(type, path), out);
    case CYAML_BOOL:
        return buf_printf(out, "true or false");
    case CYAML_ENUM:
        return describe_words(schema, "one of ", out);
    case CYAML_FLAGS:
        return describe_words(schema, "a list of any of ", out);
    case CYAML_STRING:
        if (schema->string.max < 65536)
            return buf_printf(out, "a text of %u to %u bytes", schema->string.min,
                              schema->string.max);
        return buf_printf(out, "a text");
    case CYAML_SEQUENCE:
    case CYAML_SEQUENCE_FIXED:
        if (schema->sequence.max < 65536)
            return buf_printf(out, "a list of %u to %u values", schema->sequence.min,
                              schema->sequence.max);
        return buf_printf(out, "a list");
    default:
        return buf_printf(out, "a section of keys");
    }
}

/* "WHERE: PATH is VALUE; it must be ..." */
static int wrong(struct check *c, const char *path, const struct node *n,
                 const cyaml_schema_value_t *schema)
{
    char where[CONF_PATH];
    struct buf value = {.limit = SHOWN_VALUE}, want = {.limit = DESCRIPTION};

    node_origin(n, where, sizeof where);
    /* A value or a list of words that does not fit is cut off: it is a message for the eye. */
    const char *cut = node_write(n, true, &value) ? "..." : "";
    const char *more = conf_describe(c->type, path, schema, &want) ? "..." : "";
    err_set(c->e, ERR_CONFIG, "%s: %s is %.*s%s; it must be %.*s%s", where, path,
            (int)buf_size(&value), (const char *)buf_bytes(&value), cut, (int)buf_size(&want),
            (const char *)buf_bytes(&want), more);
    buf_release(&value);
    buf_release(&want);
    return ERR_CONFIG;
}

/* Decimal digits without a leading zero, which C and YAML 1.1 would read as octal. */
static bool is_whole(const char *s)
{
    return (*s >= '1' && *s <= '9' && s[strspn(s, "0123456789")] == '\0') || strcmp(s, "0") == 0;
}

static bool fits_uint(const char *text, unsigned bytes)
{
    errno = 0;
    return is_whole(text) && strtoull(text, NULL, 10) <= UINT64_MAX >> (64 - 8 * bytes) &&
           errno == 0;
}

static bool fits_int(const char *text, unsigned bytes)
{
    const char *digits = text + (*text == '-');
    int64_t max = INT64_MAX >> (64 - 8 * bytes);

    errno = 0;
    long long v = strtoll(text, NULL, 10);
    return is_whole(digits) && errno == 0 && v <= max && v >= -max - 1;
}

/* Decimal notation only: strtod alone would take hexadecimal, inf and nan. */
static bool fits_float(const char *text, unsigned bytes)
{
    char *end;

    if (!*text || text[strspn(text, "0123456789+-.eE")] != '\0')
        return false;
    errno = 0;
    double v = bytes == sizeof(float) ? (double)strtof(text, &end) : strtod(text, &end);
    return end != text && !*end && errno == 0 && isfinite(v);
}

static bool in_range(const struct check *c, const char *path, const char *text)
{
    const struct conf_range *r = range_of(c->type, path);
    double v = strtod(text, NULL);

    return !r || (v >= r->min && v <= r->max);
}

static bool is_word(const char *text, const cyaml_schema_value_t *schema)
{
    for (uint32_t i = 0; i < schema->enumeration.count; i++)
        if (strcmp(text, schema->enumeration.strings[i].str) == 0)
            return true;
    return false;
}

static bool fits_scalar(const struct check *c, const char *path, const char *text,
                        const cyaml_schema_value_t *schema)
{
    size_t len = strlen(text);

    switch (schema->type) {
    case CYAML_UINT:
        return fits_uint(text, schema->data_size) && in_range(c, path, text);
    case CYAML_INT:
        return fits_int(text, schema->data_size) && in_range(c, path, text);
    case CYAML_FLOAT:
        return fits_float(text, schema->data_size) && in_range(c, path, text);
    case CYAML_BOOL:
        return strcmp(text, "true") == 0 || strcmp(text, "false") == 0;
    case CYAML_ENUM:
        return is_word(text, schema);
    default:
        return len >= schema->string.min && len <= schema->string.max;
    }
}

static int no_memory(struct check *c)
{
    return err_set(c->e, ERR_NOMEM, "no memory for the configuration");
}

static int check_size(struct check *c, const char *path, struct node *n,
                      const cyaml_schema_value_t *schema)
{
    uint64_t bytes;

    if (n->kind != NODE_SCALAR || !size_parse(n->text, &bytes))
        return wrong(c, path, n, schema);
    n->value = arena_printf(c->mem, "%" PRIu64, bytes);
    return n->value ? 0 : no_memory(c);
}

static int check_scalar(struct check *c, const char *path, struct node *n,
                        const cyaml_schema_value_t *schema)
{
    if (is_size(c->type, path))
        return check_size(c, path, n, schema);
    if (n->kind != NODE_SCALAR || node_is_null(n) || !fits_scalar(c, path, n->text, schema))
        return wrong(c, path, n, schema);
    return 0;
}

/* Makes `n` the only entry of a list in its own place. */
static int wrap_in_list(struct check *c, struct node *n)
{
    struct node *entry = arena_alloc(c->mem, sizeof *entry);

    if (!entry)
        return no_memory(c);
    *entry = *n;
    entry->key = NULL;
    entry->next = NULL;
    n->kind = NODE_LIST;
    n->child = entry;
    return 0;
}

static int check_value(struct check *c, const char *path, struct node *n,
                       const cyaml_schema_value_t *schema);

static int check_list(struct check *c, const char *path, struct node *n,
                      const cyaml_schema_value_t *schema)
{
    bool flags = schema->type == CYAML_FLAGS;
    cyaml_schema_value_t word = *schema;
    const cyaml_schema_value_t *inner = flags ? &word : schema->sequence.entry;
    size_t count = 0;

    word.type = CYAML_ENUM; /* what an entry of a set of flags is */

    if (n->kind == NODE_SCALAR && !node_is_null(n)) {
        int rc = wrap_in_list(c, n);

        if (rc)
            return rc;
    }
    if (n->kind != NODE_LIST)
        return wrong(c, path, n, schema);
    for (struct node *entry = n->child; entry; entry = entry->next, count++) {
        char at[CONF_PATH];

        snprintf(at, sizeof at, "%s[%zu]", path, count);
        int rc =
            node_is_null(entry) ? wrong(c, at, entry, inner) : check_value(c, at, entry, inner);
        if (rc)
            return rc;
    }
    if (!flags && (count < schema->sequence.min || count > schema->sequence.max))
        return wrong(c, path, n, schema);
    return 0;
}

/* A null value can only be the absence of an optional pointer; a null section is one without keys.
 */
static bool may_be_null(const cyaml_schema_value_t *schema)
{
    return (schema->flags & CYAML_FLAG_OPTIONAL) && (schema->flags & CYAML_FLAG_POINTER);
}

static int check_map(struct check *c, const char *path, struct node *n,
                     const cyaml_schema_value_t *schema)
{
    char at[CONF_PATH], where[CONF_PATH];

    if (node_is_null(n)) { /* a section with all its keys commented out */
        n->kind = NODE_MAP;
        n->child = NULL;
    }
    if (n->kind != NODE_MAP)
        return wrong(c, *path ? path : "the document", n, schema);
    for (struct node *child = n->child; child; child = child->next) {
        const cyaml_schema_field_t *f = conf_field(schema, child->key);

        conf_path(at, path, child->key);
        if (!f) {
            node_origin(child, where, sizeof where);
            return conf_unknown(c->type, where, at, c->e);
        }
        int rc = check_value(c, at, child, &f->value);
        if (rc)
            return rc;
    }
    for (const cyaml_schema_field_t *f = schema->mapping.fields; f->key; f++) {
        if ((f->value.flags & CYAML_FLAG_OPTIONAL) || node_get(n, f->key))
            continue;
        conf_path(at, path, f->key);
        return err_set(c->e, ERR_CONFIG,
                       "%s is missing: write it into the file or give --set %s=VALUE", at, at);
    }
    return 0;
}

static int check_value(struct check *c, const char *path, struct node *n,
                       const cyaml_schema_value_t *schema)
{
    if (node_is_null(n) && may_be_null(schema))
        return 0;
    switch (schema->type) {
    case CYAML_MAPPING:
        return check_map(c, path, n, schema);
    case CYAML_FLAGS:
    case CYAML_SEQUENCE:
    case CYAML_SEQUENCE_FIXED:
        return check_list(c, path, n, schema);
    case CYAML_BITFIELD:
    case CYAML_IGNORE:
        return 0; /* libcyaml's own check will do */
    default:
        return check_scalar(c, path, n, schema);
    }
}

int conf_check(struct arena *mem, struct node *root, const struct conf_type *type, struct err *e)
{
    struct check c = {.mem = mem, .type = type, .e = e};

    return check_map(&c, "", root, type->schema);
}
