#include "base/file.h"
#include "peft/format.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONFIG "config.json"
#define WEIGHTS "model.safetensors"
enum { TOKENIZER_BYTES = 256 << 20 };

/* What tokenizers of the three families consist of; a model has some of them. */
static const char *const tokenizer_files[] = {
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
};
enum { TOKENIZER_FILES = sizeof tokenizer_files / sizeof *tokenizer_files };

/* --- model.safetensors --- */

/* The tensors of the merged model: those of the encoder, then the head's. */
struct merging {
    const struct peft *p;
    const real *theta;
    struct base_tensor *base;
    size_t n_base;
    real *values; /* room for the largest of base */
};

static bool is_pooler(const struct base_tensor *t)
{
    return t->layer < 0 && (t->role == ROLE_WEIGHT || t->role == ROLE_BIAS);
}

static int merged_values(void *ctx, size_t i, float *x, struct err *e)
{
    const struct merging *m = ctx;
    const struct tensor_spec *head =
        i < m->n_base ? NULL : &m->p->schema.tensor[m->p->head + i - m->n_base];
    const real *from = head != NULL ? m->theta + head->offset : m->values;
    size_t count = head != NULL ? head->count : 1;
    (void)e;
    if (head == NULL) {
        peft_merged(m->p, m->theta, &m->base[i], m->values);
        for (int k = 0; k < m->base[i].ndim; k++)
            count *= (size_t)m->base[i].dim[k];
    }
    for (size_t k = 0; k < count; k++)
        x[k] = (float)from[k];
    return 0;
}

/* The encoder's tensors that the class has: over tokens it does without a pooler. */
static int list_base(struct merging *m, struct arena *mem, struct err *e)
{
    struct base_tensor *all;
    size_t n, largest = 1;
    int rc = model_tensors(m->p->model, mem, &all, &n, e);
    if (rc != 0)
        return rc;
    m->base = all;
    for (size_t i = 0; i < n; i++) {
        size_t count = (size_t)all[i].dim[0] * (size_t)(all[i].ndim > 1 ? all[i].dim[1] : 1);
        if (is_pooler(&all[i]) && m->p->head_kind == HEAD_TOKENS)
            continue;
        m->base[m->n_base++] = all[i];
        if (count > largest)
            largest = count;
    }
    m->values = arena_calloc(mem, largest, sizeof *m->values);
    return m->values != NULL ? 0 : err_set(e, ERR_NOMEM, "no memory to merge the model");
}

static int write_weights(const struct peft *p, const real *theta, const char *dir, struct err *e)
{
    struct merging m = {.p = p, .theta = theta};
    char path[PATH_MAX];
    struct arena mem;
    arena_init(&mem, ARENA_NO_CAP);
    int rc = file_join(path, sizeof path, dir, WEIGHTS, e);
    if (rc == 0)
        rc = list_base(&m, &mem, e);
    size_t n = m.n_base + (size_t)p->n_head;
    struct st_out *out = rc == 0 ? arena_calloc(&mem, n, sizeof *out) : NULL;
    if (rc == 0 && out == NULL)
        rc = err_set(e, ERR_NOMEM, "%s: no memory to write it", path);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        const struct tensor_spec *head =
            i < m.n_base ? NULL : &p->schema.tensor[p->head + i - m.n_base];
        const int64_t *dim = head != NULL ? head->dim : m.base[i].dim;
        out[i] = (struct st_out){.name = head != NULL ? head->name : m.base[i].name,
                                 .ndim = head != NULL ? head->ndim : m.base[i].ndim};
        memcpy(out[i].dim, dim, (size_t)out[i].ndim * sizeof *dim);
    }
    if (rc == 0)
        rc = safetensors_stream(path, out, n, merged_values, &m, e);
    arena_release(&mem);
    return rc;
}

/* --- the other files --- */

/* The base model's, for the class with the head. */
static int write_config(const struct peft *p, const struct adapter_info *info, const char *dir,
                        struct err *e)
{
    char path[PATH_MAX], class[64];
    json_t *json;
    int rc = file_join(path, sizeof path, p->model->dir, CONFIG, e);
    if (rc == 0)
        rc = jsonfile_read(path, JSONFILE_MAX_BYTES, 0, &json, e);
    if (rc != 0)
        return rc;
    format_model_class(p, class);
    int failed = json_object_set_new(json, "architectures", json_pack("[s]", class));
    failed |= json_object_set_new(json, "id2label", format_id2label(p, info));
    failed |= json_object_set_new(json, "label2id", format_label2id(p, info));
    failed |= json_object_set_new(json, "torch_dtype", json_string("float32"));
    json_object_del(json, "num_labels"); /* that of id2label */
    json_object_del(json, "dtype");
    if (p->head_kind == HEAD_SEQUENCE)
        failed |= json_object_set_new(
            json, "problem_type",
            json_string(p->n_labels == 1 ? "regression" : "single_label_classification"));
    if (failed != 0) {
        json_decref(json);
        json = NULL;
    }
    return format_write_json(json, dir, CONFIG, e);
}

