/* From the grid of a suite to its cells: every combination that the rules let through, with its
 * effective settings and its identity. */
#include "base/conf.h"
#include "base/file.h"
#include "client/experiment.h"
#include "sim/digest.h"
#include "sim/suite.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SET = 1024, MAX_PATHS = 256 };

/* Folders that cells read, digested once. */
struct known_path {
    const char *path;
    struct digest digest;
};

struct expansion {
    struct suite *suite;
    size_t at[SUITE_MAX_AXES]; /* the present choice of each axis */
    struct known_path known[MAX_PATHS];
    size_t n_known;
};

static int no_memory(struct err *e)
{
    return err_set(e, ERR_NOMEM, "no memory for the cells of the suite");
}

static bool matches(const struct expansion *x, const struct suite_match *m)
{
    for (size_t i = 0; i < x->suite->n_axes; i++)
        if (m->chosen[i] && !m->chosen[i][x->at[i]])
            return false;
    return true;
}

static bool any_matches(const struct expansion *x, const struct suite_rules *rules)
{
    for (size_t i = 0; i < rules->n; i++)
        if (matches(x, &rules->rule[i].when))
            return true;
    return false;
}

static bool wanted(const struct expansion *x)
{
    const struct suite *s = x->suite;
    return (s->only.n == 0 || any_matches(x, &s->only)) && !any_matches(x, &s->exclude);
}

/* --- effective settings --- */

struct overrides {
    char *item[MAX_SET];
    size_t n;
};

static int add(struct overrides *o, char *const *set, size_t n, struct err *e)
{
    if (o->n + n > MAX_SET)
        return err_set(e, ERR_CONFIG, "more than %d settings in one cell", MAX_SET);
    memcpy(o->item + o->n, set, n * sizeof *set);
    o->n += n;
    return 0;
}

static int add_text(struct suite *s, struct overrides *o, const char *key, const char *value,
                    struct err *e)
{
    char *text = arena_printf(&s->mem, "%s=%s", key, value);
    return text ? add(o, &text, 1, e) : no_memory(e);
}

static int collect(const struct expansion *x, struct overrides *o, struct err *e)
{
    const struct suite *s = x->suite;
    int rc = 0;
    for (size_t i = 0; !rc && i < s->n_axes; i++) {
        const struct suite_choice *c = &s->axis[i].choice[x->at[i]];
        rc = add(o, c->set, c->n, e);
    }
    for (size_t i = 0; !rc && i < s->adjust.n; i++)
        if (matches(x, &s->adjust.rule[i].when))
            rc = add(o, s->adjust.rule[i].set, s->adjust.rule[i].n, e);
    return rc;
}

static int load(const struct suite *s, const struct overrides *o, struct conf **conf, struct err *e)
{
    return conf_load_text(conf, &experiment_conf, s->base_path, s->base, strlen(s->base), o->item,
                          o->n, e);
}

/* Removes what conf_show says behind " # " about a value's origin. */
static void drop_origins(char *text)
{
    char *to = text;
    for (char *line = text; *line;) {
        size_t whole = strcspn(line, "\n"), len = whole;
        for (size_t i = 0; i + 2 < whole; i++)
            if (memcmp(line + i, " # ", 3) == 0)
                len = i;
        while (len > 0 && line[len - 1] == ' ')
            len--;
        memmove(to, line, len);
        to += len;
        *to++ = '\n';
        line += whole + (line[whole] == '\n');
    }
    *to = '\0';
}

/* All settings as YAML; `plain`: without where they come from. */
static int show(struct suite *s, const struct overrides *o, bool plain, char **out, struct err *e)
{
    struct conf *conf;
    char *text = NULL;
    size_t len = 0;
    int rc = load(s, o, &conf, e);
    if (rc)
        return rc;
    FILE *f = open_memstream(&text, &len);
    rc = f ? conf_show(conf, f, e) : no_memory(e);
    if (f && fclose(f) != 0 && !rc)
        rc = no_memory(e);
    conf_free(conf);
    if (!rc && plain)
        drop_origins(text);
    *out = rc ? NULL : arena_strdup(&s->mem, text);
    free(text);
    return rc || *out ? rc : no_memory(e);
}

/* --- model and data --- */

static int locate(struct suite *s, const char *key, const char *path, const char **out,
                  struct err *e)
{
    const char *slash = strrchr(s->base_path, '/');
    char whole[PATH_MAX], beside[PATH_MAX];
    if (!path || !*path)
        return err_set(e, ERR_CONFIG, "%s is missing", key);
    if (!realpath(path, whole)) {
        int n = slash && *path != '/' ? snprintf(beside, sizeof beside, "%.*s/%s",
                                                 (int)(slash - s->base_path), s->base_path, path)
                                      : 0;
        if (n <= 0 || n >= (int)sizeof beside || !realpath(beside, whole))
            return err_sys(e, ERR_IO, errno, "%s: %s", key, path);
    }
    *out = arena_strdup(&s->mem, whole);
    return *out ? 0 : no_memory(e);
}

