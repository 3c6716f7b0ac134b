#include "base/file.h"
#include "client/cmd.h"
#include "client/experiment.h"
#include "client/tuned.h"
#include "model/jsontext.h"
#include "nn/kernels.h"
#include "text/dataset.h"
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

struct inspected {
    char *model, *adapter;
    struct cli_list set;
    bool json;
};

static const char *family_name(enum family f)
{
    static const char *const name[] = {
        [FAMILY_BERT] = "bert", [FAMILY_ROBERTA] = "roberta", [FAMILY_DISTILBERT] = "distilbert"};
    return name[f];
}

/* How the file holds its numbers. */
static const char *storage_name(struct stored s)
{
    static const char *const name[] = {[STORED_REAL] = "F32",
                                       [STORED_F16] = "F16",
                                       [STORED_BF16] = "BF16",
                                       [STORED_INT8] = "int8"};
    return name[s.as];
}

/* Linear weights: how the file holds them, and how many of them are int8. */
static const char *linear_weights(const struct model *m, size_t *int8)
{
    const char *all = storage_name(m->layer[0].lin[0].W);
    *int8 = m->pooler.W.as == STORED_INT8 ? (size_t)m->pooler.out * (size_t)m->pooler.in : 0;
    for (int i = 0; i < m->cfg.layers * LIN_SITES; i++) {
        const struct linear_weights *w = &m->layer[i / LIN_SITES].lin[i % LIN_SITES];
        if (strcmp(storage_name(w->W), all) != 0)
            all = "mixed";
        *int8 += w->W.as == STORED_INT8 ? (size_t)w->out * (size_t)w->in : 0;
    }
    return all;
}

/* Numbers that the file holds besides them, without their scales. */
static size_t other_parameters(const struct model *m)
{
    size_t n = 0;
    for (size_t i = 0; i < m->file.n; i++) {
        const struct st_tensor *t = &m->file.tensor[i];
        if (st_tensor_is_real(t) && strstr(t->name, ".weight_scale") == NULL)
            n += t->count;
    }
    return n;
}

static json_t *model_json(const struct model *m)
{
    const struct model_config *c = &m->cfg;
    size_t int8;
    const char *weights = linear_weights(m, &int8);
    char hex[HASH_HEX];
    hash_hex(&m->hash, hex);
    return json_pack("{s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:I, s:s, s:s, s:s}", "path", m->dir,
                     "family", family_name(c->family), "layers", c->layers, "hidden", c->hidden,
                     "heads", c->heads, "intermediate", c->ffn, "vocabulary", c->vocab,
                     "max_tokens", model_max_tokens(c), "parameters",
                     (json_int_t)(int8 + other_parameters(m)), "weights", weights, "embeddings",
                     storage_name(m->word), "sha256", hex);
}

static json_t *method_json(const struct peft_spec *s)
{
    return peft_settings(peft_method_find(s->method), s);
}

/* What a method adds to a model: the tensors that are trained and travel. */
static void add_schema(json_t *to, const struct peft *p)
{
    const struct schema *s = peft_schema(p);
    char hex[HASH_HEX];
    hash_hex(&s->hash, hex);
    json_object_set_new(to, "labels", json_integer(peft_labels(p)));
    json_object_set_new(to, "trainable_parameters", json_integer((json_int_t)s->count));
    json_object_set_new(to, "trainable_tensors", json_integer((json_int_t)s->n));
    json_object_set_new(to, "bytes_per_update", json_integer((json_int_t)(4 * s->packed)));
    json_object_set_new(to, "schema_sha256", json_string(hex));
}

static int file_sha256(const char *dir, const char *name, char hex[HASH_HEX], struct err *e)
{
    char path[PATH_MAX];
    struct file_map map;
    int rc = file_join(path, sizeof path, dir, name, e);
    if (!rc)
        rc = file_map_open(&map, path, e);
    if (rc)
        return rc;
    struct hash hash = file_map_hash(&map);
    hash_hex(&hash, hex);
    file_map_close(&map);
    return 0;
}

static int adapter_json(const char *dir, const struct peft_spec *spec,
                        const struct adapter_info *info, json_t **out, struct err *e)
{
    char hex[HASH_HEX];
    int rc = file_sha256(dir, info->weights, hex, e);
    if (rc)
        return rc;
    json_t *a = method_json(spec);
    json_object_set_new(a, "path", json_string(dir));
    json_object_set_new(a, "format", json_string(info->format));
    json_object_set_new(a, "labels", json_integer(info->n_labels));
    if (info->task)
        json_object_set_new(a, "task", json_string(info->task));
    if (info->max_length)
        json_object_set_new(a, "max_length", json_integer(info->max_length));
    json_object_set_new(a, "file_sha256", json_string(hex));
    *out = a;
    return 0;
}

