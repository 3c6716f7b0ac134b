#include "scenario.h"
#include "base/file.h"
#include "base/node.h"
#include <stdlib.h>
#include <string.h>

static const char *const kinds[] = {"drop",    "cut",     "delay",     "duplicate",
                                    "reorder", "corrupt", "partition", "crash"};
static const char *const truths[] = {"false", "true"};
static const char *const sides[] = {"any", "client", "server"};
static const char *const modes[] = {"sync", "async"};

#define DEFAULT_RUN                                                                                \
    (struct scenario_run)                                                                          \
    {                                                                                              \
        .per_round = 3, .rounds = 5, .deadline_s = 600, .max_staleness = 100                       \
    }

static int bad(const struct node *n, const char *what, struct err *e)
{
    char where[256];
    node_origin(n, where, sizeof where);
    return err_set(e, ERR_CONFIG, "%s: %s: %s", where, n->key != NULL ? n->key : "", what);
}

static int read_number(const struct node *n, double *out, struct err *e)
{
    char *end = NULL;
    double value = n->kind == NODE_SCALAR ? strtod(n->text, &end) : 0;
    if (end == NULL || end == n->text || *end != '\0')
        return bad(n, "not a number", e);
    *out = value;
    return 0;
}

static int read_word(const struct node *n, const char *const *words, size_t count, unsigned *out,
                     struct err *e)
{
    for (unsigned i = 0; n->kind == NODE_SCALAR && i < count; i++)
        if (words[i] != NULL && strcmp(words[i], n->text) == 0) {
            *out = i;
            return 0;
        }
    return bad(n, "none of the words that may stand here", e);
}

static int read_message(const struct node *n, unsigned *out, struct err *e)
{
    const char *names[MSG_TYPES] = {NULL};
    for (int t = 1; t < MSG_TYPES; t++)
        names[t] = msg_type_name((enum msg_type)t);
    return read_word(n, names, MSG_TYPES, out, e);
}

static int read_fault(const struct node *map, struct fault *f, struct err *e)
{
    int rc = 0;
    *f = (struct fault){.client = -1, .rate = 1, .kind = FAULT_KINDS};
    for (const struct node *n = map->child; n != NULL && rc == 0; n = n->next) {
        double number = 0;
        unsigned word = 0;
        if (strcmp(n->key, "what") == 0)
            rc = read_word(n, kinds, FAULT_KINDS, &word, e), f->kind = (enum fault_kind)word;
        else if (strcmp(n->key, "from") == 0)
            rc = read_word(n, sides, 3, &word, e), f->from = (enum fault_side)word;
        else if (strcmp(n->key, "message") == 0)
            rc = read_message(n, &f->message, e);
        else if (strcmp(n->key, "client") == 0)
            rc = read_number(n, &number, e), f->client = (int)number;
        else if (strcmp(n->key, "times") == 0)
            rc = read_number(n, &number, e), f->times = (unsigned)number;
        else if (strcmp(n->key, "rate") == 0)
            rc = read_number(n, &f->rate, e);
        else if (strcmp(n->key, "ms") == 0)
            rc = read_number(n, &number, e), f->ms = (int64_t)number;
        else if (strcmp(n->key, "at_ms") == 0)
            rc = read_number(n, &number, e), f->at_ms = (int64_t)number;
        else
            rc = bad(n, "unknown key", e);
    }
    return rc == 0 && f->kind == FAULT_KINDS ? bad(map, "a fault without `what`", e) : rc;
}

static int read_refused(const struct node *map, struct scenario *s, struct err *e)
{
    const char *names[REASONS];
    for (int r = 0; r < REASONS; r++)
        names[r] = msg_reason_name((enum msg_reason)r);
    for (struct node *n = map->child; n != NULL; n = n->next) {
        double number = 0;
        unsigned reason = 0;
        bool any = n->kind == NODE_SCALAR && strcmp(n->text, "any") == 0;
        bool some = n->kind == NODE_SCALAR && strcmp(n->text, "some") == 0;
        struct node word = {.kind = NODE_SCALAR,
                            .key = n->key,
                            .text = n->key,
                            .source = n->source,
                            .line = n->line};
        int rc = read_word(&word, names, REASONS, &reason, e);
        if (rc == 0 && !any && !some)
            rc = read_number(n, &number, e);
        if (rc != 0)
            return rc;
        s->expect.refused[reason] = any ? -1 : some ? -2 : (int64_t)number;
    }
    return 0;
}

