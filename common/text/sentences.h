/* Sentences whose words carry tags, read one at a time: columns (one word a line, blank lines
 * between sentences, as in CoNLL 2003) or JSON lines with an array of words and one of tags. */
#ifndef TEXT_SENTENCES_H
#define TEXT_SENTENCES_H

#include "base/arena.h"
#include "base/err.h"
#include "text/table.h"
#include <stddef.h>
#include <stdint.h>

enum { SENTENCES_MAX_TAGS = 4096 };

struct sentences {
    struct table table;       /* the file; table.line: where the present sentence begins */
    const char **word, **tag; /* n each, NUL-terminated, until the next call */
    size_t n, cap;
    const char *owner; /* of the present sentence; NULL where none is wanted */
    const char *word_name, *tag_name;
    size_t word_column, tag_column, n_columns; /* of TABLE_COLUMNS; n_columns 0: not yet known */
    bool comments;                             /* lines that begin with # are none */
    size_t used;                               /* bytes of table.row */
};

/* Opens a file of format TABLE_COLUMNS or TABLE_JSONL. spec->wanted: the words, the tags, and the
 * owner at the places of enum source_column. Of columns that are separated by blanks, each is a
 * number from 1, or from -1 backwards, or a name of the line "# global.columns = ..." with which a
 * CoNLL-U Plus file begins; NULL: the first column and the last; an owner is ERR_CONFIG. Of JSON
 * lines they are keys; NULL or a number: "tokens" and "tags". The strings of `spec` must stay.
 * Errors of table_open; ERR_DATA: no such column; ERR_NOMEM. */
int sentences_open(struct sentences *s, const struct table_spec *spec, struct err *e) MUST_CHECK;
void sentences_close(struct sentences *s);

/* Reads the next sentence that has words; *more is false at the end. Lines "-DOCSTART-", which
 * begin a document, are left out. ERR_DATA naming file, line and fault: a changing number of
 * columns, words and tags that differ in number, a word or tag that is no text, a NUL byte, above
 * TABLE_MAX_ROW; ERR_NOMEM. */
int sentences_next(struct sentences *s, bool *more, struct err *e) MUST_CHECK;

/* The tags that occur in a file: "O" first, the others in byte order; memory from `mem`. ERR_DATA
 * also: more than SENTENCES_MAX_TAGS of them, or less than two. */
int sentences_tags(const struct table_spec *spec, struct arena *mem, const char *const **tag,
                   uint32_t *n, struct err *e) MUST_CHECK;

#endif
