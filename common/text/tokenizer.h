/* Text -> token ids, identical to Hugging Face fast tokenizers. Models: WordPiece (BERT,
 * DistilBERT) and byte-level BPE (GPT-2, RoBERTa), read from tokenizer.json, else vocab.txt (+
 * tokenizer_config.json), else vocab.json + merges.txt. Immutable after opening; thread-safe. */
#ifndef TEXT_TOKENIZER_H
#define TEXT_TOKENIZER_H

#include "base/arena.h"
#include "base/err.h"
#include "base/hash.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TOKENIZER_MAX_TEXT = 16 << 20 }; /* bytes of one text */

struct tokenizer;

/* From a model directory. ERR_IO; ERR_MODEL naming file and field (unsupported component, broken
 * JSON, missing special token). */
int tokenizer_open(struct tokenizer **out, const char *dir, struct err *e) MUST_CHECK;
void tokenizer_close(struct tokenizer *t);
/* Feeds to a hash what the ids of a directory's tokenizer depend on: its files. ERR_IO. */
int tokenizer_feed(struct hash_state *h, const char *dir, struct err *e) MUST_CHECK;

/* Reusable output; zero-initialise, release with encoding_release. */
struct encoding {
    int32_t *id, *type; /* n each */
    int32_t *word; /* n: the word that begins with this token, or -1 (tokenizer_encode_words) */
    size_t n, cap;
};
void encoding_release(struct encoding *enc);

/* Encodes `a`, or the pair (a, b) when b is not NULL, with special tokens (post-processor of the
 * tokenizer), truncated longest-first to max_length tokens in all. Text is UTF-8. ERR_DATA on
 * invalid UTF-8 (byte offset named) and on texts above TOKENIZER_MAX_TEXT; ERR_CONFIG when
 * max_length has no room for the special tokens; ERR_NOMEM. */
int tokenizer_encode(const struct tokenizer *t, const char *a, size_t a_len, const char *b,
                     size_t b_len, size_t max_length, struct encoding *out,
                     struct err *e) MUST_CHECK;
/* Encodes a text that is already cut into words, as Hugging Face does with is_split_into_words:
 * each for itself, with the space before it that byte-level BPE wants (add_prefix_space); out->word
 * tells where each begins. A word of which nothing is left, or that is cut off, begins nowhere.
 * Errors as above, naming the word. */
int tokenizer_encode_words(const struct tokenizer *t, const char *const *word, size_t n,
                           size_t max_length, struct encoding *out, struct err *e) MUST_CHECK;
/* NULL when the id is out of range. */
const char *tokenizer_token(const struct tokenizer *t, int32_t id);
size_t tokenizer_vocab_size(const struct tokenizer *t);

#endif
