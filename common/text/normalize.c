#include "text/normalize.h"

#include "text/unicode.h"
#include <string.h>
#include <utf8proc.h>

enum {
    LONGEST_DECOMPOSITION = 32, /* the longest of Unicode has 18 code points */
    FIRST_DECOMPOSABLE = 0xA0,  /* below, every code point is its own NFKD */
};

int normalizer_add(struct normalizer *n, enum normalize_step step, struct err *e)
{
    if (n->n == NORMALIZE_MAX_STEPS)
        return err_set(e, ERR_MODEL, "normalizer: more than %d steps", NORMALIZE_MAX_STEPS);
    n->step[n->n++] = step;
    return 0;
}

int normalizer_add_bert(struct normalizer *n, bool clean, bool cjk, int strip_accents,
                        bool lowercase, struct err *e)
{
    bool strip = strip_accents < 0 ? lowercase : strip_accents > 0;
    int rc = clean ? normalizer_add(n, NORMALIZE_CLEAN, e) : 0;

    if (!rc && cjk)
        rc = normalizer_add(n, NORMALIZE_SPACE_CJK, e);
    if (!rc && strip)
        rc = normalizer_add(n, NORMALIZE_NFD, e);
    if (!rc && strip)
        rc = normalizer_add(n, NORMALIZE_DROP_NONSPACING, e);
    if (!rc && lowercase)
        rc = normalizer_add(n, NORMALIZE_LOWER, e);
    return rc;
}

static void clean(struct ints *text)
{
    size_t kept = 0;

    for (size_t i = 0; i < text->n; i++) {
        int32_t c = text->v[i];
        if (c == 0 || c == 0xFFFD || unicode_is_control(c))
            continue;
        text->v[kept++] = unicode_is_space(c) ? ' ' : c;
    }
    text->n = kept;
}

static void drop(struct ints *text, bool (*is_dropped)(int32_t))
{
    size_t kept = 0;

    for (size_t i = 0; i < text->n; i++)
        if (!is_dropped(text->v[i]))
            text->v[kept++] = text->v[i];
    text->n = kept;
}

static bool space_cjk(const struct ints *text, struct ints *out)
{
    if (!ints_reserve(out, 3 * text->n))
        return false;
    for (size_t i = 0; i < text->n; i++) {
        bool cjk = unicode_is_cjk(text->v[i]);
        if (cjk)
            out->v[out->n++] = ' ';
        out->v[out->n++] = text->v[i];
        if (cjk)
            out->v[out->n++] = ' ';
    }
    return true;
}

static bool lower(const struct ints *text, struct ints *out)
{
    enum { DOTTED_CAPITAL_I = 0x130, COMBINING_DOT_ABOVE = 0x307 };

    if (!ints_reserve(out, 2 * text->n))
        return false;
    for (size_t i = 0; i < text->n; i++) {
        if (text->v[i] == DOTTED_CAPITAL_I) {
            out->v[out->n++] = 'i';
            out->v[out->n++] = COMBINING_DOT_ABOVE;
        } else {
            out->v[out->n++] = unicode_lower(text->v[i]);
        }
    }
    return true;
}

static int combining_class(int32_t c)
{
    return c < 0x300 ? 0 : utf8proc_get_property(c)->combining_class;
}

/* Stable counting sort by combining class: linear also for a megabyte of marks. */
static void sort_marks(int32_t *mark, size_t n, int32_t *spare)
{
    size_t at[256] = {0};

    for (size_t i = 0; i < n; i++)
        at[combining_class(mark[i])]++;
    for (size_t k = 0, sum = 0; k < 256; k++) {
        size_t count = at[k];
        at[k] = sum;
        sum += count;
    }
    for (size_t i = 0; i < n; i++)
        spare[at[combining_class(mark[i])]++] = mark[i];
    memcpy(mark, spare, n * sizeof *mark);
}

/* Canonical ordering (Unicode 3.11, D109): each run of marks by combining class. */
static void order_marks(int32_t *c, size_t n, int32_t *spare)
{
    for (size_t i = 0; i < n;) {
        size_t start = i;
        int previous = 0;
        bool sorted = true;
        for (; i < n; i++) {
            int class = combining_class(c[i]);
            if (class == 0)
                break;
            sorted = sorted && previous <= class;
            previous = class;
        }
        if (!sorted)
            sort_marks(c + start, i - start, spare);
        if (i == start)
            i++;
    }
}

/* Decomposes `text` into `out`, and leaves text's memory as scratch. */
static bool decompose(struct ints *text, struct ints *out, utf8proc_option_t kind)
{
    for (size_t i = 0; i < text->n; i++) {
        int32_t c = text->v[i];
        if (!ints_reserve(out, LONGEST_DECOMPOSITION))
            return false;
        if (c < FIRST_DECOMPOSABLE || unicode_is_atomic(c)) {
            out->v[out->n++] = c;
            continue;
        }
        int boundary = 0;
        out->n += (size_t)utf8proc_decompose_char(c, out->v + out->n, LONGEST_DECOMPOSITION, kind,
                                                  &boundary);
    }
    text->n = 0;
    if (!ints_reserve(text, out->n))
        return false;
    order_marks(out->v, out->n, text->v);
    return true;
}

static void compose(struct ints *text)
{
    text->n = (size_t)utf8proc_normalize_utf32(text->v, (utf8proc_ssize_t)text->n,
                                               UTF8PROC_STABLE | UTF8PROC_COMPOSE);
}

static bool is_plain(const struct ints *text)
{
    int32_t all = 0;

    for (size_t i = 0; i < text->n; i++)
        all |= text->v[i];
    return all < 0x80;
}

static bool run_form(struct ints *text, struct ints *spare, enum normalize_step form)
{
    bool compatible = form == NORMALIZE_NFKD || form == NORMALIZE_NFKC;
    utf8proc_option_t kind = compatible ? UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT : UTF8PROC_DECOMPOSE;

    if (is_plain(text))
        return true;
    if (!decompose(text, spare, kind))
        return false;
    ints_swap(text, spare);
    if (form == NORMALIZE_NFC || form == NORMALIZE_NFKC)
        compose(text);
    return true;
}

static bool run_step(enum normalize_step step, struct ints *text, struct ints *spare)
{
    bool ok = true;

    spare->n = 0;
    switch (step) {
    case NORMALIZE_CLEAN:
        clean(text);
        return true;
    case NORMALIZE_DROP_NONSPACING:
        drop(text, unicode_is_nonspacing_mark);
        return true;
    case NORMALIZE_DROP_MARKS:
        drop(text, unicode_is_mark);
        return true;
    case NORMALIZE_NFD:
    case NORMALIZE_NFC:
    case NORMALIZE_NFKD:
    case NORMALIZE_NFKC:
        return run_form(text, spare, step);
    case NORMALIZE_SPACE_CJK:
        ok = space_cjk(text, spare);
        break;
    case NORMALIZE_LOWER:
        ok = lower(text, spare);
        break;
    }
    ints_swap(text, spare);
    return ok;
}

int normalize(const struct normalizer *n, struct ints *text, struct ints *spare, struct err *e)
{
    for (size_t i = 0; i < n->n; i++)
        if (!run_step(n->step[i], text, spare))
            return err_set(e, ERR_NOMEM, "no memory to normalise a text of %zu characters",
                           text->n);
    return 0;
}
