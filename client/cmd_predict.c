#include "client/client_config.h"
#include "client/cmd.h"
#include "client/train.h"
#include "client/tuned.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 256 }; /* lines predicted together */

struct predictor {
    struct tuned tuned;
    struct trainer *trainer;
    bool json;
    struct encoding enc;
    /* The chunk under way, in the form that the evaluator takes. */
    struct dataset data;
    struct example example[CHUNK];
};

static void clear(struct predictor *p)
{
    arena_release(&p->data.mem);
    p->data = (struct dataset){
        .example = p->example, .head = p->tuned.info.head, .n_labels = p->tuned.info.n_labels};
    arena_init(&p->data.mem, ARENA_NO_CAP);
}

static int32_t *copy_ints(struct predictor *p, const int32_t *from, size_t n)
{
    int32_t *own = arena_alloc(&p->data.mem, n * sizeof *own);
    if (own && n)
        memcpy(own, from, n * sizeof *own);
    return own;
}

/* Adds what has been encoded. sentence: its words, or NULL. */
static int add_encoded(struct predictor *p, const struct sentence *sentence, struct err *e)
{
    const struct encoding *enc = &p->enc;
    struct example x = {.id = copy_ints(p, enc->id, enc->n),
                        .type = copy_ints(p, enc->type, enc->n),
                        .word = copy_ints(p, enc->word, enc->n),
                        .n_tokens = (int32_t)enc->n,
                        .sentence = sentence};
    if (!x.id || !x.type || !x.word)
        return err_set(e, ERR_NOMEM, "out of memory for %zu tokens", enc->n);
    p->example[p->data.n++] = x;
    return 0;
}

/* A text to tag: words between blanks. */
static int add_words(struct predictor *p, const char *text, size_t len, struct err *e)
{
    static const char blanks[] = " \t\r\n\f\v";
    struct arena *mem = &p->data.mem;
    char *copy = arena_strndup(mem, text, len), *at = copy;
    const char **word = arena_calloc(mem, len / 2 + 1, sizeof *word);
    int32_t *tag = arena_calloc(mem, len / 2 + 1, sizeof *tag), n = 0;
    struct sentence *s = arena_alloc(mem, sizeof *s);
    if (!copy || !word || !tag || !s)
        return err_set(e, ERR_NOMEM, "out of memory for a text of %zu bytes", len);
    while (*(at += strspn(at, blanks))) {
        word[n++] = at;
        at += strcspn(at, blanks);
        if (*at)
            *at++ = 0;
    }
    *s = (struct sentence){.word = word, .tag = tag, .n = n};
    int rc = tokenizer_encode_words(p->tuned.backbone.tokenizer, word, (size_t)n,
                                    p->tuned.max_length, &p->enc, e);
    return rc ? rc : add_encoded(p, s, e);
}

/* pair: NULL for a single text. */
static int add(struct predictor *p, const char *text, size_t text_len, const char *pair,
               size_t pair_len, struct err *e)
{
    const struct tuned *t = &p->tuned;
    if (t->info.head == HEAD_TOKENS && pair)
        return err_set(e, ERR_USAGE, "the adapter tags the words of one text: give no second");
    if (t->info.head == HEAD_TOKENS)
        return add_words(p, text, text_len, e);
    int rc = tokenizer_encode(t->backbone.tokenizer, text, text_len, pair, pair_len, t->max_length,
                              &p->enc, e);
    return rc ? rc : add_encoded(p, NULL, e);
}

static uint32_t softmax(const float *logit, uint32_t n, double *probability)
{
    uint32_t best = 0;
    double sum = 0;
    for (uint32_t c = 1; c < n; c++)
        best = logit[c] > logit[best] ? c : best;
    for (uint32_t c = 0; c < n; c++)
        sum += probability[c] = exp((double)logit[c] - logit[best]);
    for (uint32_t c = 0; c < n; c++)
        probability[c] /= sum;
    return best;
}

static int print_class(const struct predictor *p, const float *logit, double *probability,
                       struct err *e)
{
    const struct tuned *t = &p->tuned;
    uint32_t n = t->info.n_labels, best = softmax(logit, n, probability);
    char number[16];
    if (!p->json) {
        printf("%s\t%.4f\n", tuned_label(t, best, number), probability[best]);
        return 0;
    }
    json_t *all = json_object(), *logits = json_array();
    for (uint32_t c = 0; c < n; c++) {
        json_object_set_new(all, tuned_label(t, c, number), json_real(probability[c]));
        json_array_append_new(logits, json_real((double)logit[c]));
    }
    return cmd_print_json(json_pack("{s:s, s:f, s:o, s:o}", "label", tuned_label(t, best, number),
                                    "probability", probability[best], "probabilities", all,
                                    "logits", logits),
                          false, e);
}

static int print_value(const struct predictor *p, float value, struct err *e)
{
    if (p->json)
        return cmd_print_json(
            json_pack("{s:f, s:[f]}", "value", (double)value, "logits", (double)value), false, e);
    printf("%.6g\n", (double)value);
    return 0;
}

