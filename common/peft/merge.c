#include "base/file.h"
#include "model/model_dir.h"
#include "model/quantization.h"
#include "peft/format.h"
#include <string.h>

/* --- model.safetensors --- */

/* The tensors of the merged model: those of the encoder, then the head's. */
struct merging {
    const struct peft *p;
    const real *theta;
    struct base_tensor *base;
    size_t n_base;
    real *values; /* room for the largest of base */
};

static int merged_values(void *ctx, size_t i, void *to, struct err *e)
{
    const struct merging *m = ctx;
    const struct tensor_spec *head =
        i < m->n_base ? NULL : &m->p->schema.tensor[m->p->head + i - m->n_base];
    const real *from = head != NULL ? m->theta + head->offset : m->values;
    float *x = to;
    size_t count = head != NULL ? head->count : 1;
    (void)e;
    if (head == NULL) {
        peft_merged(m->p, m->theta, &m->base[i], m->values);
        for (int k = 0; k < m->base[i].ndim; k++)
            count *= (size_t)m->base[i].dim[k];
    }
    for (size_t k = 0; k < count; k++)
        x[k] = (float)from[k];
    return 0;
}

/* The encoder's tensors that the class has: but over sequences it does without a pooler. */
static int list_base(struct merging *m, struct arena *mem, struct err *e)
{
    struct base_tensor *all;
    size_t n, largest = 1;
    int rc = model_tensors(m->p->model, mem, &all, &n, e);
    if (rc != 0)
        return rc;
    m->base = all;
    for (size_t i = 0; i < n; i++) {
        size_t count = (size_t)all[i].dim[0] * (size_t)(all[i].ndim > 1 ? all[i].dim[1] : 1);
        if (model_is_pooler(&all[i]) && m->p->head_kind != HEAD_SEQUENCE)
            continue;
        m->base[m->n_base++] = all[i];
        if (count > largest)
            largest = count;
    }
    m->values = arena_calloc(mem, largest, sizeof *m->values);
    return m->values != NULL ? 0 : err_set(e, ERR_NOMEM, "no memory to merge the model");
}

static int write_weights(const struct peft *p, const real *theta, enum dtype dtype, const char *dir,
                         struct err *e)
{
    struct merging m = {.p = p, .theta = theta};
    struct arena mem;
    arena_init(&mem, ARENA_NO_CAP);
    int rc = list_base(&m, &mem, e);
    size_t n = m.n_base + (size_t)p->n_head;
    struct st_out *out = rc == 0 ? arena_calloc(&mem, n, sizeof *out) : NULL;
    if (rc == 0 && out == NULL)
        rc = err_set(e, ERR_NOMEM, "%s: no memory to write its weights", dir);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        const struct tensor_spec *head =
            i < m.n_base ? NULL : &p->schema.tensor[p->head + i - m.n_base];
        const int64_t *dim = head != NULL ? head->dim : m.base[i].dim;
        out[i] = (struct st_out){.name = head != NULL ? head->name : m.base[i].name,
                                 .dtype = dtype,
                                 .ndim = head != NULL ? head->ndim : m.base[i].ndim};
        memcpy(out[i].dim, dim, (size_t)out[i].ndim * sizeof *dim);
    }
    if (rc == 0)
        rc = model_dir_write_weights(dir, out, n, merged_values, &m, e);
    arena_release(&mem);
    return rc;
}

/* --- the other files --- */

/* The base model's, for the class with the head. */
static int write_config(const struct peft *p, const struct adapter_info *info, const char *dir,
                        struct err *e)
{
    char class[64];
    json_t *json;
    int rc = model_dir_read_config(p->model->dir, &json, e);
    if (rc != 0)
        return rc;
    format_model_class(p, class);
    int failed = json_object_set_new(json, "architectures", json_pack("[s]", class));
    failed |= json_object_set_new(json, "torch_dtype",
                                  json_string(info->dtype == DTYPE_F16 ? "float16" : "float32"));
    json_object_del(json, "dtype");
    json_object_del(json, QUANTIZATION_CONFIG); /* whatever the base model was stored as */
    if (p->head_kind != HEAD_MLM) {
        failed |= json_object_set_new(json, "id2label", format_id2label(p, info));
        failed |= json_object_set_new(json, "label2id", format_label2id(p, info));
        json_object_del(json, "num_labels"); /* that of id2label */
    }
    if (p->head_kind == HEAD_SEQUENCE)
        failed |= json_object_set_new(
            json, "problem_type",
            json_string(p->n_labels == 1 ? "regression" : "single_label_classification"));
    if (failed != 0) {
        json_decref(json);
        json = NULL;
    }
    return format_write_json(json, dir, MODEL_CONFIG, e);
}

static int write_all(const struct peft *p, const real *theta, const struct adapter_info *info,
                     const char *dir, struct err *e)
{
    int rc = write_weights(p, theta, info->dtype, dir, e);
    if (rc == 0)
        rc = model_dir_copy_tokenizer(p->model->dir, dir, e);
    return rc == 0 ? write_config(p, info, dir, e) : rc;
}

static int check_method(const struct peft *p, struct err *e)
{
    const struct peft_method *m = p->method;
    const char *why = m->block != NULL ? "an adapter is not linear, so no weight matrix can hold it"
                                       : "virtual tokens are no part of the weights";
    return peft_can_merge(p)
               ? 0
               : err_set(e, ERR_CONFIG, "the method %s cannot be merged into its base model: %s",
                         m->name, why);
}

int peft_save_merged(const struct peft *p, const real *theta, const struct adapter_info *info,
                     const char *dir, struct err *e)
{
    struct model_dir d;
    int rc = check_method(p, e);
    if (rc == 0)
        rc = model_dir_begin(&d, dir, e);
    if (rc != 0)
        return rc;
    rc = write_all(p, theta, info, d.temp, e);
    return model_dir_end(&d, rc, e);
}
