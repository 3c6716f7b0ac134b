/* SIGHUP: the configuration is read anew. What the loop can change while it runs, it does; what it
 * cannot is named, and waits for a restart. */
#include "base/node.h"
#include "server/server.h"
#include "server/server_state.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_MAX = 128, TREE_LIMIT = 1 << 20, VALUE_LIMIT = 1 << 16 };

/* What is taken over; keys below these, too. */
static const char *const reloadable[] = {"log", "metrics", "drain_s", "allow", "observers"};

struct changes {
    json_t *applied, *deferred; /* arrays of dotted keys */
};

static void note(struct changes *c, const char *key)
{
    for (size_t i = 0; i < sizeof reloadable / sizeof *reloadable; i++) {
        size_t len = strlen(reloadable[i]);
        if (strncmp(key, reloadable[i], len) == 0 && (key[len] == '\0' || key[len] == '.')) {
            json_array_append_new(c->applied, json_string(key));
            return;
        }
    }
    json_array_append_new(c->deferred, json_string(key));
}

static bool same_value(const struct node *a, const struct node *b)
{
    struct buf left, right;
    buf_init(&left, VALUE_LIMIT);
    buf_init(&right, VALUE_LIMIT);
    bool same = node_write(a, true, &left) == 0 && node_write(b, true, &right) == 0 &&
                buf_size(&left) == buf_size(&right) &&
                memcmp(buf_bytes(&left), buf_bytes(&right), buf_size(&left)) == 0;
    buf_release(&left);
    buf_release(&right);
    return same;
}

/* conf_show prints every key of a schema, so that both trees have the same ones. */
static void compare(const struct node *a, const struct node *b, const char *parent,
                    struct changes *c)
{
    for (const struct node *x = a->child; x != NULL; x = x->next) {
        char key[KEY_MAX];
        const struct node *y = node_get(b, x->key);
        snprintf(key, sizeof key, "%s%s%s", parent, parent[0] != '\0' ? "." : "", x->key);
        if (y != NULL && x->kind == NODE_MAP && y->kind == NODE_MAP)
            compare(x, y, key, c);
        else if (y == NULL || !same_value(x, y))
            note(c, key);
    }
}

static int show(struct arena *mem, const struct conf *conf, struct node **root, struct err *e)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (out == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    int rc = conf_show(conf, out, e);
    fclose(out);
    if (rc == 0)
        rc = node_parse(mem, "configuration", false, text, len, root, e);
    free(text);
    return rc;
}

static int find_changes(const struct conf *before, const struct conf *after, struct changes *c,
                        struct err *e)
{
    struct arena mem;
    struct node *a = NULL, *b = NULL;
    arena_init(&mem, TREE_LIMIT);
    int rc = show(&mem, before, &a, e);
    if (rc == 0)
        rc = show(&mem, after, &b, e);
    if (rc == 0)
        compare(a, b, "", c);
    arena_release(&mem);
    return rc;
}

/* "a, b, c", cut to size. */
static const char *list(const json_t *keys, char *out, size_t size)
{
    size_t i, len = 0;
    json_t *key;
    out[0] = '\0';
    json_array_foreach(keys, i, key) if (len < size) len +=
        (size_t)snprintf(out + len, size - len, "%s%s", i > 0 ? ", " : "", json_string_value(key));
    return out;
}

static void apply(struct server *s, struct conf *conf, struct server_config *fresh)
{
    const char *before = s->live->metrics;
    struct conf *old = s->fresh;
    struct err e = {0};
    if (log_begin("fedpet-server", &fresh->log, &e) != 0)
        log_error("log not changed reason=\"%s\"", e.text);
    s->live = fresh;
    s->fresh = conf;
    observe_page_move(s, before);
    conf_free(old);
}

static void report(struct server *s, struct changes *c)
{
    char keys[512];
    if (json_array_size(c->deferred) > 0)
        log_warn("settings wait for a restart keys=\"%s\"", list(c->deferred, keys, sizeof keys));
    log_info("configuration reloaded keys=\"%s\"", list(c->applied, keys, sizeof keys));
    observe_event(s, "reloaded",
                  json_pack("{s:O, s:O}", "applied", c->applied, "deferred", c->deferred));
}

void reload_settings(struct server *s)
{
    const struct server_config *first = s->config;
    struct server_config *fresh;
    struct conf *conf;
    struct changes c = {json_array(), json_array()};
    struct err e = {0};
    int rc = server_config_load(&conf, &fresh, first->path, &first->set,
                                NEED_STATE | NEED_IDENTITY | NEED_PORTS, &e);
    if (rc == 0 && (rc = find_changes(s->live->conf, conf, &c, &e)) != 0)
        conf_free(conf);
    if (rc == 0) {
        apply(s, conf, fresh);
        report(s, &c);
    } else {
        log_error("configuration not reloaded, the old one stays in use reason=\"%s\"", e.text);
        observe_event(s, "reload_failed", json_pack("{s:s}", "reason", e.text));
    }
    json_decref(c.applied);
    json_decref(c.deferred);
}
