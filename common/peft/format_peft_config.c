/* adapter_config.json of Hugging Face PEFT. Absent fields have the defaults of PEFT's
 * configuration classes. */
#include "model/names.h"
#include "peft/format_peft.h"
#include <math.h>
#include <string.h>

enum { MAX_RANK = 1024, MAX_LENGTH = 1024 };
static const double max_alpha = 1e6;

/* --- modules --- */

static void append_once(json_t *list, const char *word)
{
    for (size_t k = 0; k < json_array_size(list); k++)
        if (strcmp(json_string_value(json_array_get(list, k)), word) == 0)
            return;
    json_array_append_new(list, json_string(word));
}

/* The layer norms' modules, by the last words of their paths. */
static void append_norms(json_t *list, enum family f)
{
    const struct family_names *names = &family_names[f];
    const char *const paths[] = {names->emb_norm, names->attn_norm, names->ffn_norm};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        const char *dot = strrchr(paths[i], '.');
        append_once(list, dot != NULL ? dot + 1 : paths[i]);
    }
}

/* PEFT adds the first two to every classifier. */
static json_t *modules_to_save(const struct peft *p, const struct peft_kind *kind)
{
    json_t *list = json_pack("[s, s]", "classifier", "score");
    for (int i = 0; i < p->n_head; i++)
        append_once(list, p->head_tensor[i].module);
    if (p->spec.norms && strcmp(kind->type, "LN_TUNING") != 0)
        append_norms(list, p->model->cfg.family);
    return list;
}

/* --- LORA --- */

static json_t *lora_fields(const char *bias, int r, double alpha, double dropout, bool rslora,
                           json_t *targets)
{
    /* PEFT declares lora_alpha an integer, and takes others too. */
    json_t *number = alpha == floor(alpha) ? json_integer((json_int_t)alpha) : json_real(alpha);
    return json_pack("{s:{}, s:s, s:b, s:b, s:n, s:n, s:o, s:f, s:i, s:{}, s:b, s:b, s:o}",
                     "alpha_pattern", "bias", bias, "fan_in_fan_out", 0, "init_lora_weights", 1,
                     "layers_pattern", "layers_to_transform", "lora_alpha", number, "lora_dropout",
                     dropout, "r", r, "rank_pattern", "use_dora", 0, "use_rslora", (int)rslora,
                     "target_modules", targets);
}

static json_t *lora_write(const struct peft *p)
{
    const struct peft_spec *s = &p->spec;
    return lora_fields("none", (int)s->r, s->alpha, s->dropout, s->rslora,
                       peft_target_modules(p->model->cfg.family, s->targets));
}

/* PEFT trains biases only beside a LoRA: one on a single site, of rank 1, that adds nothing. */
static json_t *bitfit_write(const struct peft *p)
{
    char path[LINEAR_PATH_MAX];
    linear_site_path(p->model->cfg.family, 0, LIN_QUERY, path);
    return lora_fields("all", 1, 1, 0, false, json_pack("[s]", path));
}

static int refused(const struct adapter_dir *a, const char *field, struct err *e)
{
    return err_set(e, ERR_MODEL,
                   "%s: \"%s\" is set, which is not supported: train the adapter without it",
                   a->config_path, field);
}

/* Options that change the function, each with the values that do not. */
static int refuse_variants(const struct adapter_dir *a, struct err *e)
{
    static const char *const variants[] = {
        "rank_pattern",
        "alpha_pattern",
        "layers_to_transform",
        "layer_replication",
        "use_dora",
        "use_qalora",
        "use_bdlora",
        "lora_bias",
        "kasa_config",
        "monteclora_config",
        "velora_config",
        "arrow_config",
        "target_parameters",
        "trainable_token_indices",
        "alora_invocation_tokens",
    };
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        const json_t *v = json_object_get(a->config.root, variants[i]);
        bool off = v == NULL || json_is_null(v) || json_is_false(v) ||
                   (json_is_object(v) && json_object_size(v) == 0) ||
                   (json_is_array(v) && json_array_size(v) == 0);
        if (!off)
            return refused(a, variants[i], e);
    }
    /* Most named ways to begin (PiSSA, OLoRA, CorDA, LoftQ) change the base weights too. */
    const char *init = json_string_value(json_object_get(a->config.root, "init_lora_weights"));
    bool kept = init == NULL || strcmp(init, "gaussian") == 0 || strcmp(init, "eva") == 0 ||
                strcmp(init, "orthogonal") == 0;
    return kept ? 0 : refused(a, "init_lora_weights", e);
}

