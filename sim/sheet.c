#include "sim/sheet.h"
#include <stdarg.h>
#include <string.h>

const char *sheets_text(struct sheets *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    char *text = n < 0 ? NULL : arena_alloc(&b->mem, (size_t)n + 1);
    if (text)
        vsnprintf(text, (size_t)n + 1, fmt, again);
    else
        b->full = true;
    va_end(again);
    va_end(ap);
    return text ? text : "";
}

struct sheet *sheet_add(struct sheets *b, const char *title, const char *note, size_t columns,
                        const char *corner)
{
    struct sheet *s = arena_calloc(&b->mem, 1, sizeof *s);
    const char **head = s ? arena_calloc(&b->mem, columns, sizeof *head) : NULL;
    if (!head) {
        b->full = true;
        return NULL;
    }
    *s = (struct sheet){.title = title, .note = note, .columns = columns, .head = head};
    head[0] = corner;
    if (b->last)
        b->last->next = s;
    else
        b->first = s;
    b->last = s;
    return s;
}

void sheet_drop_empty(struct sheets *b)
{
    struct sheet *before = NULL;
    if (!b->last || b->last->rows > 0)
        return;
    for (struct sheet *s = b->first; s != b->last; s = s->next)
        before = s;
    b->last = before;
    if (before)
        before->next = NULL;
    else
        b->first = NULL;
}

void sheet_head(struct sheet *s, size_t column, const char *text)
{
    if (s && column < s->columns)
        s->head[column] = text;
}

void sheet_row(struct sheets *b, struct sheet *s, const char *text)
{
    if (!s)
        return;
    if (s->rows == s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 8;
        const char **cell = arena_calloc(&b->mem, cap * s->columns, sizeof *cell);
        if (!cell) {
            b->full = true;
            return;
        }
        if (s->rows > 0)
            memcpy(cell, s->cell, s->rows * s->columns * sizeof *cell);
        s->cell = cell;
        s->cap = cap;
    }
    s->rows++;
    sheet_set(s, 0, text);
}

void sheet_set(struct sheet *s, size_t column, const char *text)
{
    if (s && s->rows > 0 && column < s->columns)
        s->cell[(s->rows - 1) * s->columns + column] = text;
}

/* --- writing --- */

void sheet_write_html(FILE *out, const char *text)
{
    for (const char *c = text ? text : ""; *c; c++) {
        const char *named = *c == '&'    ? "&amp;"
                            : *c == '<'  ? "&lt;"
                            : *c == '>'  ? "&gt;"
                            : *c == '"'  ? "&quot;"
                            : *c == '\'' ? "&#39;"
                                         : NULL;
        if (named)
            fputs(named, out);
        else if ((unsigned char)*c >= ' ' || *c == '\n')
            fputc(*c, out);
    }
}

void sheet_write_markdown(FILE *out, const char *text)
{
    for (const char *c = text ? text : ""; *c; c++) {
        if (*c == '<' || *c == '&')
            fputs(*c == '<' ? "&lt;" : "&amp;", out);
        else if (strchr("\\|*_`[]", *c))
            fprintf(out, "\\%c", *c);
        else
            fputc((unsigned char)*c < ' ' ? ' ' : *c, out);
    }
}

static void markdown_row(FILE *out, const char *const *cell, size_t columns)
{
    for (size_t i = 0; i < columns; i++) {
        fputs(i ? " | " : "| ", out);
        sheet_write_markdown(out, cell[i]);
    }
    fputs(" |\n", out);
}

void sheets_markdown(const struct sheets *b, FILE *out)
{
    for (const struct sheet *s = b->first; s; s = s->next) {
        fputs("## ", out);
        sheet_write_markdown(out, s->title);
        fputs("\n\n", out);
        if (*s->note) {
            sheet_write_markdown(out, s->note);
            fputs("\n\n", out);
        }
        markdown_row(out, s->head, s->columns);
        for (size_t i = 0; i < s->columns; i++)
            fputs(i ? "---|" : "|---|", out);
        fputc('\n', out);
        for (size_t r = 0; r < s->rows; r++)
            markdown_row(out, s->cell + r * s->columns, s->columns);
        fputc('\n', out);
    }
}

static void html_row(FILE *out, const char *const *cell, size_t columns, bool head)
{
    fputs("<tr>", out);
    for (size_t i = 0; i < columns; i++) {
        const char *tag = head || i == 0 ? "th" : "td";
        fprintf(out, "<%s>", tag);
        sheet_write_html(out, cell[i]);
        fprintf(out, "</%s>", tag);
    }
    fputs("</tr>\n", out);
}

void sheets_html(const struct sheets *b, FILE *out)
{
    for (const struct sheet *s = b->first; s; s = s->next) {
        fputs("<section>\n<h2>", out);
        sheet_write_html(out, s->title);
        fputs("</h2>\n", out);
        if (*s->note) {
            fputs("<p>", out);
            sheet_write_html(out, s->note);
            fputs("</p>\n", out);
        }
        fputs("<div class=\"wide\"><table>\n<thead>\n", out);
        html_row(out, s->head, s->columns, true);
        fputs("</thead>\n<tbody>\n", out);
        for (size_t r = 0; r < s->rows; r++)
            html_row(out, s->cell + r * s->columns, s->columns, false);
        fputs("</tbody>\n</table></div>\n</section>\n", out);
    }
}

static json_t *row_json(const char *const *cell, size_t columns)
{
    json_t *row = json_array();
    for (size_t i = 0; i < columns; i++)
        json_array_append_new(row, cell[i] ? json_string(cell[i]) : json_null());
    return row;
}

json_t *sheets_json(const struct sheets *b)
{
    json_t *list = json_array();
    for (const struct sheet *s = b->first; s; s = s->next) {
        json_t *rows = json_array();
        for (size_t r = 0; r < s->rows; r++)
            json_array_append_new(rows, row_json(s->cell + r * s->columns, s->columns));
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:o, s:o}", "title", s->title, "note", s->note,
                                        "columns", row_json(s->head, s->columns), "rows", rows));
    }
    return list;
}
