/* Packing. */
#include "base/rng.h"
#include "support.h"
#include "text/pack.h"

enum { MOST = 200, LONGEST = 128 };

/* Made-up examples: tokens are numbers that name the example. */
struct made {
    struct dataset data;
    struct example example[MOST];
    int32_t id[MOST][LONGEST], type[MOST][LONGEST];
    const char *label_name[2];
    uint32_t index[MOST];
};

static void make(struct made *m, size_t n, const int *tokens)
{
    memset(m, 0, sizeof *m);
    m->label_name[0] = "a";
    m->label_name[1] = "b";
    for (size_t i = 0; i < n; i++) {
        for (int k = 0; k < tokens[i]; k++) {
            m->id[i][k] = (int32_t)(1000 * i) + k;
            m->type[i][k] = k & 1;
        }
        m->example[i] = (struct example){.id = m->id[i],
                                         .type = m->type[i],
                                         .n_tokens = tokens[i],
                                         .label = (int32_t)(i & 1),
                                         .target = (float)i};
        m->index[i] = (uint32_t)i;
    }
    m->data =
        (struct dataset){.example = m->example, .n = n, .n_labels = 2, .label_name = m->label_name};
}

static const struct model_config bert = {.family = FAMILY_BERT, .types = 2, .positions = 512};

static void check_batch(const struct made *m, const struct batch *b, const uint32_t *example,
                        int first_position, bool typed, int *seen)
{
    cr_assert_gt(b->n, 0);
    cr_assert_eq(b->off[0], 0);
    cr_assert_eq(b->off[b->n], b->tokens);
    for (int s = 0; s < b->n; s++) {
        const struct example *x = &m->example[example[s]];
        seen[example[s]]++;
        cr_assert_eq(b->off[s + 1] - b->off[s], x->n_tokens);
        cr_expect_eq(b->label[s], x->label);
        for (int k = 0; k < x->n_tokens; k++) {
            cr_assert_eq(b->id[b->off[s] + k], x->id[k]);
            cr_assert_eq(b->type[b->off[s] + k], typed ? x->type[k] : 0);
            cr_assert_eq(b->pos[b->off[s] + k], first_position + k);
        }
    }
}

static void check_packing(const struct made *m, size_t n, const struct packing *p,
                          int first_position, bool typed)
{
    int seen[MOST] = {0};
    int least = INT32_MAX, most = 0, longest = 0;

    for (int k = 0; k < p->n; k++) {
        check_batch(m, &p->batch[k], p->example[k], first_position, typed, seen);
        least = p->batch[k].tokens < least ? p->batch[k].tokens : least;
        most = p->batch[k].tokens > most ? p->batch[k].tokens : most;
    }
    for (size_t i = 0; i < n; i++) {
        cr_assert_eq(seen[m->index[i]], 1, "example %u", m->index[i]);
        longest = m->example[i].n_tokens > longest ? m->example[i].n_tokens : longest;
    }
    cr_expect_leq(most - least, longest, "%d..%d tokens", least, most);
    cr_expect(p->n <= 1 || p->n % 2 == 0, "%d micro-batches", p->n);
}

static struct packing pack(struct made *m, size_t n, const struct model_config *c,
                           struct arena *mem)
{
    struct packing p;
    struct err e = {0};

    cr_assert_eq(pack_examples(&m->data, m->index, n, c, mem, &p, &e), 0, "%s", e.text);
    return p;
}

Test(pack, every_example_is_packed_once_and_evenly)
{
    struct rng r = rng_stream(5, 0, 0, RNG_TEST);
    static struct made m;

    for (int round = 0; round < 200; round++) {
        struct arena mem;
        int tokens[MOST];
        size_t n = 1 + rng_below(&r, MOST);
        arena_init(&mem, ARENA_NO_CAP);
        for (size_t i = 0; i < n; i++)
            tokens[i] = 2 + (int)rng_below(&r, LONGEST - 1);
        make(&m, n, tokens);
        rng_shuffle(&r, m.index, n);
        struct packing p = pack(&m, n, &bert, &mem);
        check_packing(&m, n, &p, 0, true);
        arena_release(&mem);
    }
}