static int digest_once(struct expansion *x, const char *path, const struct digest **out,
                       struct err *e)
{
    for (size_t i = 0; i < x->n_known; i++) {
        if (strcmp(x->known[i].path, path) == 0) {
            *out = &x->known[i].digest;
            return 0;
        }
    }
    if (x->n_known == MAX_PATHS)
        return err_set(e, ERR_CONFIG, "more than %d models and data sets", MAX_PATHS);
    struct known_path *k = &x->known[x->n_known];
    int rc = digest_path(path, &k->digest, e);
    if (rc)
        return rc;
    k->path = path;
    *out = &k->digest;
    x->n_known++;
    return 0;
}

/* --- identity --- */

struct setting {
    const char *key, *value;
};
static const struct setting of_server[] = {
    {"federation.quorum", "0"},
    {"federation.deadline_s", "1"},
    {"federation.weighted", "true"},
    {"federation.optimizer", "fedavg"},
    {"federation.server_lr", "1"},
    {"federation.server_beta1", "0"},
    {"federation.server_beta2", "0"},
    {"federation.server_tau", "1"},
    {"federation.aggregator", "fedavg"},
    {"federation.clip_norm", "1"},
    {"federation.byzantine", "0"},
    {"federation.krum_keep", "1"},
    {"federation.max_update_norm", "0"},
    {"federation.scaffold", "false"},
    {"federation.rounds", "1"},
    {"federation.per_round", "1"},
    {"federation.over_select", "1"},
    {"federation.mode", "sync"},
    {"federation.concurrency", "0"},
    {"federation.max_staleness", "0"},
    {"local.proximal", "0"},
    {"local.decay_over_run", "false"},
    {"local.carry_optimizer", "false"},
    {0},
};
/* What an unused optimiser's settings count as. */
static const struct setting of_optimizer[] = {
    {"federation.server_lr", "0.01"},
    {"federation.server_beta1", "0.9"},
    {"federation.server_beta2", "0.99"},
    {"federation.server_tau", "0.001"},
    {0},
};
static const struct setting of_partition[] = {
    {"federation.partition", "iid"},
    {"federation.alpha", "1"},
    {"federation.column", "null"},
    {"federation.clients", "1"},
    {0},
};

static int add_table(struct suite *s, struct overrides *o, const struct setting *t, struct err *e)
{
    int rc = 0;
    for (; !rc && t->key; t++)
        rc = add_text(s, o, t->key, t->value, e);
    return rc;
}

/* Settings that a result does not depend on get one value. */
static int neutralise(struct suite *s, const struct suite_cell *c, struct overrides *o,
                      struct err *e)
{
    char epochs[16];
    if (c->baseline.kind == BASELINE_FEDERATED && c->spec.federation.optimizer == SERVER_FEDAVG)
        return add_table(s, o, of_optimizer, e);
    if (c->baseline.kind == BASELINE_FEDERATED || (c->spec.local.steps && !c->baseline.epochs))
        return 0;
    snprintf(epochs, sizeof epochs, "%u", baseline_epochs(&c->baseline, &c->spec));
    int rc = add_table(s, o, of_server, e);
    if (!rc)
        rc = add_text(s, o, "local.epochs", epochs, e);
    if (!rc && c->baseline.kind == BASELINE_CENTRALIZED)
        rc = add_table(s, o, of_partition, e);
    return rc;
}

static int identify(struct expansion *x, struct suite_cell *c, const struct overrides *set,
                    const char *model, const char *data, struct err *e)
{
    struct overrides o = *set;
    const struct digest *of_model = NULL, *of_data = NULL;
    char hex[HASH_HEX], *text = NULL;
    int rc = digest_once(x, model, &of_model, e);
    if (!rc)
        rc = digest_once(x, data, &of_data, e);
    if (rc)
        return rc;
    hash_hex(&of_model->hash, hex);
    rc = add_text(x->suite, &o, "model", hex, e);
    hash_hex(&of_data->hash, hex);
    if (!rc)
        rc = add_text(x->suite, &o, "task.data", hex, e);
    if (!rc)
        rc = neutralise(x->suite, c, &o, e);
    if (!rc)
        rc = show(x->suite, &o, true, &text, e);
    if (rc)
        return rc;
    char head[128];
    int n = snprintf(head, sizeof head, "fedpet %s, %s, %u clients\n", FEDPET_VERSION,
                     baseline_name(c->baseline.kind), c->baseline.clients);
    struct hash_state state, *h = hash_begin(&state);
    hash_feed(h, head, (size_t)n);
    hash_feed(h, text, strlen(text));
    struct hash id = hash_end(h);
    hash_hex(&id, c->id);
    c->work = (double)of_data->train_bytes * baseline_epochs(&c->baseline, &c->spec);
    if (c->baseline.kind == BASELINE_LOCAL && c->baseline.clients > 0)
        c->work *= (double)c->baseline.clients / c->spec.federation.clients;
    return 0;
}

