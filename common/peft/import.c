#include "base/file.h"
#include "model/jsonfile.h"
#include "peft/adapter.h"
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_BYTES = 512, MAX_LABELS = 1 << 16 };

/* An adapter directory, open. */
struct adapter {
    char config_path[PATH_MAX], weights_path[PATH_MAX], info_path[PATH_MAX];
    struct jsonfile config, info; /* info.root NULL: no fedpet.json */
    struct safetensors weights;
};

static int open_info(struct adapter *a, struct err *e)
{
    int format = 0;
    if (!file_exists(a->info_path))
        return 0;
    int rc = jsonfile_open(&a->info, a->info_path, e);
    if (rc == 0)
        rc = jsonfile_int(&a->info, "format", 0, INT_MAX, &format, e);
    if (rc == 0 && format != ADAPTER_INFO_FORMAT)
        rc = err_set(e, ERR_MODEL, "%s: format %d, but this program reads %d: use a newer one",
                     a->info_path, format, ADAPTER_INFO_FORMAT);
    return rc;
}

static void adapter_close(struct adapter *a)
{
    jsonfile_close(&a->config);
    jsonfile_close(&a->info);
    safetensors_close(&a->weights);
}

static int adapter_open(struct adapter *a, const char *dir, struct err *e)
{
    *a = (struct adapter){0};
    int rc = file_join(a->config_path, PATH_MAX, dir, ADAPTER_CONFIG, e);
    if (rc == 0)
        rc = file_join(a->weights_path, PATH_MAX, dir, ADAPTER_WEIGHTS, e);
    if (rc == 0)
        rc = file_join(a->info_path, PATH_MAX, dir, ADAPTER_INFO, e);
    if (rc == 0)
        rc = jsonfile_open(&a->config, a->config_path, e);
    if (rc == 0)
        rc = open_info(a, e);
    if (rc == 0)
        rc = safetensors_open(&a->weights, a->weights_path, e);
    if (rc != 0)
        adapter_close(a);
    return rc;
}

/* --- adapter_config.json --- */

static int read_method(const struct adapter *a, const struct peft_method **out, struct err *e)
{
    const char *type = "", *task = ADAPTER_TASK_TYPE;
    int rc = jsonfile_string(&a->config, "peft_type", &type, e);
    if (rc == 0)
        rc = jsonfile_string(&a->config, "task_type", &task, e);
    if (rc != 0)
        return rc;
    if (strcmp(task, ADAPTER_TASK_TYPE) != 0)
        return err_set(e, ERR_MODEL,
                       "%s: task_type \"%.60s\" is not supported: only " ADAPTER_TASK_TYPE,
                       a->config_path, task);
    for (const struct peft_method *const *m = peft_methods; *m != NULL; m++)
        if (strcmp((*m)->hf_type, type) == 0) {
            *out = *m;
            return 0;
        }
    return err_set(e, ERR_MODEL, "%s: peft_type \"%.60s\" is not supported", a->config_path, type);
}

/* --- adapter_model.safetensors --- */

static bool is_component(const char *at, size_t len, const char *word)
{
    return strlen(word) == len && memcmp(at, word, len) == 0;
}

/* The schema's name for a key of the file. PEFT has put the adapter's name ("default") or the
 * wrapper's ("modules_to_save") into keys; neither is part of the module path. false: no key of a
 * weight adapter, or a copy of a base tensor ("original_module"). */
static bool schema_name(const char *key, char out[KEY_BYTES])
{
    size_t n = 0;
    if (strncmp(key, ADAPTER_PREFIX, strlen(ADAPTER_PREFIX)) != 0 || strlen(key) >= KEY_BYTES)
        return false;
    key += strlen(ADAPTER_PREFIX);
    while (*key != '\0') {
        size_t len = strcspn(key, ".");
        if (is_component(key, len, "original_module"))
            return false;
        if (!is_component(key, len, "default") && !is_component(key, len, "modules_to_save")) {
            if (n > 0)
                out[n++] = '.';
            memcpy(out + n, key, len);
            n += len;
        }
        key += len + (key[len] == '.');
    }
    out[n] = '\0';
    return true;
}

static bool is_base_copy(const char *key)
{
    return strstr(key, ".original_module.") != NULL;
}

static bool same_shape(const struct st_tensor *t, const struct tensor_spec *s)
{
    return t->ndim == s->ndim && memcmp(t->dim, s->dim, (size_t)s->ndim * sizeof *s->dim) == 0;
}

