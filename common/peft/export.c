#include "base/file.h"
#include "peft/format.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

static int find_format(const char *name, const struct format **out, struct err *e)
{
    char known[128] = "";
    for (const struct format *const *f = peft_formats; *f != NULL; f++) {
        if (strcmp((*f)->name, name) == 0) {
            *out = *f;
            return 0;
        }
        size_t n = strlen(known);
        snprintf(known + n, sizeof known - n, "%s%s", n > 0 ? ", " : "", (*f)->name);
    }
    return err_set(e, ERR_USAGE, "no adapter format is called \"%.60s\": use one of %s", name,
                   known);
}

static int choose_format(const struct peft *p, const char *name, const struct format **out,
                         struct err *e)
{
    const struct format *const *f = peft_formats;
    if (p->head_kind == HEAD_MLM)
        return err_set(e, ERR_CONFIG,
                       "adapters with a head for masked words have no format: merge the method %s "
                       "into its base model",
                       p->method->name);
    if (name == NULL) {
        while ((*f)->lacks(p) != NULL) /* the last lacks nothing */
            f++;
        *out = *f;
        return 0;
    }
    int rc = find_format(name, out, e);
    const char *lacks = rc == 0 ? (*out)->lacks(p) : NULL;
    if (lacks == NULL)
        return rc;
    return err_set(e, ERR_CONFIG, "the method %s cannot be written as %s: %s", p->method->name,
                   name, lacks);
}

int peft_check_format(const struct peft *p, const char *format, struct err *e)
{
    const struct format *found;
    return choose_format(p, format, &found, e);
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
    return format_write_json(json, dir, ADAPTER_INFO, e);
}

/* A directory without its configuration is no adapter: whatever comes between, nobody reads half of
 * the old one and half of the new. */
static int withdraw(const char *dir, struct err *e)
{
    char path[PATH_MAX];
    int rc = file_join(path, sizeof path, dir, ADAPTER_CONFIG, e);
    if (rc != 0 || unlink(path) == 0 || errno == ENOENT)
        return rc;
    return err_sys(e, ERR_IO, errno, "cannot replace %s", path);
}

int peft_save(const struct peft *p, const real *theta, const struct adapter_info *info,
              const char *dir, struct err *e)
{
    const struct format *format;
    int rc = choose_format(p, info->format, &format, e);
    if (rc == 0)
        rc = file_mkdirs(dir, 0755, e);
    if (rc == 0)
        rc = withdraw(dir, e);
    if (rc == 0)
        rc = write_info(p, info, dir, e);
    return rc == 0 ? format->save(p, theta, info, dir, e) : rc;
}
