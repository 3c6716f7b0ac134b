/* WordPiece, BPE and the length rule against slow, obvious versions of themselves on random input.
 */
#include "base/rng.h"
#include "support.h"
#include "text/bpe.h"
#include "text/postprocess.h"
#include "text/strmap.h"
#include "text/wordpiece.h"

enum { LETTERS = 3, MAX_WORD = 24 };

struct toy {
    struct arena mem;
    struct vocab vocab;
    struct bpe bpe;
    struct wordpiece wordpiece;
    char left[64][MAX_WORD], right[64][MAX_WORD];
    int merges;
};

static void add(struct toy *t, const char *token)
{
    struct err e;

    if (vocab_find(&t->vocab, token, strlen(token)) < 0)
        cr_assert_eq(vocab_add(&t->vocab, token, strlen(token), (int64_t)t->vocab.n, &t->mem, &e),
                     0);
}

/* A vocabulary of the letters and of random joins of what is already there: the merges, in order.
 */
static void toy_bpe(struct toy *t, struct rng *r, bool with_all_letters)
{
    struct err e;

    arena_init(&t->mem, ARENA_NO_CAP);
    cr_assert_eq(vocab_init(&t->vocab, 128, &t->mem, &e), 0);
    add(t, "a");
    add(t, "b");
    if (with_all_letters)
        add(t, "c");
    t->merges = 0;
    for (int i = 0; i < 60; i++) {
        const char *a = t->vocab.token[rng_below(r, (uint32_t)t->vocab.n)];
        const char *b = t->vocab.token[rng_below(r, (uint32_t)t->vocab.n)];
        char both[2 * MAX_WORD];
        if (snprintf(both, sizeof both, "%s%s", a, b) > 8)
            continue;
        snprintf(t->left[t->merges], MAX_WORD, "%s", a);
        snprintf(t->right[t->merges++], MAX_WORD, "%s", b);
        add(t, both);
    }
    cr_assert_eq(bpe_init(&t->bpe, &t->vocab, NULL, 60, &t->mem, &e), 0);
    for (int m = 0; m < t->merges; m++)
        cr_assert_eq(bpe_add_merge(&t->bpe, t->left[m], strlen(t->left[m]), t->right[m],
                                   strlen(t->right[m]), &e),
                     0);
    cr_assert_eq(bpe_seal(&t->bpe, &e), 0);
}

static void random_word(struct rng *r, char out[MAX_WORD])
{
    size_t n = 1 + rng_below(r, MAX_WORD - 2);

    for (size_t i = 0; i < n; i++)
        out[i] = (char)('a' + rng_below(r, LETTERS));
    out[n] = 0;
}

/* The rank of the join of two parts: of a pair listed twice, the last. */
static int rank_of(const struct toy *t, const char *a, const char *b)
{
    for (int m = t->merges - 1; m >= 0; m--)
        if (strcmp(t->left[m], a) == 0 && strcmp(t->right[m], b) == 0)
            return m;
    return INT32_MAX;
}

/* Joins the leftmost pair of lowest rank until there is none. */
static int naive_bpe(const struct toy *t, const char *word, int32_t ids[MAX_WORD])
{
    char part[MAX_WORD][MAX_WORD];
    int n = 0;

    for (; *word; word++) {
        char letter[2] = {*word, 0};
        if (vocab_find(&t->vocab, letter, 1) >= 0)
            memcpy(part[n++], letter, sizeof letter);
    }
    for (;;) {
        int best = -1, best_rank = INT32_MAX;
        for (int i = 0; i + 1 < n; i++)
            if (rank_of(t, part[i], part[i + 1]) < best_rank) {
                best = i;
                best_rank = rank_of(t, part[i], part[i + 1]);
            }
        if (best < 0)
            break;
        memcpy(part[best] + strlen(part[best]), part[best + 1], strlen(part[best + 1]) + 1);
        memmove(part[best + 1], part[best + 2], (size_t)(n - best - 2) * sizeof *part);
        n--;
    }
    for (int i = 0; i < n; i++)
        ids[i] = vocab_find(&t->vocab, part[i], strlen(part[i]));
    return n;
}

