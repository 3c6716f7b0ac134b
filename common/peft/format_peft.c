/* Hugging Face PEFT, as its versions 0.5 to 0.21 read and write it. A key is the model's own name
 * of the parameter below a prefix, with the words of PEFT's wrappers in between. */
#include "peft/format_peft.h"
#include <stdlib.h>
#include <string.h>

#define WRAPPED "base_model.model." /* the base model inside a tuner, inside PeftModel */
#define PLAIN "base_model."         /* prompt learning: inside PeftModel */
#define ROWS "prompt_embeddings"

static bool peft_detect(const json_t *config)
{
    const char *type = json_string_value(json_object_get(config, "peft_type"));
    return type != NULL && strcmp(type, ADAPTER_NATIVE_TYPE) != 0;
}

static const char *peft_lacks(const struct peft *p)
{
    if (peft_kind_of(p) == NULL)
        return "PEFT has no such method";
    if (p->method->prefix == NULL)
        return NULL;
    if (p->model->cfg.family == FAMILY_DISTILBERT)
        return "Hugging Face's DistilBERT takes no prefix";
    return p->spec.shift
               ? NULL
               : "with PEFT the text's positions begin behind the prefix (peft.shift: true)";
}

/* --- writing --- */

/* The key of a base or head tensor, whose name is MODULE.LEAF. */
static void file_key(const struct peft *p, const struct peft_kind *kind, size_t i,
                     char key[FORMAT_KEY])
{
    const char *name = p->schema.tensor[i].name, *leaf = strrchr(name, '.');
    const char *wrapper = "";
    char query[LINEAR_PATH_MAX];
    int module = (int)(leaf - name);
    linear_site_path(p->model->cfg.family, 0, LIN_QUERY, query);
    if (i < p->head && strcmp(kind->type, "LN_TUNING") == 0)
        wrapper = ".ln_tuning_layers";
    else if (kind->all_biases && strlen(query) == (size_t)module &&
             memcmp(name, query, (size_t)module) == 0)
        wrapper = ".base_layer";
    snprintf(key, FORMAT_KEY, "%s%.*s%s%s", kind->rows ? PLAIN : WRAPPED, module, name, wrapper,
             leaf);
}

static int add_rows(struct format_out *o, const struct peft *p, const real *theta, struct err *e)
{
    const struct model_config *c = &p->model->cfg;
    int64_t columns = p->method->prefix != NULL ? 2 * (int64_t)c->layers * c->hidden : c->hidden;
    const int64_t dim[] = {p->spec.length, columns};
    size_t count = (size_t)(dim[0] * dim[1]);
    float *x = format_out_room(o, ROWS, 2, dim);
    real *rows = malloc(count * sizeof *rows);
    int rc = x == NULL || rows == NULL ? err_set(e, ERR_NOMEM, "no memory for virtual tokens")
                                       : peft_collapse(p, theta, rows, e);
    for (size_t k = 0; rc == 0 && k < count; k++)
        x[k] = (float)rows[k];
    free(rows);
    return rc;
}

/* The LoRA of BitFit that adds nothing. */
static void add_nothing(struct format_out *o, const struct peft *p)
{
    char query[LINEAR_PATH_MAX], key[FORMAT_KEY];
    int64_t d = p->model->cfg.hidden;
    linear_site_path(p->model->cfg.family, 0, LIN_QUERY, query);
    snprintf(key, sizeof key, WRAPPED "%s.lora_A.weight", query);
    format_out_room(o, key, 2, (int64_t[]){1, d});
    snprintf(key, sizeof key, WRAPPED "%s.lora_B.weight", query);
    format_out_room(o, key, 2, (int64_t[]){d, 1});
}

static int peft_write(const struct peft *p, const real *theta, const struct adapter_info *info,
                      const char *dir, struct err *e)
{
    const struct peft_kind *kind = peft_kind_of(p);
    struct format_out o;
    char key[FORMAT_KEY];
    int rc = 0;
    (void)info;
    format_out_init(&o, p->schema.n + 2);
    if (kind->rows)
        rc = add_rows(&o, p, theta, e);
    else if (kind->all_biases)
        add_nothing(&o, p);
    for (size_t i = kind->rows ? p->first_base : 0; i < p->schema.n; i++) {
        file_key(p, kind, i, key);
        format_out_add(&o, p, theta, i, key);
    }
    if (rc != 0) {
        arena_release(&o.mem);
        return rc;
    }
    rc = format_out_write(&o, dir, format_peft.weights, e);
    return rc == 0 ? peft_config_write(p, kind, dir, e) : rc;
}

/* --- reading --- */

/* Appends a component of a path. */
static void append(char name[FORMAT_KEY], size_t *n, const char *word, size_t len)
{
    if (*n > 0)
        name[(*n)++] = '.';
    memcpy(name + *n, word, len);
    *n += len;
    name[*n] = '\0';
}

/* Words of a key that are no part of the module's path: the adapter's name and the wrappers'. */
static bool is_wrapper(const char *word, size_t len)
{
    static const char *const words[] = {"default", "modules_to_save", "ln_tuning_layers",
                                        "base_layer"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strlen(words[i]) == len && memcmp(words[i], word, len) == 0)
            return true;
    return false;
}

/* PEFT writes the head's biases twice when it trains all biases. */
static bool is_second_copy(const struct adapter_dir *a, const char *key, const char *name)
{
    char plain[FORMAT_KEY + sizeof WRAPPED];
    snprintf(plain, sizeof plain, WRAPPED "%s", name);
    return strstr(key, ".modules_to_save.") != NULL &&
           safetensors_find(&a->file[0].st, plain) != NULL;
}

static enum format_key peft_key(const struct adapter_dir *a, const char *key, char name[FORMAT_KEY])
{
    const struct peft_kind *kind = peft_kind_read(a->config.root);
    const char *prefix = kind != NULL && kind->rows ? PLAIN : WRAPPED, *at = key;
    size_t n = 0;
    *name = '\0';
    if (strlen(key) >= FORMAT_KEY || kind == NULL)
        return KEY_UNKNOWN;
    if (kind->rows && strcmp(key, ROWS) == 0) {
        append(name, &n, ROWS, strlen(ROWS));
        return KEY_TENSOR;
    }
    if (strncmp(key, prefix, strlen(prefix)) != 0)
        return KEY_UNKNOWN;
    if (strstr(key, ".original_module.") != NULL ||
        (kind->all_biases && strstr(key, ".lora_") != NULL))
        return KEY_IGNORED;
    for (at += strlen(prefix); *at != '\0';) {
        size_t len = strcspn(at, ".");
        if (!is_wrapper(at, len))
            append(name, &n, at, len);
        at += len + (at[len] == '.');
    }
    return is_second_copy(a, key, name) ? KEY_IGNORED : KEY_TENSOR;
}

const struct format format_peft = {
    .name = "peft",
    .weights = "adapter_model.safetensors",
    .detect = peft_detect,
    .lacks = peft_lacks,
    .save = peft_write,
    .read = peft_config_read,
    .key = peft_key,
};
