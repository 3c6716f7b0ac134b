/* The parts that configurations share: keys, defaults and ranges of struct run_spec, and the log.
 */
#include "base/conf.h"

#define OPTIONAL CYAML_FLAG_OPTIONAL
#define TEXT(key, type, member)                                                                    \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | OPTIONAL, type, member, 0, CYAML_UNLIMITED)
#define UINT(type, member) CYAML_FIELD_UINT(#member, OPTIONAL, type, member)
#define FLOAT(type, member) CYAML_FIELD_FLOAT(#member, OPTIONAL, type, member)
#define BOOL(type, member) CYAML_FIELD_BOOL(#member, OPTIONAL, type, member)
#define WORD(type, member, words)                                                                  \
    CYAML_FIELD_ENUM(#member, OPTIONAL | CYAML_FLAG_STRICT, type, member, words,                   \
                     CYAML_ARRAY_LEN(words))

static const cyaml_schema_value_t label_schema = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 1, 1024)};

static const cyaml_strval_t split_words[] = {
    {"official", SPLITS_OFFICIAL},
    {"paper", SPLITS_PAPER},
};

const cyaml_schema_field_t conf_task_fields[] = {
    TEXT("name", struct task_spec, name),
    TEXT("data", struct task_spec, data),
    TEXT("text", struct task_spec, text),
    TEXT("text_pair", struct task_spec, text_pair),
    TEXT("label", struct task_spec, label),
    CYAML_FIELD_SEQUENCE_COUNT("labels", CYAML_FLAG_POINTER | OPTIONAL, struct task_spec, labels,
                               n_labels, &label_schema, 2, 4096),
    TEXT("metric", struct task_spec, metric),
    WORD(struct task_spec, splits, split_words),
    CYAML_FIELD_END,
};

static const cyaml_strval_t site_words[] = {
    {"query", 1 << LIN_QUERY},
    {"key", 1 << LIN_KEY},
    {"value", 1 << LIN_VALUE},
    {"attention_output", 1 << LIN_ATTN_OUTPUT},
    {"intermediate", 1 << LIN_INTERMEDIATE},
    {"output", 1 << LIN_OUTPUT},
};

static const cyaml_strval_t placement_words[] = {
    {"opendelta", PLACEMENT_OPENDELTA},
    {"houlsby", PLACEMENT_HOULSBY},
    {"pfeiffer", PLACEMENT_PFEIFFER},
    {"parallel", PLACEMENT_PARALLEL},
};
static const cyaml_strval_t activation_words[] = {
    {"default", ACTIVATION_DEFAULT}, {"gelu", ACTIVATION_GELU}, {"gelu_new", ACTIVATION_GELU_NEW},
    {"relu", ACTIVATION_RELU},       {"tanh", ACTIVATION_TANH}, {"swish", ACTIVATION_SWISH},
};
static const cyaml_strval_t bias_words[] = {
    {"all", BIASES_ALL},
    {"opendelta", BIASES_OPENDELTA},
};

const cyaml_schema_field_t conf_peft_fields[] = {
    TEXT("method", struct peft_spec, method),
    BOOL(struct peft_spec, norms),
    UINT(struct peft_spec, r),
    FLOAT(struct peft_spec, alpha),
    FLOAT(struct peft_spec, dropout),
    BOOL(struct peft_spec, rslora),
    CYAML_FIELD_FLAGS("targets", OPTIONAL | CYAML_FLAG_STRICT, struct peft_spec, targets,
                      site_words, CYAML_ARRAY_LEN(site_words)),
    UINT(struct peft_spec, bottleneck),
    WORD(struct peft_spec, placement, placement_words),
    WORD(struct peft_spec, activation, activation_words),
    FLOAT(struct peft_spec, scaling),
    UINT(struct peft_spec, length),
    UINT(struct peft_spec, hidden),
    BOOL(struct peft_spec, shift),
    WORD(struct peft_spec, biases, bias_words),
    CYAML_FIELD_END,
};

static const cyaml_strval_t optimizer_words[] = {
    {"adamw", OPTIMIZER_ADAMW},
    {"adamw_hf", OPTIMIZER_ADAMW_HF},
    {"sgd", OPTIMIZER_SGD},
};
static const cyaml_strval_t schedule_words[] = {
    {"linear", SCHEDULE_LINEAR},
    {"constant", SCHEDULE_CONSTANT},
};

