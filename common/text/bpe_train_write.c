/* A trained tokenizer's files. */
#include "text/bpe_train.h"

#include "base/buf.h"
#include "base/file.h"
#include "model/jsonfile.h"
#include <limits.h>
#include <string.h>

static json_t *byte_level(bool prefix_space)
{
    return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", prefix_space,
                     "trim_offsets", 1, "use_regex", 1);
}

/* As RoBERTa's: <mask> takes the spaces before it. */
static json_t *special_token(int id)
{
    return json_pack("{s:i, s:s, s:b, s:b, s:b, s:b, s:b}", "id", id, "content",
                     bpe_train_special[id], "single_word", 0, "lstrip", id == BPE_TRAIN_MASK,
                     "rstrip", 0, "normalized", 0, "special", 1);
}

static json_t *special_tokens(void)
{
    json_t *list = json_array();

    for (int id = 0; id < BPE_TRAIN_SPECIALS; id++)
        json_array_append_new(list, special_token(id));
    return list;
}

static json_t *post_processor(bool prefix_space)
{
    return json_pack("{s:s, s:[s, i], s:[s, i], s:b, s:b}", "type", "RobertaProcessing", "sep",
                     bpe_train_special[BPE_TRAIN_EOS], BPE_TRAIN_EOS, "cls",
                     bpe_train_special[BPE_TRAIN_BOS], BPE_TRAIN_BOS, "trim_offsets", 1,
                     "add_prefix_space", prefix_space);
}

/* NULL when there is no memory. */
static json_t *vocab(const struct bpe_trained *t)
{
    json_t *map = json_object();

    for (size_t id = 0; map && id < t->n_tokens; id++)
        if (json_object_set_new(map, t->token[id], json_integer((json_int_t)id))) {
            json_decref(map);
            map = NULL;
        }
    return map;
}

/* "left right", as all versions of the format have it: no token holds a space. */
static json_t *merges(const struct bpe_trained *t)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < t->n_merges; i++) {
        json_t *merge = json_sprintf("%s %s", t->token[t->merge[i][0]], t->token[t->merge[i][1]]);
        if (json_array_append_new(list, merge)) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

static json_t *model(const struct bpe_trained *t)
{
    json_t *ids = vocab(t), *list = merges(t);

    return json_pack("{s:s, s:n, s:n, s:s, s:s, s:b, s:b, s:b, s:o, s:o}", "type", "BPE", "dropout",
                     "unk_token", "continuing_subword_prefix", "", "end_of_word_suffix", "",
                     "fuse_unk", 0, "byte_fallback", 0, "ignore_merges", 0, "vocab", ids, "merges",
                     list);
}

static json_t *tokenizer(const struct bpe_train_spec *spec, const struct bpe_trained *t)
{
    json_t *lower = spec->lowercase ? json_pack("{s:s}", "type", "Lowercase") : json_null();

    return json_pack("{s:s, s:n, s:n, s:o, s:o, s:o, s:o, s:o, s:o}", "version", "1.0",
                     "truncation", "padding", "added_tokens", special_tokens(), "normalizer", lower,
                     "pre_tokenizer", byte_level(spec->prefix_space), "post_processor",
                     post_processor(spec->prefix_space), "decoder", byte_level(true), "model",
                     model(t));
}

/* Of a tokenizer that lower-cases, transformers must take all of tokenizer.json: its class for
 * RoBERTa makes a new one of vocabulary and merges, and would forget the normaliser. */
static json_t *config(const struct bpe_train_spec *spec, size_t model_max_length)
{
    static const struct {
        const char *key;
        enum bpe_train_special token;
    } role[] = {
        {"bos_token", BPE_TRAIN_BOS}, {"cls_token", BPE_TRAIN_BOS}, {"eos_token", BPE_TRAIN_EOS},
        {"sep_token", BPE_TRAIN_EOS}, {"pad_token", BPE_TRAIN_PAD}, {"unk_token", BPE_TRAIN_UNK},
    };
    json_t *o = json_pack("{s:s, s:b, s:b, s:I, s:o}", "tokenizer_class",
                          spec->lowercase ? "PreTrainedTokenizerFast" : "RobertaTokenizer",
                          "add_prefix_space", spec->prefix_space, "trim_offsets", 1,
                          "model_max_length", (json_int_t)model_max_length, "mask_token",
                          json_pack("{s:s, s:s, s:b, s:b, s:b, s:b}", "__type", "AddedToken",
                                    "content", bpe_train_special[BPE_TRAIN_MASK], "lstrip", 1,
                                    "rstrip", 0, "single_word", 0, "normalized", 0));

    for (size_t i = 0; o && i < sizeof role / sizeof *role; i++)
        json_object_set_new(o, role[i].key, json_string(bpe_train_special[role[i].token]));
    return o;
}

/* Writes dir/name and drops the reference. */
static int write_json(json_t *json, const char *dir, const char *name, struct err *e)
{
    char path[PATH_MAX];
    int rc = file_join(path, sizeof path, dir, name, e);

    if (!rc)
        rc = jsonfile_write(json, 0, path, e);
    json_decref(json);
    return rc;
}

static int write_merges(const struct bpe_trained *t, const char *dir, struct err *e)
{
    char path[PATH_MAX];
    struct buf text;
    int rc = file_join(path, sizeof path, dir, "merges.txt", e);

    if (rc)
        return rc;
    buf_init(&text, SIZE_MAX / 2);
    rc = buf_printf(&text, "#version: 0.2\n");
    for (size_t i = 0; !rc && i < t->n_merges; i++)
        rc = buf_printf(&text, "%s %s\n", t->token[t->merge[i][0]], t->token[t->merge[i][1]]);
    rc = rc ? err_set(e, ERR_NOMEM, "%s: no memory to write", path)
            : file_write(path, buf_bytes(&text), buf_size(&text), 0644, e);
    buf_release(&text);
    return rc;
}

int bpe_train_write(const struct bpe_train_spec *spec, const struct bpe_trained *trained,
                    size_t model_max_length, const char *dir, struct err *e)
{
    int rc = file_mkdirs(dir, 0755, e);

    if (!rc)
        rc = write_json(vocab(trained), dir, "vocab.json", e);
    if (!rc)
        rc = write_merges(trained, dir, e);
    if (!rc)
        rc = write_json(config(spec, model_max_length), dir, "tokenizer_config.json", e);
    if (!rc)
        rc = write_json(tokenizer(spec, trained), dir, "tokenizer.json", e);
    return rc;
}
