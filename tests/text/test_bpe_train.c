/* Training of tokenizers: against what Hugging Face's trainer makes of the same texts
 * (tests/interop/tokenizer_training_golden.py), and against a trainer that counts every pair anew.
 */
#include "base/rng.h"
#include "support.h"
#include "text/bpe_train.h"
#include "text/wordcount.h"

static struct bpe_train *must_open(const struct bpe_train_spec *spec)
{
    struct bpe_train *t = NULL;
    struct err e = {0};

    cr_assert_eq(bpe_train_open(&t, spec, &e), 0, "%s", e.text);
    return t;
}

static void must_add(struct bpe_train *t, const char *text)
{
    struct err e = {0};

    cr_assert_eq(bpe_train_add(t, text, strlen(text), &e), 0, "%s", e.text);
}

static struct bpe_trained must_run(struct bpe_train *t)
{
    struct bpe_trained out;
    struct err e = {0};

    cr_assert_eq(bpe_train_run(t, &out, &e), 0, "%s", e.text);
    return out;
}

static void expect_merge(const struct bpe_trained *t, size_t i, const char *want, size_t c)
{
    char got[512];

    snprintf(got, sizeof got, "%s %s", t->token[t->merge[i][0]], t->token[t->merge[i][1]]);
    cr_assert_str_eq(got, want, "case %zu, merge %zu: %s, not %s", c, i, got, want);
}

static bool is_set(const json_t *c, const char *key)
{
    return json_is_true(json_object_get(c, key));
}

static void check_case(const json_t *c, size_t number)
{
    const json_t *texts = json_object_get(c, "texts"), *tokens = json_object_get(c, "tokens");
    const json_t *merges = json_object_get(c, "merges");
    const struct bpe_train_spec spec = {
        .vocab_size = (size_t)json_integer_value(json_object_get(c, "vocab_size")),
        .min_frequency = (uint64_t)json_integer_value(json_object_get(c, "min_frequency")),
        .lowercase = is_set(c, "lowercase"),
        .prefix_space = is_set(c, "prefix_space"),
    };
    struct bpe_train *t = must_open(&spec);

    for (size_t i = 0; i < json_array_size(texts); i++)
        must_add(t, json_string_value(json_array_get(texts, i)));
    struct bpe_trained got = must_run(t);
    cr_assert_eq(got.n_tokens, BPE_TRAIN_MIN_VOCAB + json_array_size(tokens), "case %zu", number);
    for (size_t i = BPE_TRAIN_MIN_VOCAB; i < got.n_tokens; i++)
        cr_assert_str_eq(got.token[i],
                         json_string_value(json_array_get(tokens, i - BPE_TRAIN_MIN_VOCAB)));
    cr_assert_eq(got.n_merges, json_array_size(merges), "case %zu", number);
    for (size_t i = 0; i < got.n_merges; i++)
        expect_merge(&got, i, json_string_value(json_array_get(merges, i)), number);
    bpe_train_close(t);
}

Test(bpe_train, learns_what_hugging_face_learns)
{
    json_t *cases = load_json(GOLDEN "training.json");

    cr_assert_gt(json_array_size(cases), 50);
    for (size_t i = 0; i < json_array_size(cases); i++)
        check_case(json_array_get(cases, i), i);
    json_decref(cases);
}

/* ---- A naive trainer on words of small letters: no heap, no lists, all pairs counted each time.
 * Its tokens are strings of symbols from 0 to 25. ---- */

enum { NAIVE_WORDS = 200, NAIVE_LEN = 8, NAIVE_MERGES = 60 };

struct naive {
    int word[NAIVE_WORDS][NAIVE_LEN], len[NAIVE_WORDS];
    int merge[NAIVE_MERGES][2], merges;
    int ids; /* letters and merged tokens */
};

static int naive_count(const struct naive *n, int left, int right)
{
    int count = 0;

    for (int w = 0; w < NAIVE_WORDS; w++)
        for (int i = 1; i < n->len[w]; i++)
            count += n->word[w][i - 1] == left && n->word[w][i] == right;
    return count;
}

static void naive_merge(struct naive *n, int left, int right)
{
    for (int w = 0; w < NAIVE_WORDS; w++) {
        int to = 0;
        for (int i = 0; i < n->len[w]; i++, to++) {
            bool hit = i + 1 < n->len[w] && n->word[w][i] == left && n->word[w][i + 1] == right;
            n->word[w][to] = hit ? n->ids : n->word[w][i];
            i += hit;
        }
        n->len[w] = to;
    }
    n->merge[n->merges][0] = left;
    n->merge[n->merges++][1] = right;
    n->ids++;
}

