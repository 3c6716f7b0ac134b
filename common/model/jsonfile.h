/* A JSON file whose root is an object (config.json, adapter_config.json), read with limits, and its
 * fields with checked types and ranges. Every failure is ERR_MODEL naming file, field and what was
 * expected, but for files that cannot be read (ERR_IO). */
#ifndef MODEL_JSONFILE_H
#define MODEL_JSONFILE_H

#include "base/err.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JSONFILE_MAX_BYTES = 1 << 20 };

struct jsonfile {
    json_t *root;     /* an object */
    const char *path; /* borrowed */
};

/* Reads and parses at most JSONFILE_MAX_BYTES; refuses duplicate keys. Release with jsonfile_close.
 */
int jsonfile_open(struct jsonfile *f, const char *path, struct err *e) MUST_CHECK;
void jsonfile_close(struct jsonfile *f);

/* Fields. An absent or null field leaves *out as it is: preset the default. */
int jsonfile_int(const struct jsonfile *f, const char *key, int min, int max, int *out,
                 struct err *e) MUST_CHECK;
/* Any JSON number in [min, max]. */
int jsonfile_number(const struct jsonfile *f, const char *key, double min, double max, double *out,
                    struct err *e) MUST_CHECK;
int jsonfile_bool(const struct jsonfile *f, const char *key, bool *out, struct err *e) MUST_CHECK;
/* The string belongs to f. */
int jsonfile_string(const struct jsonfile *f, const char *key, const char **out,
                    struct err *e) MUST_CHECK;

/* Any file whose root is an object, of at most `limit` bytes, with jansson's decoding flags. *root
 * is the caller's to json_decref. ERR_IO; ERR_MODEL naming file and line. */
int jsonfile_read(const char *path, size_t limit, size_t flags, json_t **root,
                  struct err *e) MUST_CHECK;
/* Writes JSON to a file (file_write), indented, with jansson's encoding flags besides. ERR_IO;
 * ERR_NOMEM, also when json is NULL: it could not be made. */
int jsonfile_write(const json_t *json, size_t flags, const char *path, struct err *e) MUST_CHECK;
/* Prints it and a line end on standard output. ERR_IO; ERR_NOMEM as above. */
int jsonfile_print(const json_t *json, size_t flags, struct err *e) MUST_CHECK;

#endif
