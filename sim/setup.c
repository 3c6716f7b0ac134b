#include "sim/setup.h"
#include <string.h>

/* The validation set, where the task has one. */
static int open_valid(struct setup *s, struct err *e)
{
    const struct run_spec *spec = &s->x.spec;
    char text[] = "text", label[] = "label";
    struct task_spec task = spec->task;
    if (strcmp(task.name, "text") == 0) { /* backbone_read knows the columns that are not named */
        task.text = task.text ? task.text : text;
        task.label = task.label ? task.label : label;
    }
    return dataset_has_valid(&task) ? backbone_read(&s->backbone, &spec->task, SPLIT_VALID,
                                                    spec->local.max_length, NULL, &s->valid, e)
                                    : 0;
}

static int open_all(struct setup *s, const char *path, const struct cli_list *set, struct err *e)
{
    int rc = experiment_load(&s->conf, &s->mem, &s->x, path, (char *const *)set->item, set->n, e);
    if (rc)
        return rc;
    struct run_spec *spec = &s->x.spec;
    const char *column =
        spec->federation.partition == PARTITION_COLUMN ? spec->federation.column : NULL;
    if ((rc = spec_check_federation(&spec->federation, e)))
        err_wrap(e, "%s", path);
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
    if (!rc)
        rc = open_valid(s, e);
    if (!rc && !s->valid && (spec->federation.best || spec->federation.patience))
        rc =
            err_set(e, ERR_CONFIG,
                    "%s: federation.best and patience need a validation set: of GLUE, task.splits: "
                    "paper cuts one from train; your own data has it in a file valid.*",
                    path);
    if (rc)
        return rc;
    spec->task.n_labels = s->train->n_labels;
    rc = task_metric(&spec->task, spec->task.n_labels, &s->metric, e);
    if (!rc)
        rc = peft_open(&s->peft, s->backbone.model, &spec->peft, &spec->local, s->train->head,
                       spec->task.n_labels, e);
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
    dataset_close(s->valid);
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