/* A base model, and what a method (the default, or as --set says) would train on it. */
static int inspect_model(const struct inspected *i, json_t *root, struct err *e)
{
    struct model *m;
    struct conf *conf;
    struct peft *p;
    int rc = model_open(&m, i->model, e);
    if (rc)
        return rc;
    rc = conf_load(&conf, &experiment_conf, NULL, i->set.item, i->set.n, e);
    if (!rc) {
        const struct run_spec *spec = &((struct experiment *)conf_data(conf))->spec;
        const struct task_info *task = spec->task.name ? task_find(spec->task.name) : NULL;
        uint32_t labels = spec->task.n_labels ? spec->task.n_labels : 2;
        /* How a training would go does not matter: no local settings. */
        rc = peft_open(&p, m, &spec->peft, NULL, task ? task->head : HEAD_SEQUENCE, labels, e);
        if (!rc) {
            json_t *method = method_json(&spec->peft);
            add_schema(method, p);
            json_object_set_new(root, "model", model_json(m));
            json_object_set_new(root, "peft", method);
            peft_close(p);
        }
        conf_free(conf);
    }
    model_close(m);
    return rc;
}

static int inspect_adapter(const struct inspected *i, json_t *root, struct err *e)
{
    struct peft_spec spec;
    struct adapter_info info;
    struct arena mem;
    json_t *a;
    arena_init(&mem, 16 << 20);
    int rc = peft_read_config(i->adapter, &mem, &spec, &info, e);
    if (!rc)
        rc = adapter_json(i->adapter, &spec, &info, &a, e);
    if (!rc)
        json_object_set_new(root, "adapter", a);
    arena_release(&mem);
    return rc;
}

/* An adapter on its model: that it fits, and the identity of its values. */
static int inspect_both(const struct inspected *i, json_t *root, struct err *e)
{
    struct tuned t;
    json_t *a;
    int rc = tuned_open(&t, i->model, i->adapter, e);
    if (rc)
        return rc;
    rc = adapter_json(i->adapter, &t.spec, &t.info, &a, e);
    if (!rc) {
        struct hash values = tensorset_hash(peft_schema(t.peft), t.theta);
        char hex[HASH_HEX];
        hash_hex(&values, hex);
        add_schema(a, t.peft);
        json_object_set_new(a, "adapter_sha256", json_string(hex));
        json_object_set_new(root, "model", model_json(t.backbone.model));
        json_object_set_new(root, "adapter", a);
    }
    tuned_close(&t);
    return rc;
}

static int print_text(const json_t *root, struct err *e)
{
    const char *section, *key;
    json_t *part, *value;
    json_object_foreach((json_t *)(uintptr_t)root, section, part)
    {
        printf("%s\n", section);
        json_object_foreach(part, key, value)
        {
            char *text = jsontext(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
            if (!text)
                return err_set(e, ERR_NOMEM, "out of memory");
            if (json_is_string(value))
                printf("  %-22s %s\n", key, json_string_value(value));
            else
                printf("  %-22s %s\n", key, text);
            free(text);
        }
    }
    return 0;
}

int cmd_inspect(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    struct inspected i = {0};
    const struct cli_option options[] = {
        {"model", 'm', CLI_STRING, "DIR", "a base model (Hugging Face)", &i.model},
        {"adapter", 'a', CLI_STRING, "DIR", "an adapter", &i.adapter},
        {"set", 's', CLI_LIST, "KEY=VALUE", "of a model alone: peft.r=16 and the like", &i.set},
        {"format", 0, CLI_FORMAT, "FORMAT", "text or json", &i.json},
        {0},
    };
    struct cli_args args;
    int rc = cli_parse(self, options, argc, argv, &args, e);
    if (rc || args.help)
        return rc;
    if ((rc = cli_words(&args, 0, e)))
        return rc;
    json_t *root = json_pack("{s:{s:s}}", "engine", "kernels", kernels_in_use());
    if (i.model && i.adapter)
        rc = inspect_both(&i, root, e);
    else if (i.model)
        rc = inspect_model(&i, root, e);
    else if (i.adapter)
        rc = inspect_adapter(&i, root, e);
    if (!rc)
        rc = i.json ? cmd_print_json(json_incref(root), true, e) : print_text(root, e);
    json_decref(root);
    return rc;
}
