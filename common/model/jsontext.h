/* JSON as text that is whole or not there: without memory, json_dumps of jansson 2.14 leaves out a
 * key and goes on. */
#ifndef MODEL_JSONTEXT_H
#define MODEL_JSONTEXT_H

#include "base/buf.h"
#include <jansson.h>

/* As json_dumps: malloc'ed, whole; NULL without memory, when `json` is NULL, or a text in it is not
 * UTF-8. */
char *jsontext(const json_t *json, size_t flags);
/* Appends it and "\n". ERR_NOMEM: as NULL above. */
int jsontext_line(const json_t *json, size_t flags, struct buf *out) MUST_CHECK;

#endif
