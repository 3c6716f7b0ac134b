#include "base/conf.h"

#include "base/arena.h"
#include "base/conf_check.h"
#include "base/file.h"
#include "base/node.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { TREE_CAP = 32 << 20, TEXT_CAP = 16 << 20, COMMENT_COLUMN = 44 };

static const char source_default[] = "default", source_set[] = "--set";

struct conf {
    struct arena mem;
    const struct conf_type *type;
    struct node *root;
    void *data;
};

static int no_memory(struct err *e)
{
    return err_set(e, ERR_NOMEM, "no memory for the configuration");
}

/* *root is a mapping also when the document is empty. */
static int parse_map(struct arena *mem, const char *source, bool lines, const char *text,
                     size_t len, struct node **root, struct err *e)
{
    int rc = node_parse(mem, source, lines, text, len, root, e);

    if (rc)
        return rc;
    if (!*root || node_is_null(*root)) {
        *root = node_map(mem, source);
        return *root ? 0 : no_memory(e);
    }
    if ((*root)->kind != NODE_MAP)
        return err_set(e, ERR_CONFIG, "%s: a configuration is a section of keys (key: value)",
                       source);
    return 0;
}

static int parse_defaults(struct arena *mem, const struct conf_type *type, struct node **root,
                          struct err *e)
{
    const char *text = type->defaults ? type->defaults : "";

    int rc = parse_map(mem, source_default, false, text, strlen(text), root, e);

    if (rc && rc != ERR_NOMEM)
        return err_set(e, ERR_INTERNAL, "the built-in configuration is wrong: %s",
                       e ? e->text : "");
    return rc;
}

/* The value of an override: text as it is for a string key (paths and addresses are full of YAML's
 * signs), else YAML. */
static int parse_override(struct arena *mem, const cyaml_schema_value_t *schema, const char *text,
                          struct node **value, struct err *e)
{
    struct node *plain = node_scalar(mem, source_set, text);
    struct buf quoted = {.limit = TEXT_CAP};
    int rc = 0;

    if (!plain)
        return no_memory(e);
    *value = plain;
    if (node_is_null(plain))
        return 0;
    if (schema->type != CYAML_STRING) {
        rc = node_parse(mem, source_set, false, text, strlen(text), value, e);
    } else if (node_write_text(text, true, &quoted)) {
        rc = no_memory(e);
    } else { /* through the parser, for its check of the characters */
        rc = node_parse(mem, source_set, false, (const char *)buf_bytes(&quoted), buf_size(&quoted),
                        value, e);
    }
    buf_release(&quoted);
    if (!rc && !*value)
        *value = plain;
    return rc;
}

/* Lays one "a.b=c" on the tree: a mapping a of a mapping b of the value c. */
static int apply_set(struct conf *c, const char *set, struct err *e)
{
    const char *equals = strchr(set, '=');
    const cyaml_schema_value_t *schema = c->type->schema;
    struct node *over = node_map(&c->mem, source_set), *at = over, *value;

    if (!equals || equals == set)
        return err_set(e, ERR_USAGE,
                       "--set %s: write it as KEY=VALUE, such as --set local.lr=0.001", set);
    char *path = arena_strndup(&c->mem, set, (size_t)(equals - set));
    char *rest = path ? arena_strdup(&c->mem, path) : NULL;
    if (!over || !rest)
        return no_memory(e);
    for (char *key = rest, *dot; key; key = dot ? dot + 1 : NULL) {
        dot = strchr(key, '.');
        if (dot)
            *dot = '\0';
        const cyaml_schema_field_t *f = conf_field(schema, key);
        if (!f)
            return conf_unknown(c->type, source_set, path, e);
        schema = &f->value;
        if (dot) {
            value = node_map(&c->mem, source_set);
            if (!value)
                return no_memory(e);
        } else {
            int rc = parse_override(&c->mem, schema, equals + 1, &value, e);
            if (rc)
                return err_wrap(e, "--set %s", path);
        }
        value->key = f->key;
        at->child = value;
        at = value;
    }
    node_merge(c->root, over);
    return 0;
}

/* libcyaml says the reason first, then a backtrace: the first line is kept. */
static void keep_first_line(cyaml_log_t level, void *ctx, const char *fmt, va_list args)
{
    struct err *e = ctx;

    (void)level;
    if (!e->code) {
        vsnprintf(e->text, sizeof e->text, fmt, args);
        e->code = ERR_CONFIG;
    }
}

static int fill_struct(struct conf *c, struct err *e)
{
    struct err said = {0};
    const cyaml_config_t config = {.log_fn = keep_first_line,
                                   .log_ctx = &said,
                                   .mem_fn = cyaml_mem,
                                   .log_level = CYAML_LOG_ERROR,
                                   .flags = CYAML_CFG_NO_ALIAS};
    struct buf text = {.limit = TEXT_CAP};
    cyaml_err_t failed = CYAML_ERR_OOM;

    if (!node_write(c->root, false, &text))
        failed = cyaml_load_data(buf_bytes(&text), buf_size(&text), &config, c->type->schema,
                                 &c->data, NULL);
    buf_release(&text);
    if (failed == CYAML_ERR_OOM)
        return no_memory(e);
    if (failed)
        return err_set(e, ERR_CONFIG, "configuration: %s: %s", cyaml_strerror(failed), said.text);
    return 0;
}

