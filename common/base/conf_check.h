/* conf_check: a node tree against a libcyaml schema, for messages that a person can act on: where,
 * which dotted key, what is accepted. A tree that passes is one that libcyaml loads. Part of conf;
 * used by nobody else. */
#ifndef BASE_CONF_CHECK_H
#define BASE_CONF_CHECK_H

#include "base/arena.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/node.h"

/* Checks the mapping `root`, makes single values into lists and empty sections into mappings where
 * the schema wants them, and notes what sizes stand for. ERR_CONFIG; ERR_NOMEM: the arena is full.
 */
int conf_check(struct arena *mem, struct node *root, const struct conf_type *type,
               struct err *e) MUST_CHECK;

/* The field of a mapping schema with this key; NULL when there is none. */
const cyaml_schema_field_t *conf_field(const cyaml_schema_value_t *map, const char *key);

/* ERR_CONFIG with the message for a key that is not in the schema: "WHERE: unknown key PATH; did
 * you mean ...". */
int conf_unknown(const struct conf_type *type, const char *where, const char *path, struct err *e);

/* Appends what the value of a dotted key must be: "a whole number from 1 to 1024". ERR_NOMEM. */
int conf_describe(const struct conf_type *type, const char *path,
                  const cyaml_schema_value_t *schema, struct buf *out) MUST_CHECK;

/* "parent.key", or key alone when parent is "". Truncated to size. */
enum { CONF_PATH = 256 };
void conf_path(char out[CONF_PATH], const char *parent, const char *key);

#endif