/* The tag of each word: of its first token's logits; NULL where that was cut off. */
static int print_tags(const struct predictor *p, const struct example *x, const float *logits,
                      double *probability, struct err *e)
{
    const struct tuned *t = &p->tuned;
    const struct sentence *s = x->sentence;
    json_t *tokens = json_array(), *tags = json_array(), *chances = json_array();
    int32_t token = 0;
    for (int32_t w = 0; w < s->n; w++) {
        char number[16];
        while (token < x->n_tokens && x->word[token] < w)
            token++;
        bool seen = token < x->n_tokens && x->word[token] == w;
        uint32_t n = t->info.n_labels,
                 best = seen ? softmax(logits + (size_t)token * n, n, probability) : 0;
        const char *tag = seen ? tuned_label(t, best, number) : NULL;
        if (!p->json)
            printf("%s\t%s\n", s->word[w], tag ? tag : "_");
        json_array_append_new(tokens, json_string(s->word[w]));
        json_array_append_new(tags, tag ? json_string(tag) : json_null());
        json_array_append_new(chances, seen ? json_real(probability[best]) : json_null());
    }
    json_t *row =
        json_pack("{s:o, s:o, s:o}", "tokens", tokens, "tags", tags, "probabilities", chances);
    if (p->json)
        return cmd_print_json(row, false, e);
    json_decref(row);
    putchar('\n');
    return 0;
}

static int print_all(const struct predictor *p, const float *logits, double *probability,
                     struct err *e)
{
    uint32_t n = p->tuned.info.n_labels;
    int rc = 0;
    for (size_t i = 0; !rc && i < p->data.n; i++) {
        const struct example *x = &p->example[i];
        if (x->sentence)
            rc = print_tags(p, x, logits, probability, e);
        else
            rc = n == 1 ? print_value(p, logits[0], e) : print_class(p, logits, probability, e);
        logits += n * (x->sentence ? (size_t)x->n_tokens : 1);
    }
    return rc;
}

/* Predicts and prints what has been added. */
static int flush_chunk(struct predictor *p, struct err *e)
{
    const struct tuned *t = &p->tuned;
    uint32_t n = t->info.n_labels;
    if (p->data.n == 0)
        return 0;
    size_t rows = dataset_rows(&p->data, NULL, p->data.n);
    float *logits = arena_calloc(&p->data.mem, rows * n, sizeof *logits);
    double *probability = arena_calloc(&p->data.mem, n, sizeof *probability);
    if (!logits || !probability)
        return err_set(e, ERR_NOMEM, "out of memory for %zu logits", rows);
    int rc = trainer_eval(p->trainer,
                          &(struct eval_job){.peft = t->peft, .data = &p->data, .theta = t->theta},
                          NULL, NULL, logits, e);
    if (!rc)
        rc = print_all(p, logits, probability, e);
    clear(p);
    if (!rc && fflush(stdout))
        rc = err_sys(e, ERR_IO, errno, "standard output");
    return rc;
}

/* A person at a terminal gets each answer at once. */
static int predict_text(void *ctx, const char *a, size_t a_len, const char *b, size_t b_len,
                        struct err *e)
{
    struct predictor *p = ctx;
    int rc = add(p, a, a_len, b, b_len, e);
    return !rc && (p->data.n == CHUNK || isatty(STDIN_FILENO)) ? flush_chunk(p, e) : rc;
}

static int predict(struct predictor *p, const struct cli_args *args, uint64_t threads,
                   struct err *e)
{
    int rc = trainer_open(&p->trainer, client_threads(threads), NULL, e);
    if (rc)
        return rc;
    clear(p);
    if (args->n == 0) {
        rc = cmd_each_text(predict_text, p, e);
        return rc ? rc : flush_chunk(p, e);
    }
    const char *pair = args->n > 1 ? args->word[1] : NULL;
    rc = add(p, args->word[0], strlen(args->word[0]), pair, pair ? strlen(pair) : 0, e);
    return rc ? rc : flush_chunk(p, e);
}

int cmd_predict(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    char *model = NULL, *adapter = NULL;
    uint64_t threads = 0;
    bool json = false;
    const struct cli_option options[] = {
        {"model", 'm', CLI_STRING, "DIR", "the base model (Hugging Face)", &model},
        {"adapter", 'a', CLI_STRING, "DIR", "the adapter", &adapter},
        {"threads", 't', CLI_NUMBER, "N", "default: as many as there are cores", &threads},
        {"format", 0, CLI_FORMAT, "FORMAT", "text, or json: with all logits", &json},
        {0},
    };
    struct cli_args args;
    int rc = cli_parse(self, options, argc, argv, &args, e);
    if (rc || args.help)
        return rc;
    if ((rc = cli_words(&args, 2, e)) || (rc = cli_need(model, "model", e)) ||
        (rc = cli_need(adapter, "adapter", e)))
        return rc;
    struct predictor *p = calloc(1, sizeof *p);
    if (!p)
        return err_set(e, ERR_NOMEM, "out of memory");
    p->json = json;
    rc = tuned_open(&p->tuned, model, adapter, e);
    if (!rc) {
        rc = predict(p, &args, threads, e);
        arena_release(&p->data.mem);
        tuned_close(&p->tuned);
    }
    trainer_close(p->trainer);
    encoding_release(&p->enc);
    free(p);
    return rc;
}
