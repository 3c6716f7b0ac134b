/* tokenizer.json, the format of Hugging Face's tokenizers library. Its "truncation" and "padding"
 * are not ours to obey: lengths come from the caller. */
#include "text/tokenizer_parts.h"

#include "model/jsonfile.h"

#include <stdlib.h>
#include <string.h>

static const char *type_of(const json_t *component)
{
    const char *type = json_string_value(json_object_get(component, "type"));

    return type ? type : "(none)";
}

static int unsupported(const char *where, const json_t *component, struct err *e)
{
    return err_set(e, ERR_MODEL, "%s of type \"%s\" is not supported", where, type_of(component));
}

static bool is(const json_t *component, const char *type)
{
    return strcmp(type_of(component), type) == 0;
}

static bool is_absent(const json_t *component)
{
    return !component || json_is_null(component);
}

/* A field that this code knows no other value of than absent, null, false, zero or "". */
static int expect_unset(const json_t *model, const char *key, struct err *e)
{
    const json_t *value = json_object_get(model, key);
    const char *text = json_string_value(value);

    if (is_absent(value) || json_is_false(value) || (text && !*text) ||
        (json_is_number(value) && json_number_value(value) == 0))
        return 0;
    return err_set(e, ERR_MODEL, "model: \"%s\" is set, which is not supported", key);
}

static int read_bert_normalizer(const json_t *o, struct normalizer *n, struct err *e)
{
    bool clean = true, cjk = true, strip = false, lowercase = true;
    const json_t *accents = json_object_get(o, "strip_accents");
    int rc = tokenizer_read_flag(o, "clean_text", &clean, e);

    if (!rc)
        rc = tokenizer_read_flag(o, "handle_chinese_chars", &cjk, e);
    if (!rc)
        rc = tokenizer_read_flag(o, "lowercase", &lowercase, e);
    if (!rc)
        rc = tokenizer_read_flag(o, "strip_accents", &strip, e);
    if (rc)
        return err_wrap(e, "normalizer");
    return normalizer_add_bert(n, clean, cjk, is_absent(accents) ? -1 : strip, lowercase, e);
}

static int read_normalizer(const json_t *o, struct normalizer *n, struct err *e)
{
    static const struct {
        const char *type;
        enum normalize_step step;
    } simple[] = {
        {"NFC", NORMALIZE_NFC},         {"NFD", NORMALIZE_NFD},
        {"NFKC", NORMALIZE_NFKC},       {"NFKD", NORMALIZE_NFKD},
        {"Lowercase", NORMALIZE_LOWER}, {"StripAccents", NORMALIZE_DROP_MARKS},
    };

    if (is_absent(o))
        return 0;
    if (is(o, "BertNormalizer"))
        return read_bert_normalizer(o, n, e);
    for (size_t i = 0; i < sizeof simple / sizeof *simple; i++)
        if (is(o, simple[i].type))
            return normalizer_add(n, simple[i].step, e);
    const json_t *list = json_object_get(o, "normalizers");
    if (!is(o, "Sequence") || !json_is_array(list))
        return unsupported("normalizer", o, e);
    int rc = 0;
    for (size_t i = 0; !rc && i < json_array_size(list); i++)
        rc = read_normalizer(json_array_get(list, i), n, e);
    return rc;
}

static int read_byte_level(const json_t *o, struct pretokenizer *p, struct err *e)
{
    struct pretokenize_step step = {
        .kind = PRETOKENIZE_BYTES,
        .add_prefix_space = true,
        .use_regex = true,
    };
    int rc = tokenizer_read_flag(o, "add_prefix_space", &step.add_prefix_space, e);

    if (!rc)
        rc = tokenizer_read_flag(o, "use_regex", &step.use_regex, e);
    return rc ? err_wrap(e, "pre_tokenizer") : pretokenizer_add(p, step, e);
}

static int read_pretokenizer(const json_t *o, struct pretokenizer *p, struct err *e)
{
    if (is_absent(o))
        return 0;
    if (is(o, "BertPreTokenizer"))
        return pretokenizer_add(p, (struct pretokenize_step){.kind = PRETOKENIZE_BERT}, e);
    if (is(o, "ByteLevel"))
        return read_byte_level(o, p, e);
    const json_t *list = json_object_get(o, "pretokenizers");
    if (!is(o, "Sequence") || !json_is_array(list))
        return unsupported("pre_tokenizer", o, e);
    int rc = 0;
    for (size_t i = 0; !rc && i < json_array_size(list); i++)
        rc = read_pretokenizer(json_array_get(list, i), p, e);
    return rc;
}