static int load(struct conf *c, const char *name, const char *text, size_t len, char *const *set,
                size_t n, struct err *e)
{
    struct node *file;
    int rc = parse_defaults(&c->mem, c->type, &c->root, e);

    if (!rc && text) {
        const char *source = arena_strdup(&c->mem, name);

        if (!source)
            return no_memory(e);
        if (len > CONF_MAX_BYTES)
            return err_set(e, ERR_CONFIG, "%s is larger than %zu bytes: not a configuration", name,
                           CONF_MAX_BYTES);
        rc = parse_map(&c->mem, source, true, text, len, &file, e);
        if (!rc)
            node_merge(c->root, file);
    }
    for (size_t i = 0; !rc && i < n; i++)
        rc = apply_set(c, set[i], e);
    if (!rc)
        rc = conf_check(&c->mem, c->root, c->type, e);
    return rc ? rc : fill_struct(c, e);
}

int conf_load_text(struct conf **out, const struct conf_type *type, const char *name,
                   const char *text, size_t len, char *const *set, size_t n, struct err *e)
{
    struct conf *c = calloc(1, sizeof *c);

    if (!c)
        return no_memory(e);
    arena_init(&c->mem, TREE_CAP);
    c->type = type;
    int rc = load(c, name, text, len, set, n, e);
    if (rc)
        conf_free(c);
    else
        *out = c;
    return rc;
}

int conf_load(struct conf **out, const struct conf_type *type, const char *path, char *const *set,
              size_t n, struct err *e)
{
    char *text = NULL;
    size_t len = 0;
    int rc = path ? file_read(path, CONF_MAX_BYTES, &text, &len, e) : 0;

    if (!rc)
        rc = conf_load_text(out, type, path, text, len, set, n, e);
    free(text);
    return rc;
}

void *conf_data(struct conf *c)
{
    return c->data;
}

void conf_free(struct conf *c)
{
    const cyaml_config_t config = {.mem_fn = cyaml_mem};

    if (!c)
        return;
    if (c->data)
        cyaml_free(&config, c->type->schema, c->data, 0);
    arena_release(&c->mem);
    free(c);
}

/* One value; `n` is NULL when it is absent, which only a pointer can show. */
static int show_value(const struct node *n, const cyaml_schema_field_t *f, int indent,
                      struct buf *out)
{
    char origin[CONF_PATH];
    size_t start = buf_size(out);

    if (!n && !(f->value.flags & CYAML_FLAG_POINTER))
        return 0;
    int rc = buf_printf(out, "%*s%s: ", indent, "", f->key);
    if (!rc)
        rc = n ? node_write(n, true, out) : buf_printf(out, "null");
    if (rc)
        return rc;
    if (n)
        node_origin(n, origin, sizeof origin);
    for (char *p = origin; n && *p; p++) /* a file may have any name, a comment is one line */
        if ((unsigned char)*p < 0x20)
            *p = '?';
    int width = (int)(buf_size(out) - start);
    return buf_printf(out, "%*s  # %s\n", width < COMMENT_COLUMN ? COMMENT_COLUMN - width : 0, "",
                      n ? origin : source_default);
}

static int show_map(const struct node *n, const cyaml_schema_value_t *map, int indent,
                    struct buf *out)
{
    int rc = 0;

    for (const cyaml_schema_field_t *f = map->mapping.fields; !rc && f->key; f++) {
        const struct node *value = n ? node_get(n, f->key) : NULL;
        bool section = f->value.type == CYAML_MAPPING && !(value && value->kind != NODE_MAP) &&
                       (value || !(f->value.flags & CYAML_FLAG_POINTER));

        if (!section) {
            rc = show_value(value, f, indent, out);
        } else {
            rc = buf_printf(out, "%*s%s:\n", indent, "", f->key);
            if (!rc)
                rc = show_map(value, &f->value, indent + 2, out);
        }
    }
    return rc;
}

static int print_all(struct buf *text, int rc, FILE *out, struct err *e)
{
    if (rc)
        rc = no_memory(e);
    else if (fwrite(buf_bytes(text), 1, buf_size(text), out) != buf_size(text) || fflush(out) != 0)
        rc = err_sys(e, ERR_IO, errno, "cannot print the configuration");
    buf_release(text);
    return rc;
}

int conf_show(const struct conf *c, FILE *out, struct err *e)
{
    struct buf text = {.limit = TEXT_CAP};
    int rc = show_map(c->root, c->type->schema, 0, &text);

    return print_all(&text, rc, out, e);
}

static int help_map(const struct conf_type *type, const cyaml_schema_value_t *map,
                    const char *parent, const struct node *defaults, struct buf *out)
{
    int rc = 0;

    for (const cyaml_schema_field_t *f = map->mapping.fields; !rc && f->key; f++) {
        const struct node *value = defaults ? node_get(defaults, f->key) : NULL;
        char path[CONF_PATH];

        conf_path(path, parent, f->key);
        if (f->value.type == CYAML_MAPPING) {
            rc = help_map(type, &f->value, path, value, out);
            continue;
        }
        rc = buf_printf(out, "%-26s ", path);
        if (!rc)
            rc = conf_describe(type, path, &f->value, out);
        if (!rc && value)
            rc = buf_printf(out, "; default ");
        if (!rc && value)
            rc = node_write(value, true, out);
        if (!rc && !value && !(f->value.flags & CYAML_FLAG_OPTIONAL))
            rc = buf_printf(out, "; required");
        if (!rc)
            rc = buf_printf(out, "\n");
    }
    return rc;
}

int conf_schema_help(const struct conf_type *type, FILE *out, struct err *e)
{
    struct arena mem;
    struct node *defaults;
    struct buf text = {.limit = TEXT_CAP};

    arena_init(&mem, TREE_CAP);
    int rc = parse_defaults(&mem, type, &defaults, e);
    if (!rc)
        rc = print_all(&text, help_map(type, type->schema, "", defaults, &text), out, e);
    arena_release(&mem);
    return rc;
}
