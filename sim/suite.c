#include "sim/suite.h"
#include "base/conf.h"
#include "base/file.h"
#include "base/node.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SETTINGS = 256 };

static int no_memory(struct err *e)
{
    return err_set(e, ERR_NOMEM, "no memory for the suite");
}

static int wrong(const struct node *n, struct err *e, const char *what)
{
    char where[PATH_MAX];
    node_origin(n, where, sizeof where);
    return err_set(e, ERR_CONFIG, "%s: %s%s%s", where, n->key ? n->key : "", n->key ? ": " : "",
                   what);
}

static size_t count(const struct node *n)
{
    size_t len = 0;
    for (const struct node *c = n ? n->child : NULL; c; c = c->next)
        len++;
    return len;
}

/* A node as one line of YAML, in the suite's memory. */
static int flow(struct suite *s, const struct node *n, char **out, struct err *e)
{
    struct buf text;
    buf_init(&text, CONF_MAX_BYTES);
    int rc = node_write(n, true, &text);
    char *line =
        rc ? NULL : arena_strndup(&s->mem, (const char *)buf_bytes(&text), buf_size(&text));
    buf_release(&text);
    *out = line;
    return line ? 0 : no_memory(e);
}

/* --- settings --- */

struct settings {
    char *set[MAX_SETTINGS];
    size_t n;
};

/* Nested mappings and dotted keys are the same thing: "task: {name: x}" sets task.name. */
static int flatten(struct suite *s, const struct node *map, const char *prefix,
                   struct settings *out, struct err *e)
{
    int rc = 0;
    for (const struct node *c = map->child; !rc && c; c = c->next) {
        char *key = arena_printf(&s->mem, "%s%s%s", prefix, *prefix ? "." : "", c->key), *value;
        if (!key)
            return no_memory(e);
        if (c->kind == NODE_MAP) {
            rc = flatten(s, c, key, out, e);
            continue;
        }
        if (out->n == MAX_SETTINGS)
            return wrong(c, e, "too many settings in one group");
        rc = flow(s, c, &value, e);
        if (!rc && !(out->set[out->n++] = arena_printf(&s->mem, "%s=%s", key, value)))
            rc = no_memory(e);
    }
    return rc;
}

static int keep_settings(struct suite *s, const struct settings *in, char ***set, size_t *n,
                         struct err *e)
{
    char **copy = arena_calloc(&s->mem, in->n + 1, sizeof *copy);
    if (!copy)
        return no_memory(e);
    memcpy(copy, in->set, in->n * sizeof *copy);
    *set = copy;
    *n = in->n;
    return 0;
}

static int read_settings(struct suite *s, const struct node *map, char ***set, size_t *n,
                         struct err *e)
{
    struct settings all = {0};
    if (map->kind != NODE_MAP && !node_is_null(map))
        return wrong(map, e, "a group of settings is a mapping, such as {local.lr: 0.001}");
    int rc = flatten(s, map, "", &all, e);
    return rc ? rc : keep_settings(s, &all, set, n, e);
}

/* --- the grid --- */

static bool whole(const char *text, uint32_t *out)
{
    char *end;
    unsigned long v = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || v > 1000000)
        return false;
    *out = (uint32_t)v;
    return true;
}

/* epochs and clients of a baseline are no settings of the experiment. */
static int take_baseline(struct suite_choice *c, const struct node *group, struct err *e)
{
    if (!baseline_parse(c->label, &c->baseline.kind))
        return wrong(group, e, "a baseline is federated, centralized or local");
    size_t left = 0;
    for (size_t i = 0; i < c->n; i++) {
        const char *value = strchr(c->set[i], '=') + 1;
        uint32_t *to = strncmp(c->set[i], "epochs=", 7) == 0    ? &c->baseline.epochs
                       : strncmp(c->set[i], "clients=", 8) == 0 ? &c->baseline.clients
                                                                : NULL;
        if (to && !whole(value, to))
            return wrong(group, e, "epochs and clients are whole numbers");
        if (!to)
            c->set[left++] = c->set[i];
    }
    c->n = left;
    return 0;
}

