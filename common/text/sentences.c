#include "text/sentences.h"

#include "text/source.h"
#include <stdlib.h>
#include <string.h>

static const char blanks[] = " \t\r\f\v";
static const char header[] = "# global.columns =";
static const char document[] = "-DOCSTART-";

/* --- columns -------------------------------------------------------------------------------- */

/* A column by its number: from 1, or from -1 backwards. */
static bool is_number(const char *name, long *number)
{
    char *end;

    *number = name ? strtol(name, &end, 10) : 0;
    return *number != 0 && *end == 0;
}

/* Copies the next line of the file into table.row, behind what is there. *line is NULL at the end
 * of the file. */
static int next_line(struct sentences *s, char **line, struct err *e)
{
    struct table *t = &s->table;
    const char *from = (const char *)t->map.bytes + t->at;
    size_t left = t->map.len - t->at;
    const char *end = left ? memchr(from, '\n', left) : NULL;
    size_t len = end ? (size_t)(end - from) : left;

    *line = NULL;
    if (left == 0)
        return 0;
    if (s->n == 0)
        t->line = t->next_line;
    if (len >= TABLE_MAX_ROW - s->used)
        return table_fault(t, e, "sentence of more than %d bytes: are there blank lines?",
                           TABLE_MAX_ROW);
    if (memchr(from, 0, len))
        return table_fault(t, e, "NUL byte: is this a text file?");
    *line = memcpy(t->row + s->used, from, len);
    (*line)[len] = 0;
    s->used += len + 1;
    t->at += len + (end != NULL);
    t->next_line++;
    return 0;
}

/* The next field of a line, NUL-terminated in place; NULL when there is none. */
static char *next_field(char **at)
{
    char *field = *at + strspn(*at, blanks);
    size_t len = strcspn(field, blanks);

    *at = field + len + (field[len] != 0);
    if (len == 0)
        return NULL;
    field[len] = 0;
    return field;
}

/* A column by name, in the names that follow `header`. */
static int find_name(struct sentences *s, const char *name, char *names, size_t *column,
                     struct err *e)
{
    size_t c = 0;

    for (char *field; (field = next_field(&names)); c++)
        if (strcmp(field, name) == 0) {
            *column = c;
            return 0;
        }
    return table_fault(&s->table, e,
                       "no column \"%.100s\": give its number, or begin the file with \"%s ...\"",
                       name, header);
}

/* Names, to numbers; numbers wait for the first line of words. */
static int read_names(struct sentences *s, struct err *e)
{
    struct table *t = &s->table;
    size_t len = strlen(header), left = t->map.len - t->at;
    char *line = NULL, none[] = "";
    long number;
    int rc = 0;

    s->comments = left > len && memcmp(t->map.bytes + t->at, header, len) == 0;
    for (int k = 0; !rc && k < 2; k++) {
        const char *name = k ? s->tag_name : s->word_name;
        if (!name || is_number(name, &number))
            continue;
        size_t at = t->at;
        if (s->comments)
            rc = next_line(s, &line, e);
        if (!rc)
            rc = find_name(s, name, line ? line + len : none, k ? &s->tag_column : &s->word_column,
                           e);
        t->at = at;
        t->next_line = 1;
        s->used = 0;
    }
    return rc;
}

/* A numbered column among n. */
static int place_column(struct sentences *s, const char *name, long otherwise, size_t *column,
                        struct err *e)
{
    long number, n = (long)s->n_columns;

    if (!name)
        number = otherwise;
    else if (!is_number(name, &number))
        number = (long)*column + 1;
    if (number > n || number < -n)
        return table_fault(&s->table, e, "no column %s: there are %zu", name, s->n_columns);
    *column = (size_t)(number > 0 ? number - 1 : n + number);
    return 0;
}

