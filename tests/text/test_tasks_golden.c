/* Splits, words and entities as scikit-learn, tokenizers and seqeval have them
 * (tests/interop/tasks_golden.py). */
#include "support.h"
#include "text/entities.h"
#include "text/mt19937.h"
#include <math.h>

static int64_t whole(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static int32_t *ints(const json_t *array)
{
    size_t n = json_array_size(array);
    int32_t *v = malloc((n + 1) * sizeof *v);

    for (size_t i = 0; i < n; i++)
        v[i] = (int32_t)json_integer_value(json_array_get(array, i));
    return v;
}

/* Compares rows with the head, the tail and the weighted sum of the golden ones. */
static void check_part(const json_t *want, const uint32_t *row, size_t n)
{
    const json_t *head = json_object_get(want, "head"), *tail = json_object_get(want, "tail");
    size_t n_tail = json_array_size(tail);
    uint32_t sum = 0;

    cr_assert_eq(n, whole(want, "n"));
    for (size_t i = 0; i < n; i++)
        sum += (uint32_t)i * row[i];
    cr_expect_eq(sum, whole(want, "sum"), "%zu rows", n);
    for (size_t i = 0; i < json_array_size(head); i++)
        cr_expect_eq(row[i], json_integer_value(json_array_get(head, i)));
    for (size_t i = 0; i < n_tail; i++)
        cr_expect_eq(row[n - n_tail + i], json_integer_value(json_array_get(tail, i)));
}

Test(tasks_golden, permutations_are_those_of_numpy)
{
    json_t *golden = load_json(GOLDEN "tasks.json"), *c;
    size_t k;

    json_array_foreach(json_object_get(golden, "cut"), k, c)
    {
        size_t n = (size_t)whole(c, "n");
        double share = json_real_value(json_object_get(c, "share"));
        size_t n_valid = (size_t)ceil(share * (double)n);
        uint32_t *order = malloc(n * sizeof *order);
        struct mt19937 r;
        mt19937_init(&r, 42);
        mt19937_permutation(&r, order, n);
        check_part(json_object_get(c, "valid"), order, n_valid);
        check_part(json_object_get(c, "train"), order + n_valid, n - n_valid);
        free(order);
    }
    json_decref(golden);
}

/* The first outputs of the authors' reference code for seed 5489, and the 10,000th. */
Test(tasks_golden, mersenne_twister_is_the_published_one)
{
    static const uint32_t first[] = {3499211612u, 581869302u, 3890346734u, 3586334585u};
    struct mt19937 r;
    uint32_t x = 0;

    mt19937_init(&r, 5489);
    for (int i = 0; i < 10000; i++) {
        x = mt19937_next(&r);
        if (i < 4)
            cr_expect_eq(x, first[i]);
    }
    cr_expect_eq(x, 4123659995u);
}

static void check_sentence(const struct tokenizer *t, const json_t *row, size_t max_length)
{
    const json_t *words = json_object_get(row, "words");
    size_t n = json_array_size(words);
    const char **word = malloc(n * sizeof *word);
    int32_t *ids = ints(json_object_get(row, "ids")),
            *begins = ints(json_object_get(row, "begins"));
    struct encoding enc = {0};
    struct err e;

    for (size_t i = 0; i < n; i++)
        word[i] = json_string_value(json_array_get(words, i));
    cr_assert_eq(tokenizer_encode_words(t, word, n, max_length, &enc, &e), 0, "%s", e.text);
    cr_assert_eq(enc.n, json_array_size(json_object_get(row, "ids")), "%s: %zu", word[0], enc.n);
    for (size_t i = 0; i < enc.n; i++) {
        cr_expect_eq(enc.id[i], ids[i], "%s: token %zu is %d, not %d", word[0], i, enc.id[i],
                     ids[i]);
        cr_expect_eq(enc.word[i], begins[i], "%s: token %zu begins %d", word[0], i, enc.word[i]);
        cr_expect_eq(enc.type[i], 0);
    }
    encoding_release(&enc);
    free(word);
    free(ids);
    free(begins);
}

Test(tasks_golden, words_are_tokenised_as_the_reference_does)
{
    json_t *golden = load_json(GOLDEN "tasks.json"), *c, *row;
    size_t k, i;

    json_array_foreach(json_object_get(golden, "words"), k, c)
    {
        struct tokenizer *t = golden_tokenizer(json_string_value(json_object_get(c, "tokenizer")));
        json_array_foreach(json_object_get(c, "rows"), i, row)
        {
            check_sentence(t, row, (size_t)whole(c, "max_length"));
        }
        tokenizer_close(t);
    }
    json_decref(golden);
}

static void check_scheme(const json_t *c)
{
    const json_t *tags = json_object_get(c, "tags"), *types = json_object_get(c, "types");
    const json_t *pair;
    const char *name[16];
    uint32_t n = (uint32_t)json_array_size(tags);
    struct entities entities;
    struct score score;
    struct err e;
    size_t k;

    for (uint32_t i = 0; i < n; i++)
        name[i] = json_string_value(json_array_get(tags, i));
    cr_assert_eq(entities_open(&entities, name, n, &e), 0);
    cr_assert_eq(score_open(&score, n, &e), 0);
    json_array_foreach(json_object_get(c, "pairs"), k, pair)
    {
        int32_t *truth = ints(json_array_get(pair, 0)), *guess = ints(json_array_get(pair, 1));
        entities_score(&entities, truth, guess, json_array_size(json_array_get(pair, 0)), &score);
        free(truth);
        free(guess);
    }
    cr_assert_eq(entities.n_types, json_object_size(types));
    for (uint32_t i = 0; i < entities.n_types; i++) {
        const json_t *want = json_object_get(types, entities.type[i]);
        cr_assert_not_null(want, "%s", entities.type[i]);
        cr_expect_eq(score.entity[i].truth, json_integer_value(json_array_get(want, 0)));
        cr_expect_eq(score.entity[i].guess, json_integer_value(json_array_get(want, 1)));
        cr_expect_eq(score.entity[i].both, json_integer_value(json_array_get(want, 2)));
    }
    score_close(&score);
    entities_close(&entities);
}

Test(tasks_golden, entities_are_those_of_seqeval)
{
    json_t *golden = load_json(GOLDEN "tasks.json"), *c;
    size_t k;

    json_array_foreach(json_object_get(golden, "entities"), k, c)
    {
        check_scheme(c);
    }
    json_decref(golden);
}

/* --- by hand -------------------------------------------------------------------------------- */

static struct match score_all(const char *const *tag, uint32_t n_tags, const int32_t *truth,
                              const int32_t *guess, size_t n)
{
    struct entities entities;
    struct score score;
    struct err e;

    cr_assert_eq(entities_open(&entities, tag, n_tags, &e), 0);
    cr_assert_eq(score_open(&score, n_tags, &e), 0);
    entities_score(&entities, truth, guess, n, &score);
    struct match all = score_entities(&score);
    score.n = n;
    cr_expect_float_eq(score_value(&score, METRIC_ENTITY_F1), match_f1(&all), 1e-15);
    score_close(&score);
    entities_close(&entities);
    return all;
}

static void expect_match(struct match m, uint64_t truth, uint64_t guess, uint64_t both)
{
    cr_expect(m.truth == truth && m.guess == guess && m.both == both,
              "%d true, %d guessed, %d both", (int)m.truth, (int)m.guess, (int)m.both);
}

/* New York | Berlin against York | Berlin: one of two right, of two predicted. */
Test(entities, an_entity_counts_only_whole)
{
    static const char *const tag[] = {"O", "B-LOC", "I-LOC"};
    static const int32_t truth[] = {0, 1, 2, 0, 1}, guess[] = {0, 0, 1, 0, 1};

    expect_match(score_all(tag, 3, truth, guess, 5), 2, 2, 1);
    expect_match(score_all(tag, 3, truth, truth, 5), 2, 2, 2);
    expect_match(score_all(tag, 3, truth, guess, 0), 0, 0, 0);
}

/* B-LOC B-LOC are two entities, I-LOC after O begins one, a change of type begins another. */
Test(entities, boundaries)
{
    static const char *const tag[] = {"B-LOC", "I-LOC", "I-PER", "O"};
    static const int32_t two[] = {0, 0}, one[] = {0, 1}, late[] = {3, 1}, change[] = {1, 2};

    expect_match(score_all(tag, 4, two, one, 2), 2, 1, 0);
    expect_match(score_all(tag, 4, late, late, 2), 1, 1, 1);
    expect_match(score_all(tag, 4, change, change, 2), 2, 2, 2);
}

/* BILOU's L and U are E and S; tags without marks are runs. */
Test(entities, other_schemes)
{
    static const char *const bilou[] = {"O", "B-X", "I-X", "L-X", "U-X"};
    static const char *const iobes[] = {"O", "B-X", "I-X", "E-X", "S-X"};
    static const char *const plain[] = {"O", "PER", "LOC"};
    static const int32_t truth[] = {1, 2, 3, 4, 4, 3, 2}, guess[] = {1, 3, 2, 4, 2, 3, 2};
    static const int32_t runs[] = {1, 1, 2, 0, 2, 2}, other[] = {1, 1, 2, 2, 2, 2};
    struct match a = score_all(bilou, 5, truth, guess, 7), b = score_all(iobes, 5, truth, guess, 7);

    expect_match(a, b.truth, b.guess, b.both);
    expect_match(a, 5, 5, 2);
    expect_match(score_all(plain, 3, runs, other, 6), 3, 2, 1);
}
