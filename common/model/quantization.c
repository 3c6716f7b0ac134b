#include "model/quantization.h"
#include "model/jsontext.h"
#include "model/names.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a field must be, as JSON text. Absent or null is as good, where the library takes that for
 * the same. */
struct field {
    const char *key, *want;
    bool needed;
};
static const struct field fields[] = {
    {"quant_method", "\"compressed-tensors\"", true},
    {"format", "\"pack-quantized\"", true},
    {"quantization_status", "\"compressed\"", false},
    {"kv_cache_scheme", "null", false},
    {0},
};
static const struct field group_fields[] = {
    {"format", "\"pack-quantized\"", false},
    {"input_activations", "null", false},
    {"output_activations", "null", false},
    {0},
};
static const struct field weight_fields[] = {
    {"num_bits", "8", false},          {"type", "\"int\"", false},  {"symmetric", "true", false},
    {"strategy", "\"channel\"", true}, {"dynamic", "false", false}, {0},
};

static int refuse(const struct jsonfile *f, const char *what, const char *is, const char *want,
                  struct err *e)
{
    return err_set(e, ERR_MODEL,
                   "%s: " QUANTIZATION_CONFIG ": %s is %.60s, not %s: of quantised models only "
                   "int8 weights with a scale for each row are computed with; make them of the "
                   "original by `fedpet-client quantize`",
                   f->path, what, is, want);
}

static int check_fields(const struct jsonfile *f, const char *where, const json_t *in,
                        const struct field *want, struct err *e)
{
    int rc = 0;
    for (; rc == 0 && want->key != NULL; want++) {
        const json_t *value = json_object_get(in, want->key);
        char what[64], *text;
        if ((value == NULL || json_is_null(value)) && !want->needed)
            continue;
        snprintf(what, sizeof what, "%s%s", where, want->key);
        text = value != NULL ? jsontext(value, JSON_ENCODE_ANY | JSON_COMPACT) : strdup("absent");
        if (text == NULL)
            rc = err_set(e, ERR_NOMEM, "%s: no memory", f->path);
        else if (strcmp(text, want->want) != 0)
            rc = refuse(f, what, text, want->want, e);
        free(text);
    }
    return rc;
}

static int check_groups(const struct jsonfile *f, const json_t *groups, struct err *e)
{
    const char *name;
    json_t *group;
    if (json_object_size(groups) == 0)
        return refuse(f, "config_groups", "empty or absent", "an object", e);
    json_object_foreach((json_t *)(uintptr_t)groups, name, group)
    {
        const json_t *weights = json_object_get(group, "weights");
        if (!json_is_object(weights))
            return refuse(f, "weights of a group", "absent", "an object", e);
        int rc = check_fields(f, "", group, group_fields, e);
        if (rc == 0)
            rc = check_fields(f, "weights.", weights, weight_fields, e);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int quantization_read(const struct jsonfile *config, bool *int8, struct err *e)
{
    const json_t *q = json_object_get(config->root, QUANTIZATION_CONFIG);
    *int8 = q != NULL && !json_is_null(q);
    if (!*int8)
        return 0;
    if (json_object_size(json_object_get(q, "transform_config")) > 0)
        return refuse(config, "transform_config", "there", "empty", e);
    int rc = check_fields(config, "", q, fields, e);
    return rc == 0 ? check_groups(config, json_object_get(q, "config_groups"), e) : rc;
}

/* Appends a module's path for a regular expression. */
static void append_path(char *to, size_t size, const char *path)
{
    for (size_t n = strlen(to); *path != '\0' && n + 3 < size; path++) {
        if (*path == '.')
            to[n++] = '\\';
        to[n++] = *path;
        to[n] = '\0';
    }
}

/* A regular expression for the modules that are int8, whatever head is above them. */
static void targets(const struct model_config *c, bool pooler, char *to, size_t size)
{
    const struct family_names *names = &family_names[c->family];
    snprintf(to, size, "re:.*(");
    append_path(to, size, names->layer);
    strncat(to, "\\d+\\.(", size - strlen(to) - 1);
    for (int s = 0; s < LIN_SITES; s++) {
        append_path(to, size, s > 0 ? "|" : "");
        append_path(to, size, names->lin[s]);
    }
    append_path(to, size, pooler ? ")|" : ")");
    append_path(to, size, pooler ? names->pooler : "");
    append_path(to, size, ")$");
}

json_t *quantization_json(const struct model_config *c, bool pooler)
{
    char modules[512];
    targets(c, pooler, modules, sizeof modules);
    return json_pack("{s:s, s:s, s:s, s:{s:{s:[s], s:n, s:n, s:{s:i, s:s, s:b, s:s, s:b}}}, s:[]}",
                     "quant_method", "compressed-tensors", "format", "pack-quantized",
                     "quantization_status", "compressed", "config_groups", "group_0", "targets",
                     modules, "input_activations", "output_activations", "weights", "num_bits", 8,
                     "type", "int", "symmetric", 1, "strategy", "channel", "dynamic", 0, "ignore");
}
