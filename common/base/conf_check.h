/* conf_check: a node tree against a libcyaml schema, for messages that a person can act on: where,
 * which dotted key, what is accepted. A tree that passes is one that libcyaml loads. Part of conf;
 * used by nobody else. */
#ifndef BASE_CONF_CHECK_H
#define BASE_CONF_CHECK_H

#include "base/arena.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/node.h"

/* Checks the mapping `root`, and makes single values into lists and empty sections into mappings
 * where the schema wants them. ERR_CONFIG; ERR_NOMEM: the arena is full. */
int conf_check(struct arena *mem, struct node *root, const struct conf_type *type,
               struct err *e) MUST_CHECK;

/* The field of a mapping schema with this key; NULL when there is none. */
const cyaml_schema_field_t *conf_field(const cyaml_schema_value_t *map, const char *key);

/* ERR_CONFIG with the message for a key that is not in the schema: "WHERE: unknown key PATH; did
 * you mean ...". */
int conf_unknown(const struct conf_type *type, const char *where, const char *path, struct err *e);

/* Appends what a value must be: "a whole number from 1 to 1024". `range` may be NULL. ERR_NOMEM. */
int conf_describe(const cyaml_schema_value_t *schema, const struct conf_range *range,
                  struct buf *out) MUST_CHECK;

/* The range of a dotted key; NULL when it has none. */
const struct conf_range *conf_range_of(const struct conf_type *type, const char *path);

/* "parent.key", or key alone when parent is "". Truncated to size. */
enum { CONF_PATH = 256 };
void conf_path(char out[CONF_PATH], const char *parent, const char *key);

#endif
