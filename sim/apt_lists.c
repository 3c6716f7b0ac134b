#include "sim/apt_lists.h"

#include "base/file.h"
#include "sim/deb822.h"
#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PACKAGE, SOURCE, SECTION, MAINTAINER, DESCRIPTION, ENGLISH, MD5 };

static const char *const fields[] = {"Package",         "Source",      "Section",
                                     "Maintainer",      "Description", "Description-en",
                                     "Description-md5", NULL};

struct found {
    struct package package;
    const char *md5; /* of the description that a translation gives */
    bool at_length;  /* the description is a long one already */
    size_t place;    /* in the order of reading */
};

struct translation {
    const char *md5, *text;
};

struct reader {
    struct apt_lists *lists;
    struct found *found;
    struct translation *translation;
    size_t n, cap, n_translations, translations_cap;
};

static int no_memory(struct err *e)
{
    return err_set(e, ERR_NOMEM, "no memory for the package lists");
}

/* A description on one line: the lines without the space around them, a full stop after the
 * synopsis where more follows. NULL when there is no memory. */
static const char *on_one_line(struct arena *mem, const char *value)
{
    char *text = arena_alloc(mem, strlen(value) + 2), *to = text;
    bool synopsis = true;

    for (const char *line = value; to && line; synopsis = false) {
        const char *end = strchr(line, '\n');
        line += strspn(line, " \t");
        size_t len = end ? (size_t)(end - line) * (line < end) : strlen(line);
        while (len > 0 && (line[len - 1] == ' ' || line[len - 1] == '\t'))
            len--;
        if (len > 0 && to > text)
            *to++ = ' ';
        memcpy(to, line, len);
        to += len;
        if (synopsis && end && len > 0 && to[-1] != '.')
            *to++ = '.';
        line = end ? end + 1 : NULL;
    }
    if (to)
        *to = '\0';
    return text;
}

/* Up to the first of the bytes of `end`, and without the spaces before it. */
static char *copy_until(struct arena *mem, const char *text, const char *end)
{
    size_t len = strcspn(text, end);

    while (len > 0 && text[len - 1] == ' ')
        len--;
    return arena_strndup(mem, text, len);
}

static void *grown(void *v, size_t *cap, size_t n, size_t size)
{
    if (n < *cap)
        return v;
    size_t more = *cap ? 2 * *cap : 1024;
    void *p = realloc(v, more * size);
    if (p)
        *cap = more;
    return p;
}

static int add_package(struct reader *r, const struct deb822 *d, struct err *e)
{
    struct arena *mem = &r->lists->mem;
    const char *name = deb822_value(d, PACKAGE), *source = deb822_value(d, SOURCE);
    const char *section = deb822_value(d, SECTION), *maintainer = deb822_value(d, MAINTAINER);
    const char *english = deb822_value(d, ENGLISH), *plain = deb822_value(d, DESCRIPTION);
    const char *md5 = deb822_value(d, MD5), *value = english ? english : plain;

    if (!section || !maintainer)
        return 0;
    struct found *all = grown(r->found, &r->cap, r->n, sizeof *all);
    if (!all)
        return no_memory(e);
    r->found = all;
    const char *slash = strrchr(section, '/');
    struct found *f = &all[r->n];
    *f = (struct found){
        .package = {arena_strdup(mem, name), copy_until(mem, source ? source : name, " ("),
                    arena_strdup(mem, slash ? slash + 1 : section),
                    copy_until(mem, maintainer, "<"), value ? on_one_line(mem, value) : NULL},
        .md5 = md5 ? arena_strdup(mem, md5) : NULL,
        .at_length = value && strchr(value, '\n'),
        .place = r->n,
    };
    const struct package *p = &f->package;
    if (!p->name || !p->source || !p->section || !p->maintainer || (value && !p->text) ||
        (md5 && !f->md5))
        return no_memory(e);
    r->n++;
    return 0;
}

static int add_translation(struct reader *r, const struct deb822 *d, struct err *e)
{
    struct arena *mem = &r->lists->mem;
    struct translation *all =
        grown(r->translation, &r->translations_cap, r->n_translations, sizeof *all);

    if (!all)
        return no_memory(e);
    r->translation = all;
    struct translation *t = &all[r->n_translations];
    *t = (struct translation){arena_strdup(mem, deb822_value(d, MD5)),
                              on_one_line(mem, deb822_value(d, ENGLISH))};
    if (!t->md5 || !t->text)
        return no_memory(e);
    r->n_translations++;
    return 0;
}

