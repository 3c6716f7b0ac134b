/* AdapterHub's library `adapters`, as its versions 0.1 to 1.3 read and write it: bottleneck
 * adapters and prefixes. Keys are the model's own names with the adapter's name in them. The head
 * lies in a file of its own, here under the names of the Hugging Face class, which `adapters`
 * converts for its flexible heads by itself. */
#include "peft/format_adapterhub.h"
#include "model/names.h"
#include "nn/blas.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NAME "fedpet" /* of the adapters that we write */
/* Below 1.1.0, `adapters` would alter what it reads. */
#define VERSION "adapters.1.3.0"
#define HEAD_CONFIG "head_config.json"

static bool hub_detect(const json_t *config)
{
    return json_is_object(json_object_get(config, "config"));
}

static const char *hub_lacks(const struct peft *p)
{
    bool prefix = p->method->prefix != NULL;
    if (!prefix && strcmp(p->method->name, "adapter") != 0)
        return "AdapterHub's files are for bottleneck adapters and prefixes";
    if (p->spec.norms)
        return "AdapterHub has no place for trained layer norms";
    return prefix && p->spec.shift
               ? "with AdapterHub the text's positions begin at 0 (peft.shift: false)"
               : NULL;
}

/* --- writing --- */

/* How the models of `adapters` call a prefix among others. */
static const char *prefix_module(enum family f)
{
    return f == FAMILY_DISTILBERT ? "self" : "self_prefix";
}

static int add_prefix(struct format_out *o, const struct peft *p, const real *theta, struct err *e)
{
    const struct model_config *c = &p->model->cfg;
    const int64_t count = 2 * (int64_t)c->layers * c->hidden * p->spec.length;
    char key[FORMAT_KEY];
    snprintf(key, sizeof key, "%sprefix_tuning.prefix_tunings." NAME ".%s.control_trans",
             family_names[c->family].prefix, prefix_module(c->family));
    float *x = format_out_room(o, key, 1, &count);
    real *rows = malloc((size_t)count * sizeof *rows);
    int rc = x == NULL || rows == NULL ? err_set(e, ERR_NOMEM, "no memory for virtual tokens")
                                       : peft_collapse(p, theta, rows, e);
    for (int64_t k = 0; rc == 0 && k < count; k++)
        x[k] = (float)rows[k];
    free(rows);
    return rc;
}

static void add_bottlenecks(struct format_out *o, const struct peft *p, const real *theta)
{
    static const char container[] = ".adapters.";
    char key[FORMAT_KEY];
    for (size_t i = 0; i < p->first_base; i++) {
        const char *name = p->schema.tensor[i].name;
        const char *part = strstr(name, container) + strlen(container);
        snprintf(key, sizeof key, "%.*s" NAME ".%s", (int)(part - name), name, part);
        format_out_add(o, p, theta, i, key);
    }
}

static int write_values(const struct peft *p, const real *theta, const char *dir, struct err *e)
{
    struct format_out o;
    int rc = 0;
    format_out_init(&o, p->schema.n + 1);
    if (p->method->prefix != NULL)
        rc = add_prefix(&o, p, theta, e);
    else
        add_bottlenecks(&o, p, theta);
    if (rc == 0)
        return format_out_write(&o, dir, format_adapterhub.weights, e);
    arena_release(&o.mem);
    return rc;
}

static int write_head(const struct peft *p, const real *theta, const char *dir, struct err *e)
{
    struct format_out o;
    format_out_init(&o, (size_t)p->n_head + 1);
    for (size_t i = p->head; i < p->schema.n; i++)
        format_out_add(&o, p, theta, i, p->schema.tensor[i].name);
    return format_out_write(&o, dir, format_adapterhub.head, e);
}

/* What the two configurations have in common; "config" is added to it. */
static json_t *about(const struct peft *p, const char *name)
{
    const struct model *m = p->model;
    char class[64];
    format_model_class(p, class);
    return json_pack("{s:i, s:s, s:s, s:s, s:s?, s:s}", "hidden_size", m->cfg.hidden, "model_class",
                     class, "model_name", m->name != NULL ? m->name : "", "model_type",
                     family_names[m->cfg.family].model_type, "name", name, "version", VERSION);
}