Test(pack, a_batch_of_pairs_makes_four)
{
    static struct made m;
    struct arena mem;
    int tokens[32];

    for (int i = 0; i < 32; i++)
        tokens[i] = 38 + i;
    arena_init(&mem, ARENA_NO_CAP);
    make(&m, 32, tokens);
    struct packing p = pack(&m, 32, &bert, &mem);
    cr_expect_eq(p.n, 4);
    for (int k = 0; k < p.n; k++)
        cr_expect(abs(p.batch[k].tokens - 428) <= 8, "%d tokens", p.batch[k].tokens);
    arena_release(&mem);
}

Test(pack, small_and_empty_batches)
{
    static struct made m;
    struct arena mem;
    const int tokens[] = {LONGEST, LONGEST - 1, 1, LONGEST};

    arena_init(&mem, ARENA_NO_CAP);
    make(&m, 4, tokens);
    struct packing none = pack(&m, 0, &bert, &mem);
    cr_expect_eq(none.n, 0);
    struct packing one = pack(&m, 2, &bert, &mem); /* a token less than half of PACK_TOKENS */
    cr_expect_eq(one.n, 1);
    struct packing two = pack(&m, 3, &bert, &mem);
    cr_expect_eq(two.n, 2);
    arena_release(&mem);
}

/* The same examples give the same packing, wherever they are in memory; other examples of the data
 * set do not matter. */
Test(pack, depends_on_the_examples_alone)
{
    static struct made m, other;
    struct arena mem, more;
    int tokens[MOST];

    for (int i = 0; i < MOST; i++)
        tokens[i] = 2 + i * 37 % (LONGEST - 2);
    make(&m, MOST, tokens);
    for (int i = 100; i < MOST; i++)
        tokens[i] = 3;
    make(&other, MOST, tokens);
    arena_init(&mem, ARENA_NO_CAP);
    arena_init(&more, ARENA_NO_CAP);
    struct packing p = pack(&m, 100, &bert, &mem), q = pack(&other, 100, &bert, &more);
    cr_assert_eq(p.n, q.n);
    for (int k = 0; k < p.n; k++) {
        cr_assert_eq(p.batch[k].n, q.batch[k].n);
        cr_assert_eq(memcmp(p.example[k], q.example[k], (size_t)p.batch[k].n * sizeof **p.example),
                     0);
        cr_assert_eq(
            memcmp(p.batch[k].id, q.batch[k].id, (size_t)p.batch[k].tokens * sizeof(int32_t)), 0);
    }
    arena_release(&mem);
    arena_release(&more);
}

Test(pack, positions_and_types_are_the_family_s)
{
    const struct model_config roberta = {
        .family = FAMILY_ROBERTA, .types = 1, .positions = 514, .pad_id = 1};
    const struct model_config distilbert = {
        .family = FAMILY_DISTILBERT, .types = 0, .positions = 512};
    const int tokens[] = {5, 9, 7};
    static struct made m;
    struct arena mem;

    arena_init(&mem, ARENA_NO_CAP);
    make(&m, 3, tokens);
    struct packing p = pack(&m, 3, &roberta, &mem);
    check_packing(&m, 3, &p, 2, false);
    p = pack(&m, 3, &distilbert, &mem);
    check_packing(&m, 3, &p, 0, false);
    arena_release(&mem);
}

Test(pack, regression_has_targets_and_no_labels)
{
    const int tokens[] = {5, 9};
    static struct made m;
    struct arena mem;

    arena_init(&mem, ARENA_NO_CAP);
    make(&m, 2, tokens);
    m.data.label_name = NULL;
    struct packing p = pack(&m, 2, &bert, &mem);
    cr_assert_eq(p.n, 1);
    cr_expect_null(p.batch[0].label);
    for (int s = 0; s < 2; s++)
        cr_expect_eq(p.batch[0].target[s], (real)p.example[0][s]);
    arena_release(&mem);
}

Test(pack, a_full_arena_is_an_error)
{
    static struct made m;
    struct packing p;
    struct arena mem;
    struct err e = {0};
    int tokens[MOST];

    for (int i = 0; i < MOST; i++)
        tokens[i] = LONGEST;
    make(&m, MOST, tokens);
    arena_init(&mem, 8192);
    cr_expect_eq(pack_examples(&m.data, m.index, MOST, &bert, &mem, &p, &e), ERR_NOMEM);
    arena_release(&mem);
}
