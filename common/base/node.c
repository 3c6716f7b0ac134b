#include "base/node.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

struct reader {
    yaml_parser_t yaml;
    struct arena *mem;
    const char *source;
    bool lines;
    size_t count;
    struct err *e;
};

static int bad(struct reader *r, const yaml_mark_t *at, const char *what)
{
    if (r->lines)
        return err_set(r->e, ERR_CONFIG, "%s:%zu: %s", r->source, at->line + 1, what);
    return err_set(r->e, ERR_CONFIG, "%s", what);
}

static int no_memory(struct err *e, const char *source)
{
    return err_set(e, ERR_NOMEM, "%s: no memory for the configuration", source);
}

static int next_event(struct reader *r, yaml_event_t *event)
{
    if (yaml_parser_parse(&r->yaml, event))
        return 0;
    if (r->yaml.error == YAML_MEMORY_ERROR)
        return no_memory(r->e, r->source);
    return bad(r, &r->yaml.problem_mark, r->yaml.problem ? r->yaml.problem : "not YAML");
}

static struct node *new_node(struct reader *r, enum node_kind kind, const yaml_mark_t *at)
{
    struct node *n = arena_calloc(r->mem, 1, sizeof *n);

    if (!n) {
        no_memory(r->e, r->source);
        return NULL;
    }
    n->kind = kind;
    n->source = r->source;
    n->line = r->lines ? (unsigned)at->line + 1 : 0;
    return n;
}

/* Anchors and aliases multiply a small file into a huge one; tags change types behind the schema's
 * back. */
static int check_plain(struct reader *r, const yaml_event_t *event)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;

    switch (event->type) {
    case YAML_ALIAS_EVENT:
        return bad(r, &event->start_mark, "aliases (*name) are not supported: write the value out");
    case YAML_SCALAR_EVENT:
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
        break;
    default:
        break;
    }
    if (anchor)
        return bad(r, &event->start_mark, "anchors (&name) are not supported: write the value out");
    if (tag)
        return bad(r, &event->start_mark, "tags (!name) are not supported: remove it");
    if (++r->count > NODE_MAX_COUNT)
        return bad(r, &event->start_mark, "too many values for a configuration");
    return 0;
}

static int copy_text(struct reader *r, const yaml_event_t *event, const char **text)
{
    size_t len = event->data.scalar.length;
    const char *value = (const char *)event->data.scalar.value;

    if (memchr(value, '\0', len))
        return bad(r, &event->start_mark, "a NUL character in a text");
    *text = arena_strndup(r->mem, value, len);
    return *text ? 0 : no_memory(r->e, r->source);
}

/* Reads the key of the next entry; *key is NULL at the end of the mapping. */
static int read_key(struct reader *r, const struct node *map, const char **key)
{
    yaml_event_t event;
    int rc = next_event(r, &event);

    if (rc)
        return rc;
    *key = NULL;
    if (event.type != YAML_MAPPING_END_EVENT) {
        rc = check_plain(r, &event);
        if (!rc && event.type != YAML_SCALAR_EVENT)
            rc = bad(r, &event.start_mark, "a key must be a single word");
        if (!rc)
            rc = copy_text(r, &event, key);
        if (!rc && node_get(map, *key)) {
            rc = bad(r, &event.start_mark, "a key that occurs twice; remove one");
            err_wrap(r->e, "%s", *key);
        }
    }
    yaml_event_delete(&event);
    return rc;
}

static int read_value(struct reader *r, yaml_event_t *event, int depth, struct node **out);

static int read_map(struct reader *r, struct node *map, int depth)
{
    struct node **tail = &map->child;

    for (;;) {
        yaml_event_t event;
        const char *key;
        int rc = read_key(r, map, &key);

        if (rc || !key)
            return rc;
        rc = next_event(r, &event);
        if (!rc)
            rc = read_value(r, &event, depth, tail);
        if (rc)
            return rc;
        (*tail)->key = key;
        tail = &(*tail)->next;
    }
}

