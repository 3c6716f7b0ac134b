/* Configuration: YAML by schema (libcyaml), `--set a.b=c` overrides, and where each effective value
 * came from. Precedence: --set over file over default. An unknown key, a wrong type or a value out
 * of range is ERR_CONFIG, and the message names file, line, dotted key and the accepted values. */
#ifndef BASE_CONF_H
#define BASE_CONF_H

#include "base/err.h"
#include "base/log.h"
#include "base/spec.h"
#include <cyaml/cyaml.h>
#include <stddef.h>
#include <stdio.h>

/* A range for a numeric key, checked after loading; key is the dotted path. */
struct conf_range {
    const char *key;
    double min, max;
};

/* A program's configuration type: filled by its owner as a const table. */
struct conf_type {
    /* a CYAML_VALUE_MAPPING with CYAML_FLAG_POINTER of the top struct */
    const cyaml_schema_value_t *schema;
    const char *defaults;           /* YAML text with every optional key's default */
    const struct conf_range *range; /* ends with key NULL; may be NULL */
    /* Keys of uint64_t members that are written as sizes (base/size.h); ends with NULL; may be NULL
     */
    const char *const *sizes;
};

struct conf; /* a loaded configuration: the struct, and the origin of each value */

/* Loads `path`, at most CONF_MAX_BYTES (NULL: defaults and overrides only). `set`: n strings
 * "a.b=c", where c is YAML ("[x, y]", "{k: v}", a scalar) or, for a string key, the text as it is.
 * A single value stands for a list of one. *out is freed with conf_free. ERR_USAGE: a `set` string
 * without "="; ERR_CONFIG; ERR_IO; ERR_NOMEM. */
#define CONF_MAX_BYTES ((size_t)1 << 20)
int conf_load(struct conf **out, const struct conf_type *type, const char *path, char *const *set,
              size_t n, struct err *e) MUST_CHECK;
/* The same for `len` bytes of YAML in memory (text NULL: none); `name` stands in messages and
 * origins where the path would. Safe for hostile text: no aliases, at most 8192 values, 32
 * levels. */
int conf_load_text(struct conf **out, const struct conf_type *type, const char *name,
                   const char *text, size_t len, char *const *set, size_t n,
                   struct err *e) MUST_CHECK;
/* The top struct described by type->schema; owned by conf. */
void *conf_data(struct conf *c);
/* Prints every effective value as YAML that conf_load reads back to the same values, each line with
 * a comment `# default`, `# FILE:LINE` or `# --set`. ERR_IO, ERR_NOMEM. */
int conf_show(const struct conf *c, FILE *out, struct err *e) MUST_CHECK;
void conf_free(struct conf *c);
/* Prints every key with its type, default and range. ERR_IO, ERR_NOMEM; ERR_INTERNAL when
 * type->defaults is not valid. */
int conf_schema_help(const struct conf_type *type, FILE *out, struct err *e) MUST_CHECK;

/* Schemas of the parts of a run_spec, to be embedded by server, client and simulator configurations
 * under the keys task, peft, local and federation: CYAML_FIELD_MAPPING("task", CYAML_FLAG_OPTIONAL,
 * struct T, run.task, conf_task_fields). Every key is optional; a program checks what it needs. */
extern const cyaml_schema_field_t conf_task_fields[], conf_peft_fields[], conf_local_fields[],
    conf_federation_fields[];

/* struct log_settings, under the key log. */
extern const cyaml_schema_field_t conf_log_fields[];
#define CONF_LOG_DEFAULTS "log: {level: info, json: false}\n"

/* Defaults of the four parts: a string literal, to be joined with a program's own ("..."
 * CONF_RUN_DEFAULTS "..."). */
