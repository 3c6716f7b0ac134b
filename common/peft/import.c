#include "base/file.h"
#include "model/jsontext.h"
#include "model/names.h"
#include "peft/format.h"
#include <stdlib.h>
#include <string.h>

/* --- values --- */

static bool same_shape(const struct st_tensor *t, const struct tensor_spec *s)
{
    return t->ndim == s->ndim && memcmp(t->dim, s->dim, (size_t)s->ndim * sizeof *s->dim) == 0;
}

/* Values on their way into a theta. */
struct loading {
    const struct peft *p;
    const struct adapter_dir *a;
    real *theta;
    float *scratch;
    bool *seen; /* by schema index */
};

static int load_tensor(struct loading *l, const char *path, const struct st_tensor *t,
                       struct err *e)
{
    char name[FORMAT_KEY];
    const struct schema *schema = &l->p->schema;
    enum format_key key = l->a->format->key(l->a, t->name, name);
    if (key == KEY_IGNORED)
        return 0;
    const struct tensor_spec *s = key == KEY_TENSOR ? schema_find(schema, name) : NULL;
    const char *fault = NULL;
    if (s == NULL)
        fault = "is unknown: the adapter has other targets, another method or another base model";
    else if (!same_shape(t, s))
        fault = "has another shape: the adapter has another rank, number of labels or base model";
    else if (l->seen[s - schema->tensor])
        fault = "is there twice";
    if (fault != NULL)
        return err_set(e, ERR_MODEL, "%s: tensor \"%.200s\" %s", path, t->name, fault);
    l->seen[s - schema->tensor] = true;
    return format_read_tensor(path, t, l->scratch, l->theta + s->offset, e);
}

/* As PEFT, a head tensor that was not saved is the base model's; but one that no file holds has no
 * value. */
static int fill_missing(const struct loading *l, struct err *e)
{
    const struct peft *p = l->p;
    const char *path = l->a->file[0].path;
    for (size_t i = 0; i < p->schema.n; i++) {
        const struct tensor_spec *s = &p->schema.tensor[i];
        const struct head_tensor *h = i >= p->head ? &p->head_tensor[i - p->head] : NULL;
        if (l->seen[i])
            continue;
        if (h == NULL)
            return err_set(e, ERR_MODEL,
                           "%s: tensor \"%s\" is missing: the adapter has other targets or another "
                           "base model",
                           path, s->name);
        if (h->pretrained.x == NULL)
            return err_set(
                e, ERR_MODEL,
                "%s: head tensor \"%s\" is missing: save the adapter again with \"%s\" in "
                "modules_to_save",
                path, s->name, h->module);
        stored_read(h->pretrained, 0, s->count, l->theta + s->offset);
    }
    return 0;
}

static int load_all(struct loading *l, struct err *e)
{
    const struct adapter_dir *a = l->a;
    int rc = a->format->convert != NULL ? a->format->convert(a, l->p, l->theta, l->seen, e) : 0;
    for (int f = 0; f < a->n_files; f++)
        for (size_t i = 0; i < a->file[f].st.n && rc == 0; i++)
            rc = load_tensor(l, a->file[f].path, &a->file[f].st.tensor[i], e);
    return rc == 0 ? fill_missing(l, e) : rc;
}

static int load_values(const struct peft *p, const struct adapter_dir *a, real *theta,
                       struct err *e)
{
    size_t count = p->schema.count, largest = 0;
    for (size_t i = 0; i < p->schema.n; i++)
        if (p->schema.tensor[i].count > largest)
            largest = p->schema.tensor[i].count;
    struct loading l = {.p = p,
                        .a = a,
                        .theta = malloc(count * sizeof *l.theta),
                        .scratch = malloc(largest * sizeof *l.scratch),
                        .seen = calloc(p->schema.n, sizeof *l.seen)};
    int rc = l.theta == NULL || l.scratch == NULL || l.seen == NULL
                 ? err_set(e, ERR_NOMEM, "%s: no memory to read it", a->file[0].path)
                 : load_all(&l, e);
    if (rc == 0)
        memcpy(theta, l.theta, count * sizeof *theta);
    free(l.theta);
    free(l.scratch);
    free(l.seen);
    return rc;
}

/* --- opening for a peft --- */

/* What libraries note of the base model; virtual rows fit many. */
static int check_shape(const struct peft *p, const struct adapter_dir *a, struct err *e)
{
    const struct model_config *c = &p->model->cfg;
    const struct {
        const char *key;
        int mine;
    } size[] = {{"num_layers", c->layers},
                {"num_attention_heads", c->heads},
                {"token_dim", c->hidden},
                {"hidden_size", c->hidden}};
    const char *family = family_names[c->family].model_type, *theirs = family;
    int rc = jsonfile_string(&a->config, "model_type", &theirs, e);
    if (rc == 0 && strcmp(theirs, family) != 0)
        rc = err_set(e, ERR_MODEL,
                     "%s: made for another base model: its model_type is \"%.60s\", not \"%s\"",
                     a->config_path, theirs, family);
    for (size_t i = 0; i < sizeof size / sizeof *size && rc == 0; i++) {
        int have = size[i].mine;
        rc = jsonfile_int(&a->config, size[i].key, 0, INT_MAX, &have, e);
        if (rc == 0 && have != size[i].mine)
            rc = err_set(e, ERR_MODEL, "%s: made for another base model: its %s is %d, not %d",
                         a->config_path, size[i].key, have, size[i].mine);
    }
    return rc;
}