static int read_list(struct reader *r, struct node *list, int depth)
{
    struct node **tail = &list->child;

    for (;;) {
        yaml_event_t event;
        int rc = next_event(r, &event);

        if (rc)
            return rc;
        if (event.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&event);
            return 0;
        }
        rc = read_value(r, &event, depth, tail);
        if (rc)
            return rc;
        tail = &(*tail)->next;
    }
}

/* The value that starts with `event`, which is consumed. *out is set last in this level, so that a
 * half-read value hangs nowhere. */
static int read_value(struct reader *r, yaml_event_t *event, int depth, struct node **out)
{
    enum node_kind kind = event->type == YAML_SCALAR_EVENT           ? NODE_SCALAR
                          : event->type == YAML_SEQUENCE_START_EVENT ? NODE_LIST
                                                                     : NODE_MAP;
    int rc = check_plain(r, event);
    struct node *n = NULL;

    if (!rc && depth == NODE_MAX_DEPTH)
        rc = bad(r, &event->start_mark, "nested too deeply");
    if (!rc) {
        n = new_node(r, kind, &event->start_mark);
        rc = n ? 0 : ERR_NOMEM;
    }
    if (!rc && kind == NODE_SCALAR) {
        n->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
        rc = copy_text(r, event, &n->text);
    }
    yaml_event_delete(event);
    if (!rc && kind == NODE_LIST)
        rc = read_list(r, n, depth + 1);
    if (!rc && kind == NODE_MAP)
        rc = read_map(r, n, depth + 1);
    if (!rc)
        *out = n;
    return rc;
}

static int read_stream(struct reader *r, struct node **root)
{
    struct node *top = NULL;
    bool seen = false;

    for (;;) {
        yaml_event_t event;
        int rc = next_event(r, &event);

        if (rc)
            return rc;
        switch (event.type) {
        case YAML_STREAM_END_EVENT:
            yaml_event_delete(&event);
            *root = top;
            return 0;
        case YAML_DOCUMENT_START_EVENT:
            if (seen)
                rc = bad(r, &event.start_mark, "a second document: a configuration has one");
            seen = true;
            yaml_event_delete(&event);
            break;
        case YAML_STREAM_START_EVENT:
        case YAML_DOCUMENT_END_EVENT:
            yaml_event_delete(&event);
            break;
        default:
            rc = read_value(r, &event, 0, &top);
        }
        if (rc)
            return rc;
    }
}

int node_parse(struct arena *mem, const char *source, bool lines, const char *text, size_t len,
               struct node **root, struct err *e)
{
    struct reader r = {.mem = mem, .source = source, .lines = lines, .e = e};

    if (!yaml_parser_initialize(&r.yaml))
        return no_memory(e, source);
    yaml_parser_set_encoding(&r.yaml, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.yaml, (const unsigned char *)text, len);
    int rc = read_stream(&r, root);
    yaml_parser_delete(&r.yaml);
    return rc;
}

struct node *node_scalar(struct arena *mem, const char *source, const char *text)
{
    struct node *n = arena_calloc(mem, 1, sizeof *n);

    if (n)
        *n = (struct node){.kind = NODE_SCALAR, .source = source, .text = text};
    return n;
}

struct node *node_map(struct arena *mem, const char *source)
{
    struct node *n = arena_calloc(mem, 1, sizeof *n);

    if (n)
        *n = (struct node){.kind = NODE_MAP, .source = source};
    return n;
}

struct node *node_get(const struct node *n, const char *key)
{
    if (n->kind != NODE_MAP)
        return NULL;
    for (struct node *c = n->child; c; c = c->next)
        if (strcmp(c->key, key) == 0)
            return c;
    return NULL;
}

static bool is_null_word(const char *s)
{
    return !*s || !strcmp(s, "~") || !strcmp(s, "null") || !strcmp(s, "Null") || !strcmp(s, "NULL");
}