Test(models, bpe_joins_the_leftmost_pair_of_lowest_rank)
{
    struct rng r = rng_stream(1, 0, 0, RNG_TEST);
    struct bpe_work work = {0};
    struct ints ids = {0};

    for (int round = 0; round < 40; round++) {
        struct toy t;
        toy_bpe(&t, &r, round % 4 != 0);
        for (int w = 0; w < 200; w++) {
            char word[MAX_WORD];
            int32_t want[MAX_WORD];
            random_word(&r, word);
            int n = naive_bpe(&t, word, want);
            ids.n = 0;
            cr_assert(bpe_encode(&t.bpe, word, strlen(word), &work, &ids));
            cr_assert_eq(ids.n, n, "%s", word);
            cr_assert_eq(memcmp(ids.v, want, (size_t)n * sizeof *want), 0, "%s", word);
        }
        arena_release(&t.mem);
    }
    bpe_work_release(&work);
    ints_release(&ids);
}

Test(models, bpe_takes_a_word_of_a_megabyte)
{
    enum { LEN = 1 << 20 };
    struct rng r = rng_stream(2, 0, 0, RNG_TEST);
    struct bpe_work work = {0};
    struct ints ids = {0};
    struct toy t;
    char *word = malloc(LEN);

    toy_bpe(&t, &r, true);
    memset(word, 'a', LEN);
    cr_assert(bpe_encode(&t.bpe, word, LEN, &work, &ids));
    size_t total = 0;
    for (size_t i = 0; i < ids.n; i++)
        total += strlen(t.vocab.token[ids.v[i]]);
    cr_assert_eq(total, LEN);
    free(word);
    arena_release(&t.mem);
    bpe_work_release(&work);
    ints_release(&ids);
}

Test(models, bpe_names_a_merge_outside_the_vocabulary)
{
    struct rng r = rng_stream(3, 0, 0, RNG_TEST);
    struct err e = {0};
    struct toy t;

    toy_bpe(&t, &r, true);
    cr_assert_eq(bpe_add_merge(&t.bpe, "a", 1, "z", 1, &e), ERR_MODEL);
    cr_assert_not_null(strstr(e.text, "\"a\" + \"z\""), "%s", e.text);
    struct bpe other;
    cr_assert_eq(bpe_init(&other, &t.vocab, "<unk>", 4, &t.mem, &e), ERR_MODEL);
    cr_assert_not_null(strstr(e.text, "<unk>"), "%s", e.text);
    arena_release(&t.mem);
}

/* Random pieces, with and without the mark of continuation. */
static void toy_wordpiece(struct toy *t, struct rng *r)
{
    const struct wordpiece_config c = {"[UNK]", "##", 15};
    struct err e;

    arena_init(&t->mem, ARENA_NO_CAP);
    cr_assert_eq(vocab_init(&t->vocab, 128, &t->mem, &e), 0);
    add(t, "[UNK]");
    for (int i = 0; i < 50; i++) {
        char piece[MAX_WORD + 2] = "##";
        bool continues = rng_below(r, 2);
        random_word(r, piece + 2);
        piece[2 + 1 + rng_below(r, 4)] = 0;
        add(t, continues ? piece : piece + 2);
    }
    cr_assert_eq(wordpiece_init(&t->wordpiece, &t->vocab, &c, &t->mem, &e), 0);
}

static int naive_wordpiece(const struct toy *t, const char *word, int32_t ids[MAX_WORD])
{
    size_t len = strlen(word), n = 0;

    for (size_t start = 0; start < len && len <= 15;) {
        size_t end = len;
        int32_t id = -1;
        for (; end > start; end--) {
            char key[MAX_WORD + 2];
            snprintf(key, sizeof key, "%s%.*s", start ? "##" : "", (int)(end - start),
                     word + start);
            id = vocab_find(&t->vocab, key, strlen(key));
            if (id >= 0)
                break;
        }
        if (id < 0) {
            n = 0;
            break;
        }
        ids[n++] = id;
        start = end;
    }
    if (n == 0)
        ids[n++] = 0;
    return (int)n;
}

