#include "text/postprocess.h"

#include <stdlib.h>
#include <string.h>

int template_add(struct template *t, struct template_piece piece, struct err *e)
{
    if (t->n == TEMPLATE_MAX_PIECES)
        return err_set(e, ERR_MODEL, "post_processor: template of more than %d pieces",
                       TEMPLATE_MAX_PIECES);
    t->piece[t->n++] = piece;
    return 0;
}

static size_t count(const struct template *t, int kind)
{
    size_t n = 0;

    for (size_t i = 0; i < t->n; i++)
        n += (int)t->piece[i].kind == kind;
    return n;
}

int template_check(const struct template *t, const char *name, size_t b, struct err *e)
{
    if (count(t, TEMPLATE_A) == 1 && count(t, TEMPLATE_B) == b)
        return 0;
    return err_set(e, ERR_MODEL, "post_processor: template \"%s\" must hold sequence A once%s",
                   name, b ? " and B once" : " and no other");
}

void postprocess_cls_sep(struct postprocess *p, int32_t cls, int32_t sep, bool roberta)
{
    const struct template_piece first = {TEMPLATE_SPECIAL, 0, cls}, a = {TEMPLATE_A, 0, 0},
                                after_a = {TEMPLATE_SPECIAL, 0, sep};
    const int32_t type_b = roberta ? 0 : 1;
    const struct template_piece b = {TEMPLATE_B, type_b, 0},
                                after_b = {TEMPLATE_SPECIAL, type_b, sep};

    p->single = (struct template){.piece = {first, a, after_a}, .n = 3};
    if (roberta)
        p->pair = (struct template){.piece = {first, a, after_a, after_a, b, after_b}, .n = 6};
    else
        p->pair = (struct template){.piece = {first, a, after_a, b, after_b}, .n = 5};
}

void postprocess_lengths(size_t a, size_t b, size_t room, size_t *keep_a, size_t *keep_b)
{
    size_t shorter = a < b ? a : b, longer = a < b ? b : a;

    if (a + b > room) {
        if (2 * shorter <= room)
            longer = room - shorter;
        else {
            shorter = room / 2;
            longer = room - shorter;
        }
    }
    /* Of two texts that are cut alike, the second gets the odd token. */
    *keep_a = a <= b ? shorter : longer;
    *keep_b = a <= b ? longer : shorter;
}

static int reserve(struct encoding *out, size_t n, struct err *e)
{
    if (n <= out->cap)
        return 0;
    int32_t *id = malloc(n * sizeof *id), *type = malloc(n * sizeof *type);
    int32_t *word = malloc(n * sizeof *word);
    if (!id || !type || !word) {
        free(id);
        free(type);
        free(word);
        return err_set(e, ERR_NOMEM, "no memory for an encoding of %zu tokens", n);
    }
    encoding_release(out);
    *out = (struct encoding){.id = id, .type = type, .word = word, .cap = n};
    return 0;
}

/* word: of each id; NULL: they begin none. */
static void put(struct encoding *out, const int32_t *id, const int32_t *word, size_t n,
                int32_t type)
{
    if (n)
        memcpy(out->id + out->n, id, n * sizeof *id);
    for (size_t i = 0; i < n; i++) {
        out->type[out->n + i] = type;
        out->word[out->n + i] = word ? word[i] : -1;
    }
    out->n += n;
}

int postprocess(const struct postprocess *p, const struct ints *a, const struct ints *b,
                const struct ints *word, size_t max_length, struct encoding *out, struct err *e)
{
    const struct template *t = b ? &p->pair : &p->single;
    size_t special = count(t, TEMPLATE_SPECIAL), n_a, n_b;

    if (max_length < special)
        return err_set(e, ERR_CONFIG,
                       "max_length %zu has no room for the %zu special tokens: raise it",
                       max_length, special);
    postprocess_lengths(a->n, b ? b->n : 0, max_length - special, &n_a, &n_b);
    int rc = reserve(out, n_a + n_b + special, e);
    if (rc)
        return rc;
    out->n = 0;
    for (size_t i = 0; i < t->n; i++) {
        const struct template_piece *piece = &t->piece[i];
        switch (piece->kind) {
        case TEMPLATE_A:
            put(out, a->v, word ? word->v : NULL, n_a, piece->type);
            break;
        case TEMPLATE_B:
            put(out, b->v, NULL, n_b, piece->type);
            break;
        case TEMPLATE_SPECIAL:
            put(out, &piece->id, NULL, 1, piece->type);
            break;
        }
    }
    return 0;
}