static int check_hash(const struct peft *p, const struct adapter_dir *a, struct err *e)
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

/* Sets e to what is the adapter's and what was asked for, of one setting. */
static int differs(const struct adapter_dir *a, const char *key, const json_t *have,
                   const json_t *asked, struct err *e)
{
    char *h = jsontext(have, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9));
    char *w = jsontext(asked, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9));
    int rc = err_set(e, ERR_MODEL, "%s: the adapter has %s %s; asked for is %s", a->config_path,
                     key, h != NULL ? h : "?", w != NULL ? w : "?");
    free(h);
    free(w);
    return rc;
}

/* The settings must be those of p, but for dropout, which changes no values. */
static int check_settings(const struct peft *p, const struct adapter_dir *a,
                          const struct peft_spec *spec, struct err *e)
{
    json_t *have = peft_settings(peft_method_find(spec->method), spec);
    json_t *asked = peft_settings(p->method, &p->spec);
    const char *key;
    json_t *value;
    int rc = 0;
    json_object_foreach(asked, key, value)
    {
        const json_t *theirs = json_object_get(have, key);
        if (rc == 0 && strcmp(key, "dropout") != 0 && !json_equal(theirs, value))
            rc = differs(a, key, theirs, value, e);
    }
    json_decref(have);
    json_decref(asked);
    return rc;
}

static int check_config(const struct peft *p, const struct adapter_dir *a, struct err *e)
{
    struct peft_spec spec = {0};
    enum head_kind head;
    int rc = a->format->read(a, &spec, &head, e);
    if (rc == 0)
        rc = check_settings(p, a, &spec, e);
    if (rc == 0 && head != p->head_kind)
        rc = err_set(e, ERR_MODEL, "%s: the adapter classifies %s, not %s", a->config_path,
                     head == HEAD_TOKENS ? "tokens" : "sequences",
                     head == HEAD_TOKENS ? "sequences" : "tokens");
    return rc;
}

int peft_load(const struct peft *p, const char *dir, real *theta, struct err *e)
{
    struct adapter_dir a;
    int rc = adapter_dir_open(&a, dir, e);
    if (rc != 0)
        return rc;
    rc = check_hash(p, &a, e);
    if (rc == 0)
        rc = check_shape(p, &a, e);
    if (rc == 0)
        rc = check_config(p, &a, e);
    if (rc == 0)
        rc = load_values(p, &a, theta, e);
    adapter_dir_close(&a);
    return rc;
}

/* --- reading what is asked for --- */

/* The classifier's rows: its weight is the head's last matrix in every family. */
static bool is_classifier(const char *name, const struct st_tensor *t, void *ctx)
{
    static const char *const classifier[] = {"classifier.out_proj.weight", "classifier.weight"};
    uint32_t *n_labels = ctx;
    for (size_t k = 0; k < sizeof classifier / sizeof *classifier; k++)
        if (strcmp(name, classifier[k]) == 0 && t->ndim == 2 && t->dim[0] >= 1 &&
            t->dim[0] <= FORMAT_MAX_LABELS) {
            *n_labels = (uint32_t)t->dim[0];
            return true;
        }
    return false;
}

static int count_labels(const struct adapter_dir *a, uint32_t *n_labels, struct err *e)
{
    return format_any(a, is_classifier, n_labels)
               ? 0
               : err_set(e, ERR_MODEL,
                         "%s: no classification head: save the adapter again with its head (HF "
                         "PEFT: \"classifier\" in modules_to_save)",
                         a->file[a->n_files - 1].path);
}

static int read_labels(const struct adapter_dir *a, struct arena *mem, struct adapter_info *info,
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

static int read_info(const struct adapter_dir *a, struct arena *mem, struct adapter_info *info,
                     struct err *e)
{
    int max_length = 0;
    const char *task = NULL;
    info->format = a->format->name;
    info->weights = a->format->weights;
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

int peft_read_config(const char *dir, struct arena *mem, struct peft_spec *spec,
                     struct adapter_info *info, struct err *e)
{
    struct adapter_dir a;
    struct peft_spec s = {0};
    struct adapter_info i = {0};
    int rc = adapter_dir_open(&a, dir, e);
    if (rc != 0)
        return rc;
    rc = a.format->read(&a, &s, &i.head, e);
    if (rc == 0)
        rc = count_labels(&a, &i.n_labels, e);
    if (rc == 0)
        rc = read_info(&a, mem, &i, e);
    adapter_dir_close(&a);
    if (rc == 0 && (s.method = arena_strdup(mem, s.method)) == NULL)
        rc = err_set(e, ERR_NOMEM, "%s: no memory", dir);
    if (rc != 0)
        return rc;
    *spec = s;
    *info = i;
    return 0;
}
