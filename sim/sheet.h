/* Tables of text: built cell by cell, written as Markdown, HTML or JSON. */
#ifndef SIM_SHEET_H
#define SIM_SHEET_H

#include "base/arena.h"
#include "base/err.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct sheet {
    const char *title, *note; /* note: what is in it; may be "" */
    size_t columns, rows, cap;
    const char **head;
    const char **cell; /* rows * columns; NULL: empty */
    struct sheet *next;
};

/* Sheets in order, and all their text. Running out of memory is remembered, not reported at each
 * step: ask `full` at the end. */
struct sheets {
    struct arena mem;
    struct sheet *first, *last;
    bool full;
};

/* As printf, in the memory of the sheets; "" when there is none left. */
const char *sheets_text(struct sheets *b, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* A sheet at the end, its first column headed `corner`; NULL without memory. Texts are
 * borrowed. The functions below do nothing with NULL. */
struct sheet *sheet_add(struct sheets *b, const char *title, const char *note, size_t columns,
                        const char *corner);
/* Removes the last sheet when it has no row. */
void sheet_drop_empty(struct sheets *b);
void sheet_head(struct sheet *s, size_t column, const char *text);
/* A new row with this text in its first column. */
void sheet_row(struct sheets *b, struct sheet *s, const char *text);
/* A cell of the last row. */
void sheet_set(struct sheet *s, size_t column, const char *text);

/* Text with everything escaped that Markdown or HTML would take for markup. */
void sheet_write_markdown(FILE *out, const char *text);
void sheet_write_html(FILE *out, const char *text);

void sheets_markdown(const struct sheets *b, FILE *out);
void sheets_html(const struct sheets *b, FILE *out);
/* A list of {"title", "note", "columns", "rows"}; NULL without memory. */
json_t *sheets_json(const struct sheets *b);

#endif