static bool naive_step(struct naive *n)
{
    int best = 0, left = 0, right = 0;

    for (int a = 0; a < n->ids; a++)
        for (int b = 0; b < n->ids; b++) {
            int count = naive_count(n, a, b);
            if (count > best) {
                best = count;
                left = a;
                right = b;
            }
        }
    if (best >= 2 && n->merges < NAIVE_MERGES)
        naive_merge(n, left, right);
    return best >= 2 && n->merges < NAIVE_MERGES;
}

/* All letters of a word differ, so that no token comes about in two ways and none overlaps. */
static void naive_words(struct naive *n, struct rng *rng, struct bpe_train *t)
{
    for (int w = 0; w < NAIVE_WORDS; w++) {
        char text[NAIVE_LEN + 1] = "";
        int first = (int)rng_below(rng, 20), len = 2 + (int)rng_below(rng, 5);
        for (int i = 0; i < len; i++) {
            n->word[w][i] = first + i;
            text[i] = (char)('a' + first + i);
        }
        n->len[w] = len;
        must_add(t, text);
    }
}

static int id_of_naive(int id)
{
    return id < 26 ? BPE_TRAIN_SPECIALS + ('a' - '!') + id : BPE_TRAIN_MIN_VOCAB + id - 26;
}

Test(bpe_train, agrees_with_counting_every_pair_anew)
{
    for (uint32_t seed = 0; seed < 3; seed++) {
        struct rng rng = rng_stream(seed, 0, 0, RNG_TEST);
        struct bpe_train *t = must_open(
            &(struct bpe_train_spec){.vocab_size = BPE_TRAIN_MIN_VOCAB + 12, .min_frequency = 2});
        static struct naive n;
        n = (struct naive){.ids = 26};
        naive_words(&n, &rng, t);
        while (n.merges < 12 && naive_step(&n))
            ;
        struct bpe_trained got = must_run(t);
        cr_assert_eq(got.n_merges, (size_t)n.merges);
        for (int i = 0; i < n.merges; i++) {
            cr_expect_eq(got.merge[i][0], id_of_naive(n.merge[i][0]), "merge %d", i);
            cr_expect_eq(got.merge[i][1], id_of_naive(n.merge[i][1]), "merge %d", i);
        }
        bpe_train_close(t);
    }
}

/* ---- Rules ---- */

Test(bpe_train, of_ties_the_smaller_ids_go_first_and_rare_pairs_not_at_all)
{
    struct bpe_train *t =
        must_open(&(struct bpe_train_spec){.vocab_size = 1000, .min_frequency = 2});

    must_add(t, "dc ab ab dc xy");
    struct bpe_trained got = must_run(t);
    cr_assert_eq(got.n_merges, 3);
    expect_merge(&got, 0, "a b", 0);
    expect_merge(&got, 1, "d c", 0);
    expect_merge(&got, 2, "\xC4\xA0 ab", 0);
    cr_expect_eq(got.n_tokens, BPE_TRAIN_MIN_VOCAB + got.n_merges);
    cr_expect_eq(got.words, 5);
    cr_expect_eq(got.different_words, 4);
    bpe_train_close(t);
}

Test(bpe_train, without_text_there_are_special_tokens_and_bytes)
{
    struct bpe_train *t =
        must_open(&(struct bpe_train_spec){.vocab_size = BPE_TRAIN_MIN_VOCAB, .min_frequency = 1});
    struct bpe_trained got = must_run(t);

    cr_expect_eq(got.n_tokens, BPE_TRAIN_MIN_VOCAB);
    cr_expect_eq(got.n_merges, 0);
    for (int i = 0; i < BPE_TRAIN_SPECIALS; i++)
        cr_expect_str_eq(got.token[i], bpe_train_special[i]);
    cr_expect_str_eq(got.token[BPE_TRAIN_SPECIALS], "!");
    cr_expect_str_eq(got.token[BPE_TRAIN_MIN_VOCAB - 1], "\xC5\x83"); /* U+0143, for 0xAD */
    bpe_train_close(t);
}

Test(bpe_train, refuses_what_it_cannot_do)
{
    const struct bpe_train_spec bad[] = {
        {.vocab_size = BPE_TRAIN_MIN_VOCAB - 1, .min_frequency = 1},
        {.vocab_size = BPE_TRAIN_MAX_VOCAB + 1, .min_frequency = 1},
        {.vocab_size = 1000, .min_frequency = 0},
    };
    struct bpe_train *t;
    struct err e;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect_eq(bpe_train_open(&t, &bad[i], &e), ERR_USAGE);
    t = must_open(&(struct bpe_train_spec){.vocab_size = 300, .min_frequency = 1});
    cr_expect_eq(bpe_train_add(t, "a\xFF", 2, &e), ERR_DATA);
    cr_expect_eq(bpe_train_add(t, "", (size_t)TOKENIZER_MAX_TEXT + 1, &e), ERR_DATA);
    must_add(t, "aa");
    cr_expect_eq(must_run(t).n_merges, 1);
    bpe_train_close(t);
    bpe_train_close(NULL);
}

