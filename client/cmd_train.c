#include "base/file.h"
#include "base/log.h"
#include "client/backbone.h"
#include "client/client_config.h"
#include "client/cmd.h"
#include "client/experiment.h"
#include "client/progress.h"
#include "client/sweep.h"
#include "client/train.h"
#include "model/jsonfile.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

struct training {
    struct conf *conf;
    struct arena mem;
    struct experiment x;
    struct backbone backbone;
    struct dataset *train, *valid, *dev; /* valid, dev NULL: none */
    struct rows valid_features, dev_features;
    enum metric metric;
    struct peft *peft;
    struct trainer *trainer;
    float *theta;
    struct progress progress;
    json_t *epochs; /* one object an evaluation */
    double value, eval_loss;
    struct err error; /* of an evaluation between steps */
    atomic_bool cancel;
};

static int open_data(struct training *t, struct err *e)
{
    const struct run_spec *spec = &t->x.spec;
    uint32_t max_length = spec->local.max_length;
    int rc = backbone_read(&t->backbone, &spec->task, SPLIT_TRAIN, max_length, NULL, &t->train, e);
    if (!rc && backbone_one_file(&spec->task))
        log_warn("one file of data: nothing to evaluate on data=%s", spec->task.data);
    else if (!rc)
        rc = backbone_read(&t->backbone, &spec->task, SPLIT_DEV, max_length, NULL, &t->dev, e);
    if (!rc && dataset_has_valid(&spec->task))
        rc = backbone_read(&t->backbone, &spec->task, SPLIT_VALID, max_length, NULL, &t->valid, e);
    if (!rc)
        rc = task_metric(&spec->task, t->train->n_labels, &t->metric, e);
    return rc;
}

static int training_open(struct training *t, const char *path, const struct cli_list *set,
                         unsigned threads, const struct memory *memory, struct err *e)
{
    int rc = experiment_load(&t->conf, &t->mem, &t->x, path, set->item, set->n, e);
    const struct run_spec *spec = &t->x.spec;
    if (!rc)
        rc = backbone_open(&t->backbone, t->x.model, e);
    if (!rc)
        rc = open_data(t, e);
    if (!rc)
        rc = peft_open(&t->peft, t->backbone.model, &spec->peft, &spec->local, t->train->head,
                       t->train->n_labels, e);
    if (!rc)
        rc = trainer_open(&t->trainer, threads, memory, e);
    if (rc)
        return rc;
    t->theta = malloc(peft_schema(t->peft)->count * sizeof *t->theta);
    t->epochs = json_array();
    if (!t->theta || !t->epochs)
        return err_set(e, ERR_NOMEM, "out of memory for %zu parameters",
                       peft_schema(t->peft)->count);
    peft_init(t->peft, spec->federation.seed, t->theta);
    return 0;
}

static void training_close(struct training *t)
{
    json_decref(t->epochs);
    free(t->theta);
    trainer_close(t->trainer);
    peft_close(t->peft);
    dataset_close(t->dev);
    sweep_release(&t->dev_features);
    sweep_release(&t->valid_features);
    dataset_close(t->valid);
    dataset_close(t->train);
    backbone_close(&t->backbone);
    conf_free(t->conf);
    arena_release(&t->mem);
}

static int score_on(struct training *t, const struct dataset *d, const float *theta, double *value,
                    double *loss, struct err *e)
{
    struct score score;
    const struct eval_job job = {.peft = t->peft,
                                 .data = d,
                                 .theta = theta,
                                 .features = d == t->dev ? &t->dev_features : &t->valid_features};
    int rc = trainer_eval(t->trainer, &job, &score, NULL, NULL, e);
    if (rc)
        return rc;
    *value = score_value(&score, t->metric);
    *loss = score.n ? score.loss_sum / (double)score.n : 0;
    score_close(&score);
    return 0;
}

