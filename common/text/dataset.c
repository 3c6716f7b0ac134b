#include "text/dataset.h"

#include "base/file.h"
#include "text/ints.h"
#include "text/mt19937.h"
#include "text/sentences.h"
#include "text/source.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_INFERRED_LABELS = 4096, CUT_SEED = 42 };

/* The place of a row that is in another split. */
#define NOWHERE UINT32_MAX

/* What is needed while a data set is read. */
struct reader {
    struct source source;
    struct table texts;
    struct sentences sentences; /* in place of texts, where the head is one of tokens */
    const struct tokenizer *tokenizer;
    size_t max_length;
    struct encoding encoding;
    bool listed;     /* task.labels names the tags, not the training file */
    struct ints tag; /* of the words of the present sentence */
    struct dataset *data;
    struct example *example; /* grows by doubling; copied into the data set at the end */
    size_t cap;
    size_t row;      /* the present one, from 0 */
    size_t n_rows;   /* of a file that is cut */
    uint32_t *place; /* of its rows among the examples; NULL: it is not cut */
    int32_t largest; /* label of any row */
};

static int no_memory(const struct reader *r, struct err *e)
{
    return err_set(e, ERR_NOMEM, "%s: no memory for %zu examples", r->source.path, r->data->n + 1);
}

/* --- rows ----------------------------------------------------------------------------------- */

static bool of_tokens(const struct reader *r)
{
    return r->source.head == HEAD_TOKENS;
}

static const struct table *file_of(const struct reader *r)
{
    return of_tokens(r) ? &r->sentences.table : &r->texts;
}

static int open_rows(struct reader *r, struct err *e)
{
    r->row = 0;
    return of_tokens(r) ? sentences_open(&r->sentences, &r->source.table, e)
                        : table_open(&r->texts, &r->source.table, e);
}

static void close_rows(struct reader *r)
{
    if (of_tokens(r))
        sentences_close(&r->sentences);
    else
        table_close(&r->texts);
}

static int next_row(struct reader *r, bool *more, struct err *e)
{
    return of_tokens(r) ? sentences_next(&r->sentences, more, e) : table_next(&r->texts, more, e);
}

/* --- labels --------------------------------------------------------------------------------- */

/* An integer in 0..n-1, or -1. */
static int32_t parse_index(const char *s, uint32_t n)
{
    char *end;
    long v = strtol(s, &end, 10);

    return end != s && *end == 0 && v >= 0 && v < (long)n ? (int32_t)v : -1;
}

/* A class by its name in the file, else by its number; -1: neither. */
static int32_t find_class(const struct source *src, const char *s)
{
    for (uint32_t i = 0; src->label && i < src->n_labels; i++)
        if (strcmp(s, src->label[i]) == 0)
            return (int32_t)i;
    return parse_index(s, src->n_labels ? src->n_labels : MAX_INFERRED_LABELS);
}

static int read_class(struct reader *r, const char *s, struct example *x, struct err *e)
{
    const struct source *src = &r->source;

    x->label = find_class(src, s);
    if (x->label > r->largest)
        r->largest = x->label;
    if (x->label >= 0)
        return 0;
    if (src->n_labels)
        return table_fault(&r->texts, e, "unknown label \"%.100s\": it is none of the task's %u", s,
                           src->n_labels);
    return table_fault(&r->texts, e,
                       "label \"%.100s\" is not an integer in 0..%d: list the class names in "
                       "task.labels, or set task.metric to mse for a regression",
                       s, MAX_INFERRED_LABELS - 1);
}

static int read_target(struct reader *r, const char *s, struct example *x, struct err *e)
{
    char *end;
    float v = strtof(s, &end);

    if (end == s || *end || !isfinite(v))
        return table_fault(&r->texts, e, "\"%.100s\" is not a number", s);
    x->label = -1;
    x->target = v;
    return 0;
}

/* The tags of the present sentence. */
static int read_tags(struct reader *r, struct err *e)
{
    const struct sentences *s = &r->sentences;

    r->tag.n = 0;
    if (!ints_reserve(&r->tag, s->n))
        return no_memory(r, e);
    for (size_t i = 0; i < s->n; i++) {
        int32_t tag = find_class(&r->source, s->tag[i]);
        if (tag < 0)
            return table_fault(&s->table, e,
                               "word %zu: unknown tag \"%.100s\": it is none of the task's %u%s",
                               i + 1, s->tag[i], r->source.n_labels,
                               r->listed ? "" : ", those in train: list all in task.labels");
        r->tag.v[r->tag.n++] = tag;
    }
    return 0;
}

