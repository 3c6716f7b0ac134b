/* A file of rows with named columns, read one row at a time: TSV (quotes are literal), CSV (RFC
 * 4180: quoted fields may hold commas, doubled quotes and line ends) and JSON lines. Columns of
 * words (text/sentences.h) are opened alike, and read by others. */
#ifndef TEXT_TABLE_H
#define TEXT_TABLE_H

#include "base/err.h"
#include "base/file.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum table_format { TABLE_TSV, TABLE_CSV, TABLE_JSONL, TABLE_COLUMNS };

enum { TABLE_MAX_WANTED = 4, TABLE_MAX_ROW = 1 << 20, TABLE_MAX_NAMES = 16 };
#define TABLE_MAX_FILE ((uint64_t)4 << 30)

/* How to read a file, and what of it. */
struct table_spec {
    const char *path;
    enum table_format format;
    const char *names[TABLE_MAX_NAMES];   /* columns of a file without header, ends with NULL;
                                             names[0] NULL: the first row is the header */
    const char *wanted[TABLE_MAX_WANTED]; /* names of the columns to read; NULL: none */
    bool skip_short_rows;                 /* rows with too few columns are left out, not refused */
};

struct table {
    struct table_spec spec;
    struct file_map map;
    size_t at;                       /* next byte of map */
    size_t line, next_line;          /* where the present row begins, from 1; the line at `at` */
    size_t n_columns;                /* of every row; TSV and CSV */
    size_t column[TABLE_MAX_WANTED]; /* where the wanted columns are */
    const char *field[TABLE_MAX_WANTED]; /* of the present row, NUL-terminated, until the next call;
                                            NULL where none is wanted */
    char *row;                           /* memory of the fields */
    json_t *json;                        /* the present row of a JSONL file */
};

/* Opens a file and reads its header. The strings of `spec` must stay. ERR_IO; ERR_DATA naming
 * file, line and fault: empty, above TABLE_MAX_FILE, a wanted column that is not there. */
int table_open(struct table *t, const struct table_spec *spec, struct err *e) MUST_CHECK;
void table_close(struct table *t);

/* Reads the next row that is not blank; *more is false at the end. ERR_DATA naming file, line
 * and fault: wrong number of columns, a quote that does not end, broken JSON, a wanted field
 * that is missing, a NUL byte, above TABLE_MAX_ROW; ERR_NOMEM. */
int table_next(struct table *t, bool *more, struct err *e) MUST_CHECK;

/* ERR_DATA with "FILE:LINE: " of the present row before the text. */
int table_fault(const struct table *t, struct err *e, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* For the two halves of the implementation: one row of TSV or CSV, of JSONL, at map[at], which
 * is not at the end. */
int table_delimited_header(struct table *t, struct err *e) MUST_CHECK;
/* *skipped: the row is blank, or short and to be left out. */
int table_delimited_row(struct table *t, bool *skipped, struct err *e) MUST_CHECK;
int table_json_row(struct table *t, bool *skipped, struct err *e) MUST_CHECK;

#endif
