/* Opening tokenizers from every kind of directory, and what is refused. */
#include "support.h"

static int32_t id_of(const struct tokenizer *t, const char *token)
{
    for (size_t i = 0; i < tokenizer_vocab_size(t); i++) {
        const char *s = tokenizer_token(t, (int32_t)i);
        if (s && strcmp(s, token) == 0)
            return (int32_t)i;
    }
    cr_assert_fail("no token %s", token);
    return -1;
}

static void expect(const struct tokenizer *t, const char *a, const char *b, size_t max,
                   const char *want)
{
    struct encoding enc = {0};
    struct err e = {0};
    char got[1024] = "";
    size_t len = 0;

    cr_assert_eq(tokenizer_encode(t, a, strlen(a), b, b ? strlen(b) : 0, max, &enc, &e), 0, "%s",
                 e.text);
    for (size_t i = 0; i < enc.n; i++)
        len += (size_t)snprintf(got + len, sizeof got - len, "%s%s/%d", i ? " " : "",
                                tokenizer_token(t, enc.id[i]), enc.type[i]);
    cr_expect_str_eq(got, want);
    encoding_release(&enc);
}

static const char small_vocab[] =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhe\n##llo\nworld\n##s\n,\ncaf\n##e\n##\xC3\xA9\nHe\n";

static struct tokenizer *open_dir(const struct scratch *s)
{
    struct tokenizer *t = NULL;
    struct err e = {0};

    cr_assert_eq(tokenizer_open(&t, s->dir, &e), 0, "%s", e.text);
    return t;
}

Test(tokenizer, vocab_txt_alone_is_an_uncased_bert)
{
    struct scratch s = scratch_open();

    scratch_text(&s, "vocab.txt", small_vocab);
    struct tokenizer *t = open_dir(&s);
    cr_assert_eq(tokenizer_vocab_size(t), 14);
    expect(t, "Hello,  WORLDS", NULL, 99, "[CLS]/0 he/0 ##llo/0 ,/0 world/0 ##s/0 [SEP]/0");
    expect(t, "Caf\xC3\xA9", "hello [MASK] x", 99,
           "[CLS]/0 caf/0 ##e/0 [SEP]/0 he/1 ##llo/1 [MASK]/1 [UNK]/1 [SEP]/1");
    expect(t, "hello", "", 99, "[CLS]/0 he/0 ##llo/0 [SEP]/0 [SEP]/1");
    expect(t, "", "", 99, "[CLS]/0 [SEP]/0 [SEP]/1");
    expect(t, "", NULL, 99, "[CLS]/0 [SEP]/0");
    expect(t, "hello worlds", "hello hello", 8,
           "[CLS]/0 he/0 ##llo/0 [SEP]/0 he/1 ##llo/1 he/1 [SEP]/1");
    expect(t, "hello worlds", NULL, 2, "[CLS]/0 [SEP]/0");
    tokenizer_close(t);
    scratch_close(&s);
}

Test(tokenizer, tokenizer_config_sets_cases_accents_and_names)
{
    struct scratch s = scratch_open();

    scratch_text(&s, "vocab.txt", small_vocab);
    scratch_text(&s, "tokenizer_config.json",
                 "{\"do_lower_case\": false, \"sep_token\": {\"content\": \"[MASK]\"}, "
                 "\"cls_token\": \"[PAD]\"}");
    struct tokenizer *t = open_dir(&s);
    expect(t, "Hello hello", NULL, 99, "[PAD]/0 He/0 ##llo/0 he/0 ##llo/0 [MASK]/0");
    tokenizer_close(t);
    scratch_text(&s, "tokenizer_config.json", "{\"strip_accents\": false}");
    t = open_dir(&s);
    expect(t, "CAF\xC3\x89", NULL, 99, "[CLS]/0 caf/0 ##\xC3\xA9/0 [SEP]/0");
    tokenizer_close(t);
    scratch_close(&s);
}

/* vocab.json and merges.txt of the committed byte-level tokenizer. */
static void put_bpe_files(struct scratch *s)
{
    json_t *json = load_json(GOLDEN "bytes.json"), *model = json_object_get(json, "model");
    const json_t *merges = json_object_get(model, "merges");

    cr_assert_eq(json_dump_file(json_object_get(model, "vocab"), scratch_path(s, "vocab.json"), 0),
                 0);
    FILE *f = fopen(scratch_path(s, "merges.txt"), "w");
    fputs("#version: 0.2\n", f);
    for (size_t i = 0; i < json_array_size(merges); i++)
        fprintf(f, "%s\n", json_string_value(json_array_get(merges, i)));
    fclose(f);
    json_decref(json);
}

