#include "model/jsonfile.h"
#include "base/file.h"
#include "model/jsontext.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int jsonfile_read(const char *path, size_t limit, size_t flags, json_t **root, struct err *e)
{
    char *text;
    size_t len;
    int rc = file_read(path, limit, &text, &len, e);
    if (rc != 0)
        return rc;
    json_error_t why;
    json_t *json = json_loadb(text, len, flags, &why);
    free(text);
    if (json == NULL)
        return err_set(e, ERR_MODEL, "%s:%d: not valid JSON: %s", path, why.line, why.text);
    if (!json_is_object(json)) {
        json_decref(json);
        return err_set(e, ERR_MODEL, "%s: must hold a JSON object", path);
    }
    *root = json;
    return 0;
}

int jsonfile_write(const json_t *json, size_t flags, const char *path, struct err *e)
{
    char *text = jsontext(json, flags | JSON_INDENT(2));
    if (text == NULL)
        return err_set(e, ERR_NOMEM, "%s: cannot write: no memory, or a text that is not UTF-8",
                       path);
    int rc = file_write(path, text, strlen(text), 0644, e);
    free(text);
    return rc;
}

int jsonfile_print(const json_t *json, size_t flags, struct err *e)
{
    char *text = jsontext(json, flags);
    if (text == NULL)
        return err_set(e, ERR_NOMEM, "cannot print: no memory, or a text that is not UTF-8");
    int rc = puts(text) == EOF ? err_sys(e, ERR_IO, errno, "standard output") : 0;
    free(text);
    return rc;
}

int jsonfile_open(struct jsonfile *f, const char *path, struct err *e)
{
    json_t *root;
    int rc = jsonfile_read(path, JSONFILE_MAX_BYTES, JSON_REJECT_DUPLICATES, &root, e);
    if (rc == 0)
        *f = (struct jsonfile){.root = root, .path = path};
    return rc;
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
