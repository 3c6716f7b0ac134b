#include "base/conf.h"
#include "base/file.h"
#include "base/log.h"
#include "client/backbone.h"
#include "client/client_config.h"
#include "client/cmd.h"
#include "client/pretrain.h"
#include "client/pretrain_work.h"
#include "client/progress.h"
#include "model/jsonfile.h"
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* --- settings -------------------------------------------------------------------------------- */

struct settings {
    uint64_t seed;
    struct peft_spec peft;
    struct local_spec local;
};
static const cyaml_schema_field_t fields[] = {
    CYAML_FIELD_UINT("seed", CYAML_FLAG_OPTIONAL, struct settings, seed),
    CYAML_FIELD_MAPPING("peft", CYAML_FLAG_OPTIONAL, struct settings, peft, conf_peft_fields),
    CYAML_FIELD_MAPPING("local", CYAML_FLAG_OPTIONAL, struct settings, local, conf_local_fields),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct settings, fields),
};
static const struct conf_type settings_conf = {
    .schema = &schema,
    .defaults = "seed: 42\n"
                "peft: {method: full, norms: false,\n"
                "       r: 8, alpha: 8, dropout: 0, rslora: false, targets: [query, value],\n"
                "       bottleneck: 16, placement: opendelta, activation: default, scaling: 1,\n"
                "       length: 16, hidden: 0, shift: true, biases: all}\n"
                "local: {epochs: 1, steps: 0, batch_size: 64, accumulate: 1, max_length: 128,\n"
                "        optimizer: adamw, schedule: linear, lr: 0.0005, weight_decay: 0.01,\n"
                "        beta1: 0.9, beta2: 0.98, eps: 1e-6, warmup: 0.06, max_grad_norm: 1,\n"
                "        model_dropout: -1, proximal: 0, decay_over_run: false,\n"
                "        carry_optimizer: false}\n",
    .range = conf_run_ranges,
};

struct request {
    char *model, *config, *tokenizer, *out, *unit, *field, *dtype;
    struct cli_list data, set;
    struct corpus_spec corpus;
    uint64_t hold_out, evaluate_every, checkpoint_every, threads, memory_limit;
    struct memory memory;
    enum dtype weights;
    bool json;
};

static int check(struct request *r, struct err *e)
{
    int rc = cli_need(r->out, "out", e);
    if (!rc && !r->model == !r->config)
        rc = err_set(e, ERR_USAGE, "give either --model DIR or --config CONFIG.json");
    if (!rc && !r->config != !r->tokenizer)
        rc = err_set(e, ERR_USAGE,
                     "--tokenizer DIR goes with --config: a model has a tokenizer of its own");
    if (!rc && r->hold_out == 1)
        rc = err_set(e, ERR_USAGE, "--hold-out 1 leaves nothing to train on: use 2 or more, or 0");
    if (!rc && (r->hold_out > UINT32_MAX || r->evaluate_every > UINT32_MAX))
        rc = err_set(e, ERR_USAGE, "--hold-out, --evaluate-every: at most %u", UINT32_MAX);
    if (!rc && strcmp(r->dtype, "f16") != 0 && strcmp(r->dtype, "f32") != 0)
        rc = err_set(e, ERR_USAGE, "--dtype %s is unknown: use f32 or f16", r->dtype);
    r->weights = strcmp(r->dtype, "f16") == 0 ? DTYPE_F16 : DTYPE_F32;
    r->corpus.field = r->field;
    return rc || !r->unit ? rc : corpus_unit_named(r->unit, &r->corpus.unit, e);
}

/* --- what a pretraining consists of ---------------------------------------------------------- */

struct pretraining {
    const struct request *request;
    struct conf *conf;
    const struct settings *settings;
    struct pretrain_work work;
    struct backbone base;
    struct sequences text;
    struct masking masking;
    struct peft *peft;
    struct trainer *trainer;
    float *theta;
    json_t *identity; /* of the checkpoint */
    struct progress progress;
};

static void show_tokens(uint64_t documents, uint64_t tokens, void *ctx)
{
    enum { EVERY = 4096 };
    struct pretraining *p = ctx;
    if (p->progress.terminal && documents % EVERY == 0)
        fprintf(stderr, "\r\033[K%llu documents, %llu tokens", (unsigned long long)documents,
                (unsigned long long)tokens);
}

static int open_base(struct pretraining *p, struct err *e)
{
    const struct request *r = p->request;
    int rc = 0;
    if (r->config)
        rc = pretrain_work_create(&p->work, r->config, r->tokenizer, p->settings->seed, e);
    return rc ? rc : backbone_open(&p->base, r->model ? r->model : p->work.start, e);
}

