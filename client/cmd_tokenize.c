#include "client/cmd.h"
#include "text/tokenizer.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct printer {
    const struct tokenizer *tokenizer;
    size_t max_length;
    bool tokens;
    struct encoding enc;
};

static void print_ids(const struct encoding *enc)
{
    putchar('[');
    for (size_t i = 0; i < enc->n; i++)
        printf(i ? ", %d" : "%d", (int)enc->id[i]);
    puts("]");
}

static int print_tokens(const struct printer *p, struct err *e)
{
    json_t *list = json_array();
    for (size_t i = 0; i < p->enc.n; i++) {
        const char *token = tokenizer_token(p->tokenizer, p->enc.id[i]);
        json_array_append_new(list, json_string(token ? token : ""));
    }
    return cmd_print_json(list, false, e);
}

/* One line: TEXT or TEXT<TAB>PAIR. */
static int print_line(struct printer *p, const char *line, size_t len, struct err *e)
{
    const char *tab = memchr(line, '\t', len);
    size_t a = tab ? (size_t)(tab - line) : len;
    int rc = tokenizer_encode(p->tokenizer, line, a, tab ? tab + 1 : NULL, tab ? len - a - 1 : 0,
                              p->max_length, &p->enc, e);
    if (rc)
        return rc;
    if (p->tokens)
        return print_tokens(p, e);
    print_ids(&p->enc);
    return 0;
}

static int print_all(struct printer *p, struct err *e)
{
    char *line = NULL;
    size_t cap = 0, number = 0;
    ssize_t len;
    int rc = 0;
    while (!rc && (len = getline(&line, &cap, stdin)) >= 0) {
        number++;
        if (len > 0 && line[len - 1] == '\n')
            len--;
        rc = print_line(p, line, (size_t)len, e);
        if (rc)
            err_wrap(e, "standard input:%zu", number);
    }
    free(line);
    if (!rc && (ferror(stdin) || fflush(stdout)))
        rc = err_sys(e, ERR_IO, errno, "standard input or output");
    return rc;
}

int cmd_tokenize(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    char *model = NULL;
    uint64_t max_length = INT32_MAX;
    struct printer p = {0};
    const struct cli_option options[] = {
        {"model", 'm', CLI_STRING, "DIR", "a Hugging Face model or tokenizer folder", &model},
        {"max-length", 'l', CLI_NUMBER, "N", "most tokens a line; default: all", &max_length},
        {"tokens", 0, CLI_FLAG, NULL, "print the tokens instead of their ids", &p.tokens},
        {0},
    };
    struct cli_args args;
    int rc = cli_parse(self, options, argc, argv, &args, e);
    if (rc || args.help)
        return rc;
    if ((rc = cli_words(&args, 0, e)) || (rc = cli_need(model, "model", e)))
        return rc;
    struct tokenizer *tokenizer;
    rc = tokenizer_open(&tokenizer, model, e);
    if (rc)
        return rc;
    p.tokenizer = tokenizer;
    p.max_length = (size_t)max_length;
    rc = print_all(&p, e);
    encoding_release(&p.enc);
    tokenizer_close(tokenizer);
    return rc;
}
