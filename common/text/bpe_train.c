#include "text/bpe_train.h"

#include "base/arena.h"
#include "text/normalize.h"
#include "text/pretokenize.h"
#include "text/tokenizer.h"
#include "text/unicode.h"
#include "text/wordcount.h"
#include <stdlib.h>
#include <string.h>

enum { CHARACTERS = 0x144, NONE = -1 }; /* those that stand for bytes are below CHARACTERS */

const char *const bpe_train_special[BPE_TRAIN_SPECIALS] = {"<s>", "<pad>", "</s>", "<unk>",
                                                           "<mask>"};

/* Two neighbours, and how often they occur. */
struct pair {
    int32_t left, right;
    int64_t count;
    uint64_t visit;  /* the last visit of a word that found it */
    size_t at;       /* where its words go in `places`, */
    uint32_t places; /* and how many there are of those found since the last flush */
};

/* An entry of the heap: a pair, its words [at, at + n) of `places`, and what its count was when it
 * was last looked at: it only falls. */
struct job {
    int64_t count;
    uint32_t pair, n;
    size_t at;
};

/* A word that has a pair. */
struct find {
    uint32_t pair, word;
};

/* A growable array of any type. */
#define ARRAY(type)                                                                                \
    struct {                                                                                       \
        type *v;                                                                                   \
        size_t n, cap;                                                                             \
    }

struct word {
    int32_t *symbol;
    uint32_t n;
};

struct bpe_train {
    struct bpe_train_spec spec;
    struct normalizer normalizer;
    struct pretokenizer pretokenizer;
    struct ints text, spare;
    struct words words, spare_words;
    struct wordcount seen; /* words as ids of their characters, less BPE_TRAIN_SPECIALS */
    int16_t index[CHARACTERS];
    uint64_t read;

    struct arena mem;
    const char **token;
    size_t n_tokens;
    int32_t *symbols;
    struct word *word; /* seen.n */
    uint32_t *slot;    /* of pairs: open addressing, index + 1; 0: free */
    size_t slots;
    ARRAY(struct pair) pair;
    ARRAY(struct find) find;
    ARRAY(uint32_t) fresh;  /* the pairs in `find` */
    ARRAY(uint32_t) places; /* words, by job */
    ARRAY(struct job) heap;
    int32_t (*merge)[2];
    size_t n_merges;
    uint64_t visits;
};

/* The memory of an array, enlarged where it has no room for n elements. NULL when there is none,
 * and then the old memory is free. */
static void *with_room(void *v, size_t *cap, size_t n, size_t size)
{
    size_t more = 2 * *cap > n ? 2 * *cap : n + 256;

    if (v && n <= *cap)
        return v;
    void *p = more <= SIZE_MAX / size ? realloc(v, more * size) : NULL;
    if (!p)
        free(v);
    *cap = p ? more : 0;
    return p;
}

/* Makes room for `more` elements; false when there is no memory. */
#define RESERVE(a, more)                                                                           \
    (((a).v = with_room((a).v, &(a).cap, (a).n + (more), sizeof *(a).v)) != NULL)

/* ---- Documents ---- */

static bool is_byte_character(int32_t c)
{
    return (c >= '!' && c <= '~') || (c >= 0xA1 && c != 0xAD);
}

static int prepare(struct bpe_train *t, struct err *e)
{
    struct pretokenize_step split = {
        .kind = PRETOKENIZE_BYTES,
        .add_prefix_space = t->spec.prefix_space,
        .use_regex = true,
    };
    int16_t n = 0;

    for (int32_t c = 0; c < CHARACTERS; c++)
        t->index[c] = is_byte_character(c) ? n++ : NONE;
    int rc = pretokenizer_add(&t->pretokenizer, split, e);
    if (!rc && t->spec.lowercase)
        rc = normalizer_add(&t->normalizer, NORMALIZE_LOWER, e);
    return rc;
}

