/* What the tests of this folder share: a scratch folder, and tokenizers made from JSON. */
#ifndef TESTS_TEXT_SUPPORT_H
#define TESTS_TEXT_SUPPORT_H

#include "base/err.h"
#include "base/file.h"
#include "text/tokenizer.h"
#include <criterion/criterion.h>
#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GOLDEN FEDPET_TEST_DIR "/text/golden/"

/* A folder of its own for each test. */
struct scratch {
    char dir[64];
    char path[64 + 256];
};

static inline struct scratch scratch_open(void)
{
    struct scratch s = {.dir = "/tmp/fedpet-text-XXXXXX"};

    cr_assert_not_null(mkdtemp(s.dir));
    return s;
}

/* dir/name; valid until the next call. */
static inline const char *scratch_path(struct scratch *s, const char *name)
{
    snprintf(s->path, sizeof s->path, "%s/%s", s->dir, name);
    return s->path;
}

static inline void scratch_put(struct scratch *s, const char *name, const char *bytes, size_t len)
{
    FILE *f = fopen(scratch_path(s, name), "wb");

    cr_assert_not_null(f);
    cr_assert_eq(fwrite(bytes, 1, len, f), len);
    cr_assert_eq(fclose(f), 0);
}

static inline void scratch_text(struct scratch *s, const char *name, const char *text)
{
    scratch_put(s, name, text, strlen(text));
}

static inline void scratch_close(struct scratch *s)
{
    DIR *d = opendir(s->dir);

    for (struct dirent *f; d && (f = readdir(d));)
        if (f->d_name[0] != '.')
            unlink(scratch_path(s, f->d_name));
    closedir(d);
    rmdir(s->dir);
}

static inline json_t *load_json(const char *path)
{
    json_error_t fault;
    json_t *json = json_load_file(path, 0, &fault);

    cr_assert_not_null(json, "%s: %s", path, fault.text);
    return json;
}

/* A tokenizer from the text of a tokenizer.json. Returns tokenizer_open's code. */
static inline int tokenizer_from(const json_t *json, struct tokenizer **out, struct err *e)
{
    struct scratch s = scratch_open();

    cr_assert_eq(json_dump_file(json, scratch_path(&s, "tokenizer.json"), 0), 0);
    int rc = tokenizer_open(out, s.dir, e);
    scratch_close(&s);
    return rc;
}

/* The committed small tokenizer "wordpiece" or "bytes". */
static inline struct tokenizer *golden_tokenizer(const char *name)
{
    char path[256];
    struct tokenizer *t = NULL;
    struct err e = {0};

    snprintf(path, sizeof path, GOLDEN "%s.json", name);
    json_t *json = load_json(path);
    cr_assert_eq(tokenizer_from(json, &t, &e), 0, "%s", e.text);
    json_decref(json);
    return t;
}

/* The folder of optional large data, or NULL: then the test is to be skipped. */
static inline const char *shared_path(const char *name, char path[512])
{
    const char *root = getenv("FEDPET_SHARED");

    snprintf(path, 512, "%s/%s", root ? root : "../shared", name);
    return access(path, R_OK) == 0 ? path : NULL;
}

#endif
