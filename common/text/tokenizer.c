#include "text/tokenizer.h"

#include "base/buf.h"
#include "base/file.h"
#include "text/tokenizer_parts.h"
#include "text/unicode.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Scratch memory of one call. */
struct work {
    const struct pretokenizer *pretokenizer;
    struct ints text, piece, spare, a, b, begin;
    struct words words, more_words;
    struct buf word;
    struct bpe_work bpe;
};

static void work_release(struct work *w)
{
    ints_release(&w->text);
    ints_release(&w->piece);
    ints_release(&w->spare);
    ints_release(&w->a);
    ints_release(&w->b);
    ints_release(&w->begin);
    words_release(&w->words);
    words_release(&w->more_words);
    buf_release(&w->word);
    bpe_work_release(&w->bpe);
}

static int open_parts(struct tokenizer *t, const char *dir, struct err *e)
{
    char json[PATH_MAX], text[PATH_MAX], vocab[PATH_MAX];
    int rc = file_join(json, sizeof json, dir, "tokenizer.json", e);

    if (!rc)
        rc = file_join(text, sizeof text, dir, "vocab.txt", e);
    if (!rc)
        rc = file_join(vocab, sizeof vocab, dir, "vocab.json", e);
    if (rc)
        return rc;
    if (file_exists(json))
        return tokenizer_read_json(t, json, e);
    if (file_exists(text))
        return tokenizer_read_wordpiece(t, dir, e);
    if (file_exists(vocab))
        return tokenizer_read_bpe(t, dir, e);
    return err_set(e, ERR_IO,
                   "%s: no tokenizer.json, vocab.txt, or vocab.json with merges.txt: is it a "
                   "Hugging Face model directory?",
                   dir);
}

int tokenizer_open(struct tokenizer **out, const char *dir, struct err *e)
{
    struct tokenizer *t = calloc(1, sizeof *t);

    if (!t)
        return err_set(e, ERR_NOMEM, "%s: no memory for a tokenizer", dir);
    arena_init(&t->mem, ARENA_NO_CAP);
    int rc = open_parts(t, dir, e);
    if (rc) {
        tokenizer_close(t);
        return rc;
    }
    *out = t;
    return 0;
}

void tokenizer_close(struct tokenizer *t)
{
    if (!t)
        return;
    arena_release(&t->mem);
    free(t);
}

int tokenizer_feed(struct hash_state *h, const char *dir, struct err *e)
{
    static const char *const files[] = {"tokenizer.json", "tokenizer_config.json", "vocab.txt",
                                        "vocab.json", "merges.txt"};
    char path[PATH_MAX];
    int rc = 0;

    for (size_t i = 0; i < sizeof files / sizeof *files && !rc; i++) {
        rc = file_join(path, sizeof path, dir, files[i], e);
        hash_feed(h, files[i], strlen(files[i]) + 1);
        if (!rc && file_exists(path))
            rc = file_feed(h, path, NULL, e);
    }
    return rc;
}

void encoding_release(struct encoding *enc)
{
    free(enc->id);
    free(enc->type);
    free(enc->word);
    *enc = (struct encoding){0};
}

static bool encode_word(const struct tokenizer *t, struct work *w, const int32_t *c, size_t n,
                        struct ints *ids)
{
    buf_clear(&w->word);
    char *utf8 = (char *)buf_reserve(&w->word, 4 * n);
    size_t len = 0;

    if (!utf8)
        return false;
    for (size_t i = 0; i < n; i++)
        len += unicode_encode(c[i], utf8 + len);
    if (t->model == MODEL_BPE)
        return bpe_encode(&t->bpe, utf8, len, &w->bpe, ids);
    return wordpiece_encode(&t->wordpiece, utf8, len, n, ids);
}

static int encode_words(const struct tokenizer *t, struct work *w, struct ints *ids, struct err *e)
{
    int32_t start = 0;

    for (size_t i = 0; i < w->words.end.n; i++) {
        int32_t end = w->words.end.v[i];
        if (!encode_word(t, w, w->words.text.v + start, (size_t)(end - start), ids))
            return err_set(e, ERR_NOMEM, "no memory for the tokens of a text");
        start = end;
    }
    return 0;
}

