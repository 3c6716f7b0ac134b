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
    float *logits; /* CHUNK * n_labels */
};

static void clear(struct predictor *p)
{
    arena_release(&p->data.mem);
    p->data = (struct dataset){.example = p->example, .n_labels = p->tuned.info.n_labels};
    arena_init(&p->data.mem, ARENA_NO_CAP);
}

/* pair: NULL for a single text. */
static int add(struct predictor *p, const char *text, size_t text_len, const char *pair,
               size_t pair_len, struct err *e)
{
    const struct tuned *t = &p->tuned;
    int rc = tokenizer_encode(t->backbone.tokenizer, text, text_len, pair, pair_len, t->max_length,
                              &p->enc, e);
    if (rc)
        return rc;
    size_t bytes = p->enc.n * sizeof(int32_t);
    int32_t *id = arena_alloc(&p->data.mem, bytes), *type = arena_alloc(&p->data.mem, bytes);
    if (!id || !type)
        return err_set(e, ERR_NOMEM, "out of memory for %zu tokens", p->enc.n);
    memcpy(id, p->enc.id, bytes);
    memcpy(type, p->enc.type, bytes);
    p->example[p->data.n++] =
        (struct example){.id = id, .type = type, .n_tokens = (int32_t)p->enc.n};
    return 0;
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

/* Predicts and prints what has been added. */
static int flush_chunk(struct predictor *p, struct err *e)
{
    const struct tuned *t = &p->tuned;
    uint32_t n = t->info.n_labels;
    if (p->data.n == 0)
        return 0;
    int rc =
        trainer_eval(p->trainer, t->peft, &p->data, NULL, 0, t->theta, NULL, NULL, p->logits, e);
    double *probability = arena_calloc(&p->data.mem, n, sizeof *probability);
    if (!rc && !probability)
        rc = err_set(e, ERR_NOMEM, "out of memory");
    for (size_t i = 0; !rc && i < p->data.n; i++)
        rc = n == 1 ? print_value(p, p->logits[i], e)
                    : print_class(p, p->logits + i * n, probability, e);
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
    p->logits = malloc((size_t)CHUNK * p->tuned.info.n_labels * sizeof *p->logits);
    if (!p->logits)
        return err_set(e, ERR_NOMEM, "out of memory for logits");
    int rc = trainer_open(&p->trainer, client_threads(threads), 0, e);
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
        {"adapter", 'a', CLI_STRING, "DIR", "the adapter (Hugging Face PEFT)", &adapter},
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
    free(p->logits);
    free(p);
    return rc;
}
