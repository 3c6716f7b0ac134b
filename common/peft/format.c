#include "peft/format.h"
#include "base/file.h"
#include "model/names.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define ENTRY(name) &format_##name,
const struct format *const peft_formats[] = {PEFT_FORMATS(ENTRY) NULL};

/* --- reading --- */

static int open_info(struct adapter_dir *a, struct err *e)
{
    int format = 0;
    int rc = file_join(a->info_path, PATH_MAX, a->dir, ADAPTER_INFO, e);
    if (rc != 0 || !file_exists(a->info_path))
        return rc;
    rc = jsonfile_open(&a->info, a->info_path, e);
    if (rc == 0)
        rc = jsonfile_int(&a->info, "format", 0, INT_MAX, &format, e);
    if (rc == 0 && format != ADAPTER_INFO_FORMAT)
        rc = err_set(e, ERR_MODEL, "%s: format %d, but this program reads %d: use a newer one",
                     a->info_path, format, ADAPTER_INFO_FORMAT);
    return rc;
}

static int open_config(struct adapter_dir *a, struct err *e)
{
    int rc = file_join(a->config_path, PATH_MAX, a->dir, ADAPTER_CONFIG, e);
    if (rc == 0)
        rc = jsonfile_open(&a->config, a->config_path, e);
    if (rc != 0)
        return rc;
    for (const struct format *const *f = peft_formats; *f != NULL; f++)
        if ((*f)->detect(a->config.root)) {
            a->format = *f;
            return 0;
        }
    return err_set(e, ERR_MODEL,
                   "%s: no adapter of a known format: it has neither \"peft_type\" (Hugging Face "
                   "PEFT, fedpet) nor \"config\" (AdapterHub)",
                   a->config_path);
}

/* What both libraries write instead when they are not told better. */
static bool has_pickle(const char *dir)
{
    static const char *const names[] = {"adapter_model.bin", "pytorch_adapter.bin"};
    char path[PATH_MAX];
    struct err unused;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (file_join(path, sizeof path, dir, names[i], &unused) == 0 && file_exists(path))
            return true;
    return false;
}

static int open_values(struct adapter_dir *a, const char *name, struct err *e)
{
    struct format_values *v = &a->file[a->n_files];
    int rc = file_join(v->path, PATH_MAX, a->dir, name, e);
    if (rc == 0 && !file_exists(v->path) && has_pickle(a->dir))
        return err_set(e, ERR_MODEL,
                       "%s: missing; the folder has its values as a pickle, which can run code and "
                       "is not read: save the adapter again as safetensors",
                       v->path);
    if (rc == 0)
        rc = safetensors_open(&v->st, v->path, e);
    a->n_files += rc == 0;
    return rc;
}

static int open_head(struct adapter_dir *a, struct err *e)
{
    char path[PATH_MAX];
    if (a->format->head == NULL)
        return 0;
    int rc = file_join(path, PATH_MAX, a->dir, a->format->head, e);
    if (rc == 0)
        rc = file_join(a->head_path, PATH_MAX, a->dir, a->format->head_config, e);
    if (rc == 0 && file_exists(path))
        rc = open_values(a, a->format->head, e);
    return rc == 0 && file_exists(a->head_path) ? jsonfile_open(&a->head, a->head_path, e) : rc;
}

int adapter_dir_open(struct adapter_dir *a, const char *dir, struct err *e)
{
    *a = (struct adapter_dir){.dir = dir};
    int rc = open_config(a, e);
    if (rc == 0)
        rc = open_info(a, e);
    if (rc == 0)
        rc = open_values(a, a->format->weights, e);
    if (rc == 0)
        rc = open_head(a, e);
    if (rc != 0)
        adapter_dir_close(a);
    return rc;
}

void adapter_dir_close(struct adapter_dir *a)
{
    jsonfile_close(&a->config);
    jsonfile_close(&a->info);
    jsonfile_close(&a->head);
    for (int i = 0; i < a->n_files; i++)
        safetensors_close(&a->file[i].st);
    a->n_files = 0;
}

bool format_any(const struct adapter_dir *a, format_name_fn each, void *ctx)
{
    char name[FORMAT_KEY];
    for (int f = 0; f < a->n_files; f++)
        for (size_t i = 0; i < a->file[f].st.n; i++) {
            const struct st_tensor *t = &a->file[f].st.tensor[i];
            if (a->format->key(a, t->name, name) == KEY_TENSOR && each(name, t, ctx))
                return true;
        }
    return false;
}

static bool is_norm_gain(const char *name, const struct st_tensor *t, void *ctx)
{
    static const char *const ends[] = {"LayerNorm.weight", "_layer_norm.weight"};
    size_t n = strlen(name);
    (void)t;
    (void)ctx;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (n >= strlen(ends[i]) && strcmp(name + n - strlen(ends[i]), ends[i]) == 0)
            return true;
    return false;
}

bool format_has_norms(const struct adapter_dir *a)
{
    return format_any(a, is_norm_gain, NULL);
}

