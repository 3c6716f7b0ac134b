#include "text/sequences.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The file: a head, then for each sequence a label and its tokens, all as they lie in memory: it
 * does not travel. */
struct head {
    char magic[16];
    struct hash identity;
    uint64_t documents, short_documents, sequences;
};
static const char magic[16] = "fedpet tokens 1";

struct label {
    uint32_t document; /* from 0, short ones not counted; beyond 2^32 numbers begin again */
    int32_t n;
};

/* --- writing --- */

struct writer {
    const char *path;
    char temp[PATH_MAX];
    FILE *f;
    struct head head;
    size_t room; /* tokens of a sequence besides the special ones */
    int32_t first, last;
    uint64_t tokens;
};

static int put(struct writer *w, const void *bytes, size_t len, struct err *e)
{
    return fwrite(bytes, 1, len, w->f) == len ? 0 : err_sys(e, ERR_IO, errno, "%s", w->temp);
}

static int put_sequence(struct writer *w, uint32_t document, const int32_t *id, size_t n,
                        struct err *e)
{
    struct label label = {document, (int32_t)n + 2};
    int rc = put(w, &label, sizeof label, e);
    if (!rc)
        rc = put(w, &w->first, sizeof w->first, e);
    if (!rc)
        rc = put(w, id, n * sizeof *id, e);
    if (!rc)
        rc = put(w, &w->last, sizeof w->last, e);
    w->head.sequences++;
    w->tokens += n + 2;
    return rc;
}

/* id: n tokens of a document, special ones left out. */
static int put_document(struct writer *w, const int32_t *id, size_t n, struct err *e)
{
    uint32_t document = (uint32_t)(w->head.documents - w->head.short_documents);
    w->head.documents++;
    if (n < SEQUENCES_MIN_TOKENS) {
        w->head.short_documents++;
        return 0;
    }
    size_t pieces = (n + w->room - 1) / w->room;
    int rc = 0;
    for (size_t k = 0; k < pieces && !rc; k++) {
        size_t begin = n * k / pieces, end = n * (k + 1) / pieces;
        rc = put_sequence(w, document, id + begin, end - begin, e);
    }
    return rc;
}

static int find_ends(struct writer *w, const struct tokenizer *t, struct encoding *enc,
                     struct err *e)
{
    int rc = tokenizer_encode(t, "", 0, NULL, 0, CORPUS_MAX_DOCUMENT, enc, e);
    if (rc)
        return rc;
    if (enc->n != 2)
        return err_set(
            e, ERR_MODEL,
            "the tokenizer puts %zu special tokens around a text: a language model needs "
            "one before and one after",
            enc->n);
    w->first = enc->id[0];
    w->last = enc->id[1];
    return 0;
}

static int put_corpus(struct writer *w, struct corpus *c, const struct tokenizer *t,
                      sequences_progress_fn progress, void *ctx, struct err *e)
{
    struct encoding enc = {0};
    bool more = true;
    int rc = find_ends(w, t, &enc, e);
    if (!rc)
        rc = put(w, &w->head, sizeof w->head, e);
    while (!rc && !(rc = corpus_next(c, &more, e)) && more) {
        /* A token is at least a byte. */
        rc = tokenizer_encode(t, c->text, c->len, NULL, 0, c->len + 2, &enc, e);
        if (!rc)
            rc = put_document(w, enc.id + 1, enc.n - 2, e);
        if (!rc && progress)
            progress(w->head.documents, w->tokens, ctx);
    }
    encoding_release(&enc);
    if (!rc && w->head.sequences == 0)
        rc = err_set(e, ERR_DATA, "%s: no document of %d tokens", c->spec.path[0],
                     SEQUENCES_MIN_TOKENS);
    return rc;
}

/* The head again, now with its counts. */
static int finish(struct writer *w, struct err *e)
{
    rewind(w->f);
    int rc = put(w, &w->head, sizeof w->head, e);
    if (!rc && (fflush(w->f) || fsync(fileno(w->f))))
        rc = err_sys(e, ERR_IO, errno, "%s", w->temp);
    return rc;
}