static bool find_target(const char *name, const struct st_tensor *t, void *ctx)
{
    uint32_t *targets = ctx;
    enum linear_site site;
    (void)t;
    if (strstr(name, ".lora_") != NULL && linear_site_of(name, &site))
        *targets |= 1u << site;
    return false;
}

static int lora_read(const struct adapter_dir *a, struct peft_spec *spec, struct err *e)
{
    int r = 8;
    const char *bias = "none";
    struct peft_spec s = *spec;
    s.alpha = 8;
    int rc = refuse_variants(a, e);
    if (rc == 0)
        rc = jsonfile_string(&a->config, "bias", &bias, e);
    if (rc == 0 && strcmp(bias, "none") != 0)
        rc = err_set(e, ERR_MODEL, "%s: bias \"%.60s\" is not supported: only \"none\" and \"all\"",
                     a->config_path, bias);
    if (rc == 0)
        rc = jsonfile_int(&a->config, "r", 1, MAX_RANK, &r, e);
    if (rc == 0)
        rc = jsonfile_number(&a->config, "lora_alpha", 1e-6, max_alpha, &s.alpha, e);
    if (rc == 0)
        rc = jsonfile_number(&a->config, "lora_dropout", 0, 0.999999, &s.dropout, e);
    if (rc == 0)
        rc = jsonfile_bool(&a->config, "use_rslora", &s.rslora, e);
    if (rc != 0)
        return rc;
    s.r = (uint32_t)r;
    format_any(a, find_target, &s.targets);
    if (s.targets == 0)
        return err_set(e, ERR_MODEL,
                       "%s: no tensor belongs to a linear layer of bert, roberta or distilbert",
                       a->file[0].path);
    *spec = s;
    return 0;
}

static bool find_intermediate(const char *name, const struct st_tensor *t, void *ctx)
{
    enum linear_site site;
    (void)t;
    (void)ctx;
    return linear_site_of(name, &site) && site == LIN_INTERMEDIATE;
}

static bool all_zero(const struct st_tensor *t)
{
    for (size_t k = 0; k < t->bytes; k++)
        if (t->raw[k] != 0)
            return false;
    return true;
}

static int bitfit_read(const struct adapter_dir *a, struct peft_spec *spec, struct err *e)
{
    const struct safetensors *st = &a->file[0].st;
    int rc = refuse_variants(a, e);
    for (size_t i = 0; i < st->n && rc == 0; i++)
        if (strstr(st->tensor[i].name, ".lora_B") != NULL && !all_zero(&st->tensor[i]))
            rc = err_set(e, ERR_MODEL,
                         "%s: bias \"all\" is BitFit only where the LoRA beside it is zero, but "
                         "tensor \"%.200s\" is not",
                         a->config_path, st->tensor[i].name);
    spec->biases = format_any(a, find_intermediate, NULL) ? BIASES_ALL : BIASES_OPENDELTA;
    return rc;
}

/* --- the others --- */

static json_t *norm_write(const struct peft *p)
{
    json_t *list = json_array();
    append_norms(list, p->model->cfg.family);
    return json_pack("{s:n, s:o}", "exclude_modules", "target_modules", list);
}

static int norm_read(const struct adapter_dir *a, struct peft_spec *spec, struct err *e)
{
    (void)a;
    (void)e;
    spec->norms = false; /* the method's own */
    return 0;
}

static json_t *rows_fields(const struct peft *p)
{
    const struct model_config *c = &p->model->cfg;
    return json_pack("{s:i, s:i, s:i, s:i, s:i}", "num_attention_heads", c->heads, "num_layers",
                     c->layers, "num_transformer_submodules", 1, "num_virtual_tokens",
                     (int)p->spec.length, "token_dim", c->hidden);
}

