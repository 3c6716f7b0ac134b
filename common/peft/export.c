#include "base/file.h"
#include "model/jsonfile.h"
#include "peft/adapter.h"
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { PATTERN_BYTES = 512 };

/* --- target_modules --- */

/* PEFT takes an item as the end of a module path. The last word alone, as people write it
 * ("query"), but for "dense", which would be the end of many. */
static const char *target_item(enum family f, enum linear_site site)
{
    const char *name = linear_site_name(f, site), *last = strrchr(name, '.') + 1;
    return strcmp(last, "dense") == 0 ? name : last;
}

static bool ends_with_item(const char *path, const char *item)
{
    size_t n = strlen(path), k = strlen(item);
    return n >= k && strcmp(path + n - k, item) == 0 && (n == k || path[n - k - 1] == '.');
}

/* Would an item of the list select an untargeted site too, as "output.dense" selects
 * "attention.output.dense"? */
static bool list_is_ambiguous(enum family f, uint32_t targets)
{
    for (int s = 0; s < LIN_SITES; s++)
        for (int other = 0; other < LIN_SITES; other++)
            if ((targets >> s & 1) != 0 && (targets >> other & 1) == 0 &&
                ends_with_item(linear_site_name(f, (enum linear_site)other),
                               target_item(f, (enum linear_site)s)))
                return true;
    return false;
}

/* Then a string, which PEFT matches in full as a regular expression: the site must follow the
 * layer's number at once. */
static json_t *target_pattern(enum family f, uint32_t targets)
{
    char pattern[PATTERN_BYTES] = ".*\\.layer\\.\\d+\\.(";
    size_t n = strlen(pattern);
    for (int s = 0; s < LIN_SITES; s++) {
        if ((targets >> s & 1) == 0)
            continue;
        if (pattern[n - 1] != '(')
            pattern[n++] = '|';
        for (const char *c = linear_site_name(f, (enum linear_site)s); *c != '\0'; c++) {
            if (*c == '.')
                pattern[n++] = '\\';
            pattern[n++] = *c;
        }
    }
    pattern[n++] = ')';
    pattern[n] = '\0';
    return json_string(pattern);
}

static json_t *target_modules(enum family f, uint32_t targets)
{
    if (list_is_ambiguous(f, targets))
        return target_pattern(f, targets);
    json_t *list = json_array();
    for (int s = 0; s < LIN_SITES; s++)
        if ((targets >> s & 1) != 0)
            json_array_append_new(list, json_string(target_item(f, (enum linear_site)s)));
    return list;
}

/* --- the three files --- */

/* PEFT adds the first two to every sequence classifier. */
static json_t *modules_to_save(const struct peft *p)
{
    json_t *list = json_pack("[s, s]", "classifier", "score");
    for (int i = 0; i < p->n_head; i++) {
        const char *module = p->head_tensor[i].module;
        bool there = false;
        for (size_t k = 0; k < json_array_size(list); k++)
            there |= strcmp(json_string_value(json_array_get(list, k)), module) == 0;
        if (!there)
            json_array_append_new(list, json_string(module));
    }
    return list;
}

/* json NULL: it could not be made. */
static int write_json(const json_t *json, const char *dir, const char *name, struct err *e)
{
    char path[PATH_MAX];
    int rc = file_join(path, sizeof path, dir, name, e);
    return rc == 0 ? jsonfile_write(json, JSON_SORT_KEYS, path, e) : rc;
}

static int write_config(const struct peft *p, const char *dir, struct err *e)
{
    json_t *json = json_pack(
        "{s:n, s:s, s:b, s:o, s:s, s:n, s:o, s:s}", "auto_mapping", "base_model_name_or_path",
        p->model->name != NULL ? p->model->name : "", "inference_mode", 1, "modules_to_save",
        modules_to_save(p), "peft_type", p->method->hf_type, "revision", "target_modules",
        target_modules(p->model->cfg.family, p->spec.targets), "task_type", ADAPTER_TASK_TYPE);
    int rc = json == NULL ? 0 : p->method->config_write(p, json, e);
    if (rc == 0)
        rc = write_json(json, dir, ADAPTER_CONFIG, e);
    json_decref(json);
    return rc;
}

/* NULL without memory, or when a label is not UTF-8. */
static json_t *label_list(const struct adapter_info *info)
{
    json_t *list = json_array();
    int failed = 0;
    for (uint32_t i = 0; i < info->n_labels; i++)
        failed |= json_array_append_new(list, json_string(info->labels[i]));
    if (failed) {
        json_decref(list);
        return NULL;
    }
    return list;
}

static int write_info(const struct peft *p, const struct adapter_info *info, const char *dir,
                      struct err *e)
{
    char hex[HASH_HEX];
    hash_hex(&p->model->hash, hex);
    json_t *json = json_pack("{s:i, s:s, s:s?, s:o, s:I}", "format", ADAPTER_INFO_FORMAT,
                             "base_model_sha256", hex, "task", info->task, "labels",
                             info->labels != NULL ? label_list(info) : json_null(), "max_length",
                             (json_int_t)info->max_length);
    int rc = write_json(json, dir, ADAPTER_INFO, e);
    json_decref(json);
    return rc;
}

static int write_weights(const struct peft *p, const real *theta, const char *dir, struct err *e)
{
    const struct schema *s = &p->schema;
    char path[PATH_MAX];
    struct arena mem;
    int rc = file_join(path, sizeof path, dir, ADAPTER_WEIGHTS, e);
    if (rc != 0)
        return rc;
    arena_init(&mem, ARENA_NO_CAP);
    struct st_out *out = arena_calloc(&mem, s->n, sizeof *out);
    float *x = arena_calloc(&mem, s->count, sizeof *x);
    bool ok = out != NULL && x != NULL;
    for (size_t i = 0; ok && i < s->count; i++)
        x[i] = (float)theta[i];
    for (size_t i = 0; ok && i < s->n; i++) {
        const struct tensor_spec *t = &s->tensor[i];
        out[i] = (struct st_out){.name = arena_printf(&mem, ADAPTER_PREFIX "%s", t->name),
                                 .ndim = t->ndim,
                                 .x = x + t->offset};
        memcpy(out[i].dim, t->dim, sizeof t->dim);
        ok = out[i].name != NULL;
    }
    rc = ok ? safetensors_write(path, out, s->n, e)
            : err_set(e, ERR_NOMEM, "%s: no memory to write it", path);
    arena_release(&mem);
    return rc;
}

int peft_save(const struct peft *p, const real *theta, const struct adapter_info *info,
              const char *dir, struct err *e)
{
    /* The configuration comes last: a directory without it is no adapter to anybody. */
    int rc = file_mkdirs(dir, 0755, e);
    if (rc == 0)
        rc = write_weights(p, theta, dir, e);
    if (rc == 0)
        rc = write_info(p, info, dir, e);
    if (rc == 0)
        rc = write_config(p, dir, e);
    return rc;
}