static int read_group(struct suite *s, const struct node *n, struct suite_choice *c, struct err *e)
{
    c->label = n->key;
    return read_settings(s, n, &c->set, &c->n, e);
}

static int read_value(struct suite *s, const struct node *axis, const struct node *n,
                      struct suite_choice *c, struct err *e)
{
    struct settings one = {0};
    char *value;
    int rc = flow(s, n, &value, e);
    if (rc)
        return rc;
    c->label = n->kind == NODE_SCALAR ? n->text : value;
    if (strcmp(axis->key, "baseline") != 0 &&
        !(one.set[one.n++] = arena_printf(&s->mem, "%s=%s", axis->key, value)))
        return no_memory(e);
    return keep_settings(s, &one, &c->set, &c->n, e);
}

static int read_axis(struct suite *s, const struct node *n, struct err *e)
{
    struct suite_axis *a = &s->axis[s->n_axes++];
    a->name = n->key;
    if (n->kind == NODE_SCALAR || count(n) == 0)
        return wrong(n, e, "an axis is a list of values, or a mapping of named groups of settings");
    a->choice = arena_calloc(&s->mem, count(n), sizeof *a->choice);
    if (!a->choice)
        return no_memory(e);
    int rc = 0;
    for (const struct node *v = n->child; !rc && v; v = v->next) {
        struct suite_choice *c = &a->choice[a->n++];
        rc = n->kind == NODE_MAP ? read_group(s, v, c, e) : read_value(s, n, v, c, e);
        if (!rc && strcmp(a->name, "baseline") == 0)
            rc = take_baseline(c, v, e);
        for (size_t i = 0; !rc && i + 1 < a->n; i++)
            if (strcmp(a->choice[i].label, c->label) == 0)
                rc = wrong(v, e, "a value is there twice");
    }
    return rc;
}

static int read_grid(struct suite *s, const struct node *grid, struct err *e)
{
    if (grid && grid->kind != NODE_MAP)
        return wrong(grid, e, "is a mapping of axes");
    if (count(grid) > SUITE_MAX_AXES)
        return wrong(grid, e, "has more than 16 axes");
    int rc = 0;
    for (const struct node *n = grid ? grid->child : NULL; !rc && n; n = n->next)
        rc = read_axis(s, n, e);
    return rc;
}

/* --- rules --- */

static int match_label(const struct suite_axis *a, bool *chosen, const struct node *n,
                       struct err *e)
{
    if (n->kind != NODE_SCALAR)
        return wrong(n, e, "a rule names choices of an axis: a word, or a list of words");
    for (size_t i = 0; i < a->n; i++) {
        if (strcmp(a->choice[i].label, n->text) == 0) {
            chosen[i] = true;
            return 0;
        }
    }
    char where[PATH_MAX];
    node_origin(n, where, sizeof where);
    return err_set(e, ERR_CONFIG, "%s: axis %s has no choice \"%s\"", where, a->name, n->text);
}

static int read_match(struct suite *s, const struct node *map, struct suite_match *m, struct err *e)
{
    if (!map || map->kind != NODE_MAP)
        return err_set(e, ERR_CONFIG, "%s: a rule is a mapping of axes to choices", s->path);
    int rc = 0;
    for (const struct node *n = map->child; !rc && n; n = n->next) {
        size_t i = 0;
        while (i < s->n_axes && strcmp(s->axis[i].name, n->key) != 0)
            i++;
        if (i == s->n_axes)
            return wrong(n, e, "no such axis in the grid");
        const struct suite_axis *a = &s->axis[i];
        bool *chosen = arena_calloc(&s->mem, a->n, sizeof *chosen);
        if (!chosen)
            return no_memory(e);
        m->chosen[i] = chosen;
        if (n->kind != NODE_LIST)
            rc = match_label(a, chosen, n, e);
        for (const struct node *v = n->kind == NODE_LIST ? n->child : NULL; !rc && v; v = v->next)
            rc = match_label(a, chosen, v, e);
    }
    return rc;
}