bool node_is_null(const struct node *n)
{
    return n->kind == NODE_SCALAR && !n->quoted && is_null_word(n->text);
}

void node_merge(struct node *base, struct node *over)
{
    for (struct node *c = over->child, *next; c; c = next) {
        struct node **at = &base->child;

        next = c->next;
        while (*at && strcmp((*at)->key, c->key) != 0)
            at = &(*at)->next;
        if (*at && (*at)->kind == NODE_MAP && c->kind == NODE_MAP) {
            node_merge(*at, c);
        } else if (!*at || (*at)->kind != NODE_MAP || !node_is_null(c)) {
            c->next = *at ? (*at)->next : NULL;
            *at = c;
        }
    }
}

/* Characters that mean nothing to YAML anywhere inside a plain scalar of flow style; the first one
 * may not be a sign of a list. */
static bool is_plain(const char *s)
{
    static const char safe[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+-";

    return !is_null_word(s) && s[strspn(s, safe)] == '\0' && strcmp(s, "-") != 0 &&
           strncmp(s, "--", 2) != 0 && strncmp(s, "...", 3) != 0;
}

/* The character at s when it must be escaped inside double quotes, else 0: controls, the line
 * breaks that YAML folds (U+0085, U+2028, U+2029), and what libyaml's reader refuses. *n: its
 * bytes. */
static unsigned must_escape(const unsigned char *s, int *n)
{
    *n = 1;
    if (*s < 0x20 || *s == 0x7f || *s == '"' || *s == '\\')
        return *s;
    *n = 2;
    if (*s == 0xc2 && s[1] >= 0x80 && s[1] < 0xa0)
        return s[1];
    *n = 3;
    if (*s == 0xe2 && s[1] == 0x80 && (s[2] == 0xa8 || s[2] == 0xa9))
        return 0x2000u | (s[2] & 0x3f);
    if (*s == 0xef && s[1] == 0xbb && s[2] == 0xbf)
        return 0xfeff;
    if (*s == 0xef && s[1] == 0xbf && (s[2] == 0xbe || s[2] == 0xbf))
        return 0xffc0u | (s[2] & 0x3f);
    *n = 1;
    return 0;
}

int node_write_text(const char *text, bool quoted, struct buf *out)
{
    int rc, n;

    if (!quoted && is_null_word(text))
        return buf_printf(out, "null");
    if (is_plain(text))
        return buf_printf(out, "%s", text);
    rc = buf_append(out, "\"", 1);
    for (; !rc && *text; text += n) {
        unsigned code = must_escape((const unsigned char *)text, &n);

        if (code == '"' || code == '\\')
            rc = buf_printf(out, "\\%c", (int)code);
        else
            rc = code ? buf_printf(out, "\\u%04x", code) : buf_append(out, text, 1);
    }
    return rc ? rc : buf_append(out, "\"", 1);
}

int node_write(const struct node *n, bool as_written, struct buf *out)
{
    const char *bracket = n->kind == NODE_LIST ? "[]" : "{}", *comma = "";

    if (n->kind == NODE_SCALAR)
        return node_write_text(!as_written && n->value ? n->value : n->text, n->quoted, out);
    int rc = buf_append(out, bracket, 1);
    for (const struct node *c = n->child; !rc && c; c = c->next) {
        if (!as_written && node_is_null(c))
            continue;
        rc = buf_printf(out, "%s", comma);
        comma = ", ";
        if (!rc && n->kind == NODE_MAP)
            rc = node_write_text(c->key, true, out);
        if (!rc && n->kind == NODE_MAP)
            rc = buf_printf(out, ": ");
        if (!rc)
            rc = node_write(c, as_written, out);
    }
    return rc ? rc : buf_append(out, bracket + 1, 1);
}

void node_origin(const struct node *n, char *out, size_t size)
{
    if (n->line)
        snprintf(out, size, "%s:%u", n->source, n->line);
    else
        snprintf(out, size, "%s", n->source);
}