int bpe_train_open(struct bpe_train **out, const struct bpe_train_spec *spec, struct err *e)
{
    if (spec->vocab_size < BPE_TRAIN_MIN_VOCAB || spec->vocab_size > BPE_TRAIN_MAX_VOCAB)
        return err_set(e, ERR_USAGE, "a vocabulary has %d to %d tokens, not %zu",
                       BPE_TRAIN_MIN_VOCAB, BPE_TRAIN_MAX_VOCAB, spec->vocab_size);
    if (spec->min_frequency < 1)
        return err_set(e, ERR_USAGE, "a pair occurs at least once; the least frequency is 0");
    struct bpe_train *t = calloc(1, sizeof *t);
    if (!t)
        return err_set(e, ERR_NOMEM, "no memory to train a tokenizer");
    t->spec = *spec;
    arena_init(&t->mem, ARENA_NO_CAP);
    int rc = prepare(t, e);
    if (rc)
        bpe_train_close(t);
    else
        *out = t;
    return rc;
}

void bpe_train_close(struct bpe_train *t)
{
    if (!t)
        return;
    ints_release(&t->text);
    ints_release(&t->spare);
    words_release(&t->words);
    words_release(&t->spare_words);
    wordcount_release(&t->seen);
    arena_release(&t->mem);
    free(t->symbols);
    free(t->slot);
    free(t->pair.v);
    free(t->find.v);
    free(t->fresh.v);
    free(t->places.v);
    free(t->heap.v);
    free(t);
}

static int out_of_memory(const struct bpe_train *t, struct err *e)
{
    return err_set(e, ERR_NOMEM, "no memory to learn from %zu different words", t->seen.n);
}

/* Packs the words' characters into bytes where they stand: each is one of 256. */
static bool count_words(struct bpe_train *t)
{
    const struct ints *text = &t->words.text, *end = &t->words.end;
    unsigned char *packed = (unsigned char *)text->v;
    size_t at = 0;

    for (size_t i = 0; i < text->n; i++) {
        int32_t c = text->v[i];
        packed[i] = (unsigned char)t->index[c];
    }
    for (size_t w = 0; w < end->n; w++) {
        size_t stop = (size_t)end->v[w];
        if (!wordcount_add(&t->seen, packed + at, stop - at))
            return false;
        at = stop;
    }
    t->read += end->n;
    return true;
}

int bpe_train_add(struct bpe_train *t, const char *text, size_t len, struct err *e)
{
    if (len > TOKENIZER_MAX_TEXT)
        return err_set(e, ERR_DATA, "a document of more than %d MiB", TOKENIZER_MAX_TEXT >> 20);
    t->text.n = 0;
    int rc = unicode_decode(text, len, &t->text, e);
    if (!rc)
        rc = normalize(&t->normalizer, &t->text, &t->spare, e);
    if (!rc)
        rc = pretokenize(&t->pretokenizer, t->text.v, t->text.n, &t->words, &t->spare_words, e);
    if (!rc && !count_words(t))
        rc = out_of_memory(t, e);
    return rc;
}

/* ---- Tokens ---- */

/* Makes a token, which has no id yet: what one covers, whatever is around it, was merged by the
 * same steps wherever it occurs, so that no text becomes a token in two ways. A negative id: no
 * memory. */
static int32_t add_token(struct bpe_train *t, const char *left, const char *right)
{
    t->token[t->n_tokens] = arena_printf(&t->mem, "%s%s", left, right);
    return t->token[t->n_tokens] ? (int32_t)t->n_tokens++ : NONE;
}

static int first_tokens(struct bpe_train *t, struct err *e)
{
    t->token = arena_calloc(&t->mem, t->spec.vocab_size, sizeof *t->token);
    t->merge = arena_calloc(&t->mem, t->spec.vocab_size, sizeof *t->merge);
    if (!t->token || !t->merge)
        return out_of_memory(t, e);
    for (int i = 0; i < BPE_TRAIN_SPECIALS; i++)
        if (add_token(t, bpe_train_special[i], "") < 0)
            return out_of_memory(t, e);
    for (int32_t c = 0; c < CHARACTERS; c++) {
        char utf8[5] = "";
        if (t->index[c] == NONE)
            continue;
        unicode_encode(c, utf8);
        if (add_token(t, utf8, "") < 0)
            return out_of_memory(t, e);
    }
    return 0;
}

