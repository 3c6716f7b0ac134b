#include "text/dataset.h"

#include "base/buf.h"
#include "base/file.h"
#include "text/source.h"
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_INFERRED_LABELS = 4096 };

/* What is needed while a data set is read. */
struct reader {
    struct source source;
    struct table table;
    const struct tokenizer *tokenizer;
    size_t max_length;
    struct encoding encoding;
    struct dataset *data;
    struct example *example; /* grows by doubling; copied into the data set at the end */
    size_t cap;
};

static int no_memory(const struct reader *r, struct err *e)
{
    return err_set(e, ERR_NOMEM, "%s: no memory for %zu examples", r->source.path, r->data->n + 1);
}

/* An integer in 0..n-1, or -1. */
static int32_t parse_index(const char *s, uint32_t n)
{
    char *end;
    long v = strtol(s, &end, 10);

    return end != s && *end == 0 && v >= 0 && v < (long)n ? (int32_t)v : -1;
}

/* A class by its name in the file, else by its number. */
static int read_class(struct reader *r, const char *s, struct example *x, struct err *e)
{
    const struct source *src = &r->source;

    for (uint32_t i = 0; src->label && i < src->n_labels; i++)
        if (strcmp(s, src->label[i]) == 0) {
            x->label = (int32_t)i;
            return 0;
        }
    x->label = parse_index(s, src->n_labels ? src->n_labels : MAX_INFERRED_LABELS);
    if (x->label >= 0)
        return 0;
    if (src->n_labels)
        return table_fault(&r->table, e, "unknown label \"%.100s\": it is none of the task's %u", s,
                           src->n_labels);
    return table_fault(&r->table, e,
                       "label \"%.100s\" is not an integer in 0..%d: list the class names in "
                       "task.labels, or set task.metric to mse for a regression",
                       s, MAX_INFERRED_LABELS - 1);
}

static int read_target(struct reader *r, const char *s, struct example *x, struct err *e)
{
    char *end;
    float v = strtof(s, &end);

    if (end == s || *end || !isfinite(v))
        return table_fault(&r->table, e, "\"%.100s\" is not a number", s);
    x->label = -1;
    x->target = v;
    return 0;
}

static size_t bytes_of(const char *s)
{
    return s ? strlen(s) + 1 : 0;
}

/* Copies a string, if there is one, and returns where the next may go. */
static char *append(char *at, const char *s, const char **copy)
{
    size_t n = bytes_of(s);

    if (n)
        *copy = memcpy(at, s, n);
    return at + n;
}

/* Copies ids, types and strings of a row into one block. */
static int copy_row(struct reader *r, struct example *x, struct err *e)
{
    const char *const *field = r->table.field;
    const struct encoding *enc = &r->encoding;
    size_t ints = enc->n * sizeof(int32_t);
    char *block = arena_alloc(&r->data->mem, 2 * ints + bytes_of(field[COLUMN_TEXT]) +
                                                 bytes_of(field[COLUMN_PAIR]) +
                                                 bytes_of(field[COLUMN_OWNER]));

    if (!block)
        return no_memory(r, e);
    x->id = (int32_t *)(void *)block;
    x->type = x->id + enc->n;
    x->n_tokens = (int32_t)enc->n;
    if (ints) {
        memcpy(block, enc->id, ints);
        memcpy(block + ints, enc->type, ints);
    }
    char *at = append(block + 2 * ints, field[COLUMN_TEXT], &x->text);
    at = append(at, field[COLUMN_PAIR], &x->text_pair);
    append(at, field[COLUMN_OWNER], &x->owner);
    return 0;
}

static int encode_row(struct reader *r, struct err *e)
{
    const char *a = r->table.field[COLUMN_TEXT], *b = r->table.field[COLUMN_PAIR];
    int rc = tokenizer_encode(r->tokenizer, a, strlen(a), b, b ? strlen(b) : 0, r->max_length,
                              &r->encoding, e);

    return rc ? err_wrap(e, "%s:%zu", r->source.path, r->table.line) : 0;
}

static int read_row(struct reader *r, struct err *e)
{
    const char *label = r->table.field[COLUMN_LABEL];
    struct example x = {0};

    if (r->data->n == INT32_MAX)
        return table_fault(&r->table, e, "more than %d rows", INT32_MAX);
    if (r->data->n == r->cap) {
        size_t cap = r->cap ? 2 * r->cap : 1024;
        struct example *grown = realloc(r->example, cap * sizeof *grown);
        if (!grown)
            return no_memory(r, e);
        r->example = grown;
        r->cap = cap;
    }
    int rc = r->source.regression ? read_target(r, label, &x, e) : read_class(r, label, &x, e);
    if (!rc)
        rc = encode_row(r, e);
    if (!rc)
        rc = copy_row(r, &x, e);
    if (!rc)
        r->example[r->data->n++] = x;
    return rc;
}

