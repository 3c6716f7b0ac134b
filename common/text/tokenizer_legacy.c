/* Directories without tokenizer.json: BERT's vocab.txt, or GPT-2's vocab.json and merges.txt with
 * RoBERTa's special tokens. What tokenizer_config.json does not say is as in Hugging Face's
 * BertTokenizer and RobertaTokenizer. */
#include "text/tokenizer_parts.h"

#include "base/file.h"
#include "model/jsonfile.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { SPECIAL_TOKENS = 5 };

/* A special token's role in tokenizer_config.json, and its string by default. */
struct role {
    const char *key, *token;
    bool lstrip; /* RoBERTa's mask takes the space before it */
};

static const struct role bert_roles[SPECIAL_TOKENS] = {
    {"cls_token", "[CLS]", false}, {"sep_token", "[SEP]", false},   {"unk_token", "[UNK]", false},
    {"pad_token", "[PAD]", false}, {"mask_token", "[MASK]", false},
};
static const struct role roberta_roles[SPECIAL_TOKENS] = {
    {"cls_token", "<s>", false},   {"sep_token", "</s>", false},   {"unk_token", "<unk>", false},
    {"pad_token", "<pad>", false}, {"mask_token", "<mask>", true},
};

/* The files of a directory, and its configuration: an object, empty when there is no file. */
struct legacy {
    const char *dir;
    char vocab[PATH_MAX], merges[PATH_MAX];
    json_t *config;
};

static int legacy_open(struct legacy *l, const char *dir, const char *vocab, struct err *e)
{
    char config[PATH_MAX], added[PATH_MAX];
    int rc = file_join(config, sizeof config, dir, "tokenizer_config.json", e);

    *l = (struct legacy){.dir = dir};
    if (!rc)
        rc = file_join(added, sizeof added, dir, "added_tokens.json", e);
    if (!rc)
        rc = file_join(l->vocab, sizeof l->vocab, dir, vocab, e);
    if (!rc)
        rc = file_join(l->merges, sizeof l->merges, dir, "merges.txt", e);
    if (rc)
        return rc;
    if (file_exists(added))
        return err_set(e, ERR_MODEL,
                       "%s: not supported without tokenizer.json: save the tokenizer once with "
                       "transformers' fast tokenizer",
                       added);
    if (file_exists(config))
        return jsonfile_read(config, TOKENIZER_MAX_FILE, 0, &l->config, e);
    l->config = json_object();
    return l->config ? 0 : err_set(e, ERR_NOMEM, "%s: no memory", dir);
}

static int config_fault(const struct legacy *l, struct err *e)
{
    return err_wrap(e, "%s/tokenizer_config.json", l->dir);
}

/* The token of a role: a string, or an object with "content". */
static const char *role_token(const struct legacy *l, const struct role *r)
{
    const json_t *value = json_object_get(l->config, r->key);
    const char *name = json_string_value(value);

    if (!name)
        name = json_string_value(json_object_get(value, "content"));
    return name ? name : r->token;
}

/* Added tokens as tokenizer_config.json lists them: {"0": {"content": "<s>", ...}, ...}. */
static int add_listed(struct tokenizer *t, const struct legacy *l, json_t *list, struct err *e)
{
    struct added_spec *spec = calloc(json_object_size(list) + 1, sizeof *spec);
    const char *key;
    json_t *value;
    size_t n = 0;
    int rc = spec ? 0 : err_set(e, ERR_NOMEM, "no memory for added tokens");

    json_object_foreach(list, key, value)
    {
        if (rc)
            break;
        char *end;
        rc = tokenizer_read_added(value, &spec[n], e);
        if (rc)
            break;
        spec[n].id = strtol(key, &end, 10);
        if (end == key || *end)
            rc = err_set(e, ERR_MODEL, "added_tokens_decoder: \"%s\" is not a token id", key);
        n++;
    }
    if (!rc)
        rc = tokenizer_set_added(t, spec, n, e);
    free(spec);
    return rc ? config_fault(l, e) : 0;
}

/* The special tokens of the vocabulary, as listed or by role. */
static int add_special(struct tokenizer *t, const struct legacy *l, const struct role *roles,
                       struct err *e)
{
    json_t *list = json_object_get(l->config, "added_tokens_decoder");
    struct added_spec spec[SPECIAL_TOKENS];
    size_t n = 0;

    if (json_is_object(list))
        return add_listed(t, l, list, e);
    for (size_t i = 0; i < SPECIAL_TOKENS; i++) {
        const char *name = role_token(l, &roles[i]);
        int32_t id = vocab_find(&t->vocab, name, strlen(name));
        if (id >= 0)
            spec[n++] = (struct added_spec){
                .content = name, .id = id, .lstrip = roles[i].lstrip, .special = true};
    }
    return tokenizer_set_added(t, spec, n, e);
}

static int find_special(const struct tokenizer *t, const struct legacy *l, const struct role *r,
                        int32_t *id, struct err *e)
{
    const char *name = role_token(l, r);

    *id = vocab_find(&t->vocab, name, strlen(name));
    if (*id >= 0)
        return 0;
    return err_set(e, ERR_MODEL, "%s: special token \"%s\" (%s) is missing", l->vocab, name,
                   r->key);
}

static int finish(struct tokenizer *t, const struct legacy *l, const struct role *roles,
                  bool roberta, struct err *e)
{
    int32_t cls, sep;
    int rc = find_special(t, l, &roles[0], &cls, e);

    if (!rc)
        rc = find_special(t, l, &roles[1], &sep, e);
    if (!rc)
        rc = add_special(t, l, roles, e);
    if (!rc)
        postprocess_cls_sep(&t->post, cls, sep, roberta);
    return rc;
}