static int reserve(struct sentences *s, size_t n, struct err *e)
{
    if (n <= s->cap)
        return 0;
    size_t cap = 2 * n;
    const char **word = realloc(s->word, cap * sizeof *word);
    if (word)
        s->word = word;
    const char **tag = realloc(s->tag, cap * sizeof *tag);
    if (tag)
        s->tag = tag;
    if (!word || !tag)
        return err_set(e, ERR_NOMEM, "%s: no memory for a sentence of %zu words",
                       s->table.spec.path, n);
    s->cap = cap;
    return 0;
}

static size_t count_fields(const char *line)
{
    size_t n = 0;

    for (line += strspn(line, blanks); *line; line += strspn(line, blanks), n++)
        line += strcspn(line, blanks);
    return n;
}

/* A line of a word and what is said of it. */
static int add_line(struct sentences *s, char *line, struct err *e)
{
    size_t n = count_fields(line);
    int rc = reserve(s, s->n + 1, e);

    if (!rc && s->n_columns == 0) {
        s->n_columns = n;
        rc = place_column(s, s->word_name, 1, &s->word_column, e);
        if (!rc)
            rc = place_column(s, s->tag_name, -1, &s->tag_column, e);
    }
    if (!rc && n != s->n_columns)
        rc = table_fault(&s->table, e, "word %zu: %zu columns where %zu are expected", s->n + 1, n,
                         s->n_columns);
    if (rc)
        return rc;
    for (size_t c = 0; c < n; c++) {
        const char *field = next_field(&line);
        if (c == s->word_column)
            s->word[s->n] = field;
        if (c == s->tag_column)
            s->tag[s->n] = field;
    }
    s->n++;
    return 0;
}

static bool is_boundary(const char *line)
{
    return line[strspn(line, blanks)] == 0 || strncmp(line, document, strlen(document)) == 0;
}

static int next_of_columns(struct sentences *s, bool *more, struct err *e)
{
    char *line;
    int rc = 0;

    s->n = s->used = 0;
    while (!rc) {
        rc = next_line(s, &line, e);
        if (rc || !line || (s->n && is_boundary(line)))
            break;
        if (is_boundary(line) || (s->comments && line[0] == '#'))
            s->used = (size_t)(line - s->table.row);
        else
            rc = add_line(s, line, e);
    }
    *more = s->n > 0;
    return rc;
}

/* --- JSON lines ----------------------------------------------------------------------------- */

static int wrong_array(struct sentences *s, const char *name, const json_t *array, struct err *e)
{
    return table_fault(&s->table, e, "\"%.100s\" is %s", name,
                       array ? "not an array of texts" : "missing");
}

static int take_array(struct sentences *s, const char *name, const json_t *array, const char **out,
                      struct err *e)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        out[i] = json_string_value(json_array_get(array, i));
        if (!out[i])
            return wrong_array(s, name, array, e);
    }
    return 0;
}

static int next_of_json(struct sentences *s, bool *more, struct err *e)
{
    do {
        int rc = table_next(&s->table, more, e);
        if (rc || !*more)
            return rc;
        const json_t *words = json_object_get(s->table.json, s->word_name);
        const json_t *tags = json_object_get(s->table.json, s->tag_name);
        if (!json_is_array(words))
            return wrong_array(s, s->word_name, words, e);
        if (!json_is_array(tags))
            return wrong_array(s, s->tag_name, tags, e);
        s->n = json_array_size(words);
        if (json_array_size(tags) != s->n)
            return table_fault(&s->table, e, "%zu words, but %zu tags", s->n,
                               json_array_size(tags));
        rc = reserve(s, s->n, e);
        if (!rc)
            rc = take_array(s, s->word_name, words, s->word, e);
        if (!rc)
            rc = take_array(s, s->tag_name, tags, s->tag, e);
        if (rc)
            return rc;
    } while (s->n == 0);
    s->owner = s->table.field[COLUMN_OWNER];
    return 0;
}

/* --- both ----------------------------------------------------------------------------------- */