/* --- cells --- */

static bool has_place(const char *axis)
{
    static const char *const names[] = {
        "task", "peft", "baseline", "federation.alpha", "local.epochs", "federation.seed"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], axis) == 0)
            return true;
    return false;
}

/* What a person calls the cell. */
static int describe(const struct expansion *x, struct suite_cell *c, struct err *e)
{
    struct suite *s = x->suite;
    c->title = c->variant = "";
    for (size_t i = 0; i < s->n_axes; i++) {
        const char *name = s->axis[i].name, *label = s->axis[i].choice[x->at[i]].label;
        const char *dot = strrchr(name, '.'), *brief = dot ? dot + 1 : name;
        c->title = arena_printf(&s->mem, "%s%s%s=%s", c->title, *c->title ? " " : "", brief, label);
        if (!has_place(name))
            c->variant = arena_printf(&s->mem, "%s%s%s=%s", c->variant, *c->variant ? ", " : "",
                                      brief, label);
        if (!c->title || !c->variant)
            return no_memory(e);
        if (strcmp(name, "task") == 0)
            c->task = label;
        if (strcmp(name, "peft") == 0)
            c->method = label;
        if (strcmp(name, "baseline") == 0)
            c->baseline = s->axis[i].choice[x->at[i]].baseline;
    }
    return 0;
}

/* The numbers of the spec outlive the configuration; its strings do not. */
static int keep_spec(struct suite *s, struct suite_cell *c, const struct run_spec *spec,
                     struct err *e)
{
    if (!c->task)
        c->task = arena_strdup(&s->mem, spec->task.name ? spec->task.name : "");
    if (!c->method)
        c->method = arena_strdup(&s->mem, spec->peft.method ? spec->peft.method : "");
    if (!c->task || !c->method)
        return no_memory(e);
    c->spec = *spec;
    c->spec.task = (struct task_spec){.splits = spec->task.splits};
    c->spec.peft.method = NULL;
    c->spec.federation.column = NULL;
    return 0;
}

static int make_cell(struct expansion *x, struct suite_cell *c, struct err *e)
{
    struct suite *s = x->suite;
    struct overrides o = {0};
    struct conf *conf;
    const char *model = NULL, *data = NULL;
    char *text = NULL;
    int rc = describe(x, c, e);
    if (!rc)
        rc = collect(x, &o, e);
    if (!rc)
        rc = load(s, &o, &conf, e);
    if (rc)
        return rc;
    const struct experiment *exp = conf_data(conf);
    rc = spec_check_federation(&exp->spec.federation, e);
    if (!rc)
        rc = keep_spec(s, c, &exp->spec, e);
    if (!rc)
        rc = locate(s, "model", exp->model, &model, e);
    if (!rc)
        rc = locate(s, "task.data", exp->spec.task.data, &data, e);
    conf_free(conf);
    if (!rc)
        rc = identify(x, c, &o, model, data, e);
    if (!rc)
        rc = add_text(s, &o, "model", model, e);
    if (!rc)
        rc = add_text(s, &o, "task.data", data, e);
    if (!rc)
        rc = show(s, &o, false, &text, e);
    c->experiment = text;
    return rc;
}

static int add_cell(struct expansion *x, struct err *e)
{
    struct suite *s = x->suite;
    struct suite_cell c = {0};
    int rc = make_cell(x, &c, e);
    if (rc)
        return err_wrap(e, "%s: cell %s", s->path, c.title ? c.title : "");
    for (size_t i = 0; i < s->n_cells; i++) {
        if (strcmp(s->cell[i].id, c.id) == 0) {
            s->same++;
            return 0;
        }
    }
    if (s->n_cells == SUITE_MAX_CELLS)
        return err_set(e, ERR_CONFIG, "%s: more than %d cells", s->path, SUITE_MAX_CELLS);
    s->cell[s->n_cells++] = c;
    return 0;
}

/* The next combination, the last axis fastest; false after the last one. */
static bool advance(struct expansion *x)
{
    for (size_t i = x->suite->n_axes; i-- > 0;) {
        if (++x->at[i] < x->suite->axis[i].n)
            return true;
        x->at[i] = 0;
    }
    return false;
}

int suite_expand(struct suite *s, struct err *e)
{
    struct expansion *x = arena_calloc(&s->mem, 1, sizeof *x);
    s->cell = arena_calloc(&s->mem, SUITE_MAX_CELLS, sizeof *s->cell);
    if (!x || !s->cell)
        return no_memory(e);
    x->suite = s;
    int rc = 0;
    do {
        if (wanted(x))
            rc = add_cell(x, e);
    } while (!rc && advance(x));
    if (!rc && s->n_cells == 0)
        rc = err_set(e, ERR_CONFIG, "%s: the rules leave no cell", s->path);
    return rc;
}
