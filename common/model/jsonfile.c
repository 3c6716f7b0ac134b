#include "model/jsonfile.h"
#include "base/file.h"
#include <stdlib.h>

int jsonfile_open(struct jsonfile *f, const char *path, struct err *e)
{
    char *text;
    size_t len;
    int rc = file_read(path, JSONFILE_MAX_BYTES, &text, &len, e);
    if (rc != 0)
        return rc;
    json_error_t why;
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
    free(text);
    if (root == NULL)
        return err_set(e, ERR_MODEL, "%s:%d: not valid JSON: %s", path, why.line, why.text);
    if (!json_is_object(root)) {
        json_decref(root);
        return err_set(e, ERR_MODEL, "%s: must hold a JSON object", path);
    }
    *f = (struct jsonfile){.root = root, .path = path};
    return 0;
}

void jsonfile_close(struct jsonfile *f)
{
    json_decref(f->root);
    *f = (struct jsonfile){0};
}

/* NULL when absent or null. */
static const json_t *field(const struct jsonfile *f, const char *key)
{
    const json_t *v = json_object_get(f->root, key);
    return json_is_null(v) ? NULL : v;
}

int jsonfile_int(const struct jsonfile *f, const char *key, int min, int max, int *out,
                 struct err *e)
{
    const json_t *v = field(f, key);
    if (v == NULL)
        return 0;
    if (!json_is_integer(v) || json_integer_value(v) < min || json_integer_value(v) > max)
        return err_set(e, ERR_MODEL, "%s: field \"%s\" must be an integer from %d to %d", f->path,
                       key, min, max);
    *out = (int)json_integer_value(v);
    return 0;
}

int jsonfile_number(const struct jsonfile *f, const char *key, double min, double max, double *out,
                    struct err *e)
{
    const json_t *v = field(f, key);
    if (v == NULL)
        return 0;
    if (!json_is_number(v) || json_number_value(v) < min || json_number_value(v) > max)
        return err_set(e, ERR_MODEL, "%s: field \"%s\" must be a number from %g to %g", f->path,
                       key, min, max);
    *out = json_number_value(v);
    return 0;
}

int jsonfile_bool(const struct jsonfile *f, const char *key, bool *out, struct err *e)
{
    const json_t *v = field(f, key);
    if (v == NULL)
        return 0;
    if (!json_is_boolean(v))
        return err_set(e, ERR_MODEL, "%s: field \"%s\" must be true or false", f->path, key);
    *out = json_is_true(v);
    return 0;
}

int jsonfile_string(const struct jsonfile *f, const char *key, const char **out, struct err *e)
{
    const json_t *v = field(f, key);
    if (v == NULL)
        return 0;
    if (!json_is_string(v))
        return err_set(e, ERR_MODEL, "%s: field \"%s\" must be a string", f->path, key);
    *out = json_string_value(v);
    return 0;
}