int sentences_open(struct sentences *s, const struct table_spec *spec, struct err *e)
{
    struct table_spec own = *spec;
    bool json = spec->format == TABLE_JSONL;
    long number;

    *s = (struct sentences){.word_name = spec->wanted[COLUMN_TEXT],
                            .tag_name = spec->wanted[COLUMN_LABEL]};
    if (!json && spec->wanted[COLUMN_OWNER])
        return err_set(e, ERR_CONFIG,
                       "%s: columns of words have no column \"%.100s\" of owners: use JSON lines",
                       spec->path, spec->wanted[COLUMN_OWNER]);
    own.wanted[COLUMN_TEXT] = own.wanted[COLUMN_LABEL] = NULL;
    int rc = table_open(&s->table, &own, e);
    if (rc)
        return rc;
    if (json && (!s->word_name || is_number(s->word_name, &number)))
        s->word_name = "tokens";
    if (json && (!s->tag_name || is_number(s->tag_name, &number)))
        s->tag_name = "tags";
    rc = json ? 0 : read_names(s, e);
    if (rc)
        sentences_close(s);
    return rc;
}

void sentences_close(struct sentences *s)
{
    table_close(&s->table);
    free(s->word);
    free(s->tag);
    *s = (struct sentences){0};
}

int sentences_next(struct sentences *s, bool *more, struct err *e)
{
    return s->table.spec.format == TABLE_JSONL ? next_of_json(s, more, e)
                                               : next_of_columns(s, more, e);
}

/* --- tags ----------------------------------------------------------------------------------- */

/* "O" before all others. */
static int compare_tags(const char *a, const char *b)
{
    bool a_outside = strcmp(a, "O") == 0, b_outside = strcmp(b, "O") == 0;

    return a_outside || b_outside ? b_outside - a_outside : strcmp(a, b);
}

/* Enters a tag into a sorted list of room for SENTENCES_MAX_TAGS. */
static int enter(struct sentences *s, const char *name, const char **list, uint32_t *n,
                 struct arena *mem, struct err *e)
{
    uint32_t from = 0, to = *n;

    while (from < to) {
        uint32_t middle = (from + to) / 2;
        int order = compare_tags(name, list[middle]);
        if (order == 0)
            return 0;
        if (order < 0)
            to = middle;
        else
            from = middle + 1;
    }
    if (*n == SENTENCES_MAX_TAGS)
        return table_fault(&s->table, e, "more than %d tags: is task.label the right column?",
                           SENTENCES_MAX_TAGS);
    const char *copy = arena_strdup(mem, name);
    if (!copy)
        return err_set(e, ERR_NOMEM, "%s: no memory for its tags", s->table.spec.path);
    memmove(list + from + 1, list + from, (*n - from) * sizeof *list);
    list[from] = copy;
    ++*n;
    return 0;
}

int sentences_tags(const struct table_spec *spec, struct arena *mem, const char *const **tag,
                   uint32_t *n, struct err *e)
{
    struct sentences s;
    const char **list = arena_calloc(mem, SENTENCES_MAX_TAGS, sizeof *list);
    uint32_t found = 0;
    bool more = true;

    if (!list)
        return err_set(e, ERR_NOMEM, "%s: no memory for its tags", spec->path);
    int rc = sentences_open(&s, spec, e);
    if (rc)
        return rc;
    while (!rc && more) {
        rc = sentences_next(&s, &more, e);
        for (size_t i = 0; !rc && more && i < s.n; i++)
            rc = enter(&s, s.tag[i], list, &found, mem, e);
    }
    if (!rc && found < 2)
        rc = err_set(e, ERR_DATA, "%s: %u tag%s: at least two are needed", spec->path, found,
                     found == 1 ? "" : "s");
    sentences_close(&s);
    if (rc)
        return rc;
    *tag = list;
    *n = found;
    return 0;
}