Test(models, wordpiece_takes_the_longest_piece_first)
{
    struct rng r = rng_stream(4, 0, 0, RNG_TEST);
    struct ints ids = {0};
    int spelt = 0;

    for (int round = 0; round < 40; round++) {
        struct toy t;
        toy_wordpiece(&t, &r);
        for (int w = 0; w < 200; w++) {
            char word[MAX_WORD];
            int32_t want[MAX_WORD];
            random_word(&r, word);
            int n = naive_wordpiece(&t, word, want);
            spelt += want[0] != 0;
            ids.n = 0;
            cr_assert(wordpiece_encode(&t.wordpiece, word, strlen(word), strlen(word), &ids));
            cr_assert_eq(ids.n, n, "%s", word);
            cr_assert_eq(memcmp(ids.v, want, (size_t)n * sizeof *want), 0, "%s", word);
        }
        arena_release(&t.mem);
    }
    cr_assert_gt(spelt, 1000);
    ints_release(&ids);
}

Test(models, truncation_cuts_the_longer_text_first)
{
    for (size_t a = 0; a < 12; a++)
        for (size_t b = 0; b < 12; b++)
            for (size_t room = 0; room < 26; room++) {
                size_t x, y;
                postprocess_lengths(a, b, room, &x, &y);
                cr_assert(x <= a && y <= b, "%zu %zu %zu", a, b, room);
                cr_assert_eq(x + y, a + b < room ? a + b : room, "%zu %zu %zu", a, b, room);
                /* What was cut stays the longer one, but for the odd token. */
                if (x < a)
                    cr_assert_geq(x + 1, y, "%zu %zu %zu", a, b, room);
                if (y < b)
                    cr_assert_geq(y + 1, x, "%zu %zu %zu", a, b, room);
            }
}

/* Lengths that Hugging Face's library gives for room 7. */
Test(models, truncation_gives_the_odd_token_as_the_reference_does)
{
    static const size_t want[][4] = {
        {0, 0, 0, 0}, {0, 2, 0, 2}, {0, 4, 0, 4}, {0, 8, 0, 7}, {2, 0, 2, 0}, {2, 2, 2, 2},
        {2, 4, 2, 4}, {2, 8, 2, 5}, {4, 0, 4, 0}, {4, 2, 4, 2}, {4, 4, 3, 4}, {4, 8, 3, 4},
        {8, 0, 7, 0}, {8, 2, 5, 2}, {8, 4, 4, 3}, {8, 8, 3, 4},
    };

    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        size_t x, y;
        postprocess_lengths(want[i][0], want[i][1], 7, &x, &y);
        cr_expect(x == want[i][2] && y == want[i][3], "%zu %zu: %zu %zu", want[i][0], want[i][1], x,
                  y);
    }
}

Test(models, a_map_finds_what_was_put_and_nothing_else)
{
    struct arena mem;
    struct strmap m;
    struct err e;
    char key[5000][8];

    arena_init(&mem, ARENA_NO_CAP);
    cr_assert_eq(strmap_init(&m, 5000, &mem, &e), 0);
    for (int i = 0; i < 5000; i++) {
        snprintf(key[i], sizeof key[i], "%x", i * 7);
        strmap_put(&m, key[i], strlen(key[i]), i);
    }
    strmap_put(&m, key[3], strlen(key[3]), 77);
    for (int i = 0; i < 5000; i++)
        cr_assert_eq(strmap_find(&m, key[i], strlen(key[i])), i == 3 ? 77 : i);
    cr_assert_eq(strmap_find(&m, "zz", 2), -1);
    cr_assert_eq(strmap_find(&m, "", 0), -1);
    arena_release(&mem);
}
