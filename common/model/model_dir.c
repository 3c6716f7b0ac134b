#include "model/model_dir.h"
#include "base/file.h"
#include "model/jsonfile.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

static int copy_file(const char *from, const char *to, const char *name, struct err *e)
{
    char source[PATH_MAX], target[PATH_MAX], *bytes;
    size_t len;
    int rc = file_join(source, sizeof source, from, name, e);
    if (rc == 0)
        rc = file_join(target, sizeof target, to, name, e);
    if (rc != 0 || !file_exists(source))
        return rc;
    rc = file_read(source, TOKENIZER_BYTES, &bytes, &len, e);
    if (rc != 0)
        return rc;
    rc = file_write(target, bytes, len, 0644, e);
    free(bytes);
    return rc;
}

int model_dir_copy_tokenizer(const char *from, const char *to, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; i < TOKENIZER_FILES && rc == 0; i++)
        rc = copy_file(from, to, tokenizer_files[i], e);
    return rc;
}

int model_dir_write_weights(const char *dir, const struct st_out *t, size_t n,
                            safetensors_values_fn values, void *ctx, struct err *e)
{
    char path[PATH_MAX];
    int rc = file_join(path, sizeof path, dir, MODEL_WEIGHTS, e);
    return rc == 0 ? safetensors_stream(path, t, n, values, ctx, e) : rc;
}

int model_dir_read_config(const char *dir, json_t **config, struct err *e)
{
    char path[PATH_MAX];
    int rc = file_join(path, sizeof path, dir, MODEL_CONFIG, e);
    return rc == 0 ? jsonfile_read(path, JSONFILE_MAX_BYTES, 0, config, e) : rc;
}

static void remove_file(const char *dir, const char *name)
{
    char path[PATH_MAX];
    struct err unused;
    if (file_join(path, sizeof path, dir, name, &unused) == 0)
        unlink(path);
}

void model_dir_remove(const char *dir)
{
    remove_file(dir, MODEL_CONFIG);
    remove_file(dir, MODEL_WEIGHTS);
    for (size_t i = 0; i < TOKENIZER_FILES; i++)
        remove_file(dir, tokenizer_files[i]);
    rmdir(dir);
}

/* The new folder's name is that of `dir` without slashes at its end. */
int model_dir_begin(struct model_dir *d, const char *dir, struct err *e)
{
    size_t len = strlen(dir), up;
    while (len > 1 && dir[len - 1] == '/')
        len--;
    for (up = len; up > 0 && dir[up - 1] != '/';)
        up--;
    d->dir = dir;
    if (len == 0)
        return err_set(e, ERR_IO, "a folder must have a name");
    if (file_exists(dir))
        return err_set(e, ERR_IO, "%s: exists already: choose another folder", dir);
    if (snprintf(d->temp, PATH_MAX, "%.*s.%ld.tmp", (int)len, dir, (long)getpid()) >= PATH_MAX)
        return err_set(e, ERR_IO, "%.60s...: the path is too long", dir);
    snprintf(d->parent, PATH_MAX, "%.*s", up > 0 ? (int)up : 1, up > 0 ? dir : ".");
    int rc = file_mkdirs(d->parent, 0755, e);
    if (rc == 0 && mkdir(d->temp, 0755) != 0)
        rc = err_sys(e, ERR_IO, errno, "cannot create the folder %s", d->temp);
    return rc;
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

int model_dir_end(struct model_dir *d, int rc, struct err *e)
{
    if (rc == 0 && rename(d->temp, d->dir) != 0)
        rc = err_sys(e, ERR_IO, errno, "cannot rename %s to %s", d->temp, d->dir);
    if (rc != 0) {
        model_dir_remove(d->temp);
        return rc;
    }
    return sync_folder(d->parent, e);
}