/* A stretch of text without tokens of t->raw. */
static int encode_stretch(const struct tokenizer *t, struct work *w, const int32_t *c, size_t n,
                          struct ints *ids, struct err *e)
{
    w->piece.n = 0;
    if (!ints_append(&w->piece, c, n))
        return err_set(e, ERR_NOMEM, "no memory for a text of %zu characters", n);
    int rc = normalize(&t->normalizer, &w->piece, &w->spare, e);
    struct added_walk walk = added_begin(&t->normalized, w->piece.v, w->piece.n);
    struct added_piece piece;

    while (!rc && added_next(&walk, &piece)) {
        if (piece.id >= 0) {
            if (!ints_push(ids, piece.id))
                rc = err_set(e, ERR_NOMEM, "no memory for the tokens of a text");
            continue;
        }
        rc = pretokenize(w->pretokenizer, w->piece.v + piece.start, piece.end - piece.start,
                         &w->words, &w->more_words, e);
        if (!rc)
            rc = encode_words(t, w, ids, e);
    }
    return rc;
}

static int encode_text(const struct tokenizer *t, struct work *w, const char *s, size_t len,
                       struct ints *ids, struct err *e)
{
    if (len > TOKENIZER_MAX_TEXT)
        return err_set(e, ERR_DATA, "text of %zu bytes: at most %d are allowed", len,
                       TOKENIZER_MAX_TEXT);
    w->text.n = 0;
    int rc = unicode_decode(s, len, &w->text, e);
    struct added_walk walk = added_begin(&t->raw, w->text.v, w->text.n);
    struct added_piece piece;

    while (!rc && added_next(&walk, &piece)) {
        if (piece.id < 0)
            rc = encode_stretch(t, w, w->text.v + piece.start, piece.end - piece.start, ids, e);
        else if (!ints_push(ids, piece.id))
            rc = err_set(e, ERR_NOMEM, "no memory for the tokens of a text");
    }
    return rc;
}

int tokenizer_encode(const struct tokenizer *t, const char *a, size_t a_len, const char *b,
                     size_t b_len, size_t max_length, struct encoding *out, struct err *e)
{
    struct work w = {.pretokenizer = &t->pretokenizer};

    buf_init(&w.word, SIZE_MAX / 2);
    int rc = encode_text(t, &w, a, a_len, &w.a, e);
    if (!rc && b) {
        rc = encode_text(t, &w, b, b_len, &w.b, e);
        if (rc)
            err_wrap(e, "second text");
    }
    if (!rc)
        rc = postprocess(&t->post, &w.a, b ? &w.b : NULL, NULL, max_length, out, e);
    work_release(&w);
    return rc;
}

static int encode_one_word(const struct tokenizer *t, struct work *w, const char *word,
                           size_t number, struct err *e)
{
    size_t before = w->a.n;
    int rc = encode_text(t, w, word, strlen(word), &w->a, e);

    for (size_t i = before; !rc && i < w->a.n; i++)
        if (!ints_push(&w->begin, i == before ? (int32_t)number : -1))
            rc = err_set(e, ERR_NOMEM, "no memory for the tokens of a text");
    return rc ? err_wrap(e, "word %zu", number + 1) : 0;
}

int tokenizer_encode_words(const struct tokenizer *t, const char *const *word, size_t n,
                           size_t max_length, struct encoding *out, struct err *e)
{
    struct pretokenizer spaced = t->pretokenizer;
    struct work w = {.pretokenizer = &spaced};
    int rc = 0;

    for (size_t i = 0; i < spaced.n; i++)
        if (spaced.step[i].kind == PRETOKENIZE_BYTES)
            spaced.step[i].add_prefix_space = true;
    buf_init(&w.word, SIZE_MAX / 2);
    for (size_t i = 0; !rc && i < n; i++)
        rc = encode_one_word(t, &w, word[i], i, e);
    if (!rc)
        rc = postprocess(&t->post, &w.a, NULL, &w.begin, max_length, out, e);
    work_release(&w);
    return rc;
}

const char *tokenizer_token(const struct tokenizer *t, int32_t id)
{
    return id >= 0 && (size_t)id < t->n_tokens ? t->token[id] : NULL;
}

size_t tokenizer_vocab_size(const struct tokenizer *t)
{
    return t->n_tokens;
}