/* The next line of *rest, without its end; false when there is none. */
static bool next_line(char **rest, char **line)
{
    if (!**rest)
        return false;
    *line = *rest;
    char *end = strchr(*line, '\n');
    *rest = end ? end + 1 : *line + strlen(*line);
    if (!end)
        end = *rest;
    if (end > *line && end[-1] == '\r')
        end--;
    *end = 0;
    return true;
}

static size_t count_lines(const char *text)
{
    size_t n = 1;

    for (; *text; text++)
        n += *text == '\n';
    return n;
}

/* One token a line; the id is the line's number, from 0. */
static int read_vocab_txt(struct tokenizer *t, const char *path, struct err *e)
{
    char *text, *line;
    int rc = file_read(path, TOKENIZER_MAX_FILE, &text, NULL, e);

    if (rc)
        return rc;
    size_t lines = count_lines(text);
    if (lines > VOCAB_MAX_IDS)
        rc = err_set(e, ERR_MODEL, "%zu lines: at most %d are allowed", lines, VOCAB_MAX_IDS);
    else
        rc = vocab_init(&t->vocab, lines, &t->mem, e);
    char *rest = text;
    for (int64_t id = 0; !rc && next_line(&rest, &line); id++)
        rc = vocab_add(&t->vocab, line, strlen(line), id, &t->mem, e);
    free(text);
    return rc ? err_wrap(e, "%s", path) : 0;
}

static int read_bert_config(struct tokenizer *t, const struct legacy *l, struct err *e)
{
    bool lowercase = true, cjk = true, strip = false, basic = true;
    const json_t *accents = json_object_get(l->config, "strip_accents");
    int rc = tokenizer_read_flag(l->config, "do_lower_case", &lowercase, e);

    if (!rc)
        rc = tokenizer_read_flag(l->config, "tokenize_chinese_chars", &cjk, e);
    if (!rc)
        rc = tokenizer_read_flag(l->config, "strip_accents", &strip, e);
    if (!rc)
        rc = tokenizer_read_flag(l->config, "do_basic_tokenize", &basic, e);
    if (!rc && !basic)
        rc = err_set(e, ERR_MODEL, "\"do_basic_tokenize\" false is not supported");
    if (!rc)
        rc = normalizer_add_bert(&t->normalizer, true, cjk, json_is_boolean(accents) ? strip : -1,
                                 lowercase, e);
    return rc ? config_fault(l, e) : 0;
}

int tokenizer_read_wordpiece(struct tokenizer *t, const char *dir, struct err *e)
{
    struct legacy l;
    int rc = legacy_open(&l, dir, "vocab.txt", e);

    if (!rc)
        rc = read_bert_config(t, &l, e);
    if (!rc)
        rc = pretokenizer_add(&t->pretokenizer, (struct pretokenize_step){.kind = PRETOKENIZE_BERT},
                              e);
    if (!rc)
        rc = read_vocab_txt(t, l.vocab, e);
    if (!rc) {
        struct wordpiece_config c = {role_token(&l, &bert_roles[2]), "##", 100};
        rc = wordpiece_init(&t->wordpiece, &t->vocab, &c, &t->mem, e);
        t->model = MODEL_WORDPIECE;
        if (rc)
            err_wrap(e, "%s", l.vocab);
    }
    if (!rc)
        rc = finish(t, &l, bert_roles, false, e);
    json_decref(l.config);
    return rc;
}

/* "left right" a line, after an optional "#version" line. */
static int read_merges(struct bpe *b, char *text, struct err *e)
{
    char *line;
    int rc = 0;

    for (size_t number = 1; !rc && next_line(&text, &line); number++) {
        if (strncmp(line, "#version", 8) == 0)
            continue;
        char *space = strchr(line, ' ');
        if (!space || strchr(space + 1, ' '))
            return err_set(e, ERR_MODEL, "line %zu is not a pair of tokens", number);
        rc = bpe_add_merge(b, line, (size_t)(space - line), space + 1, strlen(space + 1), e);
    }
    return rc;
}

static int read_bpe_files(struct tokenizer *t, const struct legacy *l, struct err *e)
{
    json_t *vocab;
    char *text;
    int rc = jsonfile_read(l->vocab, TOKENIZER_MAX_FILE, 0, &vocab, e);

    if (rc)
        return rc;
    rc = tokenizer_read_vocab(t, vocab, e);
    json_decref(vocab);
    if (rc)
        return err_wrap(e, "%s", l->vocab);
    rc = file_read(l->merges, TOKENIZER_MAX_FILE, &text, NULL, e);
    if (rc)
        return rc;
    rc = bpe_init(&t->bpe, &t->vocab, NULL, count_lines(text), &t->mem, e);
    if (!rc)
        rc = read_merges(&t->bpe, text, e);
    free(text);
    if (!rc)
        rc = bpe_seal(&t->bpe, e);
    t->model = MODEL_BPE;
    return rc ? err_wrap(e, "%s", l->merges) : 0;
}

int tokenizer_read_bpe(struct tokenizer *t, const char *dir, struct err *e)
{
    struct pretokenize_step bytes = {.kind = PRETOKENIZE_BYTES, .use_regex = true};
    struct legacy l;
    int rc = legacy_open(&l, dir, "vocab.json", e);

    if (!rc) {
        rc = tokenizer_read_flag(l.config, "add_prefix_space", &bytes.add_prefix_space, e);
        if (rc)
            config_fault(&l, e);
    }
    if (!rc)
        rc = pretokenizer_add(&t->pretokenizer, bytes, e);
    if (!rc)
        rc = read_bpe_files(t, &l, e);
    if (!rc)
        rc = finish(t, &l, roberta_roles, true, e);
    json_decref(l.config);
    return rc;
}