static json_t *prefix_write(const struct peft *p)
{
    json_t *json = rows_fields(p);
    json_object_set_new(json, "encoder_hidden_size", json_integer(p->model->cfg.hidden));
    json_object_set_new(json, "prefix_projection", json_false());
    return json;
}

static json_t *prompt_write(const struct peft *p)
{
    json_t *json = rows_fields(p);
    json_object_set_new(json, "prompt_tuning_init", json_string("RANDOM"));
    json_object_set_new(json, "prompt_tuning_init_text", json_null());
    json_object_set_new(json, "tokenizer_name_or_path", json_null());
    return json;
}

static int rows_read(const struct adapter_dir *a, struct peft_spec *spec, struct err *e)
{
    int length = 0;
    int rc = jsonfile_int(&a->config, "num_virtual_tokens", 1, MAX_LENGTH, &length, e);
    if (rc == 0 && length == 0)
        rc = err_set(e, ERR_MODEL, "%s: num_virtual_tokens is missing", a->config_path);
    spec->length = (uint32_t)length;
    spec->shift = true;
    return rc;
}

/* --- the table --- */

static const struct peft_kind kinds[] = {
    {.type = "LORA", .method = "lora", .write = lora_write, .read = lora_read},
    {.type = "LORA",
     .method = "bitfit",
     .all_biases = true,
     .write = bitfit_write,
     .read = bitfit_read},
    {.type = "LN_TUNING", .method = "layernorm", .write = norm_write, .read = norm_read},
    {.type = "PREFIX_TUNING",
     .method = "prefix",
     .rows = true,
     .write = prefix_write,
     .read = rows_read},
    {.type = "PROMPT_TUNING",
     .method = "prompt",
     .rows = true,
     .write = prompt_write,
     .read = rows_read},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

const struct peft_kind *peft_kind_of(const struct peft *p)
{
    for (size_t i = 0; i < KINDS; i++)
        if (strcmp(kinds[i].method, p->method->name) == 0)
            return &kinds[i];
    return NULL;
}

const struct peft_kind *peft_kind_read(const json_t *config)
{
    const char *type = json_string_value(json_object_get(config, "peft_type"));
    const char *bias = json_string_value(json_object_get(config, "bias"));
    bool all = bias != NULL && strcmp(bias, "all") == 0;
    for (size_t i = 0; i < KINDS && type != NULL; i++)
        if (strcmp(kinds[i].type, type) == 0 &&
            (kinds[i].all_biases == all || strcmp(type, "LORA") != 0))
            return &kinds[i];
    return NULL;
}

int peft_config_write(const struct peft *p, const struct peft_kind *kind, const char *dir,
                      struct err *e)
{
    json_t *json =
        json_pack("{s:n, s:s, s:b, s:o, s:s, s:n, s:s}", "auto_mapping", "base_model_name_or_path",
                  p->model->name != NULL ? p->model->name : "", "inference_mode", 1,
                  "modules_to_save", modules_to_save(p, kind), "peft_type", kind->type, "revision",
                  "task_type", format_task_type(p));
    json_t *own = kind->write(p);
    if (own == NULL || json_object_update(json, own) != 0) {
        json_decref(json);
        json = NULL;
    }
    json_decref(own);
    return format_write_json(json, dir, ADAPTER_CONFIG, e);
}

int peft_config_read(const struct adapter_dir *a, struct peft_spec *spec, enum head_kind *head,
                     struct err *e)
{
    const char *type = json_string_value(json_object_get(a->config.root, "peft_type"));
    const struct peft_kind *kind = peft_kind_read(a->config.root);
    if (kind == NULL)
        return err_set(e, ERR_MODEL, "%s: peft_type \"%.60s\" is not supported", a->config_path,
                       type);
    int rc = format_read_task_type(a, head, e);
    spec->method = (char *)(uintptr_t)kind->method;
    spec->norms = format_has_norms(a);
    return rc == 0 ? kind->read(a, spec, e) : rc;
}
