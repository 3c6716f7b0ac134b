/* node: a YAML document as a tree in an arena, each node knowing where it came from. What
 * configurations are merged from, checked on and printed from. Only the plain part of YAML is read:
 * no anchors, aliases, tags or second documents. */
#ifndef BASE_NODE_H
#define BASE_NODE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>

enum { NODE_MAX_DEPTH = 32, NODE_MAX_COUNT = 8192 };

enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAP };

struct node {
    enum node_kind kind;
    bool quoted;        /* NODE_SCALAR: written in quotes, thus a text even when it reads null */
    const char *key;    /* inside a NODE_MAP, else NULL */
    const char *text;   /* NODE_SCALAR: no NUL inside */
    const char *value;  /* of a text that stands for something else; else NULL */
    const char *source; /* file name, or what stands for one; borrowed */
    unsigned line;      /* in source, from 1; 0: source has no lines */
    struct node *child, *next;
};

/* Reads `len` bytes of YAML. *root is NULL for an empty document. `source` names the text in
 * messages and nodes and must live as long as they; with `lines` nodes keep their line. ERR_CONFIG:
 * not YAML, not UTF-8, a duplicate key, a feature outside the plain part, too deep or too many;
 * ERR_NOMEM: the arena is full. */
int node_parse(struct arena *mem, const char *source, bool lines, const char *text, size_t len,
               struct node **root, struct err *e) MUST_CHECK;

/* A new scalar; NULL when the arena is full. Strings are borrowed. */
struct node *node_scalar(struct arena *mem, const char *source, const char *text) MUST_CHECK;
/* A new empty mapping; NULL when the arena is full. */
struct node *node_map(struct arena *mem, const char *source) MUST_CHECK;

/* The value of a key of a mapping; NULL when there is none, or n is no mapping. */
struct node *node_get(const struct node *n, const char *key);
/* An unquoted scalar that is empty, ~ or null. */
bool node_is_null(const struct node *n);

/* Lays `over` on `base` (both mappings): mappings merge, any other value replaces. A null over a
 * mapping changes nothing, so that a section with all its keys commented out keeps its defaults.
 * Moves nodes of `over` into `base`. */
void node_merge(struct node *base, struct node *over);

/* Appends the node as one line of flow-style YAML: as it was written, or what the texts stand for,
 * without the null entries. ERR_NOMEM: over the buffer's limit. */
int node_write(const struct node *n, bool as_written, struct buf *out) MUST_CHECK;
/* Appends one scalar, quoted where YAML or the eye could misread it. ERR_NOMEM. */
int node_write_text(const char *text, bool quoted, struct buf *out) MUST_CHECK;
/* "FILE:LINE", or the source alone. Truncated to size. */
void node_origin(const struct node *n, char *out, size_t size);

#endif
