#include "text/added.h"

#include "text/unicode.h"
#include <stdlib.h>
#include <string.h>

int added_put(struct added_set *s, const struct added_token *token, struct arena *mem,
              struct err *e)
{
    if (token->n == 0)
        return 0;
    int32_t *c = arena_alloc(mem, token->n * sizeof *c);
    struct added_token *grown = s->token;
    if (c && s->n == s->cap) {
        grown = arena_alloc(mem, 2 * (s->cap + 4) * sizeof *grown);
        if (grown && s->n)
            memcpy(grown, s->token, s->n * sizeof *grown);
    }
    if (!c || !grown)
        return err_set(e, ERR_NOMEM, "no memory for added tokens");
    if (s->n == s->cap)
        s->cap = 2 * (s->cap + 4);
    memcpy(c, token->c, token->n * sizeof *c);
    s->token = grown;
    s->token[s->n] = *token;
    s->token[s->n].c = c;
    s->n++;
    s->begins[c[0] >> 6 & 3] |= (uint64_t)1 << (c[0] & 63);
    return 0;
}

/* By first character, then longest first. */
static int compare(const struct added_token *a, const struct added_token *b)
{
    if (a->c[0] != b->c[0])
        return a->c[0] < b->c[0] ? -1 : 1;
    return (a->n < b->n) - (a->n > b->n);
}

/* Insertion sort: stable, and there are few. */
void added_seal(struct added_set *s)
{
    for (size_t i = 1; i < s->n; i++) {
        struct added_token t = s->token[i];
        size_t at = i;
        for (; at > 0 && compare(&s->token[at - 1], &t) > 0; at--)
            s->token[at] = s->token[at - 1];
        s->token[at] = t;
    }
}

struct added_walk added_begin(const struct added_set *s, const int32_t *c, size_t n)
{
    return (struct added_walk){.set = s, .c = c, .n = n, .id = -1};
}

/* Where the tokens that begin with c begin. */
static size_t lower_bound(const struct added_set *s, int32_t c)
{
    size_t low = 0, high = s->n;

    while (low < high) {
        size_t mid = (low + high) / 2;
        if (s->token[mid].c[0] < c)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* The longest token at c[0..n), n > 0, or NULL. */
static const struct added_token *match(const struct added_set *s, const int32_t *c, size_t n)
{
    if (!(s->begins[c[0] >> 6 & 3] >> (c[0] & 63) & 1))
        return NULL;
    for (size_t i = lower_bound(s, c[0]); i < s->n && s->token[i].c[0] == c[0]; i++)
        if (s->token[i].n <= n && memcmp(s->token[i].c, c, s->token[i].n * sizeof *c) == 0)
            return &s->token[i];
    return NULL;
}

static bool touches_word(const struct added_walk *w, size_t start, size_t end)
{
    return (start > 0 && unicode_is_word(w->c[start - 1])) ||
           (end < w->n && unicode_is_word(w->c[end]));
}

/* Looks for the next token; sets start, end and id. */
static bool find(struct added_walk *w)
{
    while (w->search < w->n) {
        size_t start = w->search;
        const struct added_token *t = match(w->set, w->c + start, w->n - start);
        w->search += t ? t->n : 1;
        if (!t || (t->single_word && touches_word(w, start, start + t->n)))
            continue;
        w->end = w->search;
        while (t->lstrip && start > w->done && unicode_is_space(w->c[start - 1]))
            start--;
        while (t->rstrip && w->end < w->n && unicode_is_space(w->c[w->end]))
            w->end++;
        w->start = start;
        w->id = t->id;
        return true;
    }
    return false;
}

bool added_next(struct added_walk *w, struct added_piece *piece)
{
    if (w->id < 0 && !(w->set->n && find(w)))
        w->start = w->n;
    if (w->done < w->start) {
        *piece = (struct added_piece){w->done, w->start, -1};
        w->done = w->start;
        return true;
    }
    if (w->id < 0)
        return false;
    *piece = (struct added_piece){w->start, w->end, w->id};
    w->done = w->end;
    w->id = -1;
    return true;
}
