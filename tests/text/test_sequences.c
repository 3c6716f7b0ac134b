/* Corpora as files of token sequences: cuts, held-out documents, damage. */
#include "support.h"
#include "text/sequences.h"

/* [CLS] a b c d ... [SEP]: one token a letter. */
static const char letters[] =
    "{\"pre_tokenizer\": {\"type\": \"BertPreTokenizer\"}, "
    "\"post_processor\": {\"type\": \"BertProcessing\", \"sep\": [\"[SEP]\", 3], "
    "\"cls\": [\"[CLS]\", 2]}, "
    "\"model\": {\"type\": \"WordPiece\", \"unk_token\": \"[UNK]\", "
    "\"continuing_subword_prefix\": \"##\", \"max_input_chars_per_word\": 100, \"vocab\": "
    "{\"[PAD]\": 0, \"[UNK]\": 1, \"[CLS]\": 2, \"[SEP]\": 3, \"[MASK]\": 4, "
    "\"a\": 5, \"b\": 6, \"c\": 7, \"d\": 8, \"e\": 9, \"f\": 10}}}";
enum { VOCAB = 11, CLS = 2, SEP = 3, A = 5 };

struct corpus_file {
    struct scratch s;
    struct tokenizer *t;
    char text[sizeof(struct scratch)], tokens[sizeof(struct scratch)];
    struct err e;
};

static void begin(struct corpus_file *f, const char *text)
{
    *f = (struct corpus_file){.s = scratch_open()};
    scratch_text(&f->s, "tokenizer.json", letters);
    scratch_text(&f->s, "text.txt", text);
    snprintf(f->text, sizeof f->text, "%s", scratch_path(&f->s, "text.txt"));
    snprintf(f->tokens, sizeof f->tokens, "%s", scratch_path(&f->s, "tokens"));
    cr_assert_eq(tokenizer_open(&f->t, f->s.dir, &f->e), 0, "%s", f->e.text);
}

static void end(struct corpus_file *f)
{
    tokenizer_close(f->t);
    scratch_close(&f->s);
}

static int write_lines(struct corpus_file *f, size_t length)
{
    const char *const path[] = {f->text};
    const struct corpus_spec spec = {.path = path, .n = 1, .unit = CORPUS_LINES};
    const struct hash identity = {.byte = {7}};
    return sequences_write(f->tokens, &spec, f->t, length, &identity, NULL, NULL, &f->e);
}

Test(sequences, a_document_is_cut_evenly)
{
    struct corpus_file f;
    struct sequences s;
    begin(&f, "a b c d e f a b c d e\n" /* 11 tokens in pieces of at most 5: 3, 4, 4 */
              "a b c\n"                 /* too short */
              "\n"
              "f e d c\n");
    cr_assert_eq(write_lines(&f, 7), 0, "%s", f.e.text);
    cr_assert_eq(sequences_open(&s, f.tokens, VOCAB, 0, &f.e), 0, "%s", f.e.text);
    cr_expect_eq(s.documents, 3);
    cr_expect_eq(s.short_documents, 1);
    cr_assert_eq(s.n_train, 4);
    cr_expect_eq(s.n_held_out, 0);
    static const int32_t want[4][7] = {{CLS, 5, 6, 7, SEP},
                                       {CLS, 8, 9, 10, 5, SEP},
                                       {CLS, 6, 7, 8, 9, SEP},
                                       {CLS, 10, 9, 8, 7, SEP}};
    static const int32_t n[4] = {5, 6, 6, 6};
    for (int i = 0; i < 4; i++) {
        cr_expect_eq(s.train[i].n, n[i]);
        cr_expect_arr_eq(s.train[i].id, want[i], (size_t)n[i] * sizeof(int32_t));
    }
    cr_expect_eq(s.tokens, 23);
    sequences_close(&s);
    end(&f);
}