int sequences_write(const char *path, const struct corpus_spec *corpus, const struct tokenizer *t,
                    size_t length, const struct hash *identity, sequences_progress_fn progress,
                    void *ctx, struct err *e)
{
    struct writer w = {.path = path, .room = length - 2, .head = {.identity = *identity}};
    struct corpus c = {0};
    memcpy(w.head.magic, magic, sizeof magic);
    if (snprintf(w.temp, sizeof w.temp, "%s.tmp", path) >= (int)sizeof w.temp)
        return err_set(e, ERR_IO, "%.60s...: the path is too long", path);
    int rc = corpus_open(&c, corpus, e);
    if (rc)
        return rc;
    w.f = fopen(w.temp, "wbe");
    if (!w.f)
        rc = err_sys(e, ERR_IO, errno, "%s", w.temp);
    if (!rc)
        rc = put_corpus(&w, &c, t, progress, ctx, e);
    if (!rc)
        rc = finish(&w, e);
    if (w.f && fclose(w.f) && !rc)
        rc = err_sys(e, ERR_IO, errno, "%s", w.temp);
    if (!rc && rename(w.temp, path))
        rc = err_sys(e, ERR_IO, errno, "%s", path);
    if (rc)
        unlink(w.temp);
    corpus_close(&c);
    return rc;
}

/* --- reading --- */

bool sequences_exist(const char *path, const struct hash *identity)
{
    struct head head;
    FILE *f = fopen(path, "rbe");
    bool whole = f && fread(&head, sizeof head, 1, f) == 1;
    if (f)
        fclose(f);
    return whole && memcmp(head.magic, magic, sizeof magic) == 0 &&
           hash_same(&head.identity, identity);
}

/* Takes the next sequence of the map; false when it is none, or has ids from `vocab` on. */
static bool take(const struct sequences *s, size_t *at, int vocab, struct label *label,
                 struct sequence *out)
{
    if (s->map.len - *at < sizeof *label)
        return false;
    memcpy(label, s->map.bytes + *at, sizeof *label);
    *at += sizeof *label;
    if (label->n < 3 || (s->map.len - *at) / sizeof *out->id < (size_t)label->n)
        return false;
    *out = (struct sequence){(const int32_t *)(const void *)(s->map.bytes + *at), label->n};
    *at += (size_t)label->n * sizeof *out->id;
    for (int32_t i = 0; i < out->n; i++)
        if (out->id[i] < 0 || out->id[i] >= vocab)
            return false;
    return true;
}

/* Files what the map holds under train and held_out. */
static int index_all(struct sequences *s, uint64_t n, int vocab, uint32_t hold_out,
                     const char *path, struct err *e)
{
    size_t at = sizeof(struct head);
    for (uint64_t i = 0; i < n; i++) {
        struct label label;
        struct sequence found;
        if (!take(s, &at, vocab, &label, &found))
            return err_set(e, ERR_DATA, "%s: damaged: remove it", path);
        if (hold_out > 0 && label.document % hold_out == hold_out - 1) {
            s->held_out[s->n_held_out++] = found;
        } else {
            s->train[s->n_train++] = found;
            s->tokens += (uint64_t)label.n;
        }
    }
    return 0;
}

static int read_all(struct sequences *s, const char *path, int vocab, uint32_t hold_out,
                    struct err *e)
{
    struct head head;
    int rc = file_map_open(&s->map, path, e);
    if (rc)
        return rc;
    if (s->map.len < sizeof head)
        return err_set(e, ERR_DATA, "%s: damaged: remove it", path);
    memcpy(&head, s->map.bytes, sizeof head);
    s->documents = head.documents;
    s->short_documents = head.short_documents;
    if (head.sequences > s->map.len / sizeof(struct label) || head.sequences > UINT32_MAX)
        return err_set(e, ERR_DATA, "%s: damaged, or more than 2^32 sequences: remove it", path);
    s->train = calloc(head.sequences + 1, sizeof *s->train);
    s->held_out = calloc(head.sequences + 1, sizeof *s->held_out);
    if (!s->train || !s->held_out)
        return err_set(e, ERR_NOMEM, "no memory for an index of %llu sequences",
                       (unsigned long long)head.sequences);
    rc = index_all(s, head.sequences, vocab, hold_out, path, e);
    if (!rc && (s->n_train == 0 || (hold_out > 0 && s->n_held_out == 0)))
        rc = err_set(e, ERR_DATA,
                     "the corpus has %llu documents: too few to hold out one in %u, and train on "
                     "the others",
                     (unsigned long long)(head.documents - head.short_documents), hold_out);
    return rc;
}

int sequences_open(struct sequences *s, const char *path, int vocab, uint32_t hold_out,
                   struct err *e)
{
    struct sequences found = {0};
    int rc = read_all(&found, path, vocab, hold_out, e);
    if (rc) {
        sequences_close(&found);
        return rc;
    }
    *s = found;
    return 0;
}

void sequences_close(struct sequences *s)
{
    file_map_close(&s->map);
    free(s->train);
    free(s->held_out);
    *s = (struct sequences){0};
}