static int split_words(struct bpe_train *t, struct err *e)
{
    size_t n = t->seen.n_bytes;

    t->symbols = malloc((n + 1) * sizeof *t->symbols);
    t->word = arena_calloc(&t->mem, t->seen.n + 1, sizeof *t->word);
    if (!t->symbols || !t->word)
        return out_of_memory(t, e);
    for (size_t i = 0; i < n; i++)
        t->symbols[i] = BPE_TRAIN_SPECIALS + t->seen.bytes[i];
    for (size_t w = 0; w < t->seen.n; w++)
        t->word[w] = (struct word){t->symbols + t->seen.word[w].at, t->seen.word[w].len};
    return 0;
}

/* ---- Pairs ---- */

static size_t pair_slot(const struct bpe_train *t, int32_t left, int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    size_t i = (size_t)(key * 0x9E3779B97F4A7C15u >> 32) & (t->slots - 1); /* Fibonacci hashing */

    for (; t->slot[i]; i = (i + 1) & (t->slots - 1)) {
        const struct pair *p = &t->pair.v[t->slot[i] - 1];
        if (p->left == left && p->right == right)
            break;
    }
    return i;
}

static bool grow_pairs(struct bpe_train *t)
{
    size_t slots = t->slots ? 2 * t->slots : 1 << 16;
    uint32_t *slot = calloc(slots, sizeof *slot);

    if (!slot)
        return false;
    free(t->slot);
    t->slot = slot;
    t->slots = slots;
    for (size_t i = 0; i < t->pair.n; i++)
        slot[pair_slot(t, t->pair.v[i].left, t->pair.v[i].right)] = (uint32_t)i + 1;
    return true;
}

/* The number of a pair, which is added when it is new; false when there is no memory. */
static bool pair_number(struct bpe_train *t, int32_t left, int32_t right, uint32_t *out)
{
    if (2 * t->pair.n >= t->slots && !grow_pairs(t))
        return false;
    size_t i = pair_slot(t, left, right);
    if (t->slot[i] == 0) {
        if (t->pair.n >= UINT32_MAX - 1 || !RESERVE(t->pair, 1))
            return false;
        t->pair.v[t->pair.n++] = (struct pair){.left = left, .right = right};
        t->slot[i] = (uint32_t)t->pair.n;
    }
    *out = t->slot[i] - 1;
    return true;
}

/* A pair of a word is there once more (sign 1), which is noted, or once less (-1). */
static bool count_pair(struct bpe_train *t, uint32_t word, int32_t left, int32_t right, int sign)
{
    uint32_t k;

    if (!pair_number(t, left, right, &k))
        return false;
    struct pair *p = &t->pair.v[k];
    p->count += sign * (int64_t)t->seen.word[word].count;
    if (sign < 0 || p->visit == t->visits)
        return true;
    p->visit = t->visits;
    if (!RESERVE(t->find, 1) || !RESERVE(t->fresh, 1))
        return false;
    if (p->places++ == 0)
        t->fresh.v[t->fresh.n++] = k;
    t->find.v[t->find.n++] = (struct find){k, word};
    return true;
}

/* ---- The heap: the job to do next is the first ---- */

static bool goes_before(const struct bpe_train *t, const struct job *a, const struct job *b)
{
    if (a->count != b->count)
        return a->count > b->count;
    const struct pair *p = &t->pair.v[a->pair], *q = &t->pair.v[b->pair];
    return p->left != q->left ? p->left < q->left : p->right < q->right;
}

static void sift_up(struct bpe_train *t, size_t i)
{
    struct job *heap = t->heap.v, job = heap[i];

    for (size_t up; i > 0 && goes_before(t, &job, &heap[up = (i - 1) / 2]); i = up)
        heap[i] = heap[up];
    heap[i] = job;
}

static void sift_down(struct bpe_train *t, size_t i)
{
    struct job *heap = t->heap.v, job = heap[i];

    for (size_t down; (down = 2 * i + 1) < t->heap.n; i = down) {
        if (down + 1 < t->heap.n && goes_before(t, &heap[down + 1], &heap[down]))
            down++;
        if (!goes_before(t, &heap[down], &job))
            break;
        heap[i] = heap[down];
    }
    heap[i] = job;
}

/* Makes jobs of what count_pair has noted. No pair is found again later: each new one has the token
 * that has just been made. */
