#include "sim/prepare_rows.h"

#include "base/rng.h"
#include "sim/prepare_words.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MIN_WORDS = 3 };

static int no_memory(struct err *e)
{
    return err_set(e, ERR_NOMEM, "no memory for the rows of the data set");
}

/* ---- Candidates ---- */

static bool is_among(const char *s, const char *const *list)
{
    while (*list && strcmp(s, *list) != 0)
        list++;
    return *list != NULL;
}

/* Sections by language, form or desktop, and those that hold anything. */
static bool is_topical(const char *section)
{
    static const char *const other[] = {
        "cli-mono",      "debian-installer",
        "debug",         "devel",
        "doc",           "embedded",
        "gnome",         "gnu-r",
        "gnustep",       "golang",
        "haskell",       "interpreters",
        "introspection", "java",
        "javascript",    "kde",
        "kernel",        "libdevel",
        "libs",          "lisp",
        "localization",  "metapackages",
        "misc",          "ocaml",
        "oldlibs",       "otherosfs",
        "perl",          "php",
        "python",        "raku",
        "ruby",          "rust",
        "shells",        "tasks",
        "translations",  "utils",
        "virtual",       "xfce",
        "zope",          NULL,
    };

    return !is_among(section, other);
}

static bool is_part(const char *name)
{
    static const char *const ending[] = {"-common", "-data",     "-dbg",  "-dbgsym", "-dev", "-doc",
                                         "-docs",   "-examples", "-i18n", "-l10n",   NULL};
    const char *last = strrchr(name, '-');

    return last && is_among(last, ending);
}

static bool says(const char *text, const char *words)
{
    size_t n = strlen(words);

    while (*text && strncasecmp(text, words, n) != 0)
        text++;
    return *text != '\0';
}

static bool is_placeholder(const char *text)
{
    static const char *const words[] = {"transitional", "dummy package", "metapackage",
                                        "meta-package", "meta package",  "virtual package"};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (says(text, words[i]))
            return true;
    return false;
}

static bool is_candidate(const struct package *p)
{
    return p->text && is_topical(p->section) && !is_part(p->name) && !is_placeholder(p->text);
}

/* ---- Classes: the sections with the most candidates ---- */

struct section {
    const char *name;
    size_t n;
};

static int by_size(const void *a, const void *b)
{
    const struct section *x = a, *y = b;

    return x->n != y->n ? (x->n < y->n) - (x->n > y->n) : strcmp(x->name, y->name);
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static size_t count_sections(const struct apt_lists *l, const char **name, struct section *out)
{
    size_t n = 0, sections = 0;

    for (size_t i = 0; i < l->n; i++)
        if (is_candidate(&l->package[i]))
            name[n++] = l->package[i].section;
    if (n)
        qsort(name, n, sizeof *name, by_bytes);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || strcmp(name[i], name[i - 1]) != 0)
            out[sections++] = (struct section){.name = name[i]};
        out[sections - 1].n++;
    }
    if (sections)
        qsort(out, sections, sizeof *out, by_size);
    return sections;
}

static int choose_labels(struct prepare_rows *r, const struct apt_lists *l, size_t classes,
                         struct err *e)
{
    const char **name = calloc(l->n + 1, sizeof *name);
    struct section *section = calloc(l->n + 1, sizeof *section);
    int rc = name && section ? 0 : no_memory(e);

    if (!rc) {
        size_t n = count_sections(l, name, section), full = 0;
        while (full < n && section[full].n >= PREPARE_MIN_CLASS)
            full++;
        if (full < classes)
            rc = err_set(e, ERR_DATA,
                         "%zu sections have the %d packages that a class needs, not %zu: give more "
                         "package lists, or ask for fewer classes",
                         full, PREPARE_MIN_CLASS, classes);
    }
    r->label = arena_calloc(&r->mem, classes, sizeof *r->label);
    if (!rc && !r->label)
        rc = no_memory(e);
    for (size_t i = 0; !rc && i < classes; i++)
        r->label[i] = section[i].name;
    if (!rc) {
        r->n_labels = classes;
        qsort(r->label, classes, sizeof *r->label, by_bytes);
    }
    free(name);
    free(section);
    return rc;
}

/* ---- Rows ---- */

static int add_row(struct prepare_rows *r, const struct package *p, struct err *e)
{
    const char **label = bsearch(&p->section, r->label, r->n_labels, sizeof *r->label, by_bytes);
    const struct prepare_words words = {p->name, p->source, r->label, r->n_labels};

    if (!label)
        return 0;
    char *text = arena_strdup(&r->mem, p->text);
    if (!text)
        return no_memory(e);
    if (prepare_words_clean(text, &words) >= MIN_WORDS)
        r->row[r->n++] =
            (struct prepare_row){.package = p, .text = text, .label = (uint32_t)(label - r->label)};
    return 0;
}

/* Packages are in the order of their names, so the first of equal texts is that of the first name.
 */