static int open_text(struct pretraining *p, struct hash *identity, struct err *e)
{
    const struct request *r = p->request;
    const struct local_spec *local = &p->settings->local;
    p->progress = progress_begin();
    int rc = pretrain_work_tokenise(&p->work, &r->corpus, p->base.tokenizer, p->base.model->dir,
                                    local->max_length, show_tokens, p, identity, e);
    progress_clear(&p->progress);
    if (!rc)
        rc = sequences_open(&p->text, p->work.tokens, p->base.model->cfg.vocab,
                            (uint32_t)r->hold_out, e);
    if (!rc)
        rc = masking_open(&p->masking, p->base.tokenizer, e);
    if (!rc)
        log_info("%llu documents (%llu too short): %zu sequences of %llu tokens to train on, %zu "
                 "held out",
                 (unsigned long long)p->text.documents, (unsigned long long)p->text.short_documents,
                 p->text.n_train, (unsigned long long)p->text.tokens, p->text.n_held_out);
    return rc;
}

/* Everything that the result depends on, but for the number of threads, which it does not. */
static json_t *identify(const struct pretraining *p, const struct hash *text,
                        const struct hash *config)
{
    const struct local_spec *l = &p->settings->local;
    char model_hex[HASH_HEX], text_hex[HASH_HEX], config_hex[HASH_HEX];
    hash_hex(&p->base.model->hash, model_hex);
    hash_hex(text, text_hex);
    hash_hex(config, config_hex);
    return json_pack(
        "{s:s, s:s, s:s, s:I, s:I, s:I, s:o, s:I, s:I, s:I, s:I, s:I, s:i, s:i, s:f, s:f, s:f, "
        "s:f, "
        "s:f, s:f, s:f, s:f}",
        "model", model_hex, "config.json", config_hex, "text, tokenizer or local.max_length",
        text_hex, "hold-out", (json_int_t)p->request->hold_out, "evaluate-every",
        (json_int_t)p->request->evaluate_every, "seed", (json_int_t)p->settings->seed, "peft",
        peft_settings(peft_method_find(p->settings->peft.method), &p->settings->peft),
        "local.epochs", (json_int_t)l->epochs, "local.steps", (json_int_t)l->steps,
        "local.batch_size", (json_int_t)l->batch_size, "local.accumulate",
        (json_int_t)l->accumulate, "local.max_length", (json_int_t)l->max_length, "local.optimizer",
        (int)l->optimizer, "local.schedule", (int)l->schedule, "local.lr", l->lr,
        "local.weight_decay", l->weight_decay, "local.beta1", l->beta1, "local.beta2", l->beta2,
        "local.eps", l->eps, "local.warmup", l->warmup, "local.max_grad_norm", l->max_grad_norm,
        "local.model_dropout", l->model_dropout);
}

static int hash_config(const struct pretraining *p, struct hash *out, struct err *e)
{
    char path[PATH_MAX];
    struct file_map m;
    int rc = file_join(path, sizeof path, p->base.model->dir, "config.json", e);
    if (!rc)
        rc = file_map_open(&m, path, e);
    if (rc)
        return rc;
    *out = file_map_hash(&m);
    file_map_close(&m);
    return 0;
}

static int open_training(struct pretraining *p, struct err *e)
{
    const struct request *r = p->request;
    const struct settings *s = p->settings;
    int rc = peft_open(&p->peft, p->base.model, &s->peft, &s->local, HEAD_MLM, 0, e);
    if (!rc && !peft_can_merge(p->peft))
        rc = err_set(e, ERR_CONFIG,
                     "peft.method %s: its result is no model of its own: use full, lora, bitfit or "
                     "layernorm",
                     s->peft.method);
    if (!rc)
        rc = trainer_open(&p->trainer, client_threads(r->threads), &r->memory, e);
    if (rc)
        return rc;
    size_t n = peft_schema(p->peft)->count;
    p->theta = malloc(n * sizeof *p->theta);
    if (!p->theta)
        return err_set(e, ERR_NOMEM, "no memory for %zu parameters", n);
    peft_init(p->peft, s->seed, p->theta);
    return 0;
}

static int pretraining_open(struct pretraining *p, struct err *e)
{
    const struct request *r = p->request;
    struct hash text, config;
    int rc = conf_load(&p->conf, &settings_conf, NULL, r->set.item, r->set.n, e);
    if (rc)
        return rc;
    p->settings = conf_data(p->conf);
    if (p->settings->local.max_length < 3 + SEQUENCES_MIN_TOKENS)
        return err_set(e, ERR_CONFIG, "local.max_length: at least %d to pretrain",
                       3 + SEQUENCES_MIN_TOKENS);
    rc = pretrain_work_open(&p->work, r->out, e);
    if (!rc)
        rc = open_base(p, e);
    if (!rc)
        rc = open_training(p, e);
    if (!rc)
        rc = open_text(p, &text, e);
    if (!rc)
        rc = hash_config(p, &config, e);
    if (!rc && !(p->identity = identify(p, &text, &config)))
        rc = err_set(e, ERR_NOMEM, "out of memory");
    return rc;
}

