/* Masking: how much, where, with what; and that the stream decides. */
#include "support.h"
#include "text/masking.h"
#include <math.h>

enum { MASK = 4, FIRST = 5, WORDS = 200, LENGTH = 100, REPEATS = 4000 };

static int32_t ordinary[WORDS];

static struct masking by_hand(void)
{
    for (int i = 0; i < WORDS; i++)
        ordinary[i] = FIRST + i;
    return (struct masking){.mask = MASK, .ordinary = ordinary, .n = WORDS};
}

/* 1, then ordinary tokens, then 2. */
static void sequence(int32_t *id, int n)
{
    for (int i = 0; i < n; i++)
        id[i] = FIRST + i % WORDS;
    id[0] = 1;
    id[n - 1] = 2;
}

Test(masking, shares_are_those_of_bert)
{
    struct masking m = by_hand();
    int32_t id[LENGTH], in[LENGTH], tag[LENGTH];
    double chosen = 0, masked = 0, same = 0, at[LENGTH] = {0};
    sequence(id, LENGTH);
    for (uint32_t k = 0; k < REPEATS; k++) {
        struct rng r = rng_stream(1, 0, k, RNG_MASK);
        masking_apply(&m, &r, id, LENGTH, in, tag);
        for (int i = 0; i < LENGTH; i++) {
            if (tag[i] < 0) {
                cr_assert_eq(tag[i], -1);
                cr_assert_eq(in[i], id[i], "what is not to be guessed stays");
                continue;
            }
            cr_assert_eq(tag[i], id[i]);
            cr_assert(in[i] == MASK || (in[i] >= FIRST && in[i] < FIRST + WORDS));
            chosen++;
            at[i]++;
            masked += in[i] == MASK;
            same += in[i] == id[i];
        }
    }
    double all = (double)(LENGTH - 2) * REPEATS;
    cr_expect_float_eq(chosen / all, 0.15, 0.001);
    cr_expect_float_eq(masked / chosen, 0.8, 0.01);
    cr_expect_float_eq(same / chosen, 0.1 + 0.1 / WORDS, 0.005);
    cr_expect_eq(at[0] + at[LENGTH - 1], 0, "special tokens are not guessed");
    for (int i = 1; i < LENGTH - 1; i++)
        cr_expect_float_eq(at[i] / REPEATS, 0.15, 0.03, "place %d: %g", i, at[i] / REPEATS);
}

/* The number varies by one at most, and the shortest sequence has one. */
Test(masking, numbers)
{
    struct masking m = by_hand();
    int32_t id[LENGTH], in[LENGTH], tag[LENGTH];
    for (int n = 3; n <= LENGTH; n++) {
        sequence(id, n);
        for (uint32_t k = 0; k < 50; k++) {
            struct rng r = rng_stream(2, 0, k, RNG_MASK);
            int count = 0;
            masking_apply(&m, &r, id, n, in, tag);
            for (int i = 0; i < n; i++)
                count += tag[i] >= 0;
            double share = 0.15 * (n - 2);
            cr_assert(count >= 1 && count >= (int)floor(share) &&
                          count <= (int)fmax(1, floor(share) + 1),
                      "%d of %d", count, n);
        }
    }
}

Test(masking, the_stream_decides)
{
    struct masking m = by_hand();
    int32_t id[LENGTH], in[3][LENGTH], tag[3][LENGTH];
    sequence(id, LENGTH);
    for (int k = 0; k < 3; k++) {
        struct rng r = rng_stream(3, (uint32_t)k / 2, 0, RNG_MASK);
        masking_apply(&m, &r, id, LENGTH, in[k], tag[k]);
    }
    cr_expect_arr_eq(tag[0], tag[1], sizeof tag[0]);
    cr_expect_arr_eq(in[0], in[1], sizeof in[0]);
    cr_expect_arr_neq(tag[0], tag[2], sizeof tag[0], "another epoch");
}

#define VOCAB_BEGIN                                                                                \
    "{\"model\": {\"type\": \"WordPiece\", \"unk_token\": \"[UNK]\", "                             \
    "\"continuing_subword_prefix\": \"##\", \"vocab\": {\"[PAD]\": 0, \"[UNK]\": 1, \"[CLS]\": "   \
    "2, \"[SEP]\": 3, "

static int open_with(const char *rest, struct masking *m, struct err *e)
{
    struct scratch s = scratch_open();
    struct tokenizer *t;
    char json[1024];
    snprintf(json, sizeof json, VOCAB_BEGIN "%s}}}", rest);
    scratch_text(&s, "tokenizer.json", json);
    cr_assert_eq(tokenizer_open(&t, s.dir, e), 0, "%s", e->text);
    int rc = masking_open(m, t, e);
    tokenizer_close(t);
    scratch_close(&s);
    return rc;
}

Test(masking, special_tokens_never_stand_in)
{
    struct masking m;
    struct err e = {0};
    cr_assert_eq(open_with("\"[MASK]\": 4, \"a\": 5, \"##b\": 6", &m, &e), 0, "%s", e.text);
    cr_expect_eq(m.mask, 4);
    cr_assert_eq(m.n, 2);
    cr_expect(m.ordinary[0] == 5 && m.ordinary[1] == 6);
    masking_close(&m);
}

Test(masking, a_tokenizer_without_a_mask_is_refused)
{
    struct masking m;
    struct err e = {0};
    cr_expect_eq(open_with("\"a\": 4", &m, &e), ERR_MODEL);
    cr_expect_not_null(strstr(e.text, "[MASK]"), "%s", e.text);
    cr_expect_eq(open_with("\"[MASK]\": 4", &m, &e), ERR_MODEL);
    cr_expect_not_null(strstr(e.text, "ordinary"), "%s", e.text);
}
