#include "text/pretokenize.h"

#include "text/unicode.h"
#include <string.h>

int pretokenizer_add(struct pretokenizer *p, struct pretokenize_step step, struct err *e)
{
    if (p->n == PRETOKENIZE_MAX_STEPS)
        return err_set(e, ERR_MODEL, "pre_tokenizer: more than %d steps", PRETOKENIZE_MAX_STEPS);
    p->step[p->n++] = step;
    return 0;
}

void words_release(struct words *w)
{
    ints_release(&w->text);
    ints_release(&w->end);
}

/* Ends the word that has been appended to w->text since the last one; an empty word is none. */
static bool end_word(struct words *w)
{
    size_t start = w->end.n ? (size_t)w->end.v[w->end.n - 1] : 0;

    return w->text.n == start || ints_push(&w->end, (int32_t)w->text.n);
}

static bool split_bert(const int32_t *c, size_t n, struct words *out)
{
    if (!ints_reserve(&out->text, n))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (unicode_is_space(c[i])) {
            if (!end_word(out))
                return false;
        } else if (unicode_is_punctuation(c[i])) {
            if (!end_word(out) || !ints_push(&out->text, c[i]) || !end_word(out))
                return false;
        } else {
            out->text.v[out->text.n++] = c[i];
        }
    }
    return end_word(out);
}

enum kind { SPACE, LETTER, NUMBER, OTHER };

static enum kind kind_of(int32_t c)
{
    if (unicode_is_letter(c))
        return LETTER;
    if (unicode_is_space(c))
        return SPACE;
    return unicode_is_number(c) ? NUMBER : OTHER;
}

/* Length of an English contraction at c[0..n), which begins with an apostrophe; 0 when there is
 * none. */
static size_t contraction(const int32_t *c, size_t n)
{
    if (n > 2 && ((c[1] == 'r' && c[2] == 'e') || (c[1] == 'v' && c[2] == 'e') ||
                  (c[1] == 'l' && c[2] == 'l')))
        return 3;
    if (n > 1 && (c[1] == 's' || c[1] == 't' || c[1] == 'm' || c[1] == 'd'))
        return 2;
    return 0;
}

/* Length of the first match, at c[0..n) with n > 0, of GPT-2's expression
 *     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 * (Radford et al. 2019, encoder.py). Every character belongs to some match. */
static size_t gpt2_match(const int32_t *c, size_t n)
{
    size_t short_form = c[0] == '\'' ? contraction(c, n) : 0;

    if (short_form)
        return short_form;
    size_t i = c[0] == ' ' && n > 1 && kind_of(c[1]) != SPACE;
    enum kind kind = kind_of(c[i]);
    while (i < n && kind_of(c[i]) == kind)
        i++;
    /* The last of several spaces goes with the word that follows. */
    if (kind == SPACE && i < n && i > 1)
        i--;
    return i;
}

/* The character that stands for a byte: itself when it prints in Latin-1, else one from U+0100 on.
 */
static int32_t byte_character(unsigned char b)
{
    if ((b >= '!' && b <= '~') || (b >= 0xA1 && b != 0xAD))
        return b;
    if (b <= ' ')
        return 0x100 + b;
    return b == 0xAD ? 0x143 : 0x121 + (b - 0x7F);
}

static bool append_bytes(const int32_t *c, size_t n, struct ints *out)
{
    if (!ints_reserve(out, 4 * n))
        return false;
    for (size_t i = 0; i < n; i++) {
        char utf8[4];
        size_t len = unicode_encode(c[i], utf8);
        for (size_t k = 0; k < len; k++)
            out->v[out->n++] = byte_character((unsigned char)utf8[k]);
    }
    return true;
}

static bool split_bytes(const struct pretokenize_step *s, const int32_t *c, size_t n,
                        struct words *out)
{
    while (n) {
        size_t len = s->use_regex ? gpt2_match(c, n) : n;
        if (!append_bytes(c, len, &out->text) || !end_word(out))
            return false;
        c += len;
        n -= len;
    }
    return true;
}

/* One step on one word; `prefixed` is scratch for a text with a space before it. */
static bool run_step(const struct pretokenize_step *s, const int32_t *c, size_t n,
                     struct words *out, struct ints *prefixed)
{
    if (s->kind == PRETOKENIZE_BERT)
        return split_bert(c, n, out);
    if (!s->add_prefix_space || n == 0 || c[0] == ' ')
        return split_bytes(s, c, n, out);
    prefixed->n = 0;
    return ints_push(prefixed, ' ') && ints_append(prefixed, c, n) &&
           split_bytes(s, prefixed->v, prefixed->n, out);
}

static void words_clear(struct words *w)
{
    w->text.n = w->end.n = 0;
}

static bool run_steps(const struct pretokenizer *p, struct words *out, struct words *spare,
                      struct ints *prefixed)
{
    for (size_t i = 0; i < p->n; i++) {
        struct words t = *spare;
        *spare = *out;
        *out = t;
        words_clear(out);
        int32_t start = 0;
        for (size_t w = 0; w < spare->end.n; w++) {
            int32_t end = spare->end.v[w];
            if (!run_step(&p->step[i], spare->text.v + start, (size_t)(end - start), out, prefixed))
                return false;
            start = end;
        }
    }
    return true;
}

int pretokenize(const struct pretokenizer *p, const int32_t *text, size_t n, struct words *out,
                struct words *spare, struct err *e)
{
    struct ints prefixed = {0};

    words_clear(out);
    bool ok =
        ints_append(&out->text, text, n) && end_word(out) && run_steps(p, out, spare, &prefixed);
    ints_release(&prefixed);
    return ok ? 0 : err_set(e, ERR_NOMEM, "no memory to split a text of %zu characters", n);
}
