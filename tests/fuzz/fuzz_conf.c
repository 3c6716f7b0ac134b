/* Configurations out of any YAML. */
#include "base/conf.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const cyaml_schema_field_t fields[] = {
    CYAML_FIELD_MAPPING("task", CYAML_FLAG_OPTIONAL, struct run_spec, task, conf_task_fields),
    CYAML_FIELD_MAPPING("peft", CYAML_FLAG_OPTIONAL, struct run_spec, peft, conf_peft_fields),
    CYAML_FIELD_MAPPING("local", CYAML_FLAG_OPTIONAL, struct run_spec, local, conf_local_fields),
    CYAML_FIELD_MAPPING("federation", CYAML_FLAG_OPTIONAL, struct run_spec, federation,
                        conf_federation_fields),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct run_spec, fields)};
static const struct conf_type type = {
    .schema = &schema, .defaults = CONF_RUN_DEFAULTS, .range = conf_run_ranges};

/* What is shown is read back: the proof that loading understood it. */
static void check_shown(const struct conf *c)
{
    char *text = NULL;
    size_t len = 0;
    struct conf *again;
    struct err e;
    FILE *out = open_memstream(&text, &len);
    if (!out || conf_show(c, out, &e) || fclose(out))
        abort();
    if (conf_load_text(&again, &type, "shown", text, len, NULL, 0, &e))
        abort();
    conf_free(again);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct conf *c;
    struct err e = {0};
    int rc = conf_load_text(&c, &type, "fuzz.yaml", (const char *)data, size, NULL, 0, &e);
    if (rc == 0) {
        check_shown(c);
        conf_free(c);
    } else if (!e.text[0]) {
        abort();
    }
    return 0;
}