static void expect_same(const struct tokenizer *t, const struct tokenizer *u, const char *a,
                        const char *b)
{
    struct encoding x = {0}, y = {0};
    struct err e;

    cr_assert_eq(tokenizer_encode(t, a, strlen(a), b, b ? strlen(b) : 0, 64, &x, &e), 0);
    cr_assert_eq(tokenizer_encode(u, a, strlen(a), b, b ? strlen(b) : 0, 64, &y, &e), 0);
    cr_assert_eq(x.n, y.n, "%s", a);
    cr_expect_eq(memcmp(x.id, y.id, x.n * sizeof *x.id), 0, "%s", a);
    encoding_release(&x);
    encoding_release(&y);
}

Test(tokenizer, vocab_json_and_merges_txt_are_a_roberta)
{
    struct scratch s = scratch_open();
    struct tokenizer *want = golden_tokenizer("bytes");

    put_bpe_files(&s);
    struct tokenizer *t = open_dir(&s);
    expect(t, "", "", 99, "<s>/0 </s>/0 </s>/0 </s>/0");
    expect_same(t, want, "Hewas dothe, it's <mask> \xE4\xB8\xAD 123!", NULL);
    expect_same(t, want, " the", "of the <pad>");
    tokenizer_close(t);
    scratch_text(&s, "tokenizer_config.json", "{\"add_prefix_space\": true}");
    t = open_dir(&s);
    expect_same(t, t, "the", " the");
    struct encoding x = {0}, y = {0};
    struct err e;
    cr_assert_eq(tokenizer_encode(t, "the", 3, NULL, 0, 64, &x, &e), 0);
    cr_assert_eq(tokenizer_encode(want, " the", 4, NULL, 0, 64, &y, &e), 0);
    cr_expect(x.n == y.n && memcmp(x.id, y.id, x.n * sizeof *x.id) == 0);
    encoding_release(&x);
    encoding_release(&y);
    tokenizer_close(t);
    tokenizer_close(want);
    scratch_close(&s);
}

Test(tokenizer, merges_may_be_pairs)
{
    json_t *json = load_json(GOLDEN "bytes.json"), *model = json_object_get(json, "model");
    json_t *pairs = json_array();
    const json_t *merges = json_object_get(model, "merges");
    struct tokenizer *want = golden_tokenizer("bytes"), *t = NULL;
    struct err e = {0};

    for (size_t i = 0; i < json_array_size(merges); i++) {
        const char *line = json_string_value(json_array_get(merges, i)), *space = strchr(line, ' ');
        json_array_append_new(pairs, json_pack("[s%, s]", line, (size_t)(space - line), space + 1));
    }
    json_object_set_new(model, "merges", pairs);
    cr_assert_eq(tokenizer_from(json, &t, &e), 0, "%s", e.text);
    expect_same(t, want, "the other day it's done", "and the rest");
    tokenizer_close(t);
    tokenizer_close(want);
    json_decref(json);
}

Test(tokenizer, special_tokens_in_a_text_are_themselves)
{
    struct tokenizer *t = golden_tokenizer("wordpiece");
    struct encoding enc = {0};
    struct err e;

    cr_assert_eq(tokenizer_encode(t, "[MASK]", 6, NULL, 0, 99, &enc, &e), 0);
    cr_assert_eq(enc.n, 3);
    cr_expect_eq(enc.id[1], id_of(t, "[MASK]"));
    cr_expect_null(tokenizer_token(t, -1));
    cr_expect_null(tokenizer_token(t, (int32_t)tokenizer_vocab_size(t)));
    encoding_release(&enc);
    tokenizer_close(t);
}

