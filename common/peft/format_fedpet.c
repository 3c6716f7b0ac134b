/* Our own format: what the others have no place for, and any other method too. Tensors have their
 * names in the schema; adapter_config.json has the settings under their names in the configuration,
 * and a peft_type that PEFT refuses. */
#include "base/conf.h"
#include "model/jsontext.h"
#include "peft/format.h"
#include <stdlib.h>
#include <string.h>

static bool fedpet_detect(const json_t *config)
{
    const char *type = json_string_value(json_object_get(config, "peft_type"));
    return type != NULL && strcmp(type, ADAPTER_NATIVE_TYPE) == 0;
}

static const char *fedpet_lacks(const struct peft *p)
{
    (void)p;
    return NULL;
}

static int fedpet_save(const struct peft *p, const real *theta, const struct adapter_info *info,
                       const char *dir, struct err *e)
{
    struct format_out o;
    (void)info;
    format_out_init(&o, p->schema.n + 1);
    for (size_t i = 0; i < p->schema.n; i++)
        format_out_add(&o, p, theta, i, p->schema.tensor[i].name);
    int rc = format_out_write(&o, dir, format_fedpet.weights, e);
    if (rc != 0)
        return rc;
    json_t *json = json_pack("{s:s, s:s, s:s, s:o}", "peft_type", ADAPTER_NATIVE_TYPE, "task_type",
                             format_task_type(p), "base_model_name_or_path",
                             p->model->name != NULL ? p->model->name : "", "settings",
                             peft_settings(p->method, &p->spec));
    return format_write_json(json, dir, ADAPTER_CONFIG, e);
}

/* Settings are read as a configuration's section "peft", with its names, words and ranges. */
static const cyaml_schema_field_t fields[] = {
    CYAML_FIELD_MAPPING("task", CYAML_FLAG_OPTIONAL, struct run_spec, task, conf_task_fields),
    CYAML_FIELD_MAPPING("peft", CYAML_FLAG_OPTIONAL, struct run_spec, peft, conf_peft_fields),
    CYAML_FIELD_MAPPING("local", CYAML_FLAG_OPTIONAL, struct run_spec, local, conf_local_fields),
    CYAML_FIELD_MAPPING("federation", CYAML_FLAG_OPTIONAL, struct run_spec, federation,
                        conf_federation_fields),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct run_spec, fields),
};
static const struct conf_type settings_conf = {
    .schema = &schema, .defaults = conf_run_defaults, .range = conf_run_ranges};

static int read_settings(const struct adapter_dir *a, const char *text, struct peft_spec *spec,
                         struct err *e)
{
    struct conf *conf;
    int rc = conf_load_text(&conf, &settings_conf, a->config_path, text, strlen(text), NULL, 0, e);
    if (rc != 0)
        return rc == ERR_NOMEM ? rc : err_set(e, ERR_MODEL, "%s", e->text);
    *spec = ((const struct run_spec *)conf_data(conf))->peft;
    const struct peft_method *m = peft_method_find(spec->method);
    if (m == NULL)
        rc = err_set(e, ERR_MODEL, "%s: the method \"%.60s\" is unknown: use a newer program",
                     a->config_path, spec->method);
    else
        spec->method = (char *)(uintptr_t)m->name;
    conf_free(conf);
    return rc;
}

static int fedpet_read(const struct adapter_dir *a, struct peft_spec *spec, enum head_kind *head,
                       struct err *e)
{
    json_t *settings = json_object_get(a->config.root, "settings");
    int rc = format_read_task_type(a, head, e);
    if (rc != 0)
        return rc;
    if (json_string_value(json_object_get(settings, "method")) == NULL)
        return err_set(e, ERR_MODEL, "%s: \"settings\" must be an object with a \"method\"",
                       a->config_path);
    json_t *section = json_pack("{s:O}", "peft", settings);
    char *text = jsontext(section, 0);
    json_decref(section);
    if (text == NULL)
        return err_set(e, ERR_NOMEM, "%s: no memory to read it", a->config_path);
    rc = read_settings(a, text, spec, e);
    free(text);
    return rc;
}

static enum format_key fedpet_key(const struct adapter_dir *a, const char *key,
                                  char name[FORMAT_KEY])
{
    (void)a;
    if (strlen(key) >= FORMAT_KEY)
        return KEY_UNKNOWN;
    memcpy(name, key, strlen(key) + 1);
    return KEY_TENSOR;
}

const struct format format_fedpet = {
    .name = "fedpet",
    .weights = "adapter_model.safetensors",
    .detect = fedpet_detect,
    .lacks = fedpet_lacks,
    .save = fedpet_save,
    .read = fedpet_read,
    .key = fedpet_key,
};
