/* An experiment file: a base model, a task, a PEFT method, the federation and the local training,
 * in one YAML document. Read by `fedpet-client train` (centralised training of the same thing) and
 * by fedpet-sim. */
#ifndef CLIENT_EXPERIMENT_H
#define CLIENT_EXPERIMENT_H

#include "base/arena.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/spec.h"
#include <stddef.h>

/* Top-level YAML keys: model, task, peft, federation, local. */
struct experiment {
    char *model; /* a Hugging Face directory */
    struct run_spec spec;
};
extern const struct conf_type experiment_conf;

/* Reads `path` (NULL: defaults and overrides only) with `n` overrides "a.b=c". model and task.data
 * that do not exist relative to the working directory are taken relative to the file's folder. `x`
 * is valid as long as *conf (conf_free) and `mem` live, which own its strings. ERR_CONFIG: as
 * conf_load, or model, task.name or task.data missing; ERR_IO: model or task.data not found. */
int experiment_load(struct conf **conf, struct arena *mem, struct experiment *x, const char *path,
                    char *const *set, size_t n, struct err *e) MUST_CHECK;

#endif