static int evaluate(struct training *t, const struct train_progress *p, struct err *e)
{
    double valid = 0, valid_loss = 0;
    int rc = score_on(t, t->dev, p->theta, &t->value, &t->eval_loss, e);
    if (!rc && t->valid)
        rc = score_on(t, t->valid, p->theta, &valid, &valid_loss, e);
    if (rc)
        return rc;
    progress_clear(&t->progress);
    log_info("epoch %u  step %u of %u  %s=%.4f eval_loss=%.4f", p->epoch + 1, p->step, p->steps,
             metric_name(t->metric), t->value, t->eval_loss);
    json_t *epoch = json_pack("{s:I, s:I, s:f, s:f}", "epoch", (json_int_t)p->epoch + 1, "step",
                              (json_int_t)p->step, "value", t->value, "eval_loss", t->eval_loss);
    if (t->valid) {
        log_info("epoch %u  validation %s=%.4f loss=%.4f", p->epoch + 1, metric_name(t->metric),
                 valid, valid_loss);
        json_object_set_new(epoch, "valid", json_real(valid));
        json_object_set_new(epoch, "valid_loss", json_real(valid_loss));
    }
    json_array_append_new(t->epochs, epoch);
    return 0;
}

static void on_step(const struct train_progress *p, void *ctx)
{
    struct training *t = ctx;
    double seconds = progress_seconds(&t->progress);
    progress_draw(&t->progress, p->step, p->steps, "epoch %u  loss %.4f  %.0f tokens/s",
                  p->epoch + 1, p->loss, (double)p->tokens / (seconds > 0 ? seconds : 1));
    if (p->epoch_end && t->dev && evaluate(t, p, &t->error))
        atomic_store(&t->cancel, true);
}

static int fit(struct training *t, struct train_result *r, struct err *e)
{
    const struct run_spec *spec = &t->x.spec;
    const struct train_job job = {.peft = t->peft,
                                  .data = t->train,
                                  .local = &spec->local,
                                  .seed = spec->federation.seed,
                                  .progress = on_step,
                                  .ctx = t,
                                  .cancel = &t->cancel};
    t->progress = progress_begin();
    int rc = trainer_fit(t->trainer, &job, t->theta, r, e);
    progress_clear(&t->progress);
    if (t->error.code) {
        *e = t->error;
        return e->code;
    }
    return rc;
}

static uint64_t peak_rss(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)usage.ru_maxrss * 1024;
}

static void set_count(json_t *s, const char *key, uint64_t value)
{
    json_object_set_new(s, key, json_integer((json_int_t)value));
}

static json_t *summarise(const struct training *t, const struct train_result *r)
{
    const struct schema *schema = peft_schema(t->peft);
    const struct run_spec *spec = &t->x.spec;
    struct hash hash = tensorset_hash(schema, t->theta);
    char hex[HASH_HEX];
    hash_hex(&hash, hex);
    json_t *s = json_pack("{s:s, s:s, s:s, s:s}", "model", t->x.model, "task", spec->task.name,
                          "method", spec->peft.method, "adapter_sha256", hex);
    set_count(s, "seed", spec->federation.seed);
    set_count(s, "examples", t->train->n);
    set_count(s, "steps", r->steps);
    set_count(s, "trainable_parameters", schema->count);
    json_object_set_new(s, "train_loss", json_real(r->loss));
    if (t->dev) {
        json_object_set_new(s, "metric", json_string(metric_name(t->metric)));
        json_object_set_new(s, "value", json_real(t->value));
        json_object_set_new(s, "eval_loss", json_real(t->eval_loss));
        json_object_set(s, "epochs", t->epochs);
    }
    json_object_set_new(s, "wall_seconds", json_real(progress_seconds(&t->progress)));
    json_object_set_new(s, "train_seconds", json_real(r->seconds));
    json_object_set_new(s, "tokens_per_second",
                        json_real(r->seconds > 0 ? (double)r->tokens / r->seconds : 0));
    set_count(s, "peak_tape_bytes", trainer_peak_bytes(t->trainer));
    set_count(s, "peak_rss_bytes", peak_rss());
    return s;
}

