/* The inside of a tokenizer, and what the readers of its file formats share. Private to
 * tokenizer*.c. */
#ifndef TEXT_TOKENIZER_PARTS_H
#define TEXT_TOKENIZER_PARTS_H

#include "text/added.h"
#include "text/bpe.h"
#include "text/normalize.h"
#include "text/postprocess.h"
#include "text/pretokenize.h"
#include "text/tokenizer.h"
#include "text/vocab.h"
#include "text/wordpiece.h"
#include <jansson.h>

struct tokenizer {
    struct arena mem;
    const char **token; /* by id, added tokens included; NULL where an id is unused */
    size_t n_tokens;
    struct added_set raw, normalized; /* searched before and after normalisation */
    struct normalizer normalizer;
    struct pretokenizer pretokenizer;
    enum { MODEL_WORDPIECE, MODEL_BPE } model;
    struct vocab vocab; /* of the model, without added tokens that it does not know */
    struct wordpiece wordpiece;
    struct bpe bpe;
    struct postprocess post;
};

/* Readers: fill a zeroed tokenizer whose arena is initialised. Errors name the file. */
int tokenizer_read_json(struct tokenizer *t, const char *path, struct err *e) MUST_CHECK;
/* vocab.txt, or vocab.json and merges.txt, with tokenizer_config.json where there is one. */
int tokenizer_read_wordpiece(struct tokenizer *t, const char *dir, struct err *e) MUST_CHECK;
int tokenizer_read_bpe(struct tokenizer *t, const char *dir, struct err *e) MUST_CHECK;

/* What the readers share. Errors name the field, the caller adds the file. */

enum { TOKENIZER_MAX_FILE = 256 << 20 };

/* A boolean field; absent or null leaves *out. ERR_MODEL. */
int tokenizer_read_flag(const json_t *object, const char *key, bool *out, struct err *e) MUST_CHECK;
/* The vocabulary of a model from a JSON object token -> id. ERR_MODEL, ERR_NOMEM. */
int tokenizer_read_vocab(struct tokenizer *t, json_t *object, struct err *e) MUST_CHECK;

struct added_spec {
    const char *content;
    int64_t id;
    bool single_word, lstrip, rstrip, normalized, special;
};
/* Reads the flags of an added token from its JSON object: content and flags, not the id. */
int tokenizer_read_added(const json_t *object, struct added_spec *out, struct err *e) MUST_CHECK;
/* Registers added tokens, special ones first, and names every id. Call once, after vocabulary and
 * normaliser are complete. */
int tokenizer_set_added(struct tokenizer *t, const struct added_spec *spec, size_t n,
                        struct err *e) MUST_CHECK;

#endif