/* One tensor of the file into theta. seen: by schema index. */
static int load_tensor(const struct peft *p, const struct adapter *a, const struct st_tensor *t,
                       real *theta, float *scratch, bool *seen, struct err *e)
{
    char name[KEY_BYTES];
    const struct tensor_spec *s = schema_name(t->name, name) ? schema_find(&p->schema, name) : NULL;
    const char *fault = NULL;
    if (s == NULL)
        fault = "is unknown: the adapter has other targets, another method or another base model";
    else if (!same_shape(t, s))
        fault = "has another shape: the adapter has another rank, number of labels or base model";
    else if (seen[s - p->schema.tensor])
        fault = "is there twice";
    if (fault != NULL)
        return err_set(e, ERR_MODEL, "%s: tensor \"%.200s\" %s", a->weights_path, t->name, fault);

    int rc = st_tensor_floats(t, scratch, e);
    if (rc != 0)
        return err_wrap(e, "%s", a->weights_path);
    for (size_t k = 0; k < s->count; k++) {
        if (!isfinite(scratch[k]))
            return err_set(e, ERR_MODEL, "%s: tensor \"%.200s\" holds a value that is not finite",
                           a->weights_path, t->name);
        theta[s->offset + k] = (real)scratch[k];
    }
    seen[s - p->schema.tensor] = true;
    return 0;
}

/* As PEFT, a head tensor that was not saved is the base model's; but one that no file holds has no
 * value. */
static int fill_missing(const struct peft *p, const struct adapter *a, real *theta,
                        const bool *seen, struct err *e)
{
    for (size_t i = 0; i < p->schema.n; i++) {
        const struct tensor_spec *s = &p->schema.tensor[i];
        const struct head_tensor *h = i >= p->head ? &p->head_tensor[i - p->head] : NULL;
        if (seen[i])
            continue;
        if (h == NULL)
            return err_set(e, ERR_MODEL,
                           "%s: tensor \"%s\" is missing: the adapter has other targets or another "
                           "base model",
                           a->weights_path, s->name);
        if (h->pretrained == NULL)
            return err_set(
                e, ERR_MODEL,
                "%s: head tensor \"%s\" is missing: save the adapter again with \"%s\" in "
                "modules_to_save",
                a->weights_path, s->name, h->module);
        memcpy(theta + s->offset, h->pretrained, s->count * sizeof *theta);
    }
    return 0;
}

static int load_weights(const struct peft *p, const struct adapter *a, real *theta, struct err *e)
{
    size_t count = p->schema.count;
    real *x = malloc(count * sizeof *x);
    float *scratch = malloc(count * sizeof *scratch);
    bool *seen = calloc(p->schema.n, sizeof *seen);
    int rc = x == NULL || scratch == NULL || seen == NULL
                 ? err_set(e, ERR_NOMEM, "%s: no memory to read it", a->weights_path)
                 : 0;
    for (size_t i = 0; i < a->weights.n && rc == 0; i++)
        if (!is_base_copy(a->weights.tensor[i].name))
            rc = load_tensor(p, a, &a->weights.tensor[i], x, scratch, seen, e);
    if (rc == 0)
        rc = fill_missing(p, a, x, seen, e);
    if (rc == 0)
        memcpy(theta, x, count * sizeof *x);
    free(x);
    free(scratch);
    free(seen);
    return rc;
}

/* --- opening for a peft --- */

static int check_base(const struct peft *p, const struct adapter *a, struct err *e)
{
    const char *made_for = NULL;
    char mine[HASH_HEX];
    if (a->info.root == NULL)
        return 0;
    int rc = jsonfile_string(&a->info, "base_model_sha256", &made_for, e);
    hash_hex(&p->model->hash, mine);
    if (rc == 0 && made_for != NULL && strcmp(made_for, mine) != 0)
        rc =
            err_set(e, ERR_MODEL,
                    "%s: made for another base model: sha256 of its model.safetensors is %.12s..., "
                    "not %.12s...",
                    a->info_path, made_for, mine);
    return rc;
}

static int check_config(const struct peft *p, const struct adapter *a, struct err *e)
{
    const struct peft_method *method;
    struct peft_spec want = p->spec;
    int rc = read_method(a, &method, e);
    if (rc == 0 && method != p->method)
        rc = err_set(e, ERR_MODEL, "%s: the adapter's method is %s, not %s", a->config_path,
                     method->name, p->method->name);
    if (rc == 0)
        rc = method->config_read(&a->config, &want, e);
    if (rc != 0)
        return rc;
    if (want.r != p->spec.r || want.rslora != p->spec.rslora || want.alpha != p->spec.alpha)
        rc = err_set(e, ERR_MODEL,
                     "%s: the adapter has r %u, alpha %g, rslora %s; asked for are %u, %g, %s",
                     a->config_path, want.r, want.alpha, want.rslora ? "true" : "false", p->spec.r,
                     p->spec.alpha, p->spec.rslora ? "true" : "false");
    return rc;
}

