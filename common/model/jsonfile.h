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

#endif
