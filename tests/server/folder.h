/* A scratch folder for a test. */
#ifndef TESTS_SERVER_FOLDER_H
#define TESTS_SERVER_FOLDER_H

#include "base/file.h"
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct folder {
    char path[64];
};

static inline struct folder folder_make(void)
{
    struct folder f = {"/tmp/fedpet-server-XXXXXX"};
    cr_assert_not_null(mkdtemp(f.path));
    return f;
}

static inline void folder_remove_tree(const char *path)
{
    char below[512];
    DIR *d = opendir(path);
    for (const struct dirent *x; d != NULL && (x = readdir(d)) != NULL;) {
        if (strcmp(x->d_name, ".") == 0 || strcmp(x->d_name, "..") == 0)
            continue;
        cr_assert_eq(file_join(below, sizeof below, path, x->d_name, NULL), 0);
        if (remove(below) != 0)
            folder_remove_tree(below);
    }
    if (d != NULL)
        closedir(d);
    cr_expect_eq(remove(path), 0, "%s", path);
}

static inline void folder_remove(const struct folder *f)
{
    folder_remove_tree(f->path);
}

/* "FOLDER/name", in one of a few buffers that take turns. */
static inline const char *folder_file(const struct folder *f, const char *name)
{
    static char path[4][256];
    static unsigned turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", f->path, name);
    return p;
}

#endif