static int read_adjustment(struct suite *s, const struct node *n, struct suite_rule *r,
                           struct err *e)
{
    const struct node *set = node_get(n, "set");
    if (n->kind != NODE_MAP || !set || !node_get(n, "when") || count(n) != 2)
        return wrong(n, e, "an adjustment is {when: {AXIS: CHOICE}, set: {KEY: VALUE}}");
    int rc = read_match(s, node_get(n, "when"), &r->when, e);
    return rc ? rc : read_settings(s, set, &r->set, &r->n, e);
}

static int read_rules(struct suite *s, const struct node *list, bool adjust,
                      struct suite_rules *out, struct err *e)
{
    if (!list || node_is_null(list))
        return 0;
    if (list->kind != NODE_LIST)
        return wrong(list, e, "is a list of rules");
    out->rule = arena_calloc(&s->mem, count(list) + 1, sizeof *out->rule);
    if (!out->rule)
        return no_memory(e);
    int rc = 0;
    for (const struct node *n = list->child; !rc && n; n = n->next) {
        struct suite_rule *r = &out->rule[out->n++];
        rc = adjust ? read_adjustment(s, n, r, e) : read_match(s, n, &r->when, e);
    }
    return rc;
}

/* --- the file --- */

/* The base experiment: a file, seen from the suite's folder or the working directory, or inline. */
static int read_base(struct suite *s, const struct node *base, struct err *e)
{
    if (!base)
        return err_set(e, ERR_CONFIG, "%s: base is missing: an experiment, or the path of one",
                       s->path);
    if (base->kind == NODE_MAP) {
        char *line;
        int rc = flow(s, base, &line, e);
        s->base = line;
        s->base_path = arena_printf(&s->mem, "%s (base)", s->path);
        return rc || s->base_path ? rc : no_memory(e);
    }
    if (base->kind != NODE_SCALAR)
        return wrong(base, e, "is an experiment, or the path of one");
    const char *slash = strrchr(s->path, '/');
    char *beside =
        slash && base->text[0] != '/'
            ? arena_printf(&s->mem, "%.*s/%s", (int)(slash - s->path), s->path, base->text)
            : NULL;
    s->base_path = beside && file_exists(beside) ? beside : base->text;
    char *text;
    int rc = file_read(s->base_path, CONF_MAX_BYTES, &text, NULL, e);
    if (rc)
        return rc;
    s->base = arena_strdup(&s->mem, text);
    free(text);
    return s->base ? 0 : no_memory(e);
}

static int check_keys(const struct node *root, struct err *e)
{
    static const char *const known[] = {"base", "grid", "only", "exclude", "adjust"};
    for (const struct node *n = root->child; n; n = n->next) {
        bool found = false;
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            found |= strcmp(known[i], n->key) == 0;
        if (!found)
            return wrong(n, e, "unknown key; a suite has base, grid, only, exclude and adjust");
    }
    return 0;
}

static int read_suite(struct suite *s, struct err *e)
{
    char *text;
    size_t len;
    struct node *root;
    int rc = file_read(s->path, CONF_MAX_BYTES, &text, &len, e);
    if (rc)
        return rc;
    rc = node_parse(&s->mem, s->path, true, text, len, &root, e);
    free(text);
    if (!rc && (!root || root->kind != NODE_MAP))
        rc = err_set(e, ERR_CONFIG, "%s: not a suite: it has no base and no grid", s->path);
    if (!rc)
        rc = check_keys(root, e);
    if (!rc)
        rc = read_base(s, node_get(root, "base"), e);
    if (!rc)
        rc = read_grid(s, node_get(root, "grid"), e);
    if (!rc)
        rc = read_rules(s, node_get(root, "only"), false, &s->only, e);
    if (!rc)
        rc = read_rules(s, node_get(root, "exclude"), false, &s->exclude, e);
    if (!rc)
        rc = read_rules(s, node_get(root, "adjust"), true, &s->adjust, e);
    return rc;
}

int suite_open(struct suite *s, const char *path, struct err *e)
{
    memset(s, 0, sizeof *s);
    arena_init(&s->mem, (size_t)1 << 30);
    s->path = path;
    int rc = read_suite(s, e);
    if (!rc)
        rc = suite_expand(s, e);
    if (rc)
        suite_close(s);
    return rc;
}

void suite_close(struct suite *s)
{
    arena_release(&s->mem);
}
