#include "sim/digest.h"
#include "base/file.h"
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool counts(const char *name)
{
    static const char *const kinds[] = {".json", ".jsonl", ".txt",        ".tsv",
                                        ".csv",  ".conll", ".safetensors"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(dot, kinds[i]) == 0)
            return true;
    return false;
}

static int select_file(const struct dirent *d)
{
    return d->d_name[0] != '.' && counts(d->d_name);
}

/* strcmp, and not alphasort: the order must not depend on the locale. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int feed_entry(struct hash_state *h, const char *dir, const char *name, struct digest *out,
                      struct err *e)
{
    char path[PATH_MAX];
    struct stat st;
    uint64_t bytes = 0;
    int rc = file_join(path, sizeof path, dir, name, e);
    if (rc || stat(path, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size == 0)
        return rc;
    hash_feed(h, name, strlen(name) + 1);
    rc = file_feed(h, path, &bytes, e);
    if (strncmp(name, "train", 5) == 0)
        out->train_bytes += bytes;
    return rc;
}

static int feed_folder(struct hash_state *h, const char *dir, struct digest *out, struct err *e)
{
    struct dirent **entry;
    int n = scandir(dir, &entry, select_file, by_name), rc = 0;
    if (n < 0)
        return err_sys(e, ERR_IO, errno, "%s", dir);
    for (int i = 0; i < n; i++) {
        if (!rc)
            rc = feed_entry(h, dir, entry[i]->d_name, out, e);
        free(entry[i]);
    }
    free(entry);
    return rc;
}

int digest_path(const char *path, struct digest *out, struct err *e)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return err_sys(e, ERR_IO, errno, "%s", path);
    struct digest d = {0};
    struct hash_state state, *h = hash_begin(&state);
    int rc =
        S_ISDIR(st.st_mode) ? feed_folder(h, path, &d, e) : file_feed(h, path, &d.train_bytes, e);
    d.hash = hash_end(h);
    if (!rc)
        *out = d;
    return rc;
}
