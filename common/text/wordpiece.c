#include "text/wordpiece.h"

#include <string.h>

static bool continues(const char *token, const char *prefix, size_t prefix_len)
{
    return token && strncmp(token, prefix, prefix_len) == 0;
}

int wordpiece_init(struct wordpiece *w, const struct vocab *vocab, const struct wordpiece_config *c,
                   struct arena *mem, struct err *e)
{
    size_t prefix_len = strlen(c->continuing_subword_prefix);

    *w = (struct wordpiece){
        .vocab = vocab,
        .max_chars = c->max_input_chars_per_word,
        .unk = vocab_find(vocab, c->unk_token, strlen(c->unk_token)),
    };
    if (w->max_chars > WORDPIECE_MAX_CHARS)
        return err_set(e, ERR_MODEL, "max_input_chars_per_word %zu is above %d", w->max_chars,
                       WORDPIECE_MAX_CHARS);
    if (w->unk < 0)
        return err_set(e, ERR_MODEL, "unknown token \"%s\" is not in the vocabulary", c->unk_token);
    int rc = strmap_init(&w->continuing, vocab->n, mem, e);
    if (rc)
        return rc;
    for (size_t id = 0; id < vocab->n; id++) {
        const char *token = vocab->token[id];
        size_t len = token ? strlen(token) : 0;
        if (len > w->longest)
            w->longest = len;
        if (continues(token, c->continuing_subword_prefix, prefix_len))
            strmap_put(&w->continuing, token + prefix_len, len - prefix_len, (int32_t)id);
    }
    return 0;
}

/* The longest key of `map` that word[0..len) begins with: its id, and its length in *used; -1 when
 * there is none. */
static int32_t longest_match(const struct strmap *map, const char *word, size_t len, size_t *used)
{
    uint32_t hash[4 * WORDPIECE_MAX_CHARS], h = STRMAP_HASH_START;

    for (size_t i = 0; i < len; i++)
        hash[i] = h = strmap_hash_byte(h, word[i]);
    for (; len > 0; len--) {
        int32_t id = strmap_find_hashed(map, hash[len - 1], word, len);
        if (id >= 0) {
            *used = len;
            return id;
        }
    }
    return -1;
}

bool wordpiece_encode(const struct wordpiece *w, const char *word, size_t len, size_t chars,
                      struct ints *ids)
{
    size_t first = ids->n;

    if (chars > w->max_chars)
        return ints_push(ids, w->unk);
    const struct strmap *map = &w->vocab->ids;
    for (size_t at = 0, used; at < len; at += used) {
        size_t rest = len - at;
        int32_t id = longest_match(map, word + at, rest < w->longest ? rest : w->longest, &used);
        if (id < 0) {
            ids->n = first;
            return ints_push(ids, w->unk);
        }
        if (!ints_push(ids, id))
            return false;
        map = &w->continuing;
    }
    return true;
}
