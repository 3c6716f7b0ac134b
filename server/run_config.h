/* The specification of a run: its model and start, task, method, local training, federation. The
 * server's configuration has one beside its own keys; each other run has a file of them, run.yaml.
 * Relative paths are relative to the working directory. */
#ifndef SERVER_RUN_CONFIG_H
#define SERVER_RUN_CONFIG_H

#include "base/conf.h"

/* YAML keys are model and adapter, and beside them task, peft, local and federation. */
struct run_config {
    char *model;   /* a Hugging Face directory */
    char *adapter; /* an adapter directory to begin with; NULL: the method's own initial values */
    struct run_spec spec;
};
/* Of a file that has nothing else. */
extern const struct conf_type run_conf;

/* Whether it names a task or a model. */
bool run_config_any(const struct run_config *c);
/* Whether it has what every run must have, and its federation makes sense; `path` says where it
 * is from. ERR_CONFIG. */
int run_config_check(const struct run_config *c, const char *path, struct err *e) MUST_CHECK;

#endif