/* The number of classes, where only the rows tell: one more than the largest label. */
static int count_labels(struct reader *r, struct err *e)
{
    int32_t largest = 0;

    for (size_t i = 0; i < r->data->n; i++)
        if (r->example[i].label > largest)
            largest = r->example[i].label;
    if (largest == 0)
        return err_set(e, ERR_DATA, "%s: every label is 0: list the class names in task.labels",
                       r->source.path);
    r->source.n_labels = (uint32_t)largest + 1;
    return 0;
}

/* Names of the classes, copied; numbers where there are none. */
static int name_labels(struct reader *r, struct err *e)
{
    struct dataset *d = r->data;
    const struct source *src = &r->source;
    const char *const *from = src->label_name ? src->label_name : src->label;
    const char **name = arena_calloc(&d->mem, src->n_labels, sizeof *name);

    if (!name)
        return no_memory(r, e);
    for (uint32_t i = 0; i < src->n_labels; i++) {
        name[i] = from ? arena_strdup(&d->mem, from[i]) : arena_printf(&d->mem, "%u", i);
        if (!name[i])
            return no_memory(r, e);
    }
    d->label_name = name;
    return 0;
}

static int finish(struct reader *r, struct err *e)
{
    struct dataset *d = r->data;
    int rc = 0;

    if (d->n == 0)
        return err_set(e, ERR_DATA, "%s: there are no rows", r->source.path);
    if (!r->source.regression && r->source.n_labels == 0)
        rc = count_labels(r, e);
    d->n_labels = r->source.n_labels;
    if (!rc && !r->source.regression)
        rc = name_labels(r, e);
    if (rc)
        return rc;
    d->example = arena_alloc(&d->mem, d->n * sizeof *d->example);
    if (!d->example)
        return no_memory(r, e);
    memcpy(d->example, r->example, d->n * sizeof *d->example);
    return 0;
}

static int read_all(struct reader *r, struct err *e)
{
    int rc = table_open(&r->table, &r->source.table, e);

    if (rc)
        return rc;
    for (bool more = true; !rc && more;) {
        rc = table_next(&r->table, &more, e);
        if (!rc && more)
            rc = read_row(r, e);
    }
    table_close(&r->table);
    return rc ? rc : finish(r, e);
}

int dataset_open(struct dataset **out, const struct task_spec *task, enum split split,
                 const struct tokenizer *tok, size_t max_length, const char *column, struct err *e)
{
    struct reader r = {.tokenizer = tok, .max_length = max_length};
    source_fn source;
    int rc = source_find(task->name, &source, e);

    if (!rc && !task->data)
        rc = err_set(e, ERR_CONFIG, "task.data: name the folder or file of the data set");
    if (!rc)
        rc = source(&r.source, task, split, e);
    if (rc)
        return rc;
    r.source.table.wanted[COLUMN_OWNER] = column;
    r.data = calloc(1, sizeof *r.data);
    if (!r.data)
        return err_set(e, ERR_NOMEM, "%s: no memory for a data set", r.source.path);
    arena_init(&r.data->mem, ARENA_NO_CAP);
    rc = read_all(&r, e);
    free(r.example);
    encoding_release(&r.encoding);
    if (rc)
        dataset_close(r.data);
    else
        *out = r.data;
    return rc;
}

bool dataset_has_valid(const struct task_spec *task)
{
    struct source s;
    struct err e;
    source_fn source;

    return task->data && !source_find(task->name, &source, &e) &&
           !source(&s, task, SPLIT_VALID, &e) && file_exists(s.path);
}

void dataset_close(struct dataset *d)
{
    if (!d)
        return;
    arena_release(&d->mem);
    free(d);
}

static int append_bytes(const char *bytes, size_t n, void *buf)
{
    return buf_append(buf, bytes, n) ? -1 : 0;
}

static int write_row(const struct dataset *d, const struct example *x, struct buf *out)
{
    json_t *label = d->label_name ? json_string(d->label_name[x->label]) : json_real(x->target);
    json_t *row =
        json_pack("{s:s, s:s*, s:o}", "text", x->text, "text_pair", x->text_pair, "label", label);
    int rc = !row ||
             json_dump_callback(row, append_bytes, out, JSON_COMPACT | JSON_PRESERVE_ORDER) ||
             buf_append(out, "\n", 1);

    json_decref(row);
    return rc;
}

int dataset_write_jsonl(const struct dataset *d, const uint32_t *index, size_t n, const char *path,
                        struct err *e)
{
    struct buf out;
    int rc = 0;

    buf_init(&out, SIZE_MAX / 2);
    for (size_t i = 0; !rc && i < n; i++)
        if (write_row(d, &d->example[index[i]], &out))
            rc = err_set(e, ERR_NOMEM, "%s: no memory for %zu rows", path, n);
    if (!rc)
        rc = file_write(path, buf_bytes(&out), buf_size(&out), 0600, e);
    buf_release(&out);
    return rc;
}
