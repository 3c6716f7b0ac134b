#include "sim/setup.h"
#include <string.h>

static int check_federation(const struct federation_spec *f, const char *path, struct err *e)
{
    if (f->per_round > f->clients)
        return err_set(e, ERR_CONFIG,
                       "%s: federation.per_round: %u is more than federation.clients: %u", path,
                       f->per_round, f->clients);
    if (f->quorum > f->per_round)
        return err_set(e, ERR_CONFIG,
                       "%s: federation.quorum: %u is more than federation.per_round: %u", path,
                       f->quorum, f->per_round);
    return 0;
}

static int choose_metric(struct setup *s, struct err *e)
{
    const struct task_spec *task = &s->x.spec.task;
    const struct task_info *info = task_find(task->name);
    const char *name = task->metric           ? task->metric
                       : info && info->metric ? info->metric
                                              : "accuracy";
    if (!task->metric && task->n_labels == 1)
        name = "mse";
    if (!metric_parse(name, &s->metric))
        return err_set(e, ERR_CONFIG, "task.metric: %s is unknown; use accuracy, f1 or mse", name);
    if ((s->metric == METRIC_MSE) != (task->n_labels == 1))
        return err_set(e, ERR_CONFIG, "task.metric: %s does not fit a task with %u label(s)", name,
                       task->n_labels);
    if (s->metric == METRIC_F1 && task->n_labels != 2)
        return err_set(e, ERR_CONFIG,
                       "task.metric: f1 is of class 1 of two; the task has %u labels",
                       task->n_labels);
    return 0;
}

static int open_all(struct setup *s, const char *path, const struct cli_list *set, struct err *e)
{
    int rc = experiment_load(&s->conf, &s->mem, &s->x, path, (char *const *)set->item, set->n, e);
    if (rc)
        return rc;
    struct run_spec *spec = &s->x.spec;
    const char *column =
        spec->federation.partition == PARTITION_COLUMN ? spec->federation.column : NULL;
    rc = check_federation(&spec->federation, path, e);
    if (!rc && backbone_one_file(&spec->task))
        rc = err_set(e, ERR_CONFIG,
                     "task.data: %s is one file; a simulation needs a folder with train and dev",
                     spec->task.data);
    if (!rc)
        rc = backbone_open(&s->backbone, s->x.model, e);
    if (!rc)
        rc = backbone_read(&s->backbone, &spec->task, SPLIT_TRAIN, spec->local.max_length, column,
                           &s->train, e);
    if (!rc)
        rc = backbone_read(&s->backbone, &spec->task, SPLIT_DEV, spec->local.max_length, NULL,
                           &s->dev, e);
    if (rc)
        return rc;
    spec->task.n_labels = s->train->n_labels;
    rc = choose_metric(s, e);
    if (!rc)
        rc = peft_open(&s->peft, s->backbone.model, &spec->peft, &spec->local, spec->task.n_labels,
                       e);
    if (!rc)
        rc = partition_open(&s->partition, s->train, &spec->federation, e);
    return rc;
}

int setup_open(struct setup *s, const char *path, const struct cli_list *set, struct err *e)
{
    memset(s, 0, sizeof *s);
    s->path = path;
    s->set = set;
    arena_init(&s->mem, 1 << 20);
    int rc = open_all(s, path, set, e);
    if (rc)
        setup_close(s);
    return rc;
}

void setup_close(struct setup *s)
{
    partition_close(&s->partition);
    peft_close(s->peft);
    dataset_close(s->dev);
    dataset_close(s->train);
    backbone_close(&s->backbone);
    conf_free(s->conf);
    arena_release(&s->mem);
}

struct adapter_info setup_adapter_info(const struct setup *s)
{
    return (struct adapter_info){.task = s->x.spec.task.name,
                                 .labels = s->train->label_name,
                                 .n_labels = s->train->n_labels,
                                 .max_length = s->x.spec.local.max_length};
}