/* A stanza of a list is a package, and one of a translation file has a text for a checksum. */
static int read_file(struct reader *r, const char *path, struct err *e)
{
    struct deb822 d;
    bool more = true;
    int rc = deb822_open(&d, path, fields, e);

    if (rc)
        return rc;
    while (!rc && more) {
        rc = deb822_next(&d, &more, e);
        if (rc || !more || !deb822_value(&d, PACKAGE))
            continue;
        if (deb822_value(&d, SECTION))
            rc = add_package(r, &d, e);
        else if (deb822_value(&d, MD5) && deb822_value(&d, ENGLISH))
            rc = add_translation(r, &d, e);
    }
    deb822_close(&d);
    r->lists->files++;
    return rc;
}

/* Whether a file of the folder is a list: "..._Packages" or "..._Translation-en", perhaps with the
 * ending of a compressed file. */
static bool is_list(const char *path)
{
    const char *name = strrchr(path, '_');

    if (!name)
        return false;
    size_t len = strcspn(name, ".");
    return (len == 9 && strncmp(name, "_Packages", len) == 0) ||
           (len == 15 && strncmp(name, "_Translation-en", len) == 0);
}

static int read_folder(struct reader *r, const char *dir, struct err *e)
{
    char pattern[PATH_MAX];
    glob_t files;
    int rc = file_join(pattern, sizeof pattern, dir, "*_*", e);

    if (rc)
        return rc;
    int status = glob(pattern, 0, NULL, &files);
    if (status != 0 && status != GLOB_NOMATCH)
        return status == GLOB_NOSPACE ? no_memory(e)
                                      : err_set(e, ERR_IO, "%s: cannot list the folder", dir);
    for (size_t i = 0; status == 0 && !rc && i < files.gl_pathc; i++)
        if (is_list(files.gl_pathv[i]))
            rc = read_file(r, files.gl_pathv[i], e);
    if (status == 0)
        globfree(&files);
    if (!rc && r->lists->files == 0)
        rc = err_set(e, ERR_DATA, "%s: no package lists; run apt-get update first", dir);
    return rc;
}

static int by_name(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    int order = strcmp(x->package.name, y->package.name);

    return order ? order : (x->place > y->place) - (x->place < y->place);
}

static int by_md5(const void *a, const void *b)
{
    return strcmp(((const struct translation *)a)->md5, ((const struct translation *)b)->md5);
}

/* Each package once, with the longest description that there is. */
static int collect(struct reader *r, struct err *e)
{
    struct apt_lists *l = r->lists;

    l->package = arena_calloc(&l->mem, r->n + 1, sizeof *l->package);
    if (!l->package)
        return no_memory(e);
    if (r->n_translations)
        qsort(r->translation, r->n_translations, sizeof *r->translation, by_md5);
    if (r->n)
        qsort(r->found, r->n, sizeof *r->found, by_name);
    for (size_t i = 0; i < r->n; i++) {
        const struct found *f = &r->found[i];
        if (i > 0 && strcmp(f->package.name, f[-1].package.name) == 0)
            continue;
        struct package *p = &l->package[l->n++];
        *p = f->package;
        const struct translation key = {.md5 = f->md5}, *t = NULL;
        if (f->md5 && !f->at_length && r->n_translations)
            t = bsearch(&key, r->translation, r->n_translations, sizeof key, by_md5);
        if (t)
            p->text = t->text;
        l->described += p->text != NULL;
        l->at_length += t || f->at_length;
    }
    return 0;
}

static int check(const struct apt_lists *l, const char *path, struct err *e)
{
    if (l->n == 0)
        return err_set(e, ERR_DATA, "%s: no packages in it; run apt-get update first", path);
    if (l->described == 0)
        return err_set(e, ERR_DATA,
                       "%s: %zu packages, and not one description; container images leave them "
                       "out: run apt-get -o Acquire::Languages=en update",
                       path, l->n);
    return 0;
}

int apt_lists_read(struct apt_lists *l, const char *path, struct err *e)
{
    struct reader r = {.lists = l};
    struct stat info;

    if (stat(path, &info) != 0)
        return err_sys(e, ERR_IO, errno, "%s", path);
    *l = (struct apt_lists){0};
    arena_init(&l->mem, ARENA_NO_CAP);
    int rc = S_ISDIR(info.st_mode) ? read_folder(&r, path, e) : read_file(&r, path, e);
    if (!rc)
        rc = collect(&r, e);
    if (!rc)
        rc = check(l, path, e);
    free(r.found);
    free(r.translation);
    if (rc)
        apt_lists_release(l);
    return rc;
}

void apt_lists_release(struct apt_lists *l)
{
    arena_release(&l->mem);
    *l = (struct apt_lists){0};
}