static int save(const struct training *t, const char *dir, const char *as, struct err *e)
{
    const struct adapter_info info = {.task = t->x.spec.task.name,
                                      .labels = t->train->label_name,
                                      .n_labels = t->train->n_labels,
                                      .max_length = t->x.spec.local.max_length,
                                      .format = as};
    char path[PATH_MAX];
    int rc = file_join(path, sizeof path, dir, "adapter", e);
    return rc ? rc : peft_save(t->peft, t->theta, &info, path, e);
}

/* Files that another training left are not overwritten. */
static int prepare_folder(const char *dir, char summary[PATH_MAX], struct err *e)
{
    int rc = file_join(summary, PATH_MAX, dir, "summary.json", e);
    if (!rc && file_exists(summary))
        rc = err_set(e, ERR_IO, "%s: exists already: choose another --out", summary);
    return rc ? rc : file_mkdirs(dir, 0755, e);
}

static int train_and_save(struct training *t, const char *dir, const char *as, bool json,
                          struct err *e)
{
    char path[PATH_MAX];
    struct train_result r;
    int rc = peft_check_format(t->peft, as, e);
    if (!rc)
        rc = prepare_folder(dir, path, e);
    if (!rc)
        rc = fit(t, &r, e);
    if (!rc)
        rc = save(t, dir, as, e);
    json_t *summary = rc ? NULL : summarise(t, &r);
    if (!rc)
        rc = jsonfile_write(summary, CMD_JSON_DIGITS, path, e);
    if (!rc && json)
        rc = cmd_print_json(json_incref(summary), true, e);
    else if (!rc && t->dev)
        printf("%s %.4f  %u steps in %.1f s  adapter in %s/adapter\n", metric_name(t->metric),
               t->value, r.steps, r.seconds, dir);
    else if (!rc)
        printf("train loss %.4f  %u steps in %.1f s  adapter in %s/adapter\n", r.loss, r.steps,
               r.seconds, dir);
    json_decref(summary);
    return rc;
}

int cmd_train(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    char mode[] = "auto", *path = NULL, *out = NULL, *as = NULL, *word = mode;
    struct cli_list set = {0};
    uint64_t threads = 0, memory_limit = 0;
    bool json = false;
    const struct cli_option options[] = {
        {"config", 'c', CLI_STRING, "FILE", "the experiment (see below)", &path},
        {"set", 's', CLI_LIST, "KEY=VALUE", "override a key of it; may be repeated", &set},
        {"out", 'o', CLI_STRING, "DIR", "folder for adapter/ and summary.json", &out},
        {"as", 0, CLI_STRING, "FORMAT", "of the adapter: see `export`", &as},
        {"threads", 't', CLI_NUMBER, "N", "default: as many as there are cores", &threads},
        {"memory", 0, CLI_STRING, "MODE", "auto, min, fast or half (default auto; see below)",
         &word},
        {"memory-limit", 0, CLI_SIZE, "SIZE", "of activations, as 512M; default: none",
         &memory_limit},
        {"format", 0, CLI_FORMAT, "FORMAT", "text, or json: prints the summary", &json},
        {0},
    };
    struct cli_args args;
    int rc = cli_parse(self, options, argc, argv, &args, e);
    if (rc || args.help)
        return rc;
    if ((rc = cli_words(&args, 0, e)) || (rc = cli_need(path, "config", e)) ||
        (rc = cli_need(out, "out", e)))
        return rc;
    struct memory memory = {.limit = memory_limit};
    if ((rc = client_memory(word, &memory.mode, e)))
        return rc;
    struct training t = {0};
    arena_init(&t.mem, ARENA_NO_CAP);
    rc = training_open(&t, path, &set, client_threads(threads), &memory, e);
    if (!rc)
        rc = train_and_save(&t, out, as, json, e);
    training_close(&t);
    return rc;
}