static int copy_tokenizer(const char *from, const char *to, struct err *e)
{
    char source[PATH_MAX], target[PATH_MAX], *bytes;
    size_t len;
    for (size_t i = 0; i < TOKENIZER_FILES; i++) {
        int rc = file_join(source, sizeof source, from, tokenizer_files[i], e);
        if (rc == 0)
            rc = file_join(target, sizeof target, to, tokenizer_files[i], e);
        if (rc == 0 && !file_exists(source))
            continue;
        if (rc == 0)
            rc = file_read(source, TOKENIZER_BYTES, &bytes, &len, e);
        if (rc != 0)
            return rc;
        rc = file_write(target, bytes, len, 0644, e);
        free(bytes);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* --- whole or not at all --- */

static void remove_files(const char *dir)
{
    char path[PATH_MAX];
    struct err unused;
    static const char *const made[] = {CONFIG, WEIGHTS};
    for (size_t i = 0; i < sizeof made / sizeof *made; i++)
        if (file_join(path, sizeof path, dir, made[i], &unused) == 0)
            unlink(path);
    for (size_t i = 0; i < TOKENIZER_FILES; i++)
        if (file_join(path, sizeof path, dir, tokenizer_files[i], &unused) == 0)
            unlink(path);
    rmdir(dir);
}

static int write_all(const struct peft *p, const real *theta, const struct adapter_info *info,
                     const char *dir, struct err *e)
{
    int rc = write_weights(p, theta, dir, e);
    if (rc == 0)
        rc = copy_tokenizer(p->model->dir, dir, e);
    return rc == 0 ? write_config(p, info, dir, e) : rc;
}

static int check_method(const struct peft *p, struct err *e)
{
    const struct peft_method *m = p->method;
    const char *why = m->block != NULL ? "an adapter is not linear, so no weight matrix can hold it"
                                       : "virtual tokens are no part of the weights";
    return peft_can_merge(p)
               ? 0
               : err_set(e, ERR_CONFIG, "the method %s cannot be merged into its base model: %s",
                         m->name, why);
}

/* A rename lasts when the folder that holds the name does. */
static int sync_folder(const char *dir, struct err *e)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc =
        fd >= 0 && (fsync(fd) == 0 || errno == EINVAL) ? 0 : err_sys(e, ERR_IO, errno, "%s", dir);
    if (fd >= 0)
        close(fd);
    return rc;
}

/* Where the folder is made, and under which name: dir without slashes at its end. */
static int make_temp(const char *dir, char parent[PATH_MAX], char temp[PATH_MAX], struct err *e)
{
    size_t len = strlen(dir), up;
    while (len > 1 && dir[len - 1] == '/')
        len--;
    for (up = len; up > 0 && dir[up - 1] != '/';)
        up--;
    if (file_exists(dir))
        return err_set(e, ERR_IO, "%s: exists already: choose another folder", dir);
    if (snprintf(temp, PATH_MAX, "%.*s.%ld.tmp", (int)len, dir, (long)getpid()) >= PATH_MAX)
        return err_set(e, ERR_IO, "%.60s...: the path is too long", dir);
    snprintf(parent, PATH_MAX, "%.*s", up > 0 ? (int)up : 1, up > 0 ? dir : ".");
    int rc = file_mkdirs(parent, 0755, e);
    if (rc == 0 && mkdir(temp, 0755) != 0)
        rc = err_sys(e, ERR_IO, errno, "cannot create the folder %s", temp);
    return rc;
}

int peft_save_merged(const struct peft *p, const real *theta, const struct adapter_info *info,
                     const char *dir, struct err *e)
{
    char parent[PATH_MAX], temp[PATH_MAX];
    int rc = check_method(p, e);
    if (rc == 0)
        rc = make_temp(dir, parent, temp, e);
    if (rc != 0)
        return rc;
    rc = write_all(p, theta, info, temp, e);
    if (rc == 0 && rename(temp, dir) != 0)
        rc = err_sys(e, ERR_IO, errno, "cannot rename %s to %s", temp, dir);
    if (rc != 0) {
        remove_files(temp);
        return rc;
    }
    return sync_folder(parent, e);
}
