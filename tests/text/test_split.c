/* How texts are cut, before any model: pre-tokenisers and added tokens. */
#include "support.h"
#include "text/added.h"
#include "text/pretokenize.h"
#include "text/unicode.h"

static struct ints runes(const char *text)
{
    struct ints c = {0};
    struct err e;

    cr_assert_eq(unicode_decode(text, strlen(text), &c, &e), 0);
    return c;
}

/* Appends c[0..n) as UTF-8. */
static void append(char *out, size_t size, const int32_t *c, size_t n)
{
    size_t len = strlen(out);

    for (size_t i = 0; i < n && len + 5 < size; i++)
        len += unicode_encode(c[i], out + len);
    out[len] = 0;
}

/* The words, with "|" between them. */
static void expect_words(struct pretokenize_step step, const char *text, const char *want)
{
    struct pretokenizer p = {0};
    struct words words = {0}, spare = {0};
    struct ints c = runes(text);
    struct err e;
    char got[512] = "";
    int32_t start = 0;

    cr_assert_eq(pretokenizer_add(&p, step, &e), 0);
    cr_assert_eq(pretokenize(&p, c.v, c.n, &words, &spare, &e), 0);
    for (size_t i = 0; i < words.end.n; i++) {
        if (i)
            append(got, sizeof got, &(int32_t){'|'}, 1);
        append(got, sizeof got, words.text.v + start, (size_t)(words.end.v[i] - start));
        start = words.end.v[i];
    }
    cr_expect_str_eq(got, want);
    words_release(&words);
    words_release(&spare);
    ints_release(&c);
}

#define G "\xC4\xA0" /* what stands for a space */

Test(split, gpt2_expression)
{
    const struct pretokenize_step bytes = {.kind = PRETOKENIZE_BYTES, .use_regex = true};

    expect_words(bytes, "Hello my friend, how?", "Hello|" G "my|" G "friend|,|" G "how|?");
    expect_words(bytes, "a's b't c're d've e'm f'll g'd",
                 "a|'s|" G "b|'t|" G "c|'re|" G "d|'ve|" G "e|'m|" G "f|'ll|" G "g|'d");
    expect_words(bytes, "'S 'sx 'lx 'r", "'|S|" G "'|sx|" G "'|lx|" G "'|r");
    expect_words(bytes, "''s'll?'m", "''|s|'ll|?'|m");
    expect_words(bytes, "a   b  ", "a|" G G "|" G "b|" G G);
    expect_words(bytes, " \n\n x", G "\xC4\x8A\xC4\x8A|" G "x");
    expect_words(bytes, "\n\nx", "\xC4\x8A|\xC4\x8A|x");
    expect_words(bytes, "ab12cd!?", "ab|12|cd|!?");
    expect_words(bytes, " ", G);
    expect_words(bytes, "", "");
}

Test(split, byte_level_options)
{
    const struct pretokenize_step prefixed = {
        .kind = PRETOKENIZE_BYTES, .add_prefix_space = true, .use_regex = true};
    const struct pretokenize_step whole = {.kind = PRETOKENIZE_BYTES};

    expect_words(prefixed, "a b", G "a|" G "b");
    expect_words(prefixed, " a", G "a");
    expect_words(prefixed, "", "");
    expect_words(whole, "a b\xC3\xA9", "a" G "b\xC3\x83\xC2\xA9");
}

Test(split, bert_words)
{
    const struct pretokenize_step bert = {.kind = PRETOKENIZE_BERT};

    expect_words(bert, "Hey friend!     How are you?!?", "Hey|friend|!|How|are|you|?|!|?");
    expect_words(bert,
                 " \xC2\xA0 a\xE3\x80\x80"
                 "b-c$d\xE2\x80\x94"
                 "e ",
                 "a|b|-|c|$|d|\xE2\x80\x94|e");
    expect_words(bert, "  ", "");
}

static void put(struct added_set *s, struct arena *mem, const char *content,
                struct added_token flags)
{
    struct ints c = runes(content);
    struct err e;

    flags.c = c.v;
    flags.n = c.n;
    cr_assert_eq(added_put(s, &flags, mem, &e), 0);
    ints_release(&c);
}

/* Texts as they are, tokens as <id>, "|" after each. */
static void expect_pieces(const struct added_set *s, const char *text, const char *want)
{
    struct ints c = runes(text);
    struct added_walk w = added_begin(s, c.v, c.n);
    struct added_piece piece;
    char got[512] = "";

    while (added_next(&w, &piece)) {
        size_t len = strlen(got);
        if (piece.id >= 0)
            snprintf(got + len, sizeof got - len, "<%d>", piece.id);
        else
            append(got, sizeof got, c.v + piece.start, piece.end - piece.start);
        append(got, sizeof got, &(int32_t){'|'}, 1);
    }
    cr_expect_str_eq(got, want);
    ints_release(&c);
}

Test(split, added_tokens_are_leftmost_and_longest)
{
    struct added_set s = {0}, none = {0};
    struct arena mem;

    arena_init(&mem, ARENA_NO_CAP);
    put(&s, &mem, "in", (struct added_token){.id = 1});
    put(&s, &mem, "", (struct added_token){.id = 9});
    put(&s, &mem, "ingly", (struct added_token){.id = 3});
    put(&s, &mem, "ing", (struct added_token){.id = 2});
    put(&s, &mem, "ing", (struct added_token){.id = 8});
    put(&s, &mem, "gl", (struct added_token){.id = 4});
    put(&s, &mem, "\xE4\xB8\xAD", (struct added_token){.id = 5});
    added_seal(&s);
    expect_pieces(&s, "singly ingl in gl\xE4\xB8\xAD", "s|<3>| |<2>|l |<1>| |<4>|<5>|");
    expect_pieces(&s, "", "");
    expect_pieces(&none, "as it is", "as it is|");
    arena_release(&mem);
}

Test(split, added_tokens_take_space_and_want_borders)
{
    struct added_set s = {0};
    struct arena mem;

    arena_init(&mem, ARENA_NO_CAP);
    put(&s, &mem, "<l>", (struct added_token){.id = 1, .lstrip = true});
    put(&s, &mem, "<r>", (struct added_token){.id = 2, .rstrip = true});
    put(&s, &mem, "ony", (struct added_token){.id = 3, .single_word = true});
    added_seal(&s);
    expect_pieces(&s, "a  <l> b", "a|<1>| b|");
    expect_pieces(&s, "a <r> \xC2\xA0 b", "a |<2>|b|");
    expect_pieces(&s, "x <r>  <l> y", "x |<2>|<1>| y|");
    expect_pieces(&s, "ony, Anthony onyx ony", "<3>|, Anthony onyx |<3>|");
    expect_pieces(&s, "e\xCC\x81ony _ony -ony", "e\xCC\x81ony _ony -|<3>|");
    arena_release(&mem);
}