Test(sequences, whole_documents_are_held_out)
{
    struct corpus_file f;
    struct sequences s;
    begin(&f, "a a a a a a a a\nb b b b\nb b b\nc c c c c c c c\nd d d d d d d\ne e e e\n");
    cr_assert_eq(write_lines(&f, 7), 0, "%s", f.e.text);
    cr_assert_eq(sequences_open(&s, f.tokens, VOCAB, 3, &f.e), 0, "%s", f.e.text);
    cr_assert_eq(s.n_held_out, 2); /* the third that counts: c, in two pieces */
    cr_expect(s.held_out[0].id[1] == 7 && s.held_out[1].id[1] == 7);
    cr_assert_eq(s.n_train, 6);
    for (size_t i = 0; i < s.n_train; i++)
        cr_expect_neq(s.train[i].id[1], 7);
    sequences_close(&s);
    cr_expect_eq(sequences_open(&s, f.tokens, VOCAB, 6, &f.e), ERR_DATA, "of five documents");
    cr_expect_not_null(strstr(f.e.text, "5 documents"), "%s", f.e.text);
    end(&f);
}

Test(sequences, a_file_is_known_by_its_identity)
{
    struct corpus_file f;
    const struct hash same = {.byte = {7}}, other = {.byte = {8}};
    begin(&f, "a b c d\n");
    cr_expect(!sequences_exist(f.tokens, &same));
    cr_assert_eq(write_lines(&f, 7), 0, "%s", f.e.text);
    cr_expect(sequences_exist(f.tokens, &same));
    cr_expect(!sequences_exist(f.tokens, &other));
    end(&f);
}

Test(sequences, bad_corpora_leave_no_file)
{
    static const struct {
        const char *text, *says;
    } bad[] = {{"a b\nc d\n", "no document of 4 tokens"},
               {"", "text.txt"},
               {"a b c d\n\xff\xfe\n", "text.txt:2"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct corpus_file f;
        begin(&f, bad[i].text);
        cr_expect_eq(write_lines(&f, 7), ERR_DATA);
        cr_expect_not_null(strstr(f.e.text, bad[i].says), "%s", f.e.text);
        cr_expect(!file_exists(f.tokens));
        cr_expect(!file_exists(scratch_path(&f.s, "tokens.tmp")));
        end(&f);
    }
}

/* Each byte of a small file changed, and each length cut: an error, or sequences within bounds. */
Test(sequences, damage_is_noticed_or_harmless)
{
    struct corpus_file f;
    struct sequences s;
    char *bytes;
    size_t len;
    begin(&f, "a b c d e\nb c d e\n");
    cr_assert_eq(write_lines(&f, 7), 0, "%s", f.e.text);
    cr_assert_eq(file_read(f.tokens, 1 << 16, &bytes, &len, &f.e), 0);
    for (size_t k = 0; k < 2 * len; k++) {
        if (k < len)
            bytes[k] = (char)(bytes[k] ^ 0x81);
        scratch_put(&f.s, "tokens", bytes, k < len ? len : k - len);
        if (k < len)
            bytes[k] = (char)(bytes[k] ^ 0x81);
        if (sequences_open(&s, f.tokens, VOCAB, 0, &f.e) == 0) {
            for (size_t i = 0; i < s.n_train; i++)
                for (int32_t j = 0; j < s.train[i].n; j++)
                    cr_assert(s.train[i].id[j] >= 0 && s.train[i].id[j] < VOCAB);
            sequences_close(&s);
        }
    }
    scratch_put(&f.s, "tokens", bytes, len - 4);
    cr_expect_eq(sequences_open(&s, f.tokens, VOCAB, 0, &f.e), ERR_DATA);
    cr_expect_not_null(strstr(f.e.text, "damaged"), "%s", f.e.text);
    free(bytes);
    end(&f);
}

Test(sequences, a_tokenizer_without_special_tokens_is_refused)
{
    struct corpus_file f;
    begin(&f, "a b c d\n");
    tokenizer_close(f.t);
    static const char bare[] =
        "{\"pre_tokenizer\": {\"type\": \"BertPreTokenizer\"}, \"model\": {\"type\": "
        "\"WordPiece\", "
        "\"unk_token\": \"[UNK]\", \"continuing_subword_prefix\": \"##\", \"vocab\": {\"[UNK]\": "
        "0, \"a\": 1}}}";
    scratch_text(&f.s, "tokenizer.json", bare);
    cr_assert_eq(tokenizer_open(&f.t, f.s.dir, &f.e), 0, "%s", f.e.text);
    cr_expect_eq(write_lines(&f, 7), ERR_MODEL);
    cr_expect_not_null(strstr(f.e.text, "special tokens"), "%s", f.e.text);
    end(&f);
}