int peft_load(const struct peft *p, const char *dir, real *theta, struct err *e)
{
    struct adapter a;
    int rc = adapter_open(&a, dir, e);
    if (rc != 0)
        return rc;
    rc = check_base(p, &a, e);
    if (rc == 0)
        rc = check_config(p, &a, e);
    if (rc == 0)
        rc = load_weights(p, &a, theta, e);
    adapter_close(&a);
    return rc;
}

/* --- reading what is asked for --- */

/* The classifier's rows: its weight is the head's last matrix in every family. */
static int count_labels(const struct adapter *a, uint32_t *n_labels, struct err *e)
{
    static const char *const classifier[] = {"classifier.out_proj.weight", "classifier.weight"};
    char name[KEY_BYTES];
    for (size_t i = 0; i < a->weights.n; i++) {
        const struct st_tensor *t = &a->weights.tensor[i];
        if (!schema_name(t->name, name))
            continue;
        for (size_t k = 0; k < sizeof classifier / sizeof *classifier; k++)
            if (strcmp(name, classifier[k]) == 0 && t->ndim == 2 && t->dim[0] >= 1 &&
                t->dim[0] <= MAX_LABELS) {
                *n_labels = (uint32_t)t->dim[0];
                return 0;
            }
    }
    return err_set(e, ERR_MODEL,
                   "%s: no classification head: save the adapter again with \"classifier\" in "
                   "modules_to_save",
                   a->weights_path);
}

static uint32_t find_targets(const struct adapter *a)
{
    uint32_t targets = 0;
    char name[KEY_BYTES];
    enum linear_site site;
    for (size_t i = 0; i < a->weights.n; i++)
        if (schema_name(a->weights.tensor[i].name, name) && linear_site_of(name, &site))
            targets |= 1u << site;
    return targets;
}

static int read_labels(const struct adapter *a, struct arena *mem, struct adapter_info *info,
                       struct err *e)
{
    const json_t *labels = json_object_get(a->info.root, "labels");
    if (labels == NULL || json_is_null(labels))
        return 0;
    if (json_array_size(labels) != info->n_labels)
        return err_set(e, ERR_MODEL, "%s: labels must be a list of %u names, one a class",
                       a->info_path, info->n_labels);
    const char **name = arena_calloc(mem, info->n_labels, sizeof *name);
    if (name == NULL)
        return err_set(e, ERR_NOMEM, "%s: no memory", a->info_path);
    for (uint32_t i = 0; i < info->n_labels; i++) {
        const char *label = json_string_value(json_array_get(labels, i));
        if (label == NULL)
            return err_set(e, ERR_MODEL, "%s: labels must be strings", a->info_path);
        name[i] = arena_strdup(mem, label);
        if (name[i] == NULL)
            return err_set(e, ERR_NOMEM, "%s: no memory", a->info_path);
    }
    info->labels = name;
    return 0;
}

static int read_info(const struct adapter *a, struct arena *mem, struct adapter_info *info,
                     struct err *e)
{
    int max_length = 0;
    const char *task = NULL;
    if (a->info.root == NULL)
        return 0;
    int rc = jsonfile_int(&a->info, "max_length", 0, INT_MAX, &max_length, e);
    if (rc == 0)
        rc = jsonfile_string(&a->info, "task", &task, e);
    if (rc == 0)
        rc = read_labels(a, mem, info, e);
    if (rc != 0)
        return rc;
    info->max_length = (uint32_t)max_length;
    if (task == NULL)
        return 0;
    info->task = arena_strdup(mem, task);
    return info->task != NULL ? 0 : err_set(e, ERR_NOMEM, "%s: no memory", a->info_path);
}

static int read_spec(const struct adapter *a, struct arena *mem, struct peft_spec *spec,
                     struct err *e)
{
    const struct peft_method *method;
    int rc = read_method(a, &method, e);
    if (rc == 0)
        rc = method->config_read(&a->config, spec, e);
    if (rc != 0)
        return rc;
    spec->targets = find_targets(a);
    if (spec->targets == 0)
        return err_set(e, ERR_MODEL,
                       "%s: no tensor belongs to a linear layer of bert, roberta or distilbert",
                       a->weights_path);
    spec->method = arena_strdup(mem, method->name);
    return spec->method != NULL ? 0 : err_set(e, ERR_NOMEM, "%s: no memory", a->config_path);
}

int peft_read_config(const char *dir, struct arena *mem, struct peft_spec *spec,
                     struct adapter_info *info, struct err *e)
{
    struct adapter a;
    struct peft_spec s = {0};
    struct adapter_info i = {0};
    int rc = adapter_open(&a, dir, e);
    if (rc != 0)
        return rc;
    rc = read_spec(&a, mem, &s, e);
    if (rc == 0)
        rc = count_labels(&a, &i.n_labels, e);
    if (rc == 0)
        rc = read_info(&a, mem, &i, e);
    adapter_close(&a);
    if (rc != 0)
        return rc;
    *spec = s;
    *info = i;
    return 0;
}