static int by_text(const void *a, const void *b)
{
    const struct prepare_row *x = a, *y = b;
    int order = strcasecmp(x->text, y->text);

    return order ? order : strcmp(x->package->name, y->package->name);
}

static int by_source(const void *a, const void *b)
{
    const struct prepare_row *x = a, *y = b;
    int order = strcmp(x->package->source, y->package->source);

    return order ? order : strcmp(x->package->name, y->package->name);
}

static int by_rank(const void *a, const void *b)
{
    const struct prepare_row *x = a, *y = b;

    return x->rank != y->rank ? (x->rank > y->rank) - (x->rank < y->rank) : by_source(a, b);
}

static void sort(struct prepare_rows *r, int (*order)(const void *, const void *))
{
    if (r->n)
        qsort(r->row, r->n, sizeof *r->row, order);
}

static void drop_repeated(struct prepare_rows *r)
{
    size_t kept = 0;

    sort(r, by_text);
    for (size_t i = 0; i < r->n; i++)
        if (kept == 0 || strcasecmp(r->row[i].text, r->row[kept - 1].text) != 0)
            r->row[kept++] = r->row[i];
    r->n = kept;
}

/* Numbers the sources at random, and keeps the first few packages of each. */
static int rank_sources(struct prepare_rows *r, uint64_t seed, struct err *e)
{
    uint32_t *order = calloc(r->n + 1, sizeof *order);
    size_t kept = 0, sources = 0, of_source = 0;

    if (!order)
        return no_memory(e);
    sort(r, by_source);
    for (size_t i = 0; i < r->n; i++) {
        struct prepare_row row = r->row[i];
        bool first = kept == 0 || strcmp(row.package->source, r->row[kept - 1].package->source);
        of_source = first ? 1 : of_source + 1;
        sources += first;
        row.rank = (uint32_t)sources - 1;
        if (of_source <= PREPARE_PER_SOURCE)
            r->row[kept++] = row;
    }
    r->n = kept;
    for (size_t i = 0; i < sources; i++)
        order[i] = (uint32_t)i;
    struct rng rng = rng_stream(seed, 0, 0, RNG_SPLIT);
    rng_shuffle(&rng, order, sources);
    for (size_t i = 0; i < r->n; i++)
        r->row[i].rank = order[r->row[i].rank];
    sort(r, by_rank);
    free(order);
    return 0;
}

/* Fills the classes. A source goes to test as a whole while the class of its first package wants
 * more of test. */
static int fill(struct prepare_rows *r, const struct prepare_spec *spec, struct err *e)
{
    size_t total[PREPARE_MAX_CLASSES] = {0}, test[PREPARE_MAX_CLASSES] = {0}, kept = 0;
    bool to_test = false;

    for (size_t i = 0; i < r->n; i++)
        if (total[r->row[i].label]++ < spec->per_class)
            r->row[kept++] = r->row[i];
    r->n = kept;
    for (size_t k = 0; k < r->n_labels; k++) {
        if (total[k] > spec->per_class)
            total[k] = spec->per_class;
        if (total[k] < PREPARE_MIN_CLASS)
            return err_set(e, ERR_DATA,
                           "section %s has only %zu packages with a description of their own, and "
                           "a class needs %d: ask for fewer classes",
                           r->label[k], total[k], PREPARE_MIN_CLASS);
    }
    for (size_t i = 0; i < r->n; i++) {
        struct prepare_row *row = &r->row[i];
        if (i == 0 || row->rank != row[-1].rank)
            to_test = (double)test[row->label] < spec->test_share * (double)total[row->label];
        row->test = to_test;
        test[row->label] += to_test;
    }
    return 0;
}

static int make_rows(struct prepare_rows *r, const struct apt_lists *l,
                     const struct prepare_spec *spec, struct err *e)
{
    int rc = choose_labels(r, l, spec->classes, e);

    if (rc)
        return rc;
    r->row = arena_calloc(&r->mem, l->n, sizeof *r->row);
    if (!r->row)
        return no_memory(e);
    for (size_t i = 0; !rc && i < l->n; i++)
        if (is_candidate(&l->package[i]))
            rc = add_row(r, &l->package[i], e);
    if (rc)
        return rc;
    drop_repeated(r);
    rc = rank_sources(r, spec->seed, e);
    if (!rc)
        rc = fill(r, spec, e);
    return rc ? rc : prepare_rows_share(r, spec, e);
}

int prepare_rows_open(struct prepare_rows *r, const struct apt_lists *l,
                      const struct prepare_spec *spec, struct err *e)
{
    *r = (struct prepare_rows){0};
    arena_init(&r->mem, ARENA_NO_CAP);
    int rc = make_rows(r, l, spec, e);
    if (rc)
        prepare_rows_close(r);
    return rc;
}

void prepare_rows_close(struct prepare_rows *r)
{
    arena_release(&r->mem);
    *r = (struct prepare_rows){0};
}
