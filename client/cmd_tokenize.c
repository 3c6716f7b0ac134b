#include "client/cmd.h"
#include "text/tokenizer.h"
#include <stdio.h>

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

static int print_text(void *ctx, const char *a, size_t a_len, const char *b, size_t b_len,
                      struct err *e)
{
    struct printer *p = ctx;
    int rc = tokenizer_encode(p->tokenizer, a, a_len, b, b_len, p->max_length, &p->enc, e);
    if (rc)
        return rc;
    if (p->tokens)
        return print_tokens(p, e);
    print_ids(&p->enc);
    return 0;
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
    rc = cmd_each_text(print_text, &p, e);
    encoding_release(&p.enc);
    tokenizer_close(tokenizer);
    return rc;
}