static int write_head_config(const struct peft *p, const struct adapter_info *info, const char *dir,
                             struct err *e)
{
    json_t *json = about(p, NULL);
    int failed = json_object_set_new(json, "config", json_null());
    failed |= json_object_set_new(json, "num_labels", json_integer(p->n_labels));
    failed |= json_object_set_new(json, "label2id", format_label2id(p, info));
    if (failed != 0) {
        json_decref(json);
        json = NULL;
    }
    return format_write_json(json, dir, HEAD_CONFIG, e);
}

static int write_config(const struct peft *p, const char *dir, struct err *e)
{
    json_t *json = about(p, NAME);
    if (json_object_set_new(json, "config", adapterhub_config(p)) != 0) {
        json_decref(json);
        json = NULL;
    }
    return format_write_json(json, dir, ADAPTER_CONFIG, e);
}

static int hub_save(const struct peft *p, const real *theta, const struct adapter_info *info,
                    const char *dir, struct err *e)
{
    int rc = write_values(p, theta, dir, e);
    if (rc == 0)
        rc = write_head(p, theta, dir, e);
    if (rc == 0)
        rc = write_head_config(p, info, dir, e);
    return rc == 0 ? write_config(p, dir, e) : rc;
}

/* --- keys --- */

/* Appends to name what stands at `at`. */
static enum format_key take(char name[FORMAT_KEY], size_t kept, const char *at)
{
    snprintf(name + kept, FORMAT_KEY - kept, "%s", at);
    return KEY_TENSOR;
}

/* heads.NAME.K.LEAF: linear layers of a flexible head, between dropouts and activations. */
static enum format_key flexible_key(const struct adapter_dir *a, const char *key,
                                    char name[FORMAT_KEY])
{
    const char *leaf = strrchr(key, '.'), *k = leaf;
    struct adapterhub_head head;
    while (k > key && k[-1] != '.')
        k--;
    if (!adapterhub_head_of(a, &head))
        return KEY_UNKNOWN;
    long number = strtol(k, NULL, 10);
    const char *module = number == head.classifier ? head.classifier_module : NULL;
    if (number == head.dense)
        module = head.dense_module;
    if (module == NULL)
        return KEY_UNKNOWN;
    snprintf(name, FORMAT_KEY, "%s%s", module, leaf);
    return KEY_TENSOR;
}

static enum format_key hub_key(const struct adapter_dir *a, const char *key, char name[FORMAT_KEY])
{
    static const char container[] = ".adapters.";
    const char *own = json_string_value(json_object_get(a->config.root, "name"));
    const char *at = strstr(key, container);
    size_t len = own != NULL ? strlen(own) : 0;
    if (strlen(key) >= FORMAT_KEY)
        return KEY_UNKNOWN;
    if (strstr(key, ".prefix_tunings.") != NULL)
        return KEY_IGNORED; /* convert's */
    if (strncmp(key, "heads.", 6) == 0)
        return flexible_key(a, key, name);
    if (at == NULL)
        return take(name, 0, key);
    at += strlen(container);
    if (own == NULL || strncmp(at, own, len) != 0 || at[len] != '.')
        return KEY_UNKNOWN;
    memcpy(name, key, (size_t)(at - key));
    return take(name, (size_t)(at - key), at + len + 1);
}

/* --- prefixes --- */

/* A tensor of the prefix by the end of its key. `adapters` writes each a second time for every
 * layer that shares it, below "pool". NULL: none. */
static const struct st_tensor *find_part(const struct adapter_dir *a, const char *part)
{
    const struct safetensors *st = &a->file[0].st;
    for (size_t i = 0; i < st->n; i++) {
        const char *key = st->tensor[i].name, *at = strstr(key, ".prefix_tunings.");
        size_t n = strlen(key), k = strlen(part);
        if (at != NULL && strstr(key, ".pool.") == NULL && n > k && strcmp(key + n - k, part) == 0)
            return &st->tensor[i];
    }
    return NULL;
}

