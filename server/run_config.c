#include "server/run_config.h"

typedef struct run_config config;

#define OPTIONAL CYAML_FLAG_OPTIONAL
#define TEXT(member)                                                                               \
    CYAML_FIELD_STRING_PTR(#member, CYAML_FLAG_POINTER | OPTIONAL, config, member, 0,              \
                           CYAML_UNLIMITED)

static const cyaml_schema_field_t fields[] = {
    TEXT(model),
    TEXT(adapter),
    CYAML_FIELD_MAPPING("task", OPTIONAL, config, spec.task, conf_task_fields),
    CYAML_FIELD_MAPPING("peft", OPTIONAL, config, spec.peft, conf_peft_fields),
    CYAML_FIELD_MAPPING("local", OPTIONAL, config, spec.local, conf_local_fields),
    CYAML_FIELD_MAPPING("federation", OPTIONAL, config, spec.federation, conf_federation_fields),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, config, fields)};
static const struct conf_range ranges[] = {CONF_RUN_RANGES{0}};

const struct conf_type run_conf = {
    .schema = &schema,
    .defaults = CONF_RUN_DEFAULTS,
    .range = ranges,
};

static bool given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

bool run_config_any(const struct run_config *c)
{
    return given(c->model) || given(c->spec.task.name);
}

int run_config_check(const struct run_config *c, const char *path, struct err *e)
{
    if (!given(c->model))
        return err_set(e, ERR_CONFIG,
                       "%s: model is missing: give the folder of a Hugging Face model", path);
    if (!given(c->spec.task.name))
        return err_set(
            e, ERR_CONFIG,
            "%s: task.name is missing: give a task: sst2, mrpc, rte, or text for columns "
            "of your own",
            path);
    return spec_check_federation(&c->spec.federation, e) == 0 ? 0 : err_wrap(e, "%s", path);
}
