#include "sim/prepare_debian.h"

#include "base/buf.h"
#include "base/file.h"
#include "model/jsonfile.h"
#include "model/jsontext.h"
#include "sim/prepare_rows.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Rows of one client, or of all (NULL); of train, or of test. */
struct choice {
    const char *client;
    bool test;
};

static bool is_chosen(const struct prepare_row *row, const struct choice *c)
{
    if (c->test || row->test)
        return c->test && row->test;
    return row->owner && (!c->client || row->owner == c->client);
}

static int append_row(const struct prepare_rows *r, const struct prepare_row *row, struct buf *to)
{
    json_t *json =
        json_pack("{s:s, s:s, s:s*, s:s}", "text", row->text, "label", r->label[row->label],
                  "owner", row->owner, "package", row->package->name);
    int rc = jsontext_line(json, JSON_COMPACT | JSON_PRESERVE_ORDER, to);

    json_decref(json);
    return rc;
}

static int write_text(const char *dir, const char *name, const struct buf *text, struct err *e)
{
    char path[PATH_MAX];
    int rc = file_join(path, sizeof path, dir, name, e);

    return rc ? rc : file_write(path, buf_bytes(text), buf_size(text), 0644, e);
}

static int write_rows(const struct prepare_rows *r, struct choice c, const char *dir,
                      const char *name, struct err *e)
{
    struct buf text;
    int rc = 0;

    buf_init(&text, SIZE_MAX / 2);
    for (size_t i = 0; !rc && i < r->n; i++)
        if (is_chosen(&r->row[i], &c) && append_row(r, &r->row[i], &text))
            rc = err_set(e, ERR_NOMEM, "%s/%s: no memory for the rows", dir, name);
    if (!rc)
        rc = write_text(dir, name, &text, e);
    buf_release(&text);
    return rc;
}

static int write_clients(const struct prepare_rows *r, const char *out, struct err *e)
{
    char dir[PATH_MAX], name[NAME_MAX];
    int rc = file_join(dir, sizeof dir, out, "clients", e);

    if (!rc)
        rc = file_mkdirs(dir, 0755, e);
    for (size_t k = 0; !rc && k < r->n_clients; k++) {
        snprintf(name, sizeof name, "%s.jsonl", r->client[k]);
        rc = write_rows(r, (struct choice){.client = r->client[k]}, dir, name, e);
    }
    return rc;
}

static int write_labels(const struct prepare_rows *r, const char *out, struct err *e)
{
    struct buf text;
    int rc = 0;

    buf_init(&text, SIZE_MAX / 2);
    for (size_t k = 0; !rc && k < r->n_labels; k++)
        rc = buf_printf(&text, "%s\n", r->label[k]);
    rc = rc ? err_set(e, ERR_NOMEM, "no memory for labels.txt")
            : write_text(out, "labels.txt", &text, e);
    buf_release(&text);
    return rc;
}

/* A JSON string is one of YAML, too. */
static int append_quoted(struct buf *to, const char *key, const char *value)
{
    json_t *json = json_string(value);
    int rc = buf_printf(to, "%s", key) || jsontext_line(json, JSON_ENCODE_ANY, to);

    json_decref(json);
    return rc;
}

static int append_experiment(const struct prepare_rows *r, const struct prepare_spec *spec,
                             struct buf *to)
{
    size_t per_round = r->n_clients < 10 ? r->n_clients : 10;
    int rc = append_quoted(to, "model: ", spec->model) || buf_printf(to, "task:\n  name: text\n") ||
             append_quoted(to, "  data: ", spec->out) || buf_printf(to, "  labels: [");

    for (size_t k = 0; !rc && k < r->n_labels; k++)
        rc = buf_printf(to, "%s%s", k ? ", " : "", r->label[k]);
    return rc || buf_printf(to,
                            "]\n"
                            "peft: {method: lora, r: 8, alpha: 16, targets: [query, value]}\n"
                            "federation:\n"
                            "  clients: %zu\n"
                            "  per_round: %zu\n"
                            "  rounds: 20\n"
                            "  partition: column\n"
                            "  column: owner\n"
                            "  seed: %llu\n"
                            "local: {epochs: 1, batch_size: 16, lr: 0.003, max_length: 64}\n",
                            r->n_clients, per_round, (unsigned long long)spec->seed);
}

static int write_experiment(const struct prepare_rows *r, const struct prepare_spec *spec,
                            struct err *e)
{
    struct buf text;

    buf_init(&text, SIZE_MAX / 2);
    int rc = append_experiment(r, spec, &text)
                 ? err_set(e, ERR_NOMEM, "no memory for experiment.yaml")
                 : write_text(spec->out, "experiment.yaml", &text, e);
    buf_release(&text);
    return rc;
}

static size_t count(const struct prepare_rows *r, struct choice c, size_t label)
{
    size_t n = 0;

    for (size_t i = 0; i < r->n; i++)
        n += is_chosen(&r->row[i], &c) && (label == SIZE_MAX || r->row[i].label == label);
    return n;
}

