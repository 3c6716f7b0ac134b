/* Group text: what happens before the first step. Opening a model (its file is hashed: the ceiling
 * is a copy of as many bytes), and, of a tokenizer and a text that are given, opening and
 * encoding. */
#include "base/file.h"
#include "bench.h"
#include "measure.h"
#include "text/tokenizer.h"
#include "work.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_TEXT = 64 << 20 };

struct call {
    const char *dir;
    const struct tokenizer *tokenizer;
    const char *text;
    struct encoding encoding;
    uint64_t tokens, bytes;
    struct err *e;
    int rc;
};

static void open_model(void *ctx)
{
    struct call *c = ctx;
    struct model *m;
    if (c->rc || (c->rc = model_open(&m, c->dir, c->e)))
        return;
    c->bytes = m->file.map.len;
    model_close(m);
}

static void open_tokenizer(void *ctx)
{
    struct call *c = ctx;
    struct tokenizer *t;
    if (!c->rc && !(c->rc = tokenizer_open(&t, c->dir, c->e)))
        tokenizer_close(t);
}

/* Every line for itself. */
static void encode(void *ctx)
{
    struct call *c = ctx;
    c->tokens = 0;
    for (const char *line = c->text, *end; !c->rc && *line; line = end + (*end == '\n')) {
        end = line + strcspn(line, "\n");
        c->rc = tokenizer_encode(c->tokenizer, line, (size_t)(end - line), NULL, 0, WORK_MAX_LENGTH,
                                 &c->encoding, c->e);
        c->tokens += c->encoding.n;
    }
}

static int report_model(const struct bench *b, struct err *e)
{
    struct call c = {.dir = b->dir, .e = e};
    int rc = work_make("minilm", "pairs", STORED_REAL, b->dir, e);
    if (rc)
        return rc;
    double seconds = measure_least(open_model, &c);
    if (!c.rc)
        bench_print(b, &(struct bench_row){.group = "text",
                                           .name = "open a model",
                                           .shape = "minilm",
                                           .seconds = seconds,
                                           .work = (double)c.bytes,
                                           .unit = BENCH_BYTES,
                                           .ceiling = measure_copy((double)c.bytes)});
    return c.rc;
}

static void report_tokenizer(const struct bench *b, struct call *c)
{
    double opening = measure_least(open_tokenizer, c), encoding = measure_least(encode, c);
    if (c->rc)
        return;
    bench_print(b, &(struct bench_row){.group = "text",
                                       .name = "open a tokenizer",
                                       .shape = "tokens known",
                                       .seconds = opening,
                                       .work = (double)tokenizer_vocab_size(c->tokenizer),
                                       .unit = BENCH_TOKENS});
    bench_print(b, &(struct bench_row){.group = "text",
                                       .name = "encode lines",
                                       .shape = "tokens made",
                                       .seconds = encoding,
                                       .work = (double)c->tokens,
                                       .unit = BENCH_TOKENS});
}

static int run(const struct bench *b, struct err *e)
{
    struct call c = {.dir = b->tokenizer, .e = e};
    struct tokenizer *t = NULL;
    char *text = NULL;
    int rc = report_model(b, e);
    if (rc || !b->tokenizer || !b->text)
        return rc;
    rc = tokenizer_open(&t, b->tokenizer, e);
    if (!rc)
        rc = file_read(b->text, MOST_TEXT, &text, NULL, e);
    if (!rc) {
        c.tokenizer = t;
        c.text = text;
        report_tokenizer(b, &c);
        rc = c.rc;
    }
    encoding_release(&c.encoding);
    tokenizer_close(t);
    free(text);
    return rc;
}

const struct bench_group bench_text = {
    .name = "text", .what = "models and tokenizers, opened and used", .run = run};
