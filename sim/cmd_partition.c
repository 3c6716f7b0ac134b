#include "base/file.h"
#include "model/jsonfile.h"
#include "sim/cmd.h"
#include "sim/setup.h"
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#define OVERVIEW "partition.json"

enum { SKEW_MAX_CLIENTS = 2000 }; /* the pairwise distance is quadratic in clients */

/* How many of a client's examples have each label; empty for tasks without classes. */
static json_t *labels_json(const struct partition *p, const struct dataset *d, uint32_t k)
{
    json_t *labels = json_array();
    for (uint32_t l = 0; d->head == HEAD_SEQUENCE && d->label_name && l < d->n_labels; l++) {
        size_t n = 0;
        for (size_t i = p->off[k]; i < p->off[k + 1]; i++)
            n += (uint32_t)d->example[p->index[i]].label == l;
        json_array_append_new(labels, json_integer((json_int_t)n));
    }
    return labels;
}

static json_t *client_json(const struct partition *p, const struct dataset *d, uint32_t k)
{
    return json_pack("{s:i, s:I, s:o}", "client", (int)k, "examples",
                     (json_int_t)(p->off[k + 1] - p->off[k]), "labels", labels_json(p, d, k));
}

/* Each client's training examples, and its share of the dev set where labels make one. */
static int clients_json(const struct setup *s, json_t *clients, struct err *e)
{
    struct partition shares = {0};
    bool classes = s->dev->head == HEAD_SEQUENCE && s->dev->n_labels > 1;
    int rc = classes ? partition_share(&shares, s->dev, &s->partition, s->train,
                                       s->x.spec.federation.seed, e)
                     : 0;
    for (uint32_t k = 0; !rc && k < s->partition.clients; k++) {
        json_t *client = client_json(&s->partition, s->train, k);
        if (classes)
            json_object_set_new(client, "dev", client_json(&shares, s->dev, k));
        json_array_append_new(clients, client);
    }
    partition_close(&shares);
    return rc;
}

static int write_overview(const struct setup *s, const char *dir, struct err *e)
{
    char path[PATH_MAX];
    int rc = file_join(path, sizeof path, dir, OVERVIEW, e);
    if (rc)
        return rc;
    json_t *clients = json_array();
    rc = clients_json(s, clients, e);
    json_t *root = json_pack("{s:I, s:o}", "examples", (json_int_t)s->train->n, "clients", clients);
    if (!rc && s->train->head == HEAD_SEQUENCE && s->train->n_labels > 1 &&
        s->partition.clients > 1 && s->partition.clients <= SKEW_MAX_CLIENTS) {
        struct skew skew;
        rc = partition_skew(&s->partition, s->train, &skew, e);
        if (!rc)
            json_object_set_new(root, "skew",
                                json_pack("{s:f, s:f, s:f}", "single_label_share",
                                          skew.single_label, "mean_majority_share", skew.majority,
                                          "mean_js_distance", skew.js));
    }
    if (!rc)
        rc = jsonfile_write(root, JSON_REAL_PRECISION(6), path, e);
    json_decref(root);
    return rc;
}

static int write_shards(const struct setup *s, const char *dir, struct err *e)
{
    const struct partition *p = &s->partition;
    char path[PATH_MAX], name[PARTITION_NAME + 8];
    for (uint32_t k = 0; k < p->clients; k++) {
        char owner[PARTITION_NAME];
        partition_client_name(k, owner);
        snprintf(name, sizeof name, "%s.jsonl", owner);
        int rc = file_join(path, sizeof path, dir, name, e);
        if (!rc)
            rc = dataset_write_jsonl(s->train, p->index + p->off[k], p->off[k + 1] - p->off[k],
                                     path, e);
        if (rc)
            return rc;
    }
    uint32_t *all = malloc(s->dev->n * sizeof *all);
    if (!all)
        return err_set(e, ERR_NOMEM, "no memory for the dev set");
    for (size_t i = 0; i < s->dev->n; i++)
        all[i] = (uint32_t)i;
    int rc = file_join(path, sizeof path, dir, "dev.jsonl", e);
    if (!rc)
        rc = dataset_write_jsonl(s->dev, all, s->dev->n, path, e);
    free(all);
    return rc;
}

static void say(const struct partition *p, const char *dir)
{
    size_t least = SIZE_MAX, most = 0;
    for (uint32_t k = 0; k < p->clients; k++) {
        size_t n = p->off[k + 1] - p->off[k];
        least = n < least ? n : least;
        most = n > most ? n : most;
    }
    printf("%u clients with %zu to %zu examples: %s/%s\n", p->clients, least, most, dir, OVERVIEW);
}

/* What an earlier partition left is not overwritten: part of it would stay beside one of fewer
 * clients. */
static int check_empty(const char *dir, struct err *e)
{
    char path[PATH_MAX];
    int rc = file_join(path, sizeof path, dir, OVERVIEW, e);
    if (!rc && file_exists(path))
        rc = err_set(e, ERR_IO, "%s: exists already; choose another --out", path);
    return rc;
}

int cmd_partition(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    char *out = NULL;
    struct cli_list set = {0};
    const struct cli_option options[] = {
        {"out", 'o', CLI_STRING, "DIR", "where the files go (required)", &out},
        {"set", 's', CLI_LIST, "KEY=VALUE", "override a setting, e.g. federation.alpha=0.1", &set},
        {0},
    };
    struct cli_args args;
    int rc = cli_parse(self, options, argc, argv, &args, e);
    if (rc || args.help)
        return rc;
    if (args.n != 1 || !out)
        return err_set(e, ERR_USAGE, "partition needs one EXPERIMENT.yaml and --out DIR");
    struct setup s;
    rc = setup_open(&s, args.word[0], &set, e);
    if (rc)
        return rc;
    rc = check_empty(out, e);
    if (!rc)
        rc = file_mkdirs(out, 0755, e);
    if (!rc)
        rc = write_shards(&s, out, e);
    if (!rc)
        rc = write_overview(&s, out, e);
    if (!rc)
        say(&s.partition, out);
    setup_close(&s);
    return rc;
}

int cmd_config_show(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    struct cli_list set = {0};
    const struct cli_option options[] = {
        {"set", 's', CLI_LIST, "KEY=VALUE", "override a setting", &set},
        {0},
    };
    struct cli_args args;
    int rc = cli_parse(self, options, argc, argv, &args, e);
    if (rc || args.help)
        return rc;
    if (args.n > 1)
        return err_set(e, ERR_USAGE, "config show takes one EXPERIMENT.yaml");
    struct conf *conf;
    rc = conf_load(&conf, &experiment_conf, args.n ? args.word[0] : NULL, set.item, set.n, e);
    if (rc)
        return rc;
    rc = conf_show(conf, stdout, e);
    conf_free(conf);
    return rc;
}