static json_t *class_counts(const struct prepare_rows *r, struct choice c)
{
    json_t *o = json_object();

    for (size_t k = 0; k < r->n_labels; k++)
        json_object_set_new(o, r->label[k], json_integer((json_int_t)count(r, c, k)));
    return o;
}

static int write_summary(const struct prepare_rows *r, const struct prepare_spec *spec,
                         const struct prepare_counts *n, struct err *e)
{
    char path[PATH_MAX];
    int rc = file_join(path, sizeof path, spec->out, "summary.json", e);
    json_t *clients = json_array();

    if (rc)
        return rc;
    for (size_t k = 0; k < r->n_clients; k++)
        json_array_append_new(clients,
                              json_pack("{s:s, s:o}", "client", r->client[k], "labels",
                                        class_counts(r, (struct choice){.client = r->client[k]})));
    json_t *root =
        json_pack("{s:s, s:I, s:{s:I, s:I, s:I}, s:I, s:b, s:o, s:o, s:o}", "lists", spec->lists,
                  "seed", (json_int_t)spec->seed, "packages", "all", (json_int_t)n->packages,
                  "described", (json_int_t)n->described, "at_length", (json_int_t)n->at_length,
                  "maintainers", (json_int_t)n->maintainers, "rest_dropped", spec->drop_rest,
                  "train", class_counts(r, (struct choice){0}), "test",
                  class_counts(r, (struct choice){.test = true}), "clients", clients);
    rc = jsonfile_write(root, 0, path, e);
    json_decref(root);
    return rc;
}

static struct prepare_counts counts_of(const struct prepare_rows *r, const struct apt_lists *l)
{
    struct prepare_counts n = {
        .packages = l->n,
        .described = l->described,
        .at_length = l->at_length,
        .classes = r->n_labels,
        .train = count(r, (struct choice){0}, SIZE_MAX),
        .test = count(r, (struct choice){.test = true}, SIZE_MAX),
        .clients = r->n_clients,
        .maintainers = r->maintainers,
        .smallest = SIZE_MAX,
    };

    for (size_t k = 0; k < r->n_clients; k++) {
        size_t size = count(r, (struct choice){.client = r->client[k]}, SIZE_MAX);
        n.smallest = size < n.smallest ? size : n.smallest;
        n.largest = size > n.largest ? size : n.largest;
    }
    return n;
}

static int write_all(const struct prepare_rows *r, const struct prepare_spec *spec,
                     const struct prepare_counts *n, struct err *e)
{
    int rc = file_mkdirs(spec->out, 0755, e);

    if (!rc)
        rc = write_clients(r, spec->out, e);
    if (!rc)
        rc = write_rows(r, (struct choice){0}, spec->out, "train.jsonl", e);
    if (!rc)
        rc = write_rows(r, (struct choice){.test = true}, spec->out, "test.jsonl", e);
    if (!rc)
        rc = write_labels(r, spec->out, e);
    if (!rc)
        rc = write_experiment(r, spec, e);
    return rc ? rc : write_summary(r, spec, n, e);
}

static int check(const struct prepare_spec *s, struct err *e)
{
    char path[PATH_MAX];

    if (s->classes < PREPARE_MIN_CLASSES || s->classes > PREPARE_MAX_CLASSES)
        return err_set(e, ERR_USAGE, "classes: %d to %d", PREPARE_MIN_CLASSES, PREPARE_MAX_CLASSES);
    if (s->clients < 1)
        return err_set(e, ERR_USAGE, "clients: at least 1");
    if (s->per_class < PREPARE_MIN_CLASS)
        return err_set(e, ERR_USAGE, "packages of a class: at least %d", PREPARE_MIN_CLASS);
    if (!(s->test_share > 0 && s->test_share < 1))
        return err_set(e, ERR_USAGE, "share of test: between 0 and 1");
    int rc = file_join(path, sizeof path, s->out, "clients", e);
    /* Clients of an earlier run would stay beside those of another number. */
    if (!rc && file_exists(path))
        rc = err_set(e, ERR_STATE, "%s: exists already; choose another --out", path);
    return rc;
}

int prepare_debian(const struct prepare_spec *spec, struct prepare_counts *out, struct err *e)
{
    struct apt_lists lists;
    struct prepare_rows rows;
    int rc = check(spec, e);

    if (!rc)
        rc = apt_lists_read(&lists, spec->lists, e);
    if (rc)
        return rc;
    rc = prepare_rows_open(&rows, &lists, spec, e);
    if (!rc) {
        struct prepare_counts n = counts_of(&rows, &lists);
        rc = write_all(&rows, spec, &n, e);
        if (!rc)
            *out = n;
        prepare_rows_close(&rows);
    }
    apt_lists_release(&lists);
    return rc;
}