Test(tokenizer, bad_text_is_refused)
{
    struct tokenizer *t = golden_tokenizer("wordpiece");
    struct encoding enc = {0};
    struct err e = {0};

    cr_expect_eq(tokenizer_encode(t, "ab\xFFz", 4, NULL, 0, 99, &enc, &e), ERR_DATA);
    cr_expect_not_null(strstr(e.text, "byte 2"), "%s", e.text);
    cr_expect_eq(tokenizer_encode(t, "ab", 2, "\xC3", 1, 99, &enc, &e), ERR_DATA);
    cr_expect_not_null(strstr(e.text, "second text"), "%s", e.text);
    cr_expect_eq(tokenizer_encode(t, "ab", 2, NULL, 0, 1, &enc, &e), ERR_CONFIG);
    cr_expect_not_null(strstr(e.text, "max_length 1"), "%s", e.text);
    cr_expect_eq(tokenizer_encode(t, "", TOKENIZER_MAX_TEXT + 1, NULL, 0, 9, &enc, &e), ERR_DATA);
    cr_expect_eq(enc.n, 0);
    encoding_release(&enc);
    tokenizer_close(t);
}

/* Opens the base file with `path` (two keys deep at most) set to a JSON value, and expects a
 * refusal that holds `say`. */
static void refuse(const char *base, const char *key, const char *inner, const char *value,
                   const char *say)
{
    char path[256];
    struct tokenizer *t = NULL;
    struct err e = {0};

    snprintf(path, sizeof path, GOLDEN "%s.json", base);
    json_t *json = load_json(path), *v = json_loads(value, JSON_DECODE_ANY, NULL);
    cr_assert_not_null(v, "%s", value);
    json_object_set_new(inner ? json_object_get(json, key) : json, inner ? inner : key, v);
    cr_expect_eq(tokenizer_from(json, &t, &e), ERR_MODEL, "%s %s %s", key, inner ? inner : "",
                 value);
    cr_expect_null(t);
    cr_expect_not_null(strstr(e.text, "tokenizer.json"), "%s", e.text);
    cr_expect_not_null(strstr(e.text, say), "\"%s\" lacks \"%s\"", e.text, say);
    json_decref(json);
}

Test(tokenizer, unsupported_components_are_named)
{
    refuse("wordpiece", "normalizer", NULL, "{\"type\": \"Replace\"}",
           "normalizer of type \"Replace\"");
    refuse("wordpiece", "normalizer", NULL,
           "{\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"Nmt\"}]}", "\"Nmt\"");
    refuse("wordpiece", "pre_tokenizer", NULL, "{\"type\": \"Metaspace\"}",
           "pre_tokenizer of type \"Metaspace\"");
    refuse("wordpiece", "post_processor", NULL, "{\"type\": \"Other\"}",
           "post_processor of type \"Other\"");
    refuse("wordpiece", "model", NULL, "{\"type\": \"Unigram\", \"vocab\": []}",
           "model of type \"Unigram\"");
    refuse("wordpiece", "model", NULL, "null", "model of type");
    refuse("bytes", "model", "dropout", "0.1", "\"dropout\"");
    refuse("bytes", "model", "byte_fallback", "true", "\"byte_fallback\"");
    refuse("bytes", "model", "end_of_word_suffix", "\"</w>\"", "\"end_of_word_suffix\"");
}

Test(tokenizer, broken_fields_are_named)
{
    refuse("wordpiece", "model", "unk_token", "\"[NONE]\"", "[NONE]");
    refuse("wordpiece", "model", "vocab", "{}", "vocab");
    refuse("wordpiece", "model", "vocab", "{\"[UNK]\": -1}", "[UNK]");
    refuse("wordpiece", "model", "vocab", "{\"[UNK]\": 99999999999}", "[UNK]");
    refuse("wordpiece", "model", "vocab", "{\"[UNK]\": \"0\"}", "[UNK]");
    refuse("wordpiece", "model", "max_input_chars_per_word", "0", "max_input_chars_per_word");
    refuse("wordpiece", "model", "max_input_chars_per_word", "100000", "max_input_chars_per_word");
    refuse("wordpiece", "normalizer", "lowercase", "1", "\"lowercase\"");
    refuse("wordpiece", "added_tokens", NULL, "[{\"id\": 3}]", "content");
    refuse("wordpiece", "added_tokens", NULL, "[{\"id\": \"3\", \"content\": \"x\"}]", "id");
    refuse("wordpiece", "added_tokens", NULL, "[{\"id\": 7, \"content\": \"[CLS]\"}]", "[CLS]");
    refuse("wordpiece", "added_tokens", NULL, "[{\"id\": -7, \"content\": \"xyzzy\"}]", "xyzzy");
    refuse("bytes", "model", "merges", "[\"a b c\"]", "merge 0");
    refuse("bytes", "model", "merges", "[[\"a\"]]", "merge 0");
    refuse("bytes", "model", "merges", "[[\"a\", \"\\u4e2d\"]]", "not in the vocabulary");
    refuse("bytes", "model", "merges", "7", "merges");
    refuse("bytes", "post_processor", "cls", "[\"<s>\", 999999]", "special token id");
    refuse("bytes", "post_processor", "sep", "7", "special token id");
}

