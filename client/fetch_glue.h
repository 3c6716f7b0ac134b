/* The tasks of GLUE (Wang et al. 2019, gluebenchmark.com) as their authors publish them: one ZIP a
 * task; MRPC, which they may not give away, from the two files of the MSR corpus that SentEval
 * keeps and the official list of dev pairs. */
#ifndef CLIENT_FETCH_GLUE_H
#define CLIENT_FETCH_GLUE_H

#include "client/fetch_http.h"
#include <limits.h>
#include <stdbool.h>

#define FETCH_GLUE_URL "https://dl.fbaipublicfiles.com"
enum { FETCH_GLUE_SOURCES = 3, FETCH_GLUE_FILES = 5 };

/* A file of the archive: its place below the base address, its bytes and their SHA-256. */
struct fetch_source {
    const char *path;
    uint64_t size;
    const char *sha256;
};
struct fetch_task {
    const char *name;   /* "sst2", as in configurations */
    const char *folder; /* "SST-2": in the ZIP and on the disk */
    /* One ZIP; or MRPC's train pairs, test pairs, and ids of the dev pairs. Unused: path NULL. */
    struct fetch_source source[FETCH_GLUE_SOURCES];
    const char *file[FETCH_GLUE_FILES + 1]; /* what it makes; ends with NULL */
};
extern const struct fetch_task fetch_glue_table[]; /* ends with name NULL */
/* "glue/sst2" -> its entry. ERR_USAGE: no such task; all names are listed. */
int fetch_glue_find(const char *name, const struct fetch_task **out, struct err *e) MUST_CHECK;

/* Makes dir/glue/FOLDER/ with the task's files, if one of them is missing; `folder` gets its path,
 * and *fetched whether anything was to do. `base` is FETCH_GLUE_URL or a mirror's. ERR_USAGE: no
 * https address; ERR_PROTO: bytes of another checksum; ERR_DATA: a broken archive; ERR_REFUSED,
 * ERR_NET, ERR_TLS, ERR_IO as fetch_file. */
int fetch_glue(struct fetch_http *h, const struct fetch_task *task, const char *base,
               const char *dir, char folder[PATH_MAX], bool *fetched, struct err *e) MUST_CHECK;
/* Whether all of a task's files are in dir/glue/FOLDER. */
bool fetch_glue_complete(const struct fetch_task *task, const char *dir);

#endif