static int read_wordpiece(struct tokenizer *t, const json_t *model, struct err *e)
{
    struct wordpiece_config c = {"[UNK]", "##", 100};
    const char *unk = json_string_value(json_object_get(model, "unk_token"));
    const json_t *prefix = json_object_get(model, "continuing_subword_prefix");
    const json_t *longest = json_object_get(model, "max_input_chars_per_word");

    if (unk)
        c.unk_token = unk;
    if (json_is_string(prefix))
        c.continuing_subword_prefix = json_string_value(prefix);
    if (longest) {
        if (!json_is_integer(longest) || json_integer_value(longest) < 1)
            return err_set(e, ERR_MODEL, "\"max_input_chars_per_word\" is not a positive integer");
        c.max_input_chars_per_word = (size_t)json_integer_value(longest);
    }
    t->model = MODEL_WORDPIECE;
    return wordpiece_init(&t->wordpiece, &t->vocab, &c, &t->mem, e);
}

/* One entry of "merges": "a b", or ["a", "b"] in newer files. */
static int read_merge(struct bpe *b, const json_t *merge, size_t i, struct err *e)
{
    const char *left = json_string_value(json_array_get(merge, 0));
    const char *right = json_string_value(json_array_get(merge, 1));
    const char *line = json_string_value(merge);

    if (left && right && json_array_size(merge) == 2)
        return bpe_add_merge(b, left, strlen(left), right, strlen(right), e);
    const char *space = line ? strchr(line, ' ') : NULL;
    if (!space || strchr(space + 1, ' '))
        return err_set(e, ERR_MODEL, "merge %zu is not a pair of strings", i);
    return bpe_add_merge(b, line, (size_t)(space - line), space + 1, strlen(space + 1), e);
}

static int read_bpe(struct tokenizer *t, const json_t *model, struct err *e)
{
    static const char *const unset[] = {"dropout", "continuing_subword_prefix",
                                        "end_of_word_suffix", "byte_fallback"};
    const json_t *merges = json_object_get(model, "merges");
    const char *unk = json_string_value(json_object_get(model, "unk_token"));
    int rc = 0;

    for (size_t i = 0; !rc && i < sizeof unset / sizeof *unset; i++)
        rc = expect_unset(model, unset[i], e);
    if (rc)
        return rc;
    if (!json_is_array(merges))
        return err_set(e, ERR_MODEL, "\"merges\" is not a list");
    rc = bpe_init(&t->bpe, &t->vocab, unk, json_array_size(merges), &t->mem, e);
    if (!rc)
        rc = tokenizer_read_flag(model, "fuse_unk", &t->bpe.fuse_unk, e);
    if (!rc)
        rc = tokenizer_read_flag(model, "ignore_merges", &t->bpe.ignore_merges, e);
    for (size_t i = 0; !rc && i < json_array_size(merges); i++)
        rc = read_merge(&t->bpe, json_array_get(merges, i), i, e);
    if (!rc)
        rc = bpe_seal(&t->bpe, e);
    t->model = MODEL_BPE;
    return rc;
}

static int read_model(struct tokenizer *t, const json_t *model, struct err *e)
{
    /* The first versions of the format did not write the type. */
    bool untyped = !json_object_get(model, "type");
    bool bpe = untyped ? json_object_get(model, "merges") != NULL : is(model, "BPE");

    if (!bpe && !is(model, "WordPiece") && !(untyped && json_object_get(model, "vocab")))
        return unsupported("model", model, e);
    int rc = tokenizer_read_vocab(t, json_object_get(model, "vocab"), e);
    if (!rc)
        rc = bpe ? read_bpe(t, model, e) : read_wordpiece(t, model, e);
    return rc ? err_wrap(e, "model") : 0;
}

static int read_added(struct tokenizer *t, const json_t *list, struct err *e)
{
    size_t n = json_array_size(list);
    struct added_spec *spec = calloc(n + 1, sizeof *spec);
    int rc = spec ? 0 : err_set(e, ERR_NOMEM, "no memory for %zu added tokens", n);

    for (size_t i = 0; !rc && i < n; i++) {
        const json_t *token = json_array_get(list, i), *id = json_object_get(token, "id");
        rc = tokenizer_read_added(token, &spec[i], e);
        if (!rc && !json_is_integer(id))
            rc = err_set(e, ERR_MODEL, "added token \"%s\" has no integer \"id\"", spec[i].content);
        spec[i].id = json_integer_value(id);
    }
    if (!rc)
        rc = tokenizer_set_added(t, spec, n, e);
    free(spec);
    return rc ? err_wrap(e, "added_tokens") : 0;
}

static int check_id(const struct tokenizer *t, const json_t *id, struct err *e)
{
    if (json_is_integer(id) && json_integer_value(id) >= 0 &&
        (uint64_t)json_integer_value(id) < t->n_tokens)
        return 0;
    return err_set(e, ERR_MODEL, "post_processor: special token id is not in 0..%zu",
                   t->n_tokens - 1);
}