static void pretraining_close(struct pretraining *p)
{
    json_decref(p->identity);
    free(p->theta);
    trainer_close(p->trainer);
    peft_close(p->peft);
    masking_close(&p->masking);
    sequences_close(&p->text);
    backbone_close(&p->base);
    conf_free(p->conf);
}

/* --- training -------------------------------------------------------------------------------- */

static volatile sig_atomic_t interrupted;

static void on_signal(int signo)
{
    (void)signo;
    interrupted = 1;
}

/* The first signal ends the training after its step and a checkpoint, a second one at once. */
static void catch_signals(void)
{
    struct sigaction act = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND};
    sigemptyset(&act.sa_mask);
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
}

static void log_point(const struct pretrain_progress *s)
{
    double rate = s->seconds > 0 ? (double)s->tokens / s->seconds : 0;
    double left = (double)(s->steps - s->step) * s->seconds / (s->step - s->done_before);
    const struct pretrain_point *at = s->point;
    log_info("step %u of %u  loss %.4f  held-out loss %.4f  pseudo-perplexity %.2f  accuracy %.4f  "
             "%.0f tokens/s  %.0f s left",
             s->step, s->steps, at->train_loss, at->loss, exp(at->loss), at->accuracy, rate, left);
}

static bool on_step(const struct pretrain_progress *s, void *ctx)
{
    struct pretraining *p = ctx;
    progress_draw(&p->progress, s->step - s->done_before, s->steps - s->done_before,
                  "step %u of %u  loss %.4f  %.0f tokens/s", s->step, s->steps, s->loss,
                  (double)s->tokens / (s->seconds > 0 ? s->seconds : 1));
    if (s->point) {
        progress_clear(&p->progress);
        log_point(s);
    }
    return !interrupted;
}

static int train(struct pretraining *p, struct pretrain_result *result, struct err *e)
{
    const struct request *r = p->request;
    const struct pretrain_job job = {.peft = p->peft,
                                     .text = &p->text,
                                     .masking = &p->masking,
                                     .local = &p->settings->local,
                                     .seed = p->settings->seed,
                                     .evaluate_every = (uint32_t)r->evaluate_every,
                                     .checkpoint = p->work.checkpoint,
                                     .settings = p->identity,
                                     .checkpoint_every = (double)r->checkpoint_every,
                                     .progress = on_step,
                                     .ctx = p};
    p->progress = progress_begin();
    catch_signals();
    int rc = pretrain_run(p->trainer, &job, p->theta, result, e);
    progress_clear(&p->progress);
    return rc;
}

/* --- results --------------------------------------------------------------------------------- */

static json_t *points_json(const struct pretrain_result *r, bool held_out)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->n_points; i++) {
        const struct pretrain_point *at = &r->point[i];
        json_t *one = json_pack("{s:I, s:I, s:f}", "step", (json_int_t)at->step, "tokens",
                                (json_int_t)at->tokens, "train_loss", at->train_loss);
        if (held_out) {
            json_object_set_new(one, "loss", json_real(at->loss));
            json_object_set_new(one, "pseudo_perplexity", json_real(exp(at->loss)));
            json_object_set_new(one, "accuracy", json_real(at->accuracy));
        }
        json_array_append_new(list, one);
    }
    return list;
}

static json_t *summarise(const struct pretraining *p, const struct pretrain_result *r)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return json_pack("{s:s, s:O, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:f, s:f, s:I}", "model",
                     p->request->out, "settings", p->identity, "trainable_parameters",
                     (json_int_t)peft_schema(p->peft)->count, "documents",
                     (json_int_t)p->text.documents, "train_sequences", (json_int_t)p->text.n_train,
                     "train_sequences_tokens", (json_int_t)p->text.tokens, "held_out_sequences",
                     (json_int_t)p->text.n_held_out, "steps", (json_int_t)r->steps, "tokens",
                     (json_int_t)r->tokens, "evaluations", points_json(r, p->text.n_held_out > 0),
                     "train_seconds", r->seconds, "tokens_per_second",
                     r->seconds > 0 ? (double)r->call_tokens / r->seconds : 0.0, "peak_rss_bytes",
                     (json_int_t)usage.ru_maxrss * 1024);
}

