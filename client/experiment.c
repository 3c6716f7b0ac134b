#include "client/experiment.h"
#include "base/file.h"
#include "text/dataset.h"
#include <string.h>

static const cyaml_schema_field_t fields[] = {
    CYAML_FIELD_STRING_PTR("model", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct experiment,
                           model, 1, CYAML_UNLIMITED),
    CYAML_FIELD_MAPPING("task", CYAML_FLAG_OPTIONAL, struct experiment, spec.task,
                        conf_task_fields),
    CYAML_FIELD_MAPPING("peft", CYAML_FLAG_OPTIONAL, struct experiment, spec.peft,
                        conf_peft_fields),
    CYAML_FIELD_MAPPING("federation", CYAML_FLAG_OPTIONAL, struct experiment, spec.federation,
                        conf_federation_fields),
    CYAML_FIELD_MAPPING("local", CYAML_FLAG_OPTIONAL, struct experiment, spec.local,
                        conf_local_fields),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct experiment, fields),
};
const struct conf_type experiment_conf = {
    .schema = &schema,
    .defaults = conf_run_defaults,
    .range = conf_run_ranges,
};

static int require(const char *value, const char *key, const char *path, const char *what,
                   struct err *e)
{
    if (value && *value)
        return 0;
    return err_set(e, ERR_CONFIG, "%s: %s is missing: give %s", path ? path : "--set", key, what);
}

/* A path that exists, seen from the working directory or else from the experiment file's folder. */
static int locate(char **path, const char *key, const char *file, struct arena *mem, struct err *e)
{
    if (file_exists(*path))
        return 0;
    const char *slash = file ? strrchr(file, '/') : NULL;
    if (**path != '/' && slash) {
        char *beside = arena_printf(mem, "%.*s/%s", (int)(slash - file), file, *path);
        if (!beside)
            return err_set(e, ERR_NOMEM, "out of memory");
        if (file_exists(beside)) {
            *path = beside;
            return 0;
        }
    }
    return err_set(e, ERR_IO, "%s: %s: no such file or folder: %s", file ? file : "--set", key,
                   *path);
}

int experiment_load(struct conf **conf, struct arena *mem, struct experiment *x, const char *path,
                    char *const *set, size_t n, struct err *e)
{
    struct conf *c;
    int rc = conf_load(&c, &experiment_conf, path, set, n, e);
    if (rc)
        return rc;
    struct experiment found = *(const struct experiment *)conf_data(c);
    struct task_spec *task = &found.spec.task;
    if ((rc = require(found.model, "model", path, "the folder of a Hugging Face model", e)) ||
        (rc = require(task->name, "task.name", path, "a task, such as sst2 or text", e)) ||
        (rc = require(task->data, "task.data", path, "the task's folder or file", e)) ||
        (rc = task_check_labels(task, e)) || (rc = locate(&found.model, "model", path, mem, e)) ||
        (rc = locate(&task->data, "task.data", path, mem, e))) {
        conf_free(c);
        return rc;
    }
    *conf = c;
    *x = found;
    return 0;
}
