#include "client/fetch_cache.h"
#include "base/file.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FOLDER_MODE = 0755, FILE_MODE = 0644 };

PRINTF_LIKE(3, 4) static int path_of(char out[PATH_MAX], struct err *e, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(out, PATH_MAX, fmt, args);
    va_end(args);
    return n < PATH_MAX ? 0 : err_sys(e, ERR_IO, ENAMETOOLONG, "%.60s...", out);
}

int fetch_cache_open(struct fetch_cache *c, const char *cache, const char *repo, struct err *e)
{
    const char *slash = strchr(repo, '/');
    int owner = slash ? (int)(slash - repo) : 0;
    const char *dashes = slash ? "--" : "", *name = slash ? slash + 1 : repo;
    int rc = path_of(c->repo, e, "%s/models--%.*s%s%s", cache, owner, repo, dashes, name);
    return rc ? rc
              : path_of(c->locks, e, "%s/.locks/models--%.*s%s%s", cache, owner, repo, dashes,
                        name);
}

int fetch_cache_dir(const struct fetch_cache *c, const char *commit, char dir[PATH_MAX],
                    struct err *e)
{
    return path_of(dir, e, "%s/snapshots/%s", c->repo, commit);
}

bool fetch_cache_find(const struct fetch_cache *c, const char *revision, char commit[FETCH_COMMIT],
                      char dir[PATH_MAX])
{
    char path[PATH_MAX], *text = NULL;
    if (fetch_sum_is_commit(revision)) {
        memcpy(commit, revision, FETCH_COMMIT);
    } else {
        if (path_of(path, NULL, "%s/refs/%s", c->repo, revision) ||
            file_read(path, FETCH_COMMIT, &text, NULL, NULL))
            return false;
        text[strcspn(text, "\n")] = '\0';
        bool ok = fetch_sum_is_commit(text);
        if (ok)
            memcpy(commit, text, FETCH_COMMIT);
        free(text);
        if (!ok)
            return false;
    }
    return fetch_cache_dir(c, commit, dir, NULL) == 0 && file_exists(dir);
}

int fetch_cache_blob(const struct fetch_cache *c, const struct fetch_sum *sum,
                     struct fetch_blob *out, struct err *e)
{
    int rc = path_of(out->path, e, "%s/blobs", c->repo);
    if (!rc)
        rc = file_mkdirs(out->path, FOLDER_MODE, e);
    if (!rc)
        rc = file_mkdirs(c->locks, FOLDER_MODE, e);
    if (!rc)
        rc = path_of(out->path, e, "%s/blobs/%s", c->repo, sum->hex);
    if (!rc)
        rc = path_of(out->part, e, "%s/blobs/%s.incomplete", c->repo, sum->hex);
    return rc ? rc : path_of(out->lock, e, "%s/%s.lock", c->locks, sum->hex);
}

int fetch_cache_link(const struct fetch_cache *c, const char *commit, const char *name,
                     const struct fetch_sum *sum, struct err *e)
{
    char dir[PATH_MAX], path[PATH_MAX], temp[PATH_MAX], target[PATH_MAX];
    int rc = fetch_cache_dir(c, commit, dir, e);
    if (!rc)
        rc = file_mkdirs(dir, FOLDER_MODE, e);
    if (!rc)
        rc = file_join(path, sizeof path, dir, name, e);
    if (!rc)
        rc = path_of(temp, e, "%s.%ld.tmp", path, (long)getpid());
    if (!rc)
        rc = path_of(target, e, "../../blobs/%s", sum->hex);
    if (rc)
        return rc;
    if (symlink(target, temp) != 0 || rename(temp, path) != 0) {
        int number = errno;
        unlink(temp);
        return err_sys(e, ERR_IO, number, "cannot write %s", path);
    }
    return 0;
}

int fetch_cache_ref(const struct fetch_cache *c, const char *revision, const char *commit,
                    struct err *e)
{
    char path[PATH_MAX];
    if (strcmp(revision, commit) == 0)
        return 0;
    int rc = path_of(path, e, "%s/refs/%s", c->repo, revision);
    if (rc)
        return rc;
    char *slash = strrchr(path, '/');
    *slash = '\0';
    rc = file_mkdirs(path, FOLDER_MODE, e);
    *slash = '/';
    return rc ? rc : file_write(path, commit, strlen(commit), FILE_MODE, e);
}
