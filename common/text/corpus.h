/* A text without labels as a stream of documents, for the training of tokenizers and language
 * models: files of plain text, or JSON lines (known by their name: .jsonl, also before .zst, .gz,
 * .xz, .bz2 or .lz4), each perhaps compressed (text/lines.h). One document is in memory at a
 * time. */
#ifndef TEXT_CORPUS_H
#define TEXT_CORPUS_H

#include "base/buf.h"
#include "base/err.h"
#include "text/lines.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum { CORPUS_MAX_DOCUMENT = 16 << 20 }; /* bytes; as much as a tokenizer takes */

struct corpus_spec {
    const char *const *path;
    size_t n;
    enum corpus_unit {
        CORPUS_PARAGRAPHS, /* lines up to the next blank one, or the end of the file */
        CORPUS_LINES,      /* each line that is not blank */
    } unit;                /* of plain text; each line of a JSONL file is a document */
    const char *field;     /* of JSON lines; NULL: "text" */
};

struct corpus {
    struct corpus_spec spec;
    size_t file;        /* the present one */
    struct lines lines; /* of the present file */
    struct buf joined;  /* the lines of a paragraph */
    json_t *row;        /* the present line of a JSONL file */
    size_t documents;   /* of the present file, so far */
    size_t line;        /* where the present document begins, from 1 */
    const char *text;   /* the present document, NUL-terminated, until the next call */
    size_t len;         /* > 0 */
};

/* "paragraph" or "line". ERR_USAGE. */
int corpus_unit_named(const char *name, enum corpus_unit *out, struct err *e) MUST_CHECK;

/* Opens a corpus of n >= 1 files at its first document; the strings of `spec` must stay, and the
 * list of paths, too. ERR_IO: the first file cannot be read; ERR_USAGE: no files; ERR_NOMEM. */
int corpus_open(struct corpus *c, const struct corpus_spec *spec, struct err *e) MUST_CHECK;
/* Also of a zeroed one. */
void corpus_close(struct corpus *c);

/* Moves to the next document, in the order of files and lines; *more is false at the end, and then
 * the next call begins again with the first document. The text is UTF-8 without NUL bytes; lines
 * of a paragraph are separated by LF. Empty documents are left out. ERR_DATA naming file, line and
 * fault: those of lines_next, a file without any text, broken JSON, a field that is missing or no
 * text, a document above CORPUS_MAX_DOCUMENT; ERR_IO; ERR_NOMEM. */
int corpus_next(struct corpus *c, bool *more, struct err *e) MUST_CHECK;

#endif