/* A part of the network as real, of exactly that shape. *out is from `mem`. */
static int read_part(const struct adapter_dir *a, struct arena *mem, const char *part, int64_t rows,
                     int64_t cols, real **out, struct err *e)
{
    const struct st_tensor *t = find_part(a, part);
    const char *path = a->file[0].path;
    int ndim = cols > 0 ? 2 : 1;
    if (t == NULL)
        return err_set(e, ERR_MODEL, "%s: tensor \"...%s\" is missing", path, part);
    if (t->ndim != ndim || t->dim[0] != rows || (ndim == 2 && t->dim[1] != cols))
        return err_set(e, ERR_MODEL,
                       "%s: tensor \"%.200s\" has another shape: the adapter has another length or "
                       "base model",
                       path, t->name);
    float *scratch = arena_calloc(mem, t->count, sizeof *scratch);
    *out = arena_calloc(mem, t->count, sizeof **out);
    if (scratch == NULL || *out == NULL)
        return err_set(e, ERR_NOMEM, "%s: no memory to read it", path);
    return format_read_tensor(path, t, scratch, *out, e);
}

/* rows = tanh(E D^T + d) U^T + u, as `adapters` collapses it too (eject_prefix_tuning). */
static int run_network(const struct adapter_dir *a, const struct peft *p, struct arena *mem,
                       real *rows, struct err *e)
{
    const struct st_tensor *down = find_part(a, "control_trans.0.weight");
    int64_t n = p->spec.length, d = p->model->cfg.hidden, wide = 2 * d * p->model->cfg.layers;
    int64_t mid = down != NULL && down->ndim == 2 && down->dim[0] <= INT32_MAX ? down->dim[0] : 1;
    real *E, *D, *d0, *U, *u0;
    int rc = read_part(a, mem, "wte.weight", n, d, &E, e);
    if (rc == 0)
        rc = read_part(a, mem, "control_trans.0.weight", mid, d, &D, e);
    if (rc == 0)
        rc = read_part(a, mem, "control_trans.0.bias", mid, 0, &d0, e);
    if (rc == 0)
        rc = read_part(a, mem, "control_trans.2.weight", wide, mid, &U, e);
    if (rc == 0)
        rc = read_part(a, mem, "control_trans.2.bias", wide, 0, &u0, e);
    real *x = rc == 0 ? arena_calloc(mem, (size_t)(n * mid), sizeof *x) : NULL;
    if (rc != 0 || x == NULL)
        return rc != 0 ? rc : err_set(e, ERR_NOMEM, "%s: no memory to read it", a->file[0].path);
    blas_gemm(BLAS_AS_IS, BLAS_TRANSPOSED, (int)n, (int)mid, (int)d, 1, E, (int)d, D, (int)d, 0, x,
              (int)mid);
    for (int64_t k = 0; k < n * mid; k++)
        x[k] = (real)tanh((double)(x[k] + d0[k % mid]));
    for (int64_t k = 0; k < n; k++)
        memcpy(rows + k * wide, u0, (size_t)wide * sizeof *rows);
    blas_gemm(BLAS_AS_IS, BLAS_TRANSPOSED, (int)n, (int)wide, (int)mid, 1, x, (int)mid, U, (int)mid,
              1, rows, (int)wide);
    return 0;
}

static int hub_convert(const struct adapter_dir *a, const struct peft *p, real *theta, bool *seen,
                       struct err *e)
{
    const struct tensor_spec *s = &p->schema.tensor[0];
    struct arena mem;
    real *flat;
    int rc;
    if (p->method->prefix == NULL)
        return 0;
    arena_init(&mem, ARENA_NO_CAP);
    if (find_part(a, ".control_trans") == NULL) {
        rc = run_network(a, p, &mem, theta + s->offset, e);
    } else {
        rc = read_part(a, &mem, ".control_trans", (int64_t)s->count, 0, &flat, e);
        if (rc == 0)
            memcpy(theta + s->offset, flat, s->count * sizeof *theta);
    }
    arena_release(&mem);
    seen[0] = rc == 0;
    return rc;
}

const struct format format_adapterhub = {
    .name = "adapterhub",
    .weights = "adapter.safetensors",
    .head = "model_head.safetensors",
    .head_config = HEAD_CONFIG,
    .detect = hub_detect,
    .lacks = hub_lacks,
    .save = hub_save,
    .read = adapterhub_read,
    .key = hub_key,
    .convert = hub_convert,
};