const cyaml_schema_field_t conf_local_fields[] = {
    UINT(struct local_spec, epochs),
    UINT(struct local_spec, steps),
    UINT(struct local_spec, batch_size),
    UINT(struct local_spec, accumulate),
    UINT(struct local_spec, max_length),
    WORD(struct local_spec, optimizer, optimizer_words),
    WORD(struct local_spec, schedule, schedule_words),
    FLOAT(struct local_spec, lr),
    FLOAT(struct local_spec, weight_decay),
    FLOAT(struct local_spec, beta1),
    FLOAT(struct local_spec, beta2),
    FLOAT(struct local_spec, eps),
    FLOAT(struct local_spec, warmup),
    FLOAT(struct local_spec, max_grad_norm),
    FLOAT(struct local_spec, model_dropout),
    FLOAT(struct local_spec, proximal),
    BOOL(struct local_spec, decay_over_run),
    BOOL(struct local_spec, carry_optimizer),
    CYAML_FIELD_END,
};

static const cyaml_strval_t partition_words[] = {
    {"iid", PARTITION_IID},     {"dirichlet", PARTITION_DIRICHLET}, {"column", PARTITION_COLUMN},
    {"label", PARTITION_LABEL}, {"quantity", PARTITION_QUANTITY},
};
static const cyaml_strval_t aggregation_words[] = {
    {"fedavg", AGGREGATION_FEDAVG}, {"clipped_mean", AGGREGATION_CLIPPED_MEAN},
    {"median", AGGREGATION_MEDIAN}, {"trimmed_mean", AGGREGATION_TRIMMED_MEAN},
    {"krum", AGGREGATION_KRUM},
};
static const cyaml_strval_t server_optimizer_words[] = {
    {"fedavg", SERVER_FEDAVG},   {"fedavgm", SERVER_FEDAVGM}, {"fedadagrad", SERVER_FEDADAGRAD},
    {"fedadam", SERVER_FEDADAM}, {"fedyogi", SERVER_FEDYOGI},
};

static const cyaml_strval_t mode_words[] = {
    {"sync", MODE_SYNC},
    {"async", MODE_ASYNC},
};

const cyaml_schema_field_t conf_federation_fields[] = {
    WORD(struct federation_spec, mode, mode_words),
    UINT(struct federation_spec, concurrency),
    UINT(struct federation_spec, max_staleness),
    UINT(struct federation_spec, clients),
    UINT(struct federation_spec, per_round),
    FLOAT(struct federation_spec, over_select),
    UINT(struct federation_spec, quorum),
    UINT(struct federation_spec, rounds),
    UINT(struct federation_spec, deadline_s),
    WORD(struct federation_spec, partition, partition_words),
    FLOAT(struct federation_spec, alpha),
    TEXT("column", struct federation_spec, column),
    BOOL(struct federation_spec, weighted),
    WORD(struct federation_spec, aggregator, aggregation_words),
    FLOAT(struct federation_spec, clip_norm),
    UINT(struct federation_spec, byzantine),
    UINT(struct federation_spec, krum_keep),
    FLOAT(struct federation_spec, max_update_norm),
    WORD(struct federation_spec, optimizer, server_optimizer_words),
    FLOAT(struct federation_spec, server_lr),
    FLOAT(struct federation_spec, server_beta1),
    FLOAT(struct federation_spec, server_beta2),
    FLOAT(struct federation_spec, server_tau),
    BOOL(struct federation_spec, scaffold),
    TEXT("upload", struct federation_spec, upload),
    TEXT("download", struct federation_spec, download),
    BOOL(struct federation_spec, zstd),
    FLOAT(struct federation_spec, top_k),
    BOOL(struct federation_spec, best),
    UINT(struct federation_spec, patience),
    UINT(struct federation_spec, evaluate_every),
    UINT(struct federation_spec, seed),
    CYAML_FIELD_END,
};

static const cyaml_strval_t level_words[] = {
    {"error", LOG_ERROR}, {"warn", LOG_WARN}, {"info", LOG_INFO}, {"debug", LOG_DEBUG}};

const cyaml_schema_field_t conf_log_fields[] = {
    WORD(struct log_settings, level, level_words),
    BOOL(struct log_settings, json),
    TEXT("file", struct log_settings, file),
    CYAML_FIELD_END,
};

const char conf_run_defaults[] = CONF_RUN_DEFAULTS;
const struct conf_range conf_run_ranges[] = {CONF_RUN_RANGES{0}};
