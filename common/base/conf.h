/* Configuration: YAML by schema (libcyaml), `--set a.b=c` overrides, and where each effective value came from.
 * Precedence: --set over file over default. An unknown key, a wrong type or a value out of range is ERR_CONFIG, and the message
 * names file, line, dotted key and the accepted values. */
#ifndef BASE_CONF_H
#define BASE_CONF_H

#include "base/err.h"
#include "base/spec.h"
#include <cyaml/cyaml.h>
#include <stddef.h>
#include <stdio.h>

/* A range for a numeric key, checked after loading; key is the dotted path. */
struct conf_range {
    const char *key;
    double min, max;
};

/* A program's configuration type: filled by its owner as a const table. */
struct conf_type {
    const cyaml_schema_value_t *schema; /* a CYAML_VALUE_MAPPING with CYAML_FLAG_POINTER of the top struct */
    const char *defaults;      /* YAML text with every optional key's default */
    const struct conf_range *range; /* ends with key NULL; may be NULL */
};

struct conf; /* a loaded configuration: the struct, and the origin of each value */

/* Loads `path` (NULL: defaults and overrides only). `set`: n strings "a.b=c". *out is freed with conf_free. */
int conf_load(struct conf **out, const struct conf_type *type, const char *path, char *const *set, size_t n, struct err *e)
    MUST_CHECK;
/* The top struct described by type->schema; owned by conf. */
void *conf_data(struct conf *c);
/* Prints every effective value as YAML, each line with a comment `# default`, `# FILE:LINE` or `# --set`. */
int conf_show(const struct conf *c, FILE *out, struct err *e) MUST_CHECK;
void conf_free(struct conf *c);

/* Schemas, defaults and ranges of the parts of a run_spec, to be embedded by server, client and simulator configurations. */
extern const cyaml_schema_field_t conf_task_fields[], conf_peft_fields[], conf_local_fields[], conf_federation_fields[];
/* YAML text of the defaults of the four parts, top-level keys task, peft, local, federation. */
extern const char conf_run_defaults[];
extern const struct conf_range conf_run_ranges[]; /* ends with key NULL */

#endif
