#include "text/bpe.h"

#include "text/unicode.h"
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* A word is a doubly linked list of symbols in an array; a merged right part leaves the list. */
struct bpe_symbol {
    int32_t id; /* -1: no longer in the list */
    int32_t prev, next;
};

/* A pair of neighbours that the merge list joins. */
struct bpe_pair {
    uint32_t rank;
    int32_t at; /* its left symbol */
    int32_t id; /* of the two together */
};

void bpe_work_release(struct bpe_work *w)
{
    free(w->symbol);
    free(w->heap);
    *w = (struct bpe_work){0};
}

/* Room for n symbols and for every pair that they can form: n - 1 at the start and two a merge. */
static bool work_reserve(struct bpe_work *w, size_t n)
{
    if (n <= w->cap)
        return true;
    size_t cap = n < 32 ? 64 : 2 * n;
    struct bpe_symbol *symbol = malloc(cap * sizeof *symbol);
    struct bpe_pair *heap = malloc(3 * cap * sizeof *heap);
    if (!symbol || !heap) {
        free(symbol);
        free(heap);
        return false;
    }
    bpe_work_release(w);
    *w = (struct bpe_work){.symbol = symbol, .heap = heap, .cap = cap};
    return true;
}

static bool goes_first(const struct bpe_pair *a, const struct bpe_pair *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void heap_push(struct bpe_work *w, struct bpe_pair p)
{
    size_t i = w->n_heap++;

    for (size_t up; i > 0 && goes_first(&p, &w->heap[up = (i - 1) / 2]); i = up)
        w->heap[i] = w->heap[up];
    w->heap[i] = p;
}

static struct bpe_pair heap_pop(struct bpe_work *w)
{
    struct bpe_pair top = w->heap[0], last = w->heap[--w->n_heap];
    size_t i = 0;

    for (size_t down; (down = 2 * i + 1) < w->n_heap; i = down) {
        if (down + 1 < w->n_heap && goes_first(&w->heap[down + 1], &w->heap[down]))
            down++;
        if (!goes_first(&w->heap[down], &last))
            break;
        w->heap[i] = w->heap[down];
    }
    w->heap[i] = last;
    return top;
}

static struct bpe_merge *probe(const struct bpe *b, int32_t left, int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    /* Fibonacci hashing (Knuth, TAOCP 6.4). */
    size_t i = (size_t)(key * 0x9E3779B97F4A7C15u >> 32) & b->mask;

    while (b->merge[i].left >= 0 && (b->merge[i].left != left || b->merge[i].right != right))
        i = (i + 1) & b->mask;
    return &b->merge[i];
}

/* Queues the pair of symbol `at` and its next, if the list joins it. */
static void consider(const struct bpe *b, struct bpe_work *w, int32_t at)
{
    if (at < 0 || w->symbol[at].next < 0)
        return;
    const struct bpe_merge *m = probe(b, w->symbol[at].id, w->symbol[w->symbol[at].next].id);
    if (m->left >= 0)
        heap_push(w, (struct bpe_pair){m->rank, at, m->id});
}

/* Whether the queued pair is still there: neither of its symbols has been merged since. */
static bool is_current(const struct bpe *b, const struct bpe_work *w, const struct bpe_pair *p)
{
    const struct bpe_symbol *s = &w->symbol[p->at];

    if (s->id < 0 || s->next < 0)
        return false;
    const struct bpe_merge *m = probe(b, s->id, w->symbol[s->next].id);
    return m->left >= 0 && m->id == p->id;
}

static void merge_all(const struct bpe *b, struct bpe_work *w, size_t n)
{
    w->n_heap = 0;
    for (size_t i = 0; i + 1 < n; i++)
        consider(b, w, (int32_t)i);
    while (w->n_heap) {
        struct bpe_pair p = heap_pop(w);
        if (!is_current(b, w, &p))
            continue;
        struct bpe_symbol *left = &w->symbol[p.at], *right = &w->symbol[left->next];
        left->id = p.id;
        right->id = -1;
        left->next = right->next;
        if (left->next >= 0)
            w->symbol[left->next].prev = p.at;
        consider(b, w, left->prev);
        consider(b, w, p.at);
    }
}

static int32_t character_id(const struct bpe *b, const char *c, size_t len, int32_t code_point)
{
    return code_point < BPE_DIRECT_CHARS ? b->direct[code_point] : vocab_find(b->vocab, c, len);
}

/* Splits the word into w->symbol[0..n), which has room, and returns n. */
static size_t split(const struct bpe *b, const char *word, size_t len, struct bpe_work *w)
{
    size_t n = 0;
    bool after_unknown = false;

    for (size_t i = 0, used; i < len; i += used) {
        utf8proc_int32_t c;
        used = (size_t)utf8proc_iterate((const utf8proc_uint8_t *)word + i,
                                        (utf8proc_ssize_t)(len - i), &c);
        int32_t id = character_id(b, word + i, used, c);
        bool unknown = id < 0;
        if (unknown)
            id = b->fuse_unk && after_unknown ? -1 : b->unk;
        after_unknown = unknown;
        if (id < 0)
            continue;
        w->symbol[n] = (struct bpe_symbol){id, (int32_t)n - 1, (int32_t)n + 1};
        n++;
    }
    if (n)
        w->symbol[n - 1].next = -1;
    return n;
}

static bool encode_by_merges(const struct bpe *b, const char *word, size_t len, struct bpe_work *w,
                             struct ints *ids)
{
    if (!work_reserve(w, len) || !ints_reserve(ids, len))
        return false;
    size_t n = split(b, word, len, w);
    merge_all(b, w, n);
    for (size_t i = 0; i < n; i++)
        if (w->symbol[i].id >= 0)
            ids->v[ids->n++] = w->symbol[i].id;
    return true;
}

bool bpe_encode(const struct bpe *b, const char *word, size_t len, struct bpe_work *work,
                struct ints *ids)
{
    int32_t id = vocab_find(b->vocab, word, len);

    if (id >= 0 && (b->ignore_merges || b->whole[id]))
        return ints_push(ids, id);
    return encode_by_merges(b, word, len, work, ids);
}

int bpe_init(struct bpe *b, const struct vocab *vocab, const char *unk_token, size_t n,
             struct arena *mem, struct err *e)
{
    size_t slots = 16;

    while (slots < 2 * n)
        slots *= 2;
    *b = (struct bpe){.vocab = vocab, .mask = slots - 1, .unk = -1};
    if (unk_token) {
        b->unk = vocab_find(vocab, unk_token, strlen(unk_token));
        if (b->unk < 0)
            return err_set(e, ERR_MODEL, "unknown token \"%s\" is not in the vocabulary",
                           unk_token);
    }
    b->merge = arena_calloc(mem, slots, sizeof *b->merge);
    b->whole = arena_calloc(mem, vocab->n ? vocab->n : 1, sizeof *b->whole);
    if (!b->merge || !b->whole)
        return err_set(e, ERR_NOMEM, "no memory for %zu merges", n);
    for (size_t i = 0; i < slots; i++)
        b->merge[i].left = -1;
    for (int32_t c = 0; c < BPE_DIRECT_CHARS; c++) {
        char utf8[4];
        b->direct[c] = vocab_find(vocab, utf8, unicode_encode(c, utf8));
    }
    return 0;
}

int bpe_add_merge(struct bpe *b, const char *left, size_t left_len, const char *right,
                  size_t right_len, struct err *e)
{
    char both[2 * VOCAB_MAX_TOKEN];

    if (left_len > VOCAB_MAX_TOKEN || right_len > VOCAB_MAX_TOKEN)
        return err_set(e, ERR_MODEL, "merge %zu: part of more than %d bytes", b->n_merges,
                       VOCAB_MAX_TOKEN);
    memcpy(both, left, left_len);
    memcpy(both + left_len, right, right_len);
    struct bpe_merge m = {
        .left = vocab_find(b->vocab, left, left_len),
        .right = vocab_find(b->vocab, right, right_len),
        .id = vocab_find(b->vocab, both, left_len + right_len),
        .rank = (uint32_t)b->n_merges,
    };
    if (m.left < 0 || m.right < 0 || m.id < 0)
        return err_set(e, ERR_MODEL, "merge %zu: \"%.*s\" + \"%.*s\" is not in the vocabulary",
                       b->n_merges, (int)left_len, left, (int)right_len, right);
    *probe(b, m.left, m.right) = m;
    b->n_merges++;
    return 0;
}

int bpe_seal(struct bpe *b, struct err *e)
{
    struct bpe_work work = {0};
    struct ints ids = {0};
    bool ok = true;

    for (size_t id = 0; ok && id < b->vocab->n; id++) {
        const char *token = b->vocab->token[id];
        if (!token)
            continue;
        ids.n = 0;
        ok = encode_by_merges(b, token, strlen(token), &work, &ids);
        b->whole[id] = ids.n == 1 && ids.v[0] == (int32_t)id;
    }
    ints_release(&ids);
    bpe_work_release(&work);
    return ok ? 0 : err_set(e, ERR_NOMEM, "no memory to prepare %zu merges", b->n_merges);
}