static bool flush(struct bpe_train *t)
{
    if (!RESERVE(t->places, t->find.n) || !RESERVE(t->heap, t->fresh.n))
        return false;
    for (size_t i = 0; i < t->fresh.n; i++) {
        struct pair *p = &t->pair.v[t->fresh.v[i]];
        p->at = t->places.n;
        t->places.n += p->places;
        p->places = 0;
    }
    for (size_t i = 0; i < t->find.n; i++) {
        struct pair *p = &t->pair.v[t->find.v[i].pair];
        t->places.v[p->at + p->places++] = t->find.v[i].word;
    }
    for (size_t i = 0; i < t->fresh.n; i++) {
        struct pair *p = &t->pair.v[t->fresh.v[i]];
        if (p->count > 0) {
            t->heap.v[t->heap.n++] = (struct job){p->count, t->fresh.v[i], p->places, p->at};
            sift_up(t, t->heap.n - 1);
        }
        p->places = 0;
    }
    t->find.n = t->fresh.n = 0;
    return true;
}

static bool find_pairs(struct bpe_train *t)
{
    for (size_t w = 0; w < t->seen.n; w++) {
        const struct word *x = &t->word[w];
        t->visits++;
        for (uint32_t i = 1; i < x->n; i++)
            if (!count_pair(t, (uint32_t)w, x->symbol[i - 1], x->symbol[i], 1))
                return false;
    }
    return flush(t);
}

/* ---- Merging ---- */

/* Replaces a pair by `id` wherever a word has it, from left to right. The pair's own count stays:
 * it is that of the merge. */
static bool merge_in_word(struct bpe_train *t, uint32_t word, struct pair pair, int32_t id)
{
    struct word *x = &t->word[word];
    int32_t *s = x->symbol, a = pair.left, b = pair.right;
    uint32_t to = 0;
    bool ok = true;

    t->visits++;
    for (uint32_t from = 0; ok && from < x->n;) {
        if (s[from] != a || from + 1 == x->n || s[from + 1] != b) {
            s[to++] = s[from++];
            continue;
        }
        from += 2;
        if (to > 0)
            ok = count_pair(t, word, s[to - 1], a, -1) && count_pair(t, word, s[to - 1], id, 1);
        if (ok && from < x->n)
            ok = count_pair(t, word, b, s[from], -1) && count_pair(t, word, id, s[from], 1);
        s[to++] = id;
    }
    x->n = to;
    return ok;
}

static bool do_job(struct bpe_train *t, const struct job *job)
{
    struct pair pair = t->pair.v[job->pair];
    int32_t id = add_token(t, t->token[pair.left], t->token[pair.right]);

    if (id < 0)
        return false;
    t->merge[t->n_merges][0] = pair.left;
    t->merge[t->n_merges++][1] = pair.right;
    for (uint32_t i = 0; i < job->n; i++)
        if (!merge_in_word(t, t->places.v[job->at + i], pair, id))
            return false;
    return flush(t);
}

static bool do_jobs(struct bpe_train *t)
{
    while (t->n_tokens < t->spec.vocab_size && t->heap.n > 0) {
        struct job job = t->heap.v[0];
        int64_t count = t->pair.v[job.pair].count;
        if (job.count != count) {
            t->heap.v[0].count = count;
            sift_down(t, 0);
            continue;
        }
        if (count < 1 || (uint64_t)count < t->spec.min_frequency)
            break;
        t->heap.v[0] = t->heap.v[--t->heap.n];
        if (t->heap.n > 0)
            sift_down(t, 0);
        if (!do_job(t, &job))
            return false;
    }
    return true;
}

int bpe_train_run(struct bpe_train *t, struct bpe_trained *out, struct err *e)
{
    int rc = first_tokens(t, e);

    if (!rc)
        rc = split_words(t, e);
    if (rc)
        return rc;
    if (!find_pairs(t) || !do_jobs(t))
        return out_of_memory(t, e);
    *out = (struct bpe_trained){
        .token = t->token,
        .n_tokens = t->n_tokens,
        .merge = (const int32_t(*)[2])t->merge,
        .n_merges = t->n_merges,
        .words = t->read,
        .different_words = t->seen.n,
    };
    return 0;
}