/* ---- Files ---- */

static void train_and_write(const struct bpe_train_spec *spec, const char *dir)
{
    struct bpe_train *t = must_open(spec);
    struct err e = {0};

    for (int i = 0; i < 5; i++)
        must_add(t, "The cat sat on the mat; the mat was The Mat. \xC3\x84h, caf\xC3\xA9!\n");
    struct bpe_trained got = must_run(t);
    cr_assert_eq(bpe_train_write(spec, &got, 512, dir, &e), 0, "%s", e.text);
    bpe_train_close(t);
}

static void expect_tokens(const struct tokenizer *t, const char *text, const char *want)
{
    struct encoding enc = {0};
    struct err e = {0};
    char got[256] = "";

    cr_assert_eq(tokenizer_encode(t, text, strlen(text), NULL, 0, 64, &enc, &e), 0, "%s", e.text);
    for (size_t i = 0; i < enc.n; i++) {
        size_t len = strlen(got);
        snprintf(got + len, sizeof got - len, "%s%s", i ? "|" : "", tokenizer_token(t, enc.id[i]));
    }
    cr_expect_str_eq(got, want);
    encoding_release(&enc);
}

#define G "\xC4\xA0" /* what stands for a space */

Test(bpe_train, the_folder_is_a_tokenizer)
{
    struct scratch s = scratch_open();
    struct bpe_train_spec spec = {.vocab_size = 400, .min_frequency = 2};
    struct tokenizer *t;
    struct err e = {0};

    train_and_write(&spec, s.dir);
    for (int legacy = 0; legacy < 2; legacy++) {
        cr_assert_eq(tokenizer_open(&t, s.dir, &e), 0, "%s", e.text);
        expect_tokens(t, "The mat the", "<s>|The|" G "mat|" G "the|</s>");
        expect_tokens(t, "a  <mask>", "<s>|a|<mask>|</s>");
        tokenizer_close(t);
        /* vocab.json and merges.txt say the same. */
        unlink(scratch_path(&s, "tokenizer.json"));
    }
    scratch_close(&s);
}

Test(bpe_train, settings_are_in_the_files)
{
    struct scratch s = scratch_open();
    struct bpe_train_spec spec = {
        .vocab_size = 400, .min_frequency = 2, .lowercase = true, .prefix_space = true};
    struct tokenizer *t;
    struct err e = {0};

    train_and_write(&spec, s.dir);
    cr_assert_eq(tokenizer_open(&t, s.dir, &e), 0, "%s", e.text);
    expect_tokens(t, "The MAT", "<s>|" G "the|" G "mat|</s>");
    tokenizer_close(t);
    json_t *config = load_json(scratch_path(&s, "tokenizer_config.json"));
    cr_expect_eq(json_integer_value(json_object_get(config, "model_max_length")), 512);
    cr_expect(json_is_true(json_object_get(config, "add_prefix_space")));
    json_decref(config);
    scratch_close(&s);
}

Test(bpe_train, says_when_the_files_cannot_be_written)
{
    struct scratch s = scratch_open();
    struct bpe_train_spec spec = {.vocab_size = 300, .min_frequency = 1};
    struct bpe_train *t = must_open(&spec);
    struct bpe_trained got = must_run(t);
    struct err e;

    scratch_text(&s, "file", "in the way");
    cr_expect_eq(bpe_train_write(&spec, &got, 512, scratch_path(&s, "file"), &e), ERR_IO);
    bpe_train_close(t);
    scratch_close(&s);
}

Test(wordcount, counts_any_bytes)
{
    struct wordcount w = {0};
    unsigned char word[3];

    for (int round = 0; round < 3; round++)
        for (unsigned i = 0; i < 5000; i++) {
            memcpy(word, (unsigned char[]){0, (unsigned char)(i >> 8), (unsigned char)i}, 3);
            cr_assert(wordcount_add(&w, word, 3));
        }
    cr_assert(wordcount_add(&w, word, 0));
    cr_assert(wordcount_add(&w, word, 2));
    cr_assert_eq(w.n, 5002);
    for (size_t i = 0; i < 5000; i++) {
        cr_assert_eq(w.word[i].count, 3);
        cr_assert_eq(w.bytes[w.word[i].at + 2], (unsigned char)i);
    }
    cr_expect_eq(w.word[5000].len, 0);
    cr_expect_eq(w.word[5001].count, 1);
    wordcount_release(&w);
}