/* --- examples ------------------------------------------------------------------------------- */

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
static int copy_text(struct reader *r, struct example *x, struct err *e)
{
    const char *const *field = r->texts.field;
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

static int read_text(struct reader *r, struct example *x, struct err *e)
{
    const char *a = r->texts.field[COLUMN_TEXT], *b = r->texts.field[COLUMN_PAIR];
    int rc = tokenizer_encode(r->tokenizer, a, strlen(a), b, b ? strlen(b) : 0, r->max_length,
                              &r->encoding, e);

    return rc ? err_wrap(e, "%s:%zu", r->source.path, r->texts.line) : copy_text(r, x, e);
}

/* Copies n integers, and moves on to where the next may go. */
static const int32_t *append_ints(int32_t **at, const int32_t *from, size_t n)
{
    int32_t *copy = *at;

    if (n)
        memcpy(copy, from, n * sizeof *copy);
    *at += n;
    return copy;
}

/* Copies ids, types, the beginnings of words and the tags, then the words. */
static int copy_sentence(struct reader *r, struct example *x, struct err *e)
{
    const struct sentences *s = &r->sentences;
    const struct encoding *enc = &r->encoding;
    struct arena *mem = &r->data->mem;
    size_t bytes = bytes_of(s->owner);

    for (size_t i = 0; i < s->n; i++)
        bytes += bytes_of(s->word[i]);
    struct sentence *own = arena_alloc(mem, sizeof *own + s->n * sizeof *own->word);
    int32_t *ints = arena_alloc(mem, (3 * enc->n + s->n) * sizeof *ints);
    char *at = arena_alloc(mem, bytes);
    if (!own || !ints || !at)
        return no_memory(r, e);
    const char **word = (const char **)(own + 1);
    x->label = -1;
    x->sentence = own;
    x->id = append_ints(&ints, enc->id, enc->n);
    x->type = append_ints(&ints, enc->type, enc->n);
    x->word = append_ints(&ints, enc->word, enc->n);
    const int32_t *tag = append_ints(&ints, r->tag.v, s->n);
    *own = (struct sentence){.word = word, .tag = tag, .n = (int32_t)s->n};
    x->n_tokens = (int32_t)enc->n;
    for (size_t i = 0; i < s->n; i++)
        at = append(at, s->word[i], &word[i]);
    append(at, s->owner, &x->owner);
    return 0;
}

static int read_sentence(struct reader *r, struct example *x, struct err *e)
{
    const struct sentences *s = &r->sentences;
    int rc = tokenizer_encode_words(r->tokenizer, s->word, s->n, r->max_length, &r->encoding, e);

    return rc ? err_wrap(e, "%s:%zu", r->source.path, s->table.line) : copy_sentence(r, x, e);
}

/* Room for one more example. */
static int reserve(struct reader *r, struct err *e)
{
    if (r->data->n < r->cap)
        return 0;
    size_t cap = r->cap ? 2 * r->cap : 1024;
    struct example *grown = realloc(r->example, cap * sizeof *grown);
    if (!grown)
        return no_memory(r, e);
    r->example = grown;
    r->cap = cap;
    return 0;
}

/* Labels are read of all rows, so that both parts of a file count the same; the rest only of those
 * that are kept. */
static int read_row(struct reader *r, struct err *e)
{
    struct example x = {0};
    uint32_t place = r->place && r->row < r->n_rows ? r->place[r->row] : (uint32_t)r->data->n;
    int rc = 0;

    if (r->row == INT32_MAX)
        return table_fault(file_of(r), e, "more than %d rows", INT32_MAX);
    if (r->place && r->row == r->n_rows)
        return table_fault(file_of(r), e, "the file changes while it is read");
    r->row++;
    if (of_tokens(r))
        rc = read_tags(r, e);
    else if (r->source.regression)
        rc = read_target(r, r->texts.field[COLUMN_LABEL], &x, e);
    else
        rc = read_class(r, r->texts.field[COLUMN_LABEL], &x, e);
    if (rc || place == NOWHERE)
        return rc;
    rc = reserve(r, e);
    if (!rc)
        rc = of_tokens(r) ? read_sentence(r, &x, e) : read_text(r, &x, e);
    if (rc)
        return rc;
    r->example[place] = x;
    r->data->n++;
    return 0;
}

/* --- a part of a file ----------------------------------------------------------------------- */

static int count_rows(struct reader *r, struct err *e)
{
    int rc = open_rows(r, e);

    if (rc)
        return rc;
    for (bool more = true; !rc && more;) {
        rc = next_row(r, &more, e);
        r->n_rows += !rc && more;
    }
    close_rows(r);
    return rc;
}

/* Gives each row of the file its place, as train_test_split does. */
static int cut(struct reader *r, struct err *e)
{
    int rc = count_rows(r, e);

    if (rc)
        return rc;
    size_t n = r->n_rows, n_valid = (size_t)ceil(r->source.valid_share * (double)n);
    if (n_valid == n || n > INT32_MAX)
        return err_set(e, ERR_DATA, "%s: %zu rows cannot be cut into train and validation",
                       r->source.path, n);
    bool valid = r->source.cut == CUT_VALID;
    size_t from = valid ? 0 : n_valid, to = valid ? n_valid : n;
    uint32_t *order = malloc(n * sizeof *order);
    r->cap = to - from;
    r->place = malloc(n * sizeof *r->place);
    r->example = malloc(r->cap * sizeof *r->example);
    if (!order || !r->place || !r->example) {
        free(order);
        return no_memory(r, e);
    }
    struct mt19937 random;
    mt19937_init(&random, CUT_SEED);
    mt19937_permutation(&random, order, n);
    for (size_t i = 0; i < n; i++)
        r->place[order[i]] = i >= from && i < to ? (uint32_t)(i - from) : NOWHERE;
    free(order);
    return 0;
}

/* --- the whole ------------------------------------------------------------------------------ */

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
    struct source *src = &r->source;

    if (d->n == 0)
        return err_set(e, ERR_DATA, "%s: there are no rows", src->path);
    if (r->place && (d->n != r->cap || r->row != r->n_rows))
        return err_set(e, ERR_DATA, "%s: the file changes while it is read", src->path);
    if (!src->regression && src->n_labels == 0) {
        if (r->largest == 0)
            return err_set(e, ERR_DATA, "%s: every label is 0: list the class names in task.labels",
                           src->path);
        src->n_labels = (uint32_t)r->largest + 1;
    }
    d->head = src->head;
    d->n_labels = src->n_labels;
    int rc = src->regression ? 0 : name_labels(r, e);
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
    int rc = r->source.cut ? cut(r, e) : 0;

    if (!rc)
        rc = open_rows(r, e);
    if (rc)
        return rc;
    for (bool more = true; !rc && more;) {
        rc = next_row(r, &more, e);
        if (!rc && more)
            rc = read_row(r, e);
    }
    close_rows(r);
    return rc ? rc : finish(r, e);
}

/* The tags of a task that does not list them: those of the training file, for every split. */
static int find_tags(struct reader *r, source_fn source, const struct task_spec *task,
                     struct err *e)
{
    struct source train;
    int rc = source(&train, task, SPLIT_TRAIN, e);

    return rc ? rc
              : sentences_tags(&train.table, &r->data->mem, &r->source.label, &r->source.n_labels,
                               e);
}

int dataset_open(struct dataset **out, const struct task_spec *task, enum split split,
                 const struct tokenizer *tok, size_t max_length, const char *column, struct err *e)
{
    struct reader r = {.tokenizer = tok, .max_length = max_length, .listed = task->labels != NULL};
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
    if (of_tokens(&r) && !r.source.label)
        rc = find_tags(&r, source, task, e);
    if (!rc)
        rc = read_all(&r, e);
    free(r.example);
    free(r.place);
    encoding_release(&r.encoding);
    ints_release(&r.tag);
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

size_t dataset_rows(const struct dataset *d, const uint32_t *index, size_t n)
{
    size_t rows = 0;

    if (d->head != HEAD_TOKENS)
        return n;
    for (size_t i = 0; i < n; i++)
        rows += (size_t)d->example[index ? index[i] : i].n_tokens;
    return rows;
}