static int report(const struct pretraining *p, const struct pretrain_result *r, struct err *e)
{
    const struct request *request = p->request;
    char path[PATH_MAX];
    json_t *summary = summarise(p, r);
    int rc = file_join(path, sizeof path, request->out, "pretraining.json", e);
    if (!rc)
        rc = jsonfile_write(summary, CMD_JSON_DIGITS, path, e);
    if (!rc && request->json)
        rc = cmd_print_json(json_incref(summary), true, e);
    else if (!rc && p->text.n_held_out > 0)
        printf("held-out loss %.4f  pseudo-perplexity %.2f  accuracy %.4f  %u steps  model in %s\n",
               r->point[r->n_points - 1].loss, exp(r->point[r->n_points - 1].loss),
               r->point[r->n_points - 1].accuracy, r->steps, request->out);
    else if (!rc)
        printf("train loss %.4f  %u steps  model in %s\n", r->point[r->n_points - 1].train_loss,
               r->steps, request->out);
    json_decref(summary);
    return rc;
}

static int pretrain(const struct request *request, struct err *e)
{
    struct pretraining p = {.request = request};
    struct pretrain_result result = {0};
    const struct adapter_info info = {.dtype = request->weights};
    int rc = pretraining_open(&p, e);
    if (!rc)
        rc = train(&p, &result, e);
    if (!rc)
        rc = peft_save_merged(p.peft, p.theta, &info, request->out, e);
    if (!rc)
        rc = report(&p, &result, e);
    if (!rc)
        pretrain_work_remove(&p.work);
    free(result.point);
    pretraining_close(&p);
    return rc;
}

/* The files are those of --data and the arguments, as `--data *.txt` gives them. */
static int with_files(struct request *r, const struct cli_args *args, struct err *e)
{
    const char **path = calloc(r->data.n + (size_t)args->n + 1, sizeof *path);
    if (!path)
        return err_set(e, ERR_NOMEM, "no memory for a list of files");
    for (size_t i = 0; i < r->data.n; i++)
        path[r->corpus.n++] = r->data.item[i];
    for (int i = 0; i < args->n; i++)
        path[r->corpus.n++] = args->word[i];
    r->corpus.path = path;
    int rc = r->corpus.n > 0 ? pretrain(r, e) : cli_need(NULL, "data", e);
    free(path);
    return rc;
}

int cmd_pretrain(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    static char f32[] = "f32", mode[] = "auto";
    char *word = mode;
    struct request r = {
        .dtype = f32, .hold_out = 100, .evaluate_every = 1000, .checkpoint_every = 600};
    const struct cli_option options[] = {
        {"model", 'm', CLI_STRING, "DIR", "go on with this model (Hugging Face)", &r.model},
        {"config", 'c', CLI_STRING, "FILE", "begin a new one of this config.json", &r.config},
        {"tokenizer", 0, CLI_STRING, "DIR", "of a new model", &r.tokenizer},
        {"data", 'd', CLI_LIST, "FILE", "text or JSONL, also compressed; one or more", &r.data},
        {"out", 'o', CLI_STRING, "DIR", "the model; must not exist (required)", &r.out},
        {"set", 's', CLI_LIST, "KEY=VALUE", "a setting (see below); may be repeated", &r.set},
        {"document", 0, CLI_STRING, "UNIT", "of text: paragraph (default) or line", &r.unit},
        {"field", 0, CLI_STRING, "NAME", "of JSONL: the text; default text", &r.field},
        {"hold-out", 0, CLI_NUMBER, "N",
         "one document in N is not trained on; default 100; 0: none", &r.hold_out},
        {"evaluate-every", 0, CLI_NUMBER, "N", "steps; default 1000", &r.evaluate_every},
        {"checkpoint-every", 0, CLI_SECONDS, "TIME", "default 10m", &r.checkpoint_every},
        {"dtype", 0, CLI_STRING, "TYPE", "of the weights in DIR: f32 (default) or f16", &r.dtype},
        {"threads", 't', CLI_NUMBER, "N", "default: as many as there are cores", &r.threads},
        {"memory", 0, CLI_STRING, "MODE", "auto, min, fast or half (default auto), as of `train`",
         &word},
        {"memory-limit", 0, CLI_SIZE, "SIZE", "of activations, as 512M; default: none",
         &r.memory_limit},
        {"format", 0, CLI_FORMAT, "FORMAT", "text, or json: prints the summary", &r.json},
        {0},
    };
    struct cli_args args;
    int rc = cli_parse(self, options, argc, argv, &args, e);
    if (rc || args.help)
        return rc;
    r.memory.limit = r.memory_limit;
    rc = client_memory(word, &r.memory.mode, e);
    if (!rc)
        rc = check(&r, e);
    return rc ? rc : with_files(&r, &args, e);
}
