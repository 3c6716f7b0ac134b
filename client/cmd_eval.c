#include "client/client_config.h"
#include "client/cmd.h"
#include "client/experiment.h"
#include "client/train.h"
#include "client/tuned.h"
#include "text/metrics.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct eval_options {
    char *model, *adapter, *task, *data, *config, *logits;
    struct cli_list set;
    uint64_t threads;
    bool json;
};

/* The task: from the experiment file where one is given, with --task and --data over it. */
static int choose_task(const struct eval_options *o, const struct tuned *t, struct conf **conf,
                       struct task_spec *task, struct err *e)
{
    if (o->config || o->set.n > 0) {
        int rc = conf_load(conf, &experiment_conf, o->config, o->set.item, o->set.n, e);
        if (rc)
            return rc;
        *task = ((struct experiment *)conf_data(*conf))->spec.task;
    }
    if (o->task)
        task->name = o->task;
    if (o->data)
        task->data = o->data;
    if (!task->name)
        task->name = (char *)(uintptr_t)t->info.task;
    if (!task->name)
        return err_set(e, ERR_USAGE, "--task is missing, and the adapter does not name one");
    bool regression = t->info.n_labels == 1;
    if (!task->labels && (t->info.labels || regression) && strcmp(task->name, "text") == 0) {
        task->labels = (char **)(uintptr_t)t->info.labels;
        task->n_labels = t->info.n_labels;
    }
    return cli_need(task->data, "data", e);
}

static int write_logits(const struct dataset *d, const struct tuned *t, const int32_t *predicted,
                        const float *logits, const char *path, struct err *e)
{
    uint32_t labels = t->info.n_labels;
    FILE *f = fopen(path, "w");
    if (!f)
        return err_sys(e, ERR_IO, errno, "%s", path);
    for (size_t i = 0; i < d->n; i++) {
        fprintf(f, "{\"index\": %zu, \"logits\": [", i);
        for (uint32_t c = 0; c < labels; c++)
            fprintf(f, c ? ", %.9g" : "%.9g", (double)logits[i * labels + c]);
        if (labels == 1)
            fprintf(f, "], \"target\": %.9g}\n", (double)d->example[i].target);
        else
            fprintf(f, "], \"predicted\": %d, \"label\": %d}\n", (int)predicted[i],
                    (int)d->example[i].label);
    }
    int failed = ferror(f), number = errno;
    if (fclose(f) || failed)
        return err_sys(e, ERR_IO, failed ? number : errno, "%s", path);
    return 0;
}

static int print_score(const struct score *s, enum metric metric, bool json, struct err *e)
{
    double value = score_value(s, metric), loss = s->loss_sum / (double)s->n;
    if (json)
        return cmd_print_json(json_pack("{s:s, s:f, s:f, s:I}", "metric", metric_name(metric),
                                        "value", value, "loss", loss, "examples", (json_int_t)s->n),
                              true, e);
    printf("%s %.4f  loss %.4f  %" PRIu64 " examples\n", metric_name(metric), value, loss, s->n);
    return 0;
}

static int score_data(const struct eval_options *o, const struct tuned *t,
                      const struct task_spec *task, const struct dataset *d, struct err *e)
{
    struct trainer *trainer = NULL;
    struct score score = {0};
    enum metric metric;
    if (d->n_labels != t->info.n_labels)
        return err_set(e, ERR_DATA, "%s: %u labels, but the adapter has %u", task->data,
                       d->n_labels, t->info.n_labels);
    int32_t *predicted = malloc((d->n + 1) * sizeof *predicted);
    float *logits = malloc((d->n + 1) * d->n_labels * sizeof *logits);
    int rc = predicted && logits ? 0 : err_set(e, ERR_NOMEM, "out of memory for %zu logits", d->n);
    if (!rc)
        rc = task_metric(task, d->n_labels, &metric, e);
    if (!rc)
        rc = trainer_open(&trainer, client_threads(o->threads), 0, e);
    if (!rc)
        rc = trainer_eval(trainer, t->peft, d, NULL, 0, t->theta, &score, predicted, logits, e);
    if (!rc && o->logits)
        rc = write_logits(d, t, predicted, logits, o->logits, e);
    if (!rc)
        rc = print_score(&score, metric, o->json, e);
    score_close(&score);
    trainer_close(trainer);
    free(predicted);
    free(logits);
    return rc;
}

static int evaluate(const struct eval_options *o, const struct tuned *t, struct err *e)
{
    struct conf *conf = NULL;
    struct dataset *data = NULL;
    struct task_spec task = {0};
    int rc = choose_task(o, t, &conf, &task, e);
    if (!rc)
        rc = backbone_read(&t->backbone, &task, SPLIT_DEV, t->max_length, NULL, &data, e);
    if (!rc)
        rc = score_data(o, t, &task, data, e);
    dataset_close(data);
    conf_free(conf);
    return rc;
}

int cmd_eval(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    struct eval_options o = {0};
    const struct cli_option options[] = {
        {"model", 'm', CLI_STRING, "DIR", "the base model (Hugging Face)", &o.model},
        {"adapter", 'a', CLI_STRING, "DIR", "the adapter (Hugging Face PEFT)", &o.adapter},
        {"data", 'd', CLI_STRING, "PATH", "the task's folder, or one labelled file", &o.data},
        {"task", 0, CLI_STRING, "NAME", "default: the one the adapter names", &o.task},
        {"config", 'c', CLI_STRING, "FILE", "an experiment file: take the task from it", &o.config},
        {"set", 's', CLI_LIST, "KEY=VALUE", "task.text=COLUMN and the like; may be repeated",
         &o.set},
        {"logits", 0, CLI_STRING, "FILE", "write each example's logits as JSON lines", &o.logits},
        {"threads", 't', CLI_NUMBER, "N", "default: as many as there are cores", &o.threads},
        {"format", 0, CLI_FORMAT, "FORMAT", "text or json", &o.json},
        {0},
    };
    struct cli_args args;
    int rc = cli_parse(self, options, argc, argv, &args, e);
    if (rc || args.help)
        return rc;
    if ((rc = cli_words(&args, 0, e)) || (rc = cli_need(o.model, "model", e)) ||
        (rc = cli_need(o.adapter, "adapter", e)))
        return rc;
    struct tuned t;
    rc = tuned_open(&t, o.model, o.adapter, e);
    if (rc)
        return rc;
    rc = evaluate(&o, &t, e);
    tuned_close(&t);
    return rc;
}