static int read_expect(const struct node *map, struct scenario *s, struct err *e)
{
    int rc = 0;
    for (const struct node *n = map->child; n != NULL && rc == 0; n = n->next) {
        double number = 0;
        unsigned word = 0;
        if (strcmp(n->key, "same") == 0)
            rc = read_word(n, truths, 2, &word, e), s->expect.same = word == 1;
        else if (strcmp(n->key, "everybody") == 0)
            rc = read_word(n, truths, 2, &word, e), s->expect.everybody = word == 1;
        else if (strcmp(n->key, "refused") == 0)
            rc = read_refused(n, s, e);
        else if (strcmp(n->key, "rounds") == 0)
            rc = read_number(n, &number, e), s->expect.rounds = (uint32_t)number;
        else if (strcmp(n->key, "happened") == 0)
            rc = read_number(n, &number, e), s->expect.happened = (unsigned)number;
        else if (strcmp(n->key, "within_s") == 0)
            rc = read_number(n, &number, e), s->expect.within_s = (int64_t)number;
        else
            rc = bad(n, "unknown key", e);
    }
    return rc;
}

static int read_faults(const struct node *list, struct scenario *s, struct err *e)
{
    int rc = 0;
    for (const struct node *n = list->child; n != NULL && rc == 0; n = n->next) {
        if (s->n == SCENARIO_FAULTS)
            return bad(n, "too many faults", e);
        rc = read_fault(n, &s->fault[s->n++], e);
    }
    return rc;
}

/* A key of a run; *found: whether it is one. */
static int read_run_key(const struct node *n, struct scenario_run *r, bool *found, struct err *e)
{
    const struct {
        const char *key;
        uint32_t *at;
    } all[] = {{"per_round", &r->per_round},
               {"quorum", &r->quorum},
               {"rounds", &r->rounds},
               {"deadline_s", &r->deadline_s},
               {"asked", &r->asked},
               {"concurrency", &r->concurrency},
               {"max_staleness", &r->max_staleness}};
    double number = 0;
    *found = true;
    if (strcmp(n->key, "mode") == 0)
        return read_word(n, modes, 2, &r->mode, e);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (strcmp(all[i].key, n->key) != 0)
            continue;
        int rc = read_number(n, &number, e);
        if (rc == 0)
            *all[i].at = (uint32_t)number;
        return rc;
    }
    *found = false;
    return 0;
}

static int read_beside(const struct node *map, struct scenario *s, struct err *e)
{
    struct scenario_run *r = &s->run[s->runs];
    *r = DEFAULT_RUN;
    r->number = (unsigned)s->runs++;
    for (const struct node *n = map->child; n != NULL; n = n->next) {
        bool found;
        int rc = read_run_key(n, r, &found, e);
        if (rc == 0 && !found)
            rc = bad(n, "unknown key", e);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static uint32_t *member(struct scenario *s, const char *key)
{
    return strcmp(key, "clients") == 0      ? &s->clients
           : strcmp(key, "seed") == 0       ? &s->seed
           : strcmp(key, "part_bytes") == 0 ? &s->part_bytes
                                            : NULL;
}

static int read_all(const struct node *root, struct scenario *s, struct err *e)
{
    int rc = 0;
    for (const struct node *n = root->child; n != NULL && rc == 0; n = n->next) {
        double number = 0;
        bool of_run = false;
        if (strcmp(n->key, "faults") == 0)
            rc = read_faults(n, s, e);
        else if (strcmp(n->key, "beside") == 0)
            rc = read_beside(n, s, e);
        else if (strcmp(n->key, "expect") == 0)
            rc = read_expect(n, s, e);
        else if ((rc = read_run_key(n, &s->run[0], &of_run, e)) != 0 || of_run)
            continue;
        else if (member(s, n->key) == NULL)
            rc = bad(n, "unknown key", e);
        else if ((rc = read_number(n, &number, e)) == 0)
            *member(s, n->key) = (uint32_t)number;
    }
    return rc;
}

int scenario_read(struct scenario *out, const char *path, struct err *e)
{
    struct arena mem;
    struct node *root = NULL;
    char *text = NULL;
    size_t len;
    *out = (struct scenario){.clients = 4, .seed = 1, .runs = 1, .run = {DEFAULT_RUN}};
    arena_init(&mem, 1 << 20);
    int rc = file_read(path, 1 << 16, &text, &len, e);
    if (rc == 0)
        rc = node_parse(&mem, path, true, text, len, &root, e);
    if (rc == 0 && (root == NULL || root->kind != NODE_MAP))
        rc = err_set(e, ERR_CONFIG, "%s: not a scenario", path);
    if (rc == 0)
        rc = read_all(root, out, e);
    free(text);
    arena_release(&mem);
    return rc;
}