#define CONF_RUN_DEFAULTS                                                                          \
    "task: {splits: official}\n"                                                                   \
    "peft: {method: lora, norms: false,\n"                                                         \
    "       r: 8, alpha: 8, dropout: 0, rslora: false, targets: [query, value],\n"                 \
    "       bottleneck: 16, placement: opendelta, activation: default, scaling: 1,\n"              \
    "       length: 16, hidden: 0, shift: true, biases: all}\n"                                    \
    "local: {epochs: 1, steps: 0, batch_size: 32, accumulate: 1, max_length: 128,\n"               \
    "        optimizer: adamw, schedule: linear, lr: 0.001, weight_decay: 0,\n"                    \
    "        beta1: 0.9, beta2: 0.999, eps: 1e-8, warmup: 0, max_grad_norm: 1,\n"                  \
    "        model_dropout: -1, proximal: 0, decay_over_run: false,\n"                             \
    "        carry_optimizer: false}\n"                                                            \
    "federation: {clients: 100, per_round: 10, over_select: 1, quorum: 0, rounds: 20,\n"           \
    "             deadline_s: 600, mode: sync, concurrency: 0, max_staleness: 20,\n"               \
    "             partition: dirichlet, alpha: 1, weighted: true, optimizer: fedavg,\n"            \
    "             server_lr: 0, server_beta1: 0.9, server_beta2: 0.99, server_tau: 0.001,\n"       \
    "             aggregator: fedavg, clip_norm: 1, byzantine: 0, krum_keep: 1,\n"                 \
    "             max_update_norm: 0, scaffold: false,\n"                                          \
    "             upload: fp32, download: fp32, zstd: false, top_k: 0.05,\n"                       \
    "             best: false, patience: 0, evaluate_every: 1, seed: 42}\n"

/* Ranges of the four parts: the head of a program's own table, { CONF_RUN_RANGES {"port", 0,
 * 65535}, {0} }. */
#define CONF_RUN_RANGES                                                                            \
    {"peft.r", 1, 1024}, {"peft.alpha", 1e-6, 1e6}, {"peft.dropout", 0, CONF_BELOW_1},             \
        {"local.epochs", 1, 1e6}, {"local.steps", 0, 1e9}, {"local.batch_size", 1, 65536},         \
        {"local.accumulate", 1, 65536}, {"local.max_length", 3, 65536}, {"local.lr", 0, 1e3},      \
        {"local.weight_decay", 0, 1e3}, {"local.beta1", 0, CONF_BELOW_1},                          \
        {"local.beta2", 0, CONF_BELOW_1}, {"local.eps", 1e-30, 1},                                 \
        {"local.warmup", 0, CONF_BELOW_1}, {"local.max_grad_norm", 0, 1e9},                        \
        {"local.model_dropout", -1, CONF_BELOW_1}, {"federation.clients", 1, 1e7},                 \
        {"federation.per_round", 1, 1e6}, {"federation.over_select", 1, 10},                       \
        {"federation.concurrency", 0, 1e7}, {"federation.max_staleness", 0, 1e6},                  \
        {"federation.quorum", 0, 1e6}, {"federation.rounds", 0, 1e6},                              \
        {"federation.deadline_s", 1, 604800}, {"federation.alpha", 1e-4, 1e6},                     \
        {"peft.bottleneck", 1, 4096}, {"peft.scaling", 1e-6, 1e6}, {"peft.length", 1, 1024},       \
        {"peft.hidden", 0, 65536}, {"local.proximal", 0, 1e6}, {"federation.server_lr", 0, 1e6},   \
        {"federation.server_beta1", 0, CONF_BELOW_1},                                              \
        {"federation.server_beta2", 0, CONF_BELOW_1}, {"federation.server_tau", 1e-12, 1e3},       \
        {"federation.clip_norm", 1e-9, 1e9}, {"federation.byzantine", 0, 1e6},                     \
        {"federation.krum_keep", 1, 1e6}, {"federation.max_update_norm", 0, 1e9},                  \
        {"federation.top_k", 1e-6, 1}, {"federation.patience", 0, 1e6},                            \
        {"federation.evaluate_every", 1, 1e6},
#define CONF_BELOW_1 0.999999 /* the practical upper end of [0, 1) */

/* The two as objects, for a program without keys of its own. */
extern const char conf_run_defaults[];
extern const struct conf_range conf_run_ranges[]; /* ends with key NULL */

#endif
