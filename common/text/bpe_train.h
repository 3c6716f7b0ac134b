/* Training of byte-level BPE (Sennrich et al. 2016; Radford et al. 2019): vocabulary and merges
 * that Hugging Face's tokenizers makes of the same documents with
 *
 *     BpeTrainer(vocab_size, min_frequency, initial_alphabet=ByteLevel.alphabet(),
 *                special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
 *
 * behind the pre-tokenizer ByteLevel(add_prefix_space). The most frequent pair of neighbours goes
 * first; of equally frequent ones that with the smaller left id, then the smaller right id. Ids:
 * the special tokens, the 256 characters for bytes by code point, then one a new token.
 *
 * Words are counted as documents come in, so memory goes by the number of different words, not the
 * size of the text. */
#ifndef TEXT_BPE_TRAIN_H
#define TEXT_BPE_TRAIN_H

#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum bpe_train_special { /* ids, as RoBERTa's */
                         BPE_TRAIN_BOS,
                         BPE_TRAIN_PAD,
                         BPE_TRAIN_EOS,
                         BPE_TRAIN_UNK,
                         BPE_TRAIN_MASK,
                         BPE_TRAIN_SPECIALS,
};
enum { BPE_TRAIN_MIN_VOCAB = BPE_TRAIN_SPECIALS + 256, BPE_TRAIN_MAX_VOCAB = 1 << 20 };
extern const char *const bpe_train_special[BPE_TRAIN_SPECIALS];

struct bpe_train_spec {
    size_t vocab_size;      /* most tokens: special tokens and bytes included */
    uint64_t min_frequency; /* of a pair that is merged, >= 1 */
    bool lowercase;         /* texts are lower-cased first (normaliser Lowercase) */
    bool prefix_space;      /* a space goes before each text that has none */
};

/* What has been learnt. */
struct bpe_trained {
    const char *const *token; /* n_tokens, by id, as in vocab.json: characters for bytes, UTF-8 */
    size_t n_tokens;
    const int32_t (*merge)[2]; /* n_merges, ids of left and right, most frequent first */
    size_t n_merges;
    uint64_t words;         /* read in all */
    size_t different_words; /* among them */
};

struct bpe_train;

/* ERR_USAGE: vocab_size outside BPE_TRAIN_MIN_VOCAB..BPE_TRAIN_MAX_VOCAB, min_frequency 0;
 * ERR_NOMEM. */
int bpe_train_open(struct bpe_train **out, const struct bpe_train_spec *spec,
                   struct err *e) MUST_CHECK;
void bpe_train_close(struct bpe_train *t);

/* Counts the words of a document, UTF-8 of at most TOKENIZER_MAX_TEXT bytes. Special tokens in it
 * are text like any other. ERR_DATA: larger, or no UTF-8; ERR_NOMEM. */
int bpe_train_add(struct bpe_train *t, const char *text, size_t len, struct err *e) MUST_CHECK;

/* Learns from all documents; call once, after the last. `out` borrows from t. There may be fewer
 * tokens than asked for: the pairs that are frequent enough have run out. ERR_NOMEM. */
int bpe_train_run(struct bpe_train *t, struct bpe_trained *out, struct err *e) MUST_CHECK;

/* The tokenizer as a folder that Hugging Face's AutoTokenizer reads as RoBERTa's, and
 * tokenizer_open, too: tokenizer.json, vocab.json, merges.txt and tokenizer_config.json. The folder
 * is made where there is none. model_max_length: tokens of the longest text, special ones included.
 * ERR_IO, ERR_NOMEM. */
int bpe_train_write(const struct bpe_train_spec *spec, const struct bpe_trained *trained,
                    size_t model_max_length, const char *dir, struct err *e) MUST_CHECK;

#endif
