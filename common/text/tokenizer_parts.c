#include "text/tokenizer_parts.h"

#include "text/unicode.h"
#include <assert.h>
#include <string.h>

int tokenizer_read_flag(const json_t *object, const char *key, bool *out, struct err *e)
{
    const json_t *value = json_object_get(object, key);

    if (!value || json_is_null(value))
        return 0;
    if (!json_is_boolean(value))
        return err_set(e, ERR_MODEL, "\"%s\" is neither true nor false", key);
    *out = json_is_true(value);
    return 0;
}

int tokenizer_read_vocab(struct tokenizer *t, json_t *object, struct err *e)
{
    const char *token;
    json_t *value;
    json_int_t largest = -1;

    if (!json_is_object(object) || json_object_size(object) == 0)
        return err_set(e, ERR_MODEL, "\"vocab\" is not an object of tokens and ids");
    json_object_foreach(object, token, value)
    {
        json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
        if (id < 0 || id >= VOCAB_MAX_IDS)
            return err_set(e, ERR_MODEL, "\"vocab\": the id of \"%s\" is not an integer in 0..%d",
                           token, VOCAB_MAX_IDS - 1);
        if (id > largest)
            largest = id;
    }
    size_t room = (size_t)largest + 1;
    if (room < json_object_size(object))
        room = json_object_size(object);
    int rc = vocab_init(&t->vocab, room, &t->mem, e);
    json_object_foreach(object, token, value)
    {
        if (rc)
            break;
        rc = vocab_add(&t->vocab, token, strlen(token), json_integer_value(value), &t->mem, e);
    }
    return rc;
}

int tokenizer_read_added(const json_t *object, struct added_spec *out, struct err *e)
{
    struct added_spec s = {.content = json_string_value(json_object_get(object, "content"))};
    struct {
        const char *key;
        bool *flag;
    } field[] = {{"single_word", &s.single_word},
                 {"lstrip", &s.lstrip},
                 {"rstrip", &s.rstrip},
                 {"normalized", &s.normalized},
                 {"special", &s.special}};

    if (!s.content)
        return err_set(e, ERR_MODEL, "an added token has no \"content\"");
    for (size_t i = 0; i < sizeof field / sizeof *field; i++) {
        int rc = tokenizer_read_flag(object, field[i].key, field[i].flag, e);
        if (rc)
            return err_wrap(e, "added token \"%s\"", s.content);
    }
    *out = s;
    return 0;
}

/* The token as code points, normalised if it is sought in normalised text, into its set. */
static int put_added(struct tokenizer *t, const struct added_spec *s, struct ints *c,
                     struct ints *spare, struct err *e)
{
    c->n = 0;
    int rc = unicode_decode(s->content, strlen(s->content), c, e);
    if (!rc && s->normalized)
        rc = normalize(&t->normalizer, c, spare, e);
    if (rc)
        return rc;
    struct added_token token = {
        .c = c->v,
        .n = c->n,
        .id = (int32_t)s->id,
        .lstrip = s->lstrip,
        .rstrip = s->rstrip,
        .single_word = s->single_word,
    };
    return added_put(s->normalized ? &t->normalized : &t->raw, &token, &t->mem, e);
}

static int check_added(const struct tokenizer *t, const struct added_spec *s, struct err *e)
{
    int32_t known = vocab_find(&t->vocab, s->content, strlen(s->content));

    if (s->id < 0 || s->id >= VOCAB_MAX_IDS)
        return err_set(e, ERR_MODEL, "added token \"%s\": id %lld is not in 0..%d", s->content,
                       (long long)s->id, VOCAB_MAX_IDS - 1);
    if (known >= 0 && known != s->id)
        return err_set(e, ERR_MODEL, "added token \"%s\" has id %lld here and %d in the vocabulary",
                       s->content, (long long)s->id, known);
    return 0;
}

/* The table of all tokens by id: the model's, then the added ones. */
static int name_tokens(struct tokenizer *t, const struct added_spec *spec, size_t n, struct err *e)
{
    t->n_tokens = t->vocab.n;
    for (size_t i = 0; i < n; i++)
        if ((size_t)spec[i].id >= t->n_tokens)
            t->n_tokens = (size_t)spec[i].id + 1;
    t->token = arena_calloc(&t->mem, t->n_tokens, sizeof *t->token);
    if (!t->token)
        return err_set(e, ERR_NOMEM, "no memory for %zu tokens", t->n_tokens);
    memcpy(t->token, t->vocab.token, t->vocab.n * sizeof *t->token);
    for (size_t i = 0; i < n; i++) {
        char *name = arena_strdup(&t->mem, spec[i].content);
        if (!name)
            return err_set(e, ERR_NOMEM, "no memory for added tokens");
        t->token[spec[i].id] = name;
    }
    return 0;
}

int tokenizer_set_added(struct tokenizer *t, const struct added_spec *spec, size_t n, struct err *e)
{
    struct ints c = {0}, spare = {0};
    int rc = 0;

    for (size_t i = 0; !rc && i < n; i++)
        rc = check_added(t, &spec[i], e);
    for (size_t i = 0; !rc && i < n; i++)
        if (spec[i].special)
            rc = put_added(t, &spec[i], &c, &spare, e);
    for (size_t i = 0; !rc && i < n; i++)
        if (!spec[i].special)
            rc = put_added(t, &spec[i], &c, &spare, e);
    ints_release(&c);
    ints_release(&spare);
    if (rc)
        return rc;
    added_seal(&t->raw);
    added_seal(&t->normalized);
    return name_tokens(t, spec, n, e);
}
