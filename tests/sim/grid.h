/* A suite in a scratch folder: data of a few bytes, any model's folder, and whatever grid. */
#ifndef TESTS_SIM_GRID_H
#define TESTS_SIM_GRID_H

#include "sim/results.h"
#include "sim/suite.h"
#include "tests/server/folder.h"

static inline void grid_write(const struct folder *f, const char *name, const char *text)
{
    struct err e;
    cr_assert_eq(file_write(folder_file(f, name), text, strlen(text), 0644, &e), 0, "%s", e.text);
}

/* Two data sets, data-a and data-b, and base.yaml. */
static inline struct folder grid_folder(void)
{
    struct err e;
    struct folder f = folder_make();
    cr_assert_eq(file_mkdirs(folder_file(&f, "data-a"), 0755, &e), 0);
    cr_assert_eq(file_mkdirs(folder_file(&f, "data-b"), 0755, &e), 0);
    grid_write(&f, "data-a/train.tsv", "one\ntwo\nthree\n");
    grid_write(&f, "data-b/train.tsv", "four\n");
    grid_write(&f, "base.yaml",
               "model: " FEDPET_TEST_DIR "/model/golden/bert\n"
               "task: {name: rte, data: data-a}\n"
               "federation: {clients: 10, per_round: 2, rounds: 15}\n");
    return f;
}

/* Opens suite.yaml with this text; the suite borrows its path from *f, which outlives it. */
static inline int grid_open(struct suite *s, struct folder *f, const char *text, struct err *e)
{
    static char path[128];
    grid_write(f, "suite.yaml", text);
    snprintf(path, sizeof path, "%s/suite.yaml", f->path);
    return suite_open(s, path, e);
}

#endif