int format_read_tensor(const char *path, const struct st_tensor *t, float *scratch, real *out,
                       struct err *e)
{
    int rc = st_tensor_floats(t, scratch, e);
    if (rc != 0)
        return err_wrap(e, "%s", path);
    for (size_t k = 0; k < t->count; k++)
        if (!isfinite(scratch[k]))
            return err_set(e, ERR_MODEL, "%s: tensor \"%.200s\" holds a value that is not finite",
                           path, t->name);
    for (size_t k = 0; k < t->count; k++)
        out[k] = (real)scratch[k];
    return 0;
}

/* --- writing --- */

void format_out_init(struct format_out *o, size_t cap)
{
    *o = (struct format_out){.cap = cap};
    arena_init(&o->mem, ARENA_NO_CAP);
    o->tensor = arena_calloc(&o->mem, cap, sizeof *o->tensor);
    o->failed = o->tensor == NULL;
}

float *format_out_room(struct format_out *o, const char *name, int ndim, const int64_t *dim)
{
    size_t count = 1;
    for (int i = 0; i < ndim; i++)
        count *= (size_t)dim[i];
    float *x = o->failed || o->n == o->cap ? NULL : arena_calloc(&o->mem, count, sizeof *x);
    const char *own = x != NULL ? arena_strdup(&o->mem, name) : NULL;
    o->failed |= own == NULL;
    if (o->failed)
        return NULL;
    struct st_out *t = &o->tensor[o->n++];
    *t = (struct st_out){.name = own, .ndim = ndim, .x = x};
    memcpy(t->dim, dim, (size_t)ndim * sizeof *dim);
    return x;
}

void format_out_add(struct format_out *o, const struct peft *p, const real *theta, size_t i,
                    const char *name)
{
    const struct tensor_spec *s = &p->schema.tensor[i];
    float *x = format_out_room(o, name, s->ndim, s->dim);
    for (size_t k = 0; x != NULL && k < s->count; k++)
        x[k] = (float)theta[s->offset + k];
}

int format_out_write(struct format_out *o, const char *dir, const char *file, struct err *e)
{
    char path[PATH_MAX];
    int rc = file_join(path, sizeof path, dir, file, e);
    if (rc == 0)
        rc = o->failed ? err_set(e, ERR_NOMEM, "%s: no memory to write it", path)
                       : safetensors_write(path, o->tensor, o->n, e);
    arena_release(&o->mem);
    return rc;
}

int format_write_json(json_t *json, const char *dir, const char *name, struct err *e)
{
    char path[PATH_MAX];
    int rc = file_join(path, sizeof path, dir, name, e);
    if (rc == 0)
        rc = jsonfile_write(json, JSON_SORT_KEYS, path, e);
    json_decref(json);
    return rc;
}

/* --- words --- */

const char *format_task_type(const struct peft *p)
{
    return p->head_kind == HEAD_TOKENS ? "TOKEN_CLS" : "SEQ_CLS";
}

int format_read_task_type(const struct adapter_dir *a, enum head_kind *head, struct err *e)
{
    const char *type = "SEQ_CLS";
    int rc = jsonfile_string(&a->config, "task_type", &type, e);
    if (rc != 0)
        return rc;
    *head = strcmp(type, "TOKEN_CLS") == 0 ? HEAD_TOKENS : HEAD_SEQUENCE;
    if (*head == HEAD_TOKENS || strcmp(type, "SEQ_CLS") == 0)
        return 0;
    return err_set(e, ERR_MODEL,
                   "%s: task_type \"%.60s\" is not supported: only SEQ_CLS and TOKEN_CLS",
                   a->config_path, type);
}

void format_model_class(const struct peft *p, char out[64])
{
    static const char *const family[FAMILIES] = {
        [FAMILY_BERT] = "Bert", [FAMILY_ROBERTA] = "Roberta", [FAMILY_DISTILBERT] = "DistilBert"};
    static const char *const head[] = {[HEAD_SEQUENCE] = "SequenceClassification",
                                       [HEAD_TOKENS] = "TokenClassification",
                                       [HEAD_MLM] = "MaskedLM"};
    snprintf(out, 64, "%sFor%s", family[p->model->cfg.family], head[p->head_kind]);
}

static const char *label_name(const struct adapter_info *info, uint32_t i, char text[24])
{
    if (info->labels != NULL)
        return info->labels[i];
    snprintf(text, 24, "LABEL_%u", i);
    return text;
}

json_t *format_label2id(const struct peft *p, const struct adapter_info *info)
{
    json_t *json = json_object();
    char text[24];
    int failed = 0;
    for (uint32_t i = 0; i < p->n_labels; i++)
        failed |= json_object_set_new(json, label_name(info, i, text), json_integer(i));
    if (failed == 0)
        return json;
    json_decref(json);
    return NULL;
}

json_t *format_id2label(const struct peft *p, const struct adapter_info *info)
{
    json_t *json = json_object();
    char text[24], id[16];
    int failed = 0;
    for (uint32_t i = 0; i < p->n_labels; i++) {
        snprintf(id, sizeof id, "%u", i);
        failed |= json_object_set_new(json, id, json_string(label_name(info, i, text)));
    }
    if (failed == 0)
        return json;
    json_decref(json);
    return NULL;
}
