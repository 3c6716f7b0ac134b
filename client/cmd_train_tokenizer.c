#include "client/cmd.h"
#include "text/bpe_train.h"
#include "text/corpus.h"
#include <stdio.h>
#include <stdlib.h>

struct request {
    struct bpe_train_spec train;
    struct corpus_spec corpus;
    uint64_t max_length;
    char *out;
};

static int read_all(struct bpe_train *t, const struct corpus_spec *spec, struct err *e)
{
    struct corpus c;
    bool more = true;
    int rc = corpus_open(&c, spec, e);

    if (rc)
        return rc;
    while (!rc && more) {
        rc = corpus_next(&c, &more, e);
        if (rc || !more)
            break;
        rc = bpe_train_add(t, c.text, c.len, e);
        if (rc)
            rc = err_wrap(e, "%s:%zu", c.lines.path, c.line);
    }
    corpus_close(&c);
    return rc;
}

static int train(const struct request *r, struct err *e)
{
    struct bpe_train *t;
    struct bpe_trained result;
    int rc = bpe_train_open(&t, &r->train, e);

    if (rc)
        return rc;
    rc = read_all(t, &r->corpus, e);
    if (!rc)
        rc = bpe_train_run(t, &result, e);
    if (!rc)
        rc = bpe_train_write(&r->train, &result, (size_t)r->max_length, r->out, e);
    if (!rc)
        printf("%s: %zu tokens, %zu merges; from %llu words, %zu of them different\n", r->out,
               result.n_tokens, result.n_merges, (unsigned long long)result.words,
               result.different_words);
    if (!rc && result.n_tokens < r->train.vocab_size)
        fprintf(stderr,
                "no other pair occurs %llu times: give more text, or a smaller --min-frequency\n",
                (unsigned long long)r->train.min_frequency);
    bpe_train_close(t);
    return rc;
}

/* The files are those of --data and the arguments, as `--data *.txt` gives them. */
static int run(struct request *r, const struct cli_list *data, const struct cli_args *args,
               struct err *e)
{
    const char **path = calloc(data->n + (size_t)args->n + 1, sizeof *path);

    if (!path)
        return err_set(e, ERR_NOMEM, "no memory for a list of files");
    for (size_t i = 0; i < data->n; i++)
        path[r->corpus.n++] = data->item[i];
    for (int i = 0; i < args->n; i++)
        path[r->corpus.n++] = args->word[i];
    r->corpus.path = path;
    int rc = train(r, e);
    free(path);
    return rc;
}

static int check(struct request *r, uint64_t vocab_size, const char *unit, struct err *e)
{
    if (vocab_size > BPE_TRAIN_MAX_VOCAB)
        return err_set(e, ERR_USAGE, "--vocab-size: at most %d", BPE_TRAIN_MAX_VOCAB);
    if (r->max_length < 8 || r->max_length > 1 << 20)
        return err_set(e, ERR_USAGE, "--max-length: 8 to %d", 1 << 20);
    r->train.vocab_size = (size_t)vocab_size;
    return unit ? corpus_unit_named(unit, &r->corpus.unit, e) : 0;
}

int cmd_train_tokenizer(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    uint64_t vocab_size = 8192;
    char *unit = NULL, *field = NULL;
    struct cli_list data = {0};
    struct request r = {.train.min_frequency = 2, .max_length = 512};
    const struct cli_option options[] = {
        {"data", 'd', CLI_LIST, "FILE", "text or JSONL, also compressed; one or more", &data},
        {"out", 'o', CLI_STRING, "DIR", "where the files go (required)", &r.out},
        {"vocab-size", 'v', CLI_NUMBER, "N", "most tokens, special ones included; default 8192",
         &vocab_size},
        {"min-frequency", 0, CLI_NUMBER, "N", "merge pairs that occur so often; default 2",
         &r.train.min_frequency},
        {"lowercase", 0, CLI_FLAG, NULL, "lower-case every text first", &r.train.lowercase},
        {"prefix-space", 0, CLI_FLAG, NULL, "a space before each text, for tagged words",
         &r.train.prefix_space},
        {"document", 0, CLI_STRING, "UNIT", "of text: paragraph (default) or line", &unit},
        {"field", 0, CLI_STRING, "NAME", "of JSONL: the text; default text", &field},
        {"max-length", 0, CLI_NUMBER, "N", "model_max_length of the tokenizer; default 512",
         &r.max_length},
        {0},
    };
    struct cli_args args;
    int rc = cli_parse(self, options, argc, argv, &args, e);
    if (rc || args.help)
        return rc;
    r.corpus.field = field;
    if ((rc = cli_need(r.out, "out", e)) || (rc = check(&r, vocab_size, unit, e)))
        return rc;
    return run(&r, &data, &args, e);
}
