#include "client/client_config.h"
#include "client/cmd.h"
#include "client/experiment.h"
#include "client/scorecard.h"
#include "client/train.h"
#include "client/tuned.h"
#include "text/dataset.h"
#include "text/metrics.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct eval_options {
    char *model, *adapter, *task, *data, *split, *config, *logits;
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
    const struct task_info *info = task_find(task->name);
    bool regression = t->info.n_labels == 1;
    if (!task->labels && (t->info.labels || regression) && info && !info->n_labels) {
        task->labels = (char **)(uintptr_t)t->info.labels;
        task->n_labels = t->info.n_labels;
    }
    return cli_need(task->data, "data", e);
}

/* The class or value that a row of logits is scored against: of an example, or of a token. */
static void write_truth(FILE *f, const struct example *x, int32_t token, int32_t predicted,
                        uint32_t labels)
{
    if (labels == 1)
        fprintf(f, "], \"target\": %.9g}\n", (double)x->target);
    else
        fprintf(f, "], \"predicted\": %d, \"label\": %d}\n", (int)predicted,
                (int)(x->sentence ? example_tag(x, token) : x->label));
}

static int write_logits(const struct dataset *d, const struct tuned *t, const int32_t *predicted,
                        const float *logits, const char *path, struct err *e)
{
    uint32_t labels = t->info.n_labels;
    FILE *f = fopen(path, "w");
    if (!f)
        return err_sys(e, ERR_IO, errno, "%s", path);
    size_t row = 0;
    for (size_t i = 0; i < d->n; i++) {
        const struct example *x = &d->example[i];
        int32_t rows = x->sentence ? x->n_tokens : 1;
        for (int32_t k = 0; k < rows; k++, row++) {
            fprintf(f,
                    x->sentence ? "{\"index\": %zu, \"token\": %d, \"logits\": ["
                                : "{\"index\": %zu, \"logits\": [",
                    i, (int)k);
            for (uint32_t c = 0; c < labels; c++)
                fprintf(f, c ? ", %.9g" : "%.9g", (double)logits[row * labels + c]);
            write_truth(f, x, k, predicted[row], labels);
        }
    }
    int failed = ferror(f), number = errno;
    if (fclose(f) || failed)
        return err_sys(e, ERR_IO, failed ? number : errno, "%s", path);
    return 0;
}

static int score_data(const struct eval_options *o, const struct tuned *t,
                      const struct task_spec *task, const struct dataset *d, struct err *e)
{
    struct trainer *trainer = NULL;
    struct score score = {0};
    enum metric metric;
    if (d->head != t->info.head)
        return err_set(e, ERR_DATA, "%s: task %s is not of the adapter's kind: %s", task->data,
                       task->name,
                       d->head == HEAD_TOKENS ? "it tags words" : "it classifies whole texts");
    if (d->n_labels != t->info.n_labels)
        return err_set(e, ERR_DATA, "%s: %u labels, but the adapter has %u", task->data,
                       d->n_labels, t->info.n_labels);
    size_t rows = dataset_rows(d, NULL, d->n);
    int32_t *predicted = malloc((rows + 1) * sizeof *predicted);
    float *logits = malloc((rows + 1) * d->n_labels * sizeof *logits);
    int rc = predicted && logits ? 0 : err_set(e, ERR_NOMEM, "out of memory for %zu logits", rows);
    if (!rc)
        rc = task_metric(task, d->n_labels, &metric, e);
    if (!rc)
        rc = trainer_open(&trainer, client_threads(o->threads), NULL, e);
    if (!rc)
        rc =
            trainer_eval(trainer, &(struct eval_job){.peft = t->peft, .data = d, .theta = t->theta},
                         &score, predicted, logits, e);
    if (!rc && o->logits)
        rc = write_logits(d, t, predicted, logits, o->logits, e);
    if (!rc)
        rc = o->json ? scorecard_json(&score, metric, d, e) : scorecard_text(&score, metric, d, e);
    score_close(&score);
    trainer_close(trainer);
    free(predicted);
    free(logits);
    return rc;
}

static int choose_split(const char *name, enum split *out, struct err *e)
{
    static const char *const names[] = {
        [SPLIT_TRAIN] = "train", [SPLIT_VALID] = "valid", [SPLIT_DEV] = "dev"};
    for (int s = SPLIT_TRAIN; s <= SPLIT_DEV; s++)
        if (strcmp(name, names[s]) == 0) {
            *out = (enum split)s;
            return 0;
        }
    return err_set(e, ERR_USAGE, "--split: %s is none of train, valid, dev", name);
}

static int evaluate(const struct eval_options *o, struct tuned *t, struct err *e)
{
    struct conf *conf = NULL;
    struct dataset *data = NULL;
    struct task_spec task = {0};
    enum split split = SPLIT_DEV;
    int rc = o->split ? choose_split(o->split, &split, e) : 0;
    if (!rc)
        rc = choose_task(o, t, &conf, &task, e);
    if (!rc)
        rc = backbone_read(&t->backbone, &task, split, t->max_length, NULL, &data, e);
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
        {"adapter", 'a', CLI_STRING, "DIR", "the adapter", &o.adapter},
        {"data", 'd', CLI_STRING, "PATH", "the task's folder, or one labelled file", &o.data},
        {"split", 0, CLI_STRING, "NAME", "train, valid or dev (default)", &o.split},
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