Test(tokenizer, broken_templates_are_named)
{
    const char *special =
        "{\"type\": \"TemplateProcessing\", \"special_tokens\": {}, \"single\": "
        "[{\"SpecialToken\": {\"id\": \"[CLS]\", \"type_id\": 0}}], \"pair\": []}";
    const char *no_a =
        "{\"type\": \"TemplateProcessing\", \"special_tokens\": {}, \"single\": [], \"pair\": []}";
    const char *no_b = "{\"type\": \"TemplateProcessing\", \"special_tokens\": {}, \"single\": "
                       "[{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}],"
                       " \"pair\": [{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}]}";
    const char *other = "{\"type\": \"TemplateProcessing\", \"special_tokens\": {}, \"single\": "
                        "[{\"Sequence\": {\"id\": \"C\", \"type_id\": 0}}], \"pair\": []}";

    refuse("wordpiece", "post_processor", NULL, special, "[CLS]");
    refuse("wordpiece", "post_processor", NULL, no_a, "\"single\"");
    refuse("wordpiece", "post_processor", NULL, no_b, "\"pair\"");
    refuse("wordpiece", "post_processor", NULL, other, "neither");
}

static void refuse_dir(const struct scratch *s, int code, const char *say)
{
    struct tokenizer *t = NULL;
    struct err e = {0};

    cr_expect_eq(tokenizer_open(&t, s->dir, &e), code, "%s", e.text);
    cr_expect_null(t);
    cr_expect_not_null(strstr(e.text, say), "\"%s\" lacks \"%s\"", e.text, say);
}

Test(tokenizer, bad_directories_are_refused)
{
    struct scratch s = scratch_open();

    refuse_dir(&s, ERR_IO, "no tokenizer.json");
    scratch_text(&s, "vocab.txt", "[UNK]\n[SEP]\n");
    refuse_dir(&s, ERR_MODEL, "cls_token");
    scratch_text(&s, "vocab.txt", "a\nb\n");
    refuse_dir(&s, ERR_MODEL, "[UNK]");
    scratch_text(&s, "vocab.txt", small_vocab);
    scratch_text(&s, "tokenizer_config.json", "{\"do_basic_tokenize\": false}");
    refuse_dir(&s, ERR_MODEL, "do_basic_tokenize");
    scratch_text(&s, "tokenizer_config.json",
                 "{\"added_tokens_decoder\": {\"x\": {\"content\": \"y\"}}}");
    refuse_dir(&s, ERR_MODEL, "not a token id");
    scratch_text(&s, "tokenizer_config.json", "[1]");
    refuse_dir(&s, ERR_MODEL, "tokenizer_config.json");
    unlink(scratch_path(&s, "tokenizer_config.json"));
    scratch_text(&s, "added_tokens.json", "{}");
    refuse_dir(&s, ERR_MODEL, "added_tokens.json");
    scratch_text(&s, "tokenizer.json", "{\"model\": ");
    refuse_dir(&s, ERR_MODEL, "tokenizer.json:1: not valid JSON");
    scratch_close(&s);
}

Test(tokenizer, broken_merges_are_refused_by_line)
{
    struct scratch s = scratch_open();

    put_bpe_files(&s);
    scratch_text(&s, "merges.txt", "#version: 0.2\nt h\nt h e\n");
    refuse_dir(&s, ERR_MODEL, "line 3");
    unlink(scratch_path(&s, "merges.txt"));
    refuse_dir(&s, ERR_IO, "merges.txt");
    scratch_text(&s, "merges.txt", "");
    scratch_text(&s, "vocab.json", "{\"<s>\": 0}");
    refuse_dir(&s, ERR_MODEL, "</s>");
    scratch_close(&s);
}