/* "cls" and "sep" of BertProcessing and RobertaProcessing: ["[CLS]", 101]. */
static int read_cls_sep(struct tokenizer *t, const json_t *o, struct err *e)
{
    const json_t *cls = json_array_get(json_object_get(o, "cls"), 1);
    const json_t *sep = json_array_get(json_object_get(o, "sep"), 1);
    int rc = check_id(t, cls, e);

    if (!rc)
        rc = check_id(t, sep, e);
    if (!rc)
        postprocess_cls_sep(&t->post, (int32_t)json_integer_value(cls),
                            (int32_t)json_integer_value(sep), is(o, "RobertaProcessing"));
    return rc;
}

static int read_type_id(const json_t *body, int32_t *type, struct err *e)
{
    const json_t *id = json_object_get(body, "type_id");

    if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > INT16_MAX)
        return err_set(e, ERR_MODEL, "post_processor: \"type_id\" is not a small integer");
    *type = (int32_t)json_integer_value(id);
    return 0;
}

/* One special token of a template may stand for several ids. */
static int read_special(const struct tokenizer *t, const json_t *table, const json_t *body,
                        struct template *out, struct err *e)
{
    struct template_piece piece = {.kind = TEMPLATE_SPECIAL};
    const char *name = json_string_value(json_object_get(body, "id"));
    const json_t *ids = json_object_get(name ? json_object_get(table, name) : NULL, "ids");
    int rc = read_type_id(body, &piece.type, e);

    if (!rc && !json_is_array(ids))
        rc = err_set(e, ERR_MODEL, "post_processor: \"special_tokens\" has no \"ids\" of \"%s\"",
                     name ? name : "");
    for (size_t i = 0; !rc && i < json_array_size(ids); i++) {
        rc = check_id(t, json_array_get(ids, i), e);
        piece.id = (int32_t)json_integer_value(json_array_get(ids, i));
        if (!rc)
            rc = template_add(out, piece, e);
    }
    return rc;
}

static int read_sequence(const json_t *body, struct template *out, struct err *e)
{
    struct template_piece piece = {.kind = TEMPLATE_A};
    const char *name = json_string_value(json_object_get(body, "id"));
    int rc = read_type_id(body, &piece.type, e);

    if (rc)
        return rc;
    if (!name || (strcmp(name, "A") != 0 && strcmp(name, "B") != 0))
        return err_set(e, ERR_MODEL, "post_processor: a sequence is neither \"A\" nor \"B\"");
    if (*name == 'B')
        piece.kind = TEMPLATE_B;
    return template_add(out, piece, e);
}

static int read_template(const struct tokenizer *t, const json_t *o, const char *key, size_t n_b,
                         struct template *out, struct err *e)
{
    const json_t *table = json_object_get(o, "special_tokens"), *list = json_object_get(o, key);
    int rc = 0;

    for (size_t i = 0; !rc && i < json_array_size(list); i++) {
        const json_t *piece = json_array_get(list, i);
        const json_t *special = json_object_get(piece, "SpecialToken");
        if (special)
            rc = read_special(t, table, special, out, e);
        else
            rc = read_sequence(json_object_get(piece, "Sequence"), out, e);
    }
    return rc ? rc : template_check(out, key, n_b, e);
}

static int read_postprocessor(struct tokenizer *t, const json_t *o, struct err *e)
{
    const struct template_piece a = {TEMPLATE_A, 0, 0}, b = {TEMPLATE_B, 1, 0};

    if (is_absent(o) || is(o, "ByteLevel")) {
        t->post.single = (struct template){.piece = {a}, .n = 1};
        t->post.pair = (struct template){.piece = {a, b}, .n = 2};
        return 0;
    }
    if (is(o, "BertProcessing") || is(o, "RobertaProcessing"))
        return read_cls_sep(t, o, e);
    if (!is(o, "TemplateProcessing"))
        return unsupported("post_processor", o, e);
    int rc = read_template(t, o, "single", 0, &t->post.single, e);
    return rc ? rc : read_template(t, o, "pair", 1, &t->post.pair, e);
}

int tokenizer_read_json(struct tokenizer *t, const char *path, struct err *e)
{
    json_t *root;
    int rc = jsonfile_read(path, TOKENIZER_MAX_FILE, 0, &root, e);

    if (rc)
        return rc;
    rc = read_normalizer(json_object_get(root, "normalizer"), &t->normalizer, e);
    if (!rc)
        rc = read_pretokenizer(json_object_get(root, "pre_tokenizer"), &t->pretokenizer, e);
    if (!rc)
        rc = read_model(t, json_object_get(root, "model"), e);
    if (!rc)
        rc = read_added(t, json_object_get(root, "added_tokens"), e);
    if (!rc)
        rc = read_postprocessor(t, json_object_get(root, "post_processor"), e);
    json_decref(root);
    return rc ? err_wrap(e, "%s", path) : 0;
}
